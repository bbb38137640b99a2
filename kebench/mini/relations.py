"""The three relation tasks of the miniature, in the forms of ChemProt, DDI and GAD.

Every pair of a sentence becomes a row: its two mentions are replaced by markers, all others stay. A pair
is negative where the sentence denies the relation, leaves it open, or states it of another pair.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import cache
from typing import NamedTuple

from kebench.mini.abstracts import interaction_pairs
from kebench.mini.grammar import Mention, Text, join
from kebench.mini.sentences import INTRODUCED, Labelled, Source, cuis_of
from kebench.mini.world import World

AFFECTS = "chemical_or_drug_affects_gene_product"
METABOLISES = "enzyme_metabolizes_chemical_or_drug"
ASSOCIATED = "gene_associated_with_disease"
_TWO_CLAIMS = 0.08  # how often a sentence links two claims, so that the crossed pairs are negative
_TWO_TAILS = 0.12  # how often a claim has two tails

CuiPair = tuple[str, str]


class Claim(NamedTuple):
    """A kind of sentence: a section of phrases.txt, the pairs it may be about, their label, its weight.

    An empty label stands for the negative one.
    """

    section: str
    pairs: Sequence[CuiPair]
    label: str
    weight: float


# What the sentences of each task claim, of which pairs, how often. The weights are ours.


def _chemprot_claims(world: World) -> list[Claim]:
    affected = {manner: _pairs_in(world, AFFECTS, manner) for manner in _CHEMPROT_MANNERS}
    metabolised = _pairs_in(world, METABOLISES)
    known = [*_pairs_in(world, AFFECTS), *((drug, enzyme) for enzyme, drug in metabolised)]
    false_pairs = _false_pairs(known)
    return [
        *(Claim(f"{m} stated", affected[m], *_CHEMPROT_MANNERS[m]) for m in _CHEMPROT_MANNERS),
        Claim(f"{METABOLISES} stated", metabolised, "CPR:9", 3.5),
        Claim(f"{AFFECTS} negated", false_pairs, "", 4.0),
        Claim(f"{AFFECTS} hedged", [*known, *false_pairs[: len(known)]], "", 2.0),
    ]


_CHEMPROT_MANNERS = {
    "activation": ("CPR:3", 3.0),
    "inhibition": ("CPR:4", 4.0),
    "agonism": ("CPR:5", 2.5),
    "antagonism": ("CPR:6", 2.5),
}


def _ddi_claims(world: World) -> list[Claim]:
    pairs = {section: interaction_pairs(world, section) for section in _DDI_SECTIONS}
    known = [pair for of_section in pairs.values() for pair in of_section]
    return [
        *(Claim(f"{s} stated", pairs[s], *_DDI_SECTIONS[s]) for s in _DDI_SECTIONS),
        Claim("no interaction stated", _false_pairs(known), "", 8.0),
    ]


_DDI_SECTIONS = {
    "raise": ("DDI-mechanism", 2.0),
    "lower": ("DDI-mechanism", 1.5),
    "effect": ("DDI-effect", 3.5),
    "advise": ("DDI-advise", 3.0),
    "int": ("DDI-int", 2.0),
}


def _gad_claims(world: World) -> list[Claim]:
    facts = _pairs_in(world, ASSOCIATED)
    false_pairs = _false_pairs(facts)
    return [
        Claim(f"{ASSOCIATED} stated", facts, "1", 5.0),
        Claim(f"{ASSOCIATED} negated", false_pairs, "", 3.0),
        Claim(f"{ASSOCIATED} hedged", false_pairs, "", 2.0),
    ]


def _pairs_in(world: World, relation: str, manner: str = "") -> list[CuiPair]:
    return [(t.head, t.tail) for t in world.facts(relation, manner)]


def _false_pairs(known: Sequence[CuiPair]) -> list[CuiPair]:
    """Return the pairs of a known head and a known tail that are not known in either direction."""
    is_known = {frozenset(pair) for pair in known}
    heads, tails = dict.fromkeys(head for head, _ in known), dict.fromkeys(tail for _, tail in known)
    pairs = [(head, tail) for tail in tails for head in heads if head != tail]
    return [pair for pair in pairs if frozenset(pair) not in is_known]


_CLAIMS: dict[str, Callable[[World], list[Claim]]] = {
    "mini-chemprot": _chemprot_claims,
    "mini-ddi": _ddi_claims,
    "mini-gad": _gad_claims,
}


@cache
def _claims(world: World, task: str) -> list[Claim]:
    return _CLAIMS[task](world)


# Sentences


def relation_sentence(source: Source, task: str) -> Labelled:
    """Return a sentence of one claim, or of two claims about different concepts: "..., whereas ..."."""
    first = _claim_sentence(source, task, capital=True)
    if task == "mini-gad" or source.rng.random() > _TWO_CLAIMS:
        return first
    second = _claim_sentence(source, task, capital=False)
    if set(cuis_of(first.text)) & set(cuis_of(second.text)):
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
    text = source.compose(claim.section, slots, introduce=introduce, capital=capital)
    return Labelled(text, {frozenset((head, cui)): claim.label for cui in tails if claim.label})


# Rows


class _Pair(NamedTuple):
    first: Mention
    second: Mention
    places: tuple[int, int]  # 1-based, among the sentence's mentions

    @property
    def overlaps(self) -> bool:
        return self.second.start < self.first.end


def chemprot_rows(labelled: Labelled, world: World, number: int) -> list[str]:
    """Return a row for each pair of a chemical and a gene or protein: `pmid.Ti.Tj TAB text TAB label`."""
    text = with_nested_chemicals(labelled.text, world)
    rows: list[str] = []
    for pair in _pairs_of(text):
        marks = [_CHEMPROT_MARKS.get(world.by_cui[m.cui].kind, "") for m in pair[:2]]
        if sorted(marks) == ["@CHEMICAL$", "@GENE$"]:
            marked = _marked(text.text, pair, marks, merged="@CHEM-GENE$")
            first, second = pair.places
            label = _label(labelled, pair, "false")
            rows.append(f"{99_000_000 + number}.T{first}.T{second}\t{marked}\t{label}")
    return rows


_CHEMPROT_MARKS = {"drug": "@CHEMICAL$", "protein": "@GENE$", "gene": "@GENE$"}


def ddi_rows(labelled: Labelled, world: World, number: int) -> list[str]:
    """Return a row for each pair of drugs: `DDI-Mini.dX.s0.pZ TAB text TAB label`."""
    text = with_nested_chemicals(labelled.text, world)
    rows: list[str] = []
    for pair in _pairs_of(text):
        marked = _marked(text.text, pair, ["@DRUG$", "@DRUG$"], merged="@DRUG-DRUG$")
        rows.append(f"DDI-Mini.d{number}.s0.p{len(rows)}\t{marked}\t{_label(labelled, pair, 'DDI-false')}")
    return rows


def gad_rows(labelled: Labelled, world: World, number: int) -> list[str]:
    """Return the row of a sentence, without the index: `text TAB label`."""
    [pair] = _pairs_of(labelled.text)
    marks = ["@GENE$" if world.by_cui[m.cui].kind == "gene" else "@DISEASE$" for m in pair[:2]]
    return [f"{_marked(labelled.text.text, pair, marks)}\t{_label(labelled, pair, '0')}"]


PAIR_TASKS: dict[str, Callable[[Labelled, World, int], list[str]]] = {
    "mini-chemprot": chemprot_rows,
    "mini-ddi": ddi_rows,
    "mini-gad": gad_rows,
}


def _pairs_of(text: Text) -> Iterator[_Pair]:
    for i, first in enumerate(text.mentions, 1):
        for j, second in enumerate(text.mentions[i:], i + 1):
            yield _Pair(first, second, (i, j))


def with_nested_chemicals(text: Text, world: World) -> Text:
    """Add the chemicals that stand inside other names: the insulin of "insulin receptor"."""
    nested: list[Mention] = []
    for mention in text.mentions:
        name = text.text[mention.start : mention.end].lower()
        for drug in world.of_kind("drug"):
            start = name.find(drug.name.lower() + " ")
            if start >= 0 and drug.cui != mention.cui:
                offset = mention.start + start
                nested.append(Mention(offset, offset + len(drug.name), drug.cui))
    return Text(text.text, tuple(sorted((*text.mentions, *nested))))


def _label(labelled: Labelled, pair: _Pair, negative: str) -> str:
    if pair.overlaps:
        return negative
    return labelled.labels.get(frozenset((pair.first.cui, pair.second.cui)), negative)


def _marked(text: str, pair: _Pair, marks: Sequence[str], *, merged: str = "") -> str:
    """Return the text with the pair's spans replaced; overlapping spans become the merged marker."""
    first, second, _ = pair
    if pair.overlaps:
        return text[: first.start] + merged + text[max(first.end, second.end) :]
    between = text[first.end : second.start]
    return text[: first.start] + marks[0] + between + marks[1] + text[second.end :]
