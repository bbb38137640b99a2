"""The tasks of the miniature in the file forms of BLURB's: NER and relations here, the others in texts.py.

What keeps them from being trivial, and where having read the corpus helps: a third of the concepts is never
named in a training or development split, and many sentences take a mention of any kind, so that only the name
tells what it is, which facts of the corpus say. A relation can be denied, doubted or stated of another pair
of the same sentence, and half of the test sentences have held-out templates, worded as only the corpus has
shown. In mini-gad, whose wordings are all known, an association counts if it was found in patients: the
sentence names what was studied, symptoms or organs and organisms, and again only the names tell.
"""

import random
from collections.abc import Mapping, Sequence
from functools import cache, partial
from itertools import combinations
from typing import NamedTuple

from kebench.mini.abstracts import interaction_pairs, section_of
from kebench.mini.grammar import (
    HELD_OUT_WORDING,
    INTRODUCED,
    Labelled,
    Mention,
    Source,
    Text,
    held_out_concepts,
    join,
    load_phrases,
    normal_form,
    tokenise,
)
from kebench.mini.texts import FILES, NO_PATIENTS, WRITERS, make_split
from kebench.mini.world import Concept, Triple, World

# task -> (group, the kinds that it marks). The tasks of a group share their sentences, as those of BC5CDR do.
NER_TASKS = {
    "mini-bc5cdr-chem": ("bc5cdr", ("drug",)),
    "mini-bc5cdr-disease": ("bc5cdr", ("disease", "symptom")),
    "mini-ncbi-disease": ("ncbi", ("disease",)),
    "mini-bc2gm": ("bc2gm", ("gene", "protein")),
    "mini-jnlpba": ("jnlpba", ("gene", "protein", "cell")),
}
# Every pair of a sentence becomes a row: its two mentions are replaced by markers, all others stay. A pair is
# negative where the sentence denies the relation, leaves it open, or states it of another pair.
# task -> (the marker of a mention by kind, that of two mentions that overlap, the negative label)
PAIR_TASKS = {
    "mini-chemprot": (
        {"drug": "@CHEMICAL$", "protein": "@GENE$", "gene": "@GENE$"},
        "@CHEM-GENE$",
        "false",
    ),
    "mini-ddi": ({"drug": "@DRUG$"}, "@DRUG-DRUG$", "DDI-false"),
    "mini-gad": ({"gene": "@GENE$", "disease": "@DISEASE$"}, "", "0"),
}
TASKS = (*NER_TASKS, *PAIR_TASKS, *WRITERS)
ROWS = {"train": 300, "dev": 100, "test": 200}  # ours: a fine-tune takes seconds
# The number of the first sentence of each split, in the ids of its rows.
_FIRST_NUMBER = {"train": 1, "dev": 10_001, "test": 20_001}
_FACTS, _ANY_KIND = 0.45, 0.5  # shares of NER sentences; the rest names nothing
_OWN_KINDS = 0.4  # how often an open slot takes a kind of the group rather than any
_SENTENCES_PER_ABSTRACT = 5  # between two -DOCSTART- lines of mini-jnlpba
AFFECTS = "chemical_or_drug_affects_gene_product"
METABOLISES = "enzyme_metabolizes_chemical_or_drug"
ASSOCIATED = "gene_associated_with_disease"
_TWO_CLAIMS = 0.08  # how often a sentence links two claims, so that the crossed pairs are negative
_TWO_TAILS = 0.12  # how often a claim has two tails
_ON_PATIENTS = 0.65  # share of mini-gad's stated associations
_OPENED = 0.6  # how often a claim has an opening, which keeps rows apart whose mentions are replaced


class TaskSplit(NamedTuple):
    """One split: its file's name and content, and the sentences that it was made from."""

    file: str
    content: str
    sentences: tuple[str, ...]


Tasks = Mapping[tuple[str, str], TaskSplit]
CuiPair = tuple[str, str]


