"""The five tasks of the miniature on whole texts and pairs of texts, in the file forms of BLURB's.

What of the corpus helps in all of them is what its facts say of a name: that it is treated, treats, is a
symptom, a gene, an organ. The sentences of the tasks leave that open, and half of the names in a test split
stand in no training split. So a model that has read the corpus can answer what one that has not must guess:

mini-ebm-pico: who is what in a list. mini-hoc: the fields that the named concepts are of. mini-biosses:
whether the second sentence names what the first does, or things of other kinds. mini-pubmedqa: whether what a
passage found was found in patients, else the answer is maybe. mini-bioasq: whether a concept is a therapy.
"""

import json
from collections.abc import Callable
from functools import cache
from typing import NamedTuple

from kebench.mini.grammar import HELD_OUT_WORDING, Source, Text, join, normal_form, tokenise
from kebench.mini.world import Concept, Triple, World

# The class of a mention, by its concept's kind. Of the procedures only therapies (UMLS type T061) take part.
PICO_CLASSES = {"disease": "PAR", "drug": "INT", "procedure": "INT", "symptom": "OUT"}
THERAPY = "T061"
_LISTS = 0.4  # share of the PICO sentences in which only names tell who is what
_SENTENCES_PER_TRIAL = 5
# field of mini-hoc -> the kinds of concept that are of it
FIELDS = {
    "pathology": ("disease", "symptom"),
    "pharmacology": ("drug",),
    "genetics": ("gene", "protein"),
    "anatomy": ("anatomy", "cell"),
}
_FIELDS_DRAWN, _FIELD_KEPT = 2, 0.85  # of a document; one in fifty has none
ASKED = ("may_treat", "may_prevent", "manifestation_of", "induces")  # of patients: what the sentences tell
# What a study may be on: patients, by what they have, or something else, from which nothing follows for them.
PATIENTS = ("disease", "symptom")
NO_PATIENTS = ("anatomy", "cell", "organism", "process")
_FOREIGN = ("gene", "protein", *NO_PATIENTS)  # kinds of which no ASKED fact tells
ANSWERS = {"yes": 0.4, "no": 0.25, "maybe": 0.35}  # shares; ours
_YES = 0.6  # share of mini-bioasq's questions, as in BioASQ most


class Example(NamedTuple):
    """The rows of a file that one draw gives, and its sentences that tell something.

    Of these no other split and no text of the corpus may hold one.
    """

    rows: list[str]
    sentences: tuple[str, ...]


def make_split(task: str, source: Source, *, rows: int, first_number: int) -> tuple[str, tuple[str, ...]]:
    """Return a split's content, of so many examples (mini-ebm-pico: sentences), and its sentences."""
    header, write, of_one = WRITERS[task]
    examples: list[Example] = []
    while len(examples) * of_one < rows:
        example = write(source, first_number + len(examples))
        told = {normal_form(sentence) for sentence in example.sentences}
        if len(told) == len(example.sentences) and not told & source.taken:
            source.taken.update(told)
            examples.append(example)
    lines = [*header, *(row for example in examples for row in example.rows)]
    sentences = tuple(sentence for example in examples for sentence in example.sentences)
    return "".join(line + "\n" for line in lines), sentences


def _draw_fact(source: Source, relations: tuple[str, ...]) -> Triple:
    """Draw a relation and a fact of it; in a test split often one that names a held-out concept."""
    old, new = _facts_of(source.world, source.rng.choice(relations), source.held_out)
    return source.rng.choice((new if source.wants_held_out() else old) or old or new)


@cache
def _facts_of(world: World, relation: str, held_out: frozenset[str]) -> tuple[list[Triple], list[Triple]]:
    facts = world.facts(relation)
    old = [t for t in facts if not held_out.intersection((t.head, t.tail))]
    return old, [t for t in facts if held_out.intersection((t.head, t.tail))]


def _tell(
    source: Source,
    section: str,
    fact: Triple,
    *,
    capital: bool = True,
    new_wording: float = HELD_OUT_WORDING,
) -> Text:
    slots = {"H": [source.world.by_cui[fact.head]], "T": [source.world.by_cui[fact.tail]]}
    return source.compose(section, slots, introduce=0.0, capital=capital, new_wording=new_wording)


def _therapies(world: World) -> list[Concept]:
    return [*world.of_kind("drug"), *(c for c in world.of_kind("procedure") if THERAPY in c.types)]


def write_trial(source: Source, number: int) -> Example:
    """Return a document of mini-ebm-pico: a word's class is that of the mention that it is in."""
    world = source.world
    kinds = {"T": world.of_kind("disease"), "H": _therapies(world), "O": world.of_kind("symptom")}
    slots = {slot: [source.draw(concepts)] for slot, concepts in kinds.items()}
    rows, sentences = [f"-DOCSTART- ({99_000_000 + number})", ""], list[str]()
    for _ in range(_SENTENCES_PER_TRIAL):
        section = "trial list" if source.rng.random() < _LISTS else "trial"
        text = source.compose(section, slots)
        sentences.append(text.text)
        for start, end in tokenise(text.text):
            inside = next((m for m in text.mentions if m.start <= start and end <= m.end), None)
            tag = f"I-{PICO_CLASSES[world.by_cui[inside.cui].kind]}" if inside else "O"
            rows.append(f"{text.text[start:end]}\t{tag}")
        rows.append("")
    return Example(rows, tuple(sentences))


