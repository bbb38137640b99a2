"""What the ends of a relation refer to: a term's id, another known id, or a name.

A table of the user's must refer to something, or it is refused with its line. Between open sources gaps
are usual (an import that is not loaded, a disease that two concepts share), and are counted.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from kebench.errors import UserError
from kebench.umls.open.drugs import normal_form
from kebench.umls.open.ids import read_id
from kebench.umls.open.relations import NEGATIONS
from kebench.umls.open.terms import Term, Vocabulary
from kebench.umls.open.unify import Unified


class Facts(NamedTuple):
    """The relations of one vocabulary between concepts: (head CUI, relation, tail CUI), each once, in order.

    The rest is what was left out, as in `manifest.SourceEntry`.
    """

    rows: list[tuple[str, str, str]]
    unresolved: int
    unresolved_example: str
    within: int
    negations: int


def resolve_relations(vocabularies: Sequence[Vocabulary], unified: Unified) -> list[Facts]:
    """Return the facts of each vocabulary. Raises UserError for a user's triple that refers to nothing."""
    by_name = _concepts_by_name(_names_in(vocabularies), unified)

    def refer(end: str) -> str:
        return _by_id(end, unified) or _by_name(end, by_name)

    for vocabulary in vocabularies:
        if vocabulary.strict:
            _refuse_unknown(vocabulary, unified, by_name, refer)
    return [_facts(vocabulary, unified, refer) for vocabulary in vocabularies]


def _facts(vocabulary: Vocabulary, unified: Unified, refer: Callable[[str], str]) -> Facts:
    rows: dict[tuple[str, str, str], None] = {}
    unresolved = within = negations = 0
    example = ""
    for head, relation, tail in _stated(vocabulary):
        if relation in NEGATIONS:
            negations += 1
            continue
        first, second = refer(head), refer(tail)
        if not first or not second:
            unresolved += 1
            example = example or f"{head} {relation} {tail}"
        elif first == second:
            within += 1
        else:
            rows[first, relation, second] = None
    return Facts(list(rows), unresolved, example, within, negations)


def _stated(vocabulary: Vocabulary) -> Iterable[tuple[str, str, str]]:
    for term in vocabulary.terms:
        if not term.is_obsolete:
            for relation, tail in term.relations:
                yield term.id, relation, tail
    for triple in vocabulary.triples:
        yield triple.head, triple.relation, triple.tail


def _by_id(end: str, unified: Unified) -> str:
    """Return the concept of an id, "" if it is none."""
    if known := unified.cui_of.get(end):  # nearly always: sources give ids in our spelling
        return known
    spelled = read_id(end)
    return unified.cui_of.get(spelled) or unified.aliases.get(spelled, "")


def _names_in(vocabularies: Iterable[Vocabulary]) -> set[str]:
    """Return the normal forms of all ends of the users' triples: few, so that few names are looked at."""
    return {
        normal_form(end)
        for vocabulary in vocabularies
        if vocabulary.strict
        for triple in vocabulary.triples
        for end in (triple.head, triple.tail)
    }


def _concepts_by_name(wanted: set[str], unified: Unified) -> dict[str, tuple[set[str], set[str]]]:
    """Return (concepts with a term called so, concepts with any name like it) for the wanted normal forms."""
    found: dict[str, tuple[set[str], set[str]]] = defaultdict(lambda: (set(), set()))
    if wanted:
        for term in unified.terms.values():
            if not term.is_obsolete:
                _note_names(term, unified.cui_of[term.id], wanted, found)
    return found


def _note_names(term: Term, cui: str, wanted: set[str], found: dict[str, tuple[set[str], set[str]]]) -> None:
    if (form := normal_form(term.name)) in wanted:
        found[form][0].add(cui)
        found[form][1].add(cui)
    for synonym in term.synonyms:
        if (form := normal_form(synonym.name)) in wanted:
            found[form][1].add(cui)


def _by_name(end: str, by_name: dict[str, tuple[set[str], set[str]]]) -> str:
    """Return the one concept a term of which is called so, else the one that has the name; else ""."""
    if (form := normal_form(end)) not in by_name:
        return ""
    return next((next(iter(cuis)) for cuis in by_name[form] if len(cuis) == 1), "")


def _refuse_unknown(
    vocabulary: Vocabulary,
    unified: Unified,
    by_name: dict[str, tuple[set[str], set[str]]],
    refer: Callable[[str], str],
) -> None:
    wrong = [triple for triple in vocabulary.triples if not (refer(triple.head) and refer(triple.tail))]
    if not wrong:
        return
    first = wrong[0]
    end = first.tail if refer(first.head) else first.head
    owners = by_name[form][1] if (form := normal_form(end)) in by_name else set()
    problem = f"is the name of {len(owners)} concepts" if owners else "is no id and no name that is loaded"
    remedy = "give an id" if owners else "load its source with it, or mend the line"
    raise UserError(
        f"{vocabulary.files[-1].name} line {first.line}: '{end}' {problem} "
        f"({len(wrong)} such lines); {remedy}"
    )