def make_tasks(world: World, *, seed: int) -> Tasks:
    """Return every split of every task by (task, split)."""
    phrases, held_out = load_phrases(), held_out_concepts(world, seed)
    made: dict[tuple[str, str], TaskSplit] = {}
    for task in TASKS:
        group = NER_TASKS[task][0] if task in NER_TASKS else task
        rng = random.Random(f"{group} {seed}")
        taken: set[str] = set()
        for split, num_rows in ROWS.items():
            source = Source(world, phrases, held_out, split == "test", rng, taken)
            file = FILES.get(task, "{split}.tsv").format(split=split)
            if task in WRITERS:
                content, told = make_split(task, source, rows=num_rows, first_number=_FIRST_NUMBER[split])
                made[task, split] = TaskSplit(file, content, told)
                continue
            if task in NER_TASKS:
                write = partial(_ner_sentence, source, group)
                sentences = [source.unseen(write) for _ in range(num_rows)]
                content = _iob_file([one.text for one in sentences], world, task, _FIRST_NUMBER[split])
            else:
                write, sentences, rows = partial(relation_sentence, source, task), [], list[str]()
                while len(rows) < num_rows:
                    sentences.append(source.unseen(write))
                    number = _FIRST_NUMBER[split] + len(sentences) - 1
                    rows += pair_rows(task, sentences[-1], world, number)
                del rows[num_rows:]
                if task == "mini-gad":
                    rows = ["index\tsentence\tlabel", *(f"{index}\t{row}" for index, row in enumerate(rows))]
                content = "".join(row + "\n" for row in rows)
            made[task, split] = TaskSplit(file, content, tuple(one.text.text for one in sentences))
    return made


def _ner_sentence(source: Source, group: str) -> Labelled:
    """Return a sentence for the tasks of a group.

    In half of them the words around a mention tell its kind (a fact is stated); in the others any kind of
    concept can stand there, and only the name tells.
    """
    kinds = tuple(kind for name, kinds in NER_TASKS.values() if name == group for kind in kinds)
    draw = source.rng.random()
    section, slots = "none", dict[str, list[Concept]]()
    if draw < _FACTS:
        old, new = _facts_about(source.world, kinds, source.held_out)
        fact = source.rng.choice(new if source.wants_held_out() else old)
        section = f"{section_of(fact)} stated"
        slots = {"H": [source.world.by_cui[fact.head]], "T": [source.world.by_cui[fact.tail]]}
    elif draw < _FACTS + _ANY_KIND:
        section = "any"
        for slot in "HTO":
            kind = source.rng.choice(kinds if source.rng.random() < _OWN_KINDS else source.world.kinds)
            is_new = source.wants_held_out()
            concepts = [c for c in source.world.of_kind(kind) if (c.cui in source.held_out) == is_new]
            slots[slot] = [source.rng.choice(concepts)]
    return Labelled(source.compose(section, slots))


@cache
def _facts_about(
    world: World, kinds: tuple[str, ...], held_out: frozenset[str]
) -> tuple[list[Triple], list[Triple]]:
    """Return the facts about concepts of some kinds: those that name no held-out concept, and the rest."""
    wanted = {concept.cui for concept in world.of_kind(*kinds)}
    facts = [t for t in world.triples if wanted.intersection((t.head, t.tail))]
    old = [t for t in facts if not held_out.intersection((t.head, t.tail))]
    return old, [t for t in facts if held_out.intersection((t.head, t.tail))]


