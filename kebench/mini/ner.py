"""The five NER tasks of the miniature, in BLURB's `token TAB tag` form.

In half of the sentences the words around a mention tell its kind (a fact is stated); in the others any kind
of concept can stand there, and only the name tells.
"""

from collections.abc import Iterator, Sequence
from functools import cache

from kebench.mini.abstracts import section_of
from kebench.mini.grammar import Mention, Text, tokenise
from kebench.mini.sentences import Labelled, Source
from kebench.mini.world import Concept, Triple, World

# task -> (group, the kinds that it marks). The tasks of a group share their sentences, as those of BC5CDR do.
NER_TASKS = {
    "mini-bc5cdr-chem": ("bc5cdr", ("drug",)),
    "mini-bc5cdr-disease": ("bc5cdr", ("disease", "symptom")),
    "mini-ncbi-disease": ("ncbi", ("disease",)),
    "mini-bc2gm": ("bc2gm", ("gene", "protein")),
    "mini-jnlpba": ("jnlpba", ("gene", "protein", "cell")),
}
_FACTS, _ANY_KIND = 0.45, 0.5  # shares of sentences; the rest names nothing
_OWN_KINDS = 0.4  # how often an open slot takes a kind of the group rather than any
_SENTENCES_PER_ABSTRACT = 5  # between two -DOCSTART- lines of mini-jnlpba


def kinds_of_group(group: str) -> tuple[str, ...]:
    """Return the kinds that the tasks of a group mark."""
    return tuple(kind for name, kinds in NER_TASKS.values() if name == group for kind in kinds)


def ner_sentence(source: Source, group: str) -> Labelled:
    """Return a sentence for the tasks of a group."""
    kinds = kinds_of_group(group)
    draw = source.rng.random()
    section, slots = "none", dict[str, list[Concept]]()
    if draw < _FACTS:
        old, new = _facts_about(source.world, kinds, source.held_out)
        fact = source.rng.choice(new if source.wants_held_out() else old)
        section = f"{section_of(fact)} stated"
        slots = {"H": [source.world.by_cui[fact.head]], "T": [source.world.by_cui[fact.tail]]}
    elif draw < _FACTS + _ANY_KIND:
        section, slots = "any", {slot: [_any_concept(source, kinds)] for slot in "HTO"}
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


def _any_concept(source: Source, kinds: tuple[str, ...]) -> Concept:
    kind = source.rng.choice(kinds if source.rng.random() < _OWN_KINDS else source.world.kinds)
    is_new = source.wants_held_out()
    return source.rng.choice([c for c in source.world.of_kind(kind) if (c.cui in source.held_out) == is_new])


def iob_file(texts: Sequence[Text], world: World, task: str, *, first_document: int) -> str:
    """Return the content of a split's file; mini-jnlpba has -DOCSTART- lines, as JNLPBA does."""
    kinds = NER_TASKS[task][1]
    blocks: list[str] = []
    for place, text in enumerate(texts):
        if task == "mini-jnlpba" and place % _SENTENCES_PER_ABSTRACT == 0:
            blocks.append(f"-DOCSTART- {first_document + place // _SENTENCES_PER_ABSTRACT}\n")
        marked = [m for m in text.mentions if world.by_cui[m.cui].kind in kinds]
        blocks.append("".join(f"{word}\t{tag}\n" for word, tag in tagged_words(text.text, marked)))
    return "\n".join(blocks)


def tagged_words(text: str, mentions: Sequence[Mention]) -> Iterator[tuple[str, str]]:
    """Yield (word, B, I or O). A mention never ends inside a word: the grammar puts spaces around names."""
    for start, end in tokenise(text):
        inside = next((m for m in mentions if m.start <= start and end <= m.end), None)
        yield text[start:end], "O" if inside is None else "B" if start == inside.start else "I"