def write_pair(source: Source, number: int) -> Example:
    """Return a pair of mini-biosses: a fact, and a sentence that is as much like it as the score tells.

    4: states it in other words and names; 3: names both concepts, says nothing of them; 2: one of them and
    something of another kind; 0: two things of other kinds.
    """
    rng, world = source.rng, source.world
    fact = _draw_fact(source, ASKED)
    one = _tell(source, f"{fact.relation} stated", fact).text
    score = rng.choice((0, 2, 3, 4))
    if score == 4:
        two = _tell(source, f"{fact.relation} stated", fact).text
    else:
        own = [world.by_cui[cui] for cui in rng.sample((fact.head, fact.tail), 2)]
        foreign = [source.draw(world.of_kind(rng.choice(_FOREIGN))) for _ in own]
        named = {3: own, 2: [own[0], foreign[0]], 0: foreign}[score]
        two = _named(source, *(concept.cui for concept in rng.sample(named, 2)))
    return Example([f"{number}\t{one}\t{two}\t{score:.1f}"], (one, two))


def _named(source: Source, head: str, tail: str) -> str:
    """Return a sentence that names concepts and says nothing of them."""
    first, second = ([source.world.by_cui[cui]] for cui in (head, tail))
    return source.compose("any", {"H": first, "T": second, "O": second}, introduce=0.0).text


def write_document(source: Source, number: int) -> Example:
    """Return a document of mini-hoc: a sentence on each of its fields, which names concepts of the field."""
    rng, world = source.rng, source.world
    fields = [field for field in rng.sample(list(FIELDS), _FIELDS_DRAWN) if rng.random() < _FIELD_KEPT]
    told = [source.compose("none", {}).text] * (not fields)
    for field in fields:
        slots = {slot: [source.draw(world.of_kind(*FIELDS[field]))] for slot in "HTO"}
        told.append(source.compose("any", slots, introduce=0.0).text)
    marks = ",".join(f"{place}_{int(field in fields)}" for place, field in enumerate(FIELDS))
    rows = [f"{marks}\t{sentence}\t{99_000_000 + number}_s{place}" for place, sentence in enumerate(told)]
    return Example(rows, (" ".join(told),))


def write_paper(source: Source, number: int) -> Example:
    """Return a question of mini-pubmedqa: yes or no as the passage has it, maybe if it is on no patients."""
    rng, world = source.rng, source.world
    answer = rng.choices(list(ANSWERS), list(ANSWERS.values()))[0]
    fact = _draw_fact(source, ASKED)
    is_denied = answer == "no" or (answer == "maybe" and rng.random() < 0.5)
    if is_denied:  # of another tail of its kind, of which it is not true
        true = {t.tail for t in world.facts(fact.relation) if t.head == fact.head}
        alike = world.of_kind(world.by_cui[fact.tail].kind)
        fact = fact._replace(tail=source.draw([c for c in alike if c.cui not in {*true, fact.head}]).cui)
    kinds = NO_PATIENTS if answer == "maybe" else PATIENTS
    studied = [source.draw(world.of_kind(rng.choice(kinds))) for _ in range(2)]
    opening = source.compose("evidence", {"O": studied}, introduce=0.0)
    # Known wordings: it is the names that are to decide.
    section = f"{fact.relation} {'negated' if is_denied else 'stated'}"
    told = join(opening, " ", _tell(source, section, fact, capital=False, new_wording=0.0)).text
    row = {
        "id": f"{99_000_000 + number}",
        "sentence1": _tell(source, f"question {fact.relation}", fact).text,
        "sentence2": told,
        "label": answer,
    }
    return Example([json.dumps(row, ensure_ascii=False)], (told,))


def write_question(source: Source, number: int) -> Example:
    """Return a question of mini-bioasq: yes if a concept is a drug or another therapy.

    The passage names it beside another therapy, or beside another thing that is none.
    """
    rng, world = source.rng, source.world
    is_therapy = rng.random() < _YES
    therapies = _therapies(world)
    others = [c for c in world.concepts if c.kind != "process" and c not in therapies]
    asked, beside = (source.draw(therapies if is_therapy else others) for _ in range(2))
    passage = _named(source, *(concept.cui for concept in rng.sample((asked, beside), 2)))
    question = source.compose("question on therapy", {"H": [asked]}, introduce=0.0).text
    answer = "yes" if is_therapy else "no"
    return Example([f"mini{number:05d}\t{question}\t{passage}\t{answer}"], (f"{question} {passage}",))


# task -> (the lines above its rows, what writes one example, how many rows that is)
WRITERS: dict[str, tuple[list[str], Callable[[Source, int], Example], int]] = {
    "mini-ebm-pico": ([], write_trial, _SENTENCES_PER_TRIAL),
    "mini-biosses": (["pair_id\tsent1\tsent2\tscore"], write_pair, 1),
    "mini-hoc": (["labels\tsentence\tindex"], write_document, 1),
    "mini-pubmedqa": ([], write_paper, 1),
    "mini-bioasq": ([], write_question, 1),
}
FILES = {"mini-pubmedqa": "{split}.json"}  # of the others {split}.tsv