def _iob_file(texts: Sequence[Text], world: World, task: str, first_number: int) -> str:
    """Return BLURB's `token TAB tag` lines; mini-jnlpba has -DOCSTART- lines, as JNLPBA does."""
    blocks: list[str] = []
    for place, text in enumerate(texts):
        if task == "mini-jnlpba" and place % _SENTENCES_PER_ABSTRACT == 0:
            document = 99_000_000 + first_number + place // _SENTENCES_PER_ABSTRACT
            blocks.append(f"-DOCSTART- {document}\n")
        marked = [m for m in text.mentions if world.by_cui[m.cui].kind in NER_TASKS[task][1]]
        lines = []
        for start, end in tokenise(text.text):
            # A mention never ends inside a word: the grammar puts spaces around names.
            inside = next((m for m in marked if m.start <= start and end <= m.end), None)
            tag = "O" if inside is None else "B" if start == inside.start else "I"
            lines.append(f"{text.text[start:end]}\t{tag}\n")
        blocks.append("".join(lines))
    return "\n".join(blocks)


class Claim(NamedTuple):
    """A kind of sentence: a section of phrases.txt, the pairs it may be about, their label, its weight.

    An empty label stands for the negative one.
    """

    section: str
    pairs: Sequence[CuiPair]
    label: str
    weight: float


@cache
def _claims(world: World, task: str) -> list[Claim]:
    """Return what the sentences of a task claim, of which pairs, how often. The weights are ours."""
    if task == "mini-ddi":
        kinds = (
            ("raise", "DDI-mechanism", 2.0),
            ("lower", "DDI-mechanism", 1.5),
            ("effect", "DDI-effect", 3.5),
            ("advise", "DDI-advise", 3.0),
            ("int", "DDI-int", 2.0),
        )
        claims = [
            Claim(f"{kind} stated", interaction_pairs(world, kind), label, weight)
            for kind, label, weight in kinds
        ]
        known = [pair for claim in claims for pair in claim.pairs]
        return [*claims, Claim("no interaction stated", _false_pairs(known), "", 8.0)]
    if task == "mini-gad":
        known = _pairs_in(world, ASSOCIATED)
        false_pairs = _false_pairs(known)
        return [
            Claim(f"{ASSOCIATED} stated", known, "1", 14.0),
            Claim(f"{ASSOCIATED} negated", false_pairs, "", 3.0),
            Claim(f"{ASSOCIATED} hedged", false_pairs, "", 2.0),
        ]
    manners = (
        ("activation", "CPR:3", 3.0),
        ("inhibition", "CPR:4", 4.0),
        ("agonism", "CPR:5", 2.5),
        ("antagonism", "CPR:6", 2.5),
    )
    metabolised = _pairs_in(world, METABOLISES)
    known = [*_pairs_in(world, AFFECTS), *((drug, enzyme) for enzyme, drug in metabolised)]
    false_pairs = _false_pairs(known)
    return [
        *(
            Claim(f"{manner} stated", _pairs_in(world, AFFECTS, manner), label, weight)
            for manner, label, weight in manners
        ),
        Claim(f"{METABOLISES} stated", metabolised, "CPR:9", 3.5),
        Claim(f"{AFFECTS} negated", false_pairs, "", 4.0),
        Claim(f"{AFFECTS} hedged", [*known, *false_pairs[: len(known)]], "", 2.0),
    ]


def _pairs_in(world: World, relation: str, manner: str = "") -> list[CuiPair]:
    return [(t.head, t.tail) for t in world.facts(relation, manner)]


def _false_pairs(known: Sequence[CuiPair]) -> list[CuiPair]:
    """Return the pairs of a known head and a known tail that are not known in either direction."""
    is_known = {frozenset(pair) for pair in known}
    heads, tails = dict.fromkeys(head for head, _ in known), dict.fromkeys(tail for _, tail in known)
    pairs = [(head, tail) for tail in tails for head in heads if head != tail]
    return [pair for pair in pairs if frozenset(pair) not in is_known]


def relation_sentence(source: Source, task: str) -> Labelled:
    """Return a sentence of one claim, or of two claims about different concepts: "..., whereas ..."."""
    first = _claim_sentence(source, task, capital=True)
    if task == "mini-gad" or source.rng.random() > _TWO_CLAIMS:
        return first
    second = _claim_sentence(source, task, capital=False)
    if {mention.cui for mention in first.text.mentions} & {mention.cui for mention in second.text.mentions}:
        return first
    clause = Text(first.text.text.removesuffix("."), first.text.mentions)
    return Labelled(join(clause, ", whereas ", second.text), {**first.labels, **second.labels})


