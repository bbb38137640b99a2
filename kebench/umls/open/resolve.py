"""What the ends of a relation refer to: a term's id, another known id, or a name.

A table of the user's must refer to something, or it is refused with its line. Between open sources gaps
are usual (an import that is not loaded, a disease that two concepts share), and are counted.
"""

import itertools
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import NamedTuple

from kebench.errors import UserError
from kebench.umls.open.drugs import normal_form
from kebench.umls.open.ids import read_id
from kebench.umls.open.terms import Vocabulary
from kebench.umls.open.unify import Unified

# They say that something does not hold, which a graph of facts cannot: MONDO's "A is not a kind of B".
NEGATIONS = frozenset({"excluded_subClassOf"})
# By normal form: the concepts with a term that is called so, and those with any such name.
ByName = dict[str, tuple[set[str], set[str]]]


class Facts(NamedTuple):
    """The relations of one vocabulary between concepts: (head CUI, relation, tail CUI), each once, in order.

    The rest is what was left out, as in `importing.SourceEntry`.
    """

    rows: list[tuple[str, str, str]]
    unresolved: int
    unresolved_example: str
    within: int
    negations: int


def resolve_relations(vocabularies: Sequence[Vocabulary], unified: Unified) -> list[Facts]:
    """Return the facts of each vocabulary. Raises UserError for a user's triple that refers to nothing."""
    named = _concepts_by_name(vocabularies, unified)

    def refer(end: str) -> str:
        """Return the concept of an id, else that with a term called so, else that with any such name."""
        if known := unified.cui_of.get(end):  # nearly always: sources give ids in our spelling
            return known
        spelled = read_id(end)
        if known := unified.cui_of.get(spelled) or unified.aliases.get(spelled):
            return known
        return next((next(iter(cuis)) for cuis in named.get(normal_form(end), ()) if len(cuis) == 1), "")

    for vocabulary in vocabularies:
        triples = vocabulary.triples if vocabulary.strict else []
        if wrong := [triple for triple in triples if not (refer(triple.head) and refer(triple.tail))]:
            end = wrong[0].tail if refer(wrong[0].head) else wrong[0].head
            owners = named[form][1] if (form := normal_form(end)) in named else set()
            problem = f"the name of {len(owners)} concepts" if owners else "no id and no name that is loaded"
            remedy = "give an id" if owners else "load its source with it, or mend the line"
            raise UserError(
                f"{vocabulary.files[-1].name} line {wrong[0].line}: '{end}' is {problem} "
                f"({len(wrong)} such lines); {remedy}"
            )
    return [_facts(vocabulary, refer) for vocabulary in vocabularies]


def _concepts_by_name(vocabularies: Sequence[Vocabulary], unified: Unified) -> ByName:
    """Return concepts by those names that ends of the users' triples may be: few, so that few are kept."""
    triples = [triple for vocabulary in vocabularies if vocabulary.strict for triple in vocabulary.triples]
    wanted = {normal_form(end) for triple in triples for end in (triple.head, triple.tail)}
    found: ByName = defaultdict(lambda: (set(), set()))
    for term in unified.terms.values() if wanted else ():
        if not term.is_obsolete:
            for place, name in enumerate([term.name, *(synonym.name for synonym in term.synonyms)]):
                if (form := normal_form(name)) in wanted:
                    found[form][1].add(unified.cui_of[term.id])
                    if place == 0:
                        found[form][0].add(unified.cui_of[term.id])
    return found


def _facts(vocabulary: Vocabulary, refer: Callable[[str], str]) -> Facts:
    rows: dict[tuple[str, str, str], None] = {}
    unresolved = within = negations = 0
    example = ""
    of_terms = (
        (term.id, relation, tail)
        for term in vocabulary.terms
        if not term.is_obsolete
        for relation, tail in term.relations
    )
    of_triples = ((triple.head, triple.relation, triple.tail) for triple in vocabulary.triples)
    for head, relation, tail in itertools.chain(of_terms, of_triples):
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