def _claim_sentence(source: Source, task: str, *, capital: bool) -> Labelled:
    claims = _claims(source.world, task)
    claim = source.rng.choices(claims, [claim.weight for claim in claims])[0]
    head, tail = source.rng.choice(claim.pairs)
    tails = [tail]
    others = [t for h, t in claim.pairs if h == head and t != tail]
    if task != "mini-gad" and others and source.rng.random() < _TWO_TAILS:
        tails.append(source.rng.choice(others))
    by_cui = source.world.by_cui
    slots = {"H": [by_cui[head]], "T": [by_cui[cui] for cui in tails]}
    introduce = 0.0 if task == "mini-gad" else INTRODUCED  # GAD has one gene and one disease in a row
    opens = capital and source.rng.random() < _OPENED
    label = claim.label
    if task == "mini-gad":
        opens, is_on_patients = True, not claim.label or source.rng.random() < _ON_PATIENTS
        kinds = ("symptom",) if is_on_patients else NO_PATIENTS  # a disease would be another pair
        studied = [source.draw(source.world.of_kind(source.rng.choice(kinds))) for _ in range(2)]
        opening = source.compose("evidence", {"O": studied}, introduce=0.0)
        label = claim.label if is_on_patients else ""
    elif opens:
        opening = source.compose("setting", {})
    text = source.compose(
        claim.section,
        slots,
        introduce=introduce,
        capital=capital and not opens,
        new_wording=0.0 if task == "mini-gad" else HELD_OUT_WORDING,
    )
    if opens:
        text = join(opening, " ", text)
    return Labelled(text, {frozenset((head, cui)): label for cui in tails if label})


def pair_rows(task: str, labelled: Labelled, world: World, number: int) -> list[str]:
    """Return a row for each pair that bears all marks of the task: `id TAB text TAB label`.

    The id is `pmid.Ti.Tj` in mini-chemprot, `DDI-Mini.dX.s0.pZ` in mini-ddi; mini-gad's rows have none yet.
    """
    marks, merged, negative = PAIR_TASKS[task]
    text, mentions = labelled.text.text, list(labelled.text.mentions)
    # Chemicals that stand inside other names count too: the insulin of "insulin receptor".
    for mention in labelled.text.mentions:
        name = text[mention.start : mention.end].lower()
        for drug in world.of_kind("drug"):
            start = name.find(drug.name.lower() + " ")
            if start >= 0 and drug.cui != mention.cui:
                offset = mention.start + start
                mentions.append(Mention(offset, offset + len(drug.name), drug.cui))
    rows: list[str] = []
    for (i, first), (j, second) in combinations(enumerate(sorted(mentions), 1), 2):
        one, other = (marks.get(world.by_cui[mention.cui].kind, "") for mention in (first, second))
        if {one, other} != set(marks.values()):
            continue
        if second.start < first.end:
            marked, label = merged, negative
        else:
            marked = one + text[first.end : second.start] + other
            label = labelled.labels.get(frozenset((first.cui, second.cui)), negative)
        marked = text[: first.start] + marked + text[max(first.end, second.end) :]
        row_id = f"DDI-Mini.d{number}.s0.p{len(rows)}\t" if task == "mini-ddi" else ""
        row_id = f"{99_000_000 + number}.T{i}.T{j}\t" if task == "mini-chemprot" else row_id
        rows.append(f"{row_id}{marked}\t{label}")
    return rows


def sentences_of_test_splits(tasks: Tasks) -> frozenset[str]:
    """Return the normal forms of all test sentences, which the corpus must not hold."""
    tests = [made for (_, split), made in tasks.items() if split == "test"]
    return frozenset(normal_form(sentence) for made in tests for sentence in made.sentences)
