"""Which terms are one concept, and which CUI each concept bears.

Two ids become one concept if a cross-reference joins them one to one: of all cross-references between
their two namespaces, no other has either end. And no concept ever holds two ids of one namespace: a
cross-reference that would bring that about is refused. What is left out is counted and shown.

The outcome depends on the set of cross-references alone, not on the order of files or terms.

CUIs. A concept with a UMLS id bears it. Any other gets K and seven digits: a hash of its first id (by
`ids.rank_of`), or the next number that is free. Ids take their numbers in the order of rank, so that a
source of a later rank leaves the numbers of those before it alone; of one rank, only the few move whose
number a newcomer takes first (3 in 100 newcomers to a knowledge base of 670,000 concepts).
"""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from operator import itemgetter
from typing import NamedTuple

from pydantic import BaseModel

from kebench.umls.open.ids import prefix_of, rank_of, source_of
from kebench.umls.open.terms import Synonym, Term, Vocabulary

# Cross-references to these mean "the same thing"; to OMIM, Orphanet, ICD, SNOMED and others they often mean
# "something near", and only serve to look an id up. In the order of trust: an equivalence curated between
# two ontologies comes before a pair of references to MeSH or UMLS. A namespace that is not listed is a table
# of the user's, whose references come first within their kind.
JOINING = ("MONDO", "DOID", "HP", "CHEBI", "GO", "UBERON", "CL", "DRUGBANK", "HGNC", "FPLX", "MESH", "UMLS")
_TRUST = {prefix: place for place, prefix in enumerate(JOINING)}
# MONDO refers to a phenotype as a neighbour in another hierarchy, and to the gene that a disease is due to.
NOT_JOINING = {frozenset({"MONDO", "HP"}), frozenset({"MONDO", "HGNC"})}
NUMBERS = 10**7  # of K and seven digits
EXAMPLES = 20  # ours; enough to see what kind of conflicts there are

Pair = tuple[str, str]


class Kind(BaseModel, frozen=True):
    """Cross-references between two namespaces.

    given: distinct pairs; joined: those that are now one concept; not_one_to_one: left out because an end
    has several partners; refused: left out because the concept would hold two ids of one namespace.
    """

    between: tuple[str, str]
    given: int
    joined: int
    not_one_to_one: int
    refused: int


class Unification(BaseModel, frozen=True):
    """What became of the cross-references.

    concepts: all; merged: those of several ids; with_cui: those that bear a CUI of UMLS.
    conflicts: cross-references left out; examples: the first of them, by kind.
    """

    concepts: int
    merged: int
    with_cui: int
    kinds: tuple[Kind, ...]
    conflicts: int
    examples: tuple[str, ...]


class Unified(NamedTuple):
    """Terms and their concepts.

    terms: by id, each once, whatever number of vocabularies hold it.
    cui_of: the concept of every term's id.
    aliases: the concept of other ids: former ones, and those of sources that are not loaded.
    """

    terms: dict[str, Term]
    cui_of: dict[str, str]
    aliases: dict[str, str]
    report: Unification


def unify(vocabularies: Sequence[Vocabulary]) -> Unified:
    """Return the concepts of some vocabularies."""
    terms = merge_terms(vocabularies)
    claims: dict[str, list[str]] = defaultdict(list)
    for term in terms.values():
        for alternate in term.alternates:
            if alternate not in terms:
                claims[alternate].append(term.id)
    # What each former id stands for; one that two terms claim stands for none.
    former = {alternate: claimants[0] for alternate, claimants in claims.items() if len(claimants) == 1}
    joining, referring = _cross_references(terms, former, vocabularies)
    groups, kinds, conflicts = join(joining)
    cui_of = number_concepts(terms, groups)
    # The concept of ids that are no term's own. An id of a source that is not loaded stands for the one term
    # that refers to it one to one; where terms of several namespaces do, for that of the first rank.
    aliases = {old: cui_of[new] for old, new in former.items()}
    for member, group in groups.items():
        if member not in terms and (known := [other for other in group.values() if other in cui_of]):
            aliases[member] = cui_of[known[0]]
    for kind in sorted(referring, key=lambda one: (rank_of(f"{one[0]}:"), one[1])):
        for term_id, other in one_to_one(referring[kind])[0]:
            if term_id in cui_of and other not in cui_of:
                aliases.setdefault(other, cui_of[term_id])
    cuis = set(cui_of.values())
    report = Unification(
        concepts=len(cuis),
        merged=len({id(group) for member, group in groups.items() if len(group) > 1 and member in terms}),
        with_cui=sum(cui.startswith("C") for cui in cuis),
        kinds=tuple(kinds),
        conflicts=len(conflicts),
        examples=tuple(conflicts[:EXAMPLES]),
    )
    return Unified(terms, cui_of, aliases, report)


def merge_terms(vocabularies: Iterable[Vocabulary]) -> dict[str, Term]:
    """Return every term once, by id; where two vocabularies hold it, the one it is at home in names it."""
    merged: dict[str, Term] = {}
    for vocabulary in sorted(vocabularies, key=lambda one: (one.name, one.files, one.title)):
        for term in vocabulary.terms:
            if (earlier := merged.get(term.id)) is not None:
                is_home = vocabulary.name == source_of(prefix_of(term.id))
                home, other = (term, earlier) if is_home else (earlier, term)
                names = dict.fromkeys([*home.synonyms, Synonym(other.name), *other.synonyms])
                term = home._replace(  # relations stay with their vocabularies
                    synonyms=tuple(synonym for synonym in names if synonym.name != home.name),
                    types=tuple(dict.fromkeys(home.types + other.types)),
                    xrefs=tuple(dict.fromkeys(home.xrefs + other.xrefs)),
                    alternates=tuple(dict.fromkeys(home.alternates + other.alternates)),
                )
            merged[term.id] = term
    return merged


def _cross_references(
    terms: dict[str, Term], former: dict[str, str], vocabularies: Sequence[Vocabulary]
) -> tuple[dict[Pair, set[Pair]], dict[Pair, set[Pair]]]:
    """Return the pairs of ids that may join, and those that only refer, by their namespaces.

    Obsolete terms take no part.
    """
    joining: dict[Pair, set[Pair]] = defaultdict(set)
    referring: dict[Pair, set[Pair]] = defaultdict(set)
    given = [(term.id, xref) for term in terms.values() if not term.is_obsolete for xref in term.xrefs]
    for vocabulary in vocabularies:
        given += vocabulary.mappings
    for first, second in given:
        one, other = former.get(first, first), former.get(second, second)
        kind = (prefix_of(one), prefix_of(other))
        if kind[0] == kind[1] or any(end in terms and terms[end].is_obsolete for end in (one, other)):
            continue
        if kind[1] not in _TRUST or frozenset(kind) in NOT_JOINING:
            referring[kind].add((one, other))
        elif _trust(kind[0]) <= _trust(kind[1]):
            joining[kind].add((one, other))
        else:
            joining[kind[1], kind[0]].add((other, one))
    return joining, referring


def _trust(prefix: str) -> tuple[int, str]:
    return _TRUST.get(prefix, -1), prefix


def one_to_one(pairs: Iterable[Pair]) -> tuple[list[Pair], list[Pair]]:
    """Return the pairs neither end of which is in another pair, and the rest; both in order."""
    ordered = sorted(set(pairs))
    first = Counter(one for one, _ in ordered)
    second = Counter(other for _, other in ordered)
    single = {pair for pair in ordered if first[pair[0]] == 1 and second[pair[1]] == 1}
    return [pair for pair in ordered if pair in single], [pair for pair in ordered if pair not in single]


def join(joining: dict[Pair, set[Pair]]) -> tuple[dict[str, dict[str, str]], list[Kind], list[str]]:
    """Return the groups (by id: the group's ids by namespace), a report by kind, and the conflicts.

    Kinds are taken in the order of trust, pairs in the order of their ids.
    """
    groups: dict[str, dict[str, str]] = {}
    kinds: list[Kind] = []
    conflicts: list[tuple[int, str]] = []
    for kind in sorted(joining, key=lambda one: (_trust(one[1]), _trust(one[0]))):
        single, several = one_to_one(joining[kind])
        refused = []
        for one, other in single:
            first = groups.setdefault(one, {prefix_of(one): one})
            second = groups.setdefault(other, {prefix_of(other): other})
            if first is second:
                continue
            if first.keys() & second.keys():
                refused.append((one, other))
                continue
            first |= second
            for member in second.values():
                groups[member] = first
        kinds.append(
            Kind(
                between=kind,
                given=len(joining[kind]),
                joined=len(single) - len(refused),
                not_one_to_one=len(several),
                refused=len(refused),
            )
        )
        # By place within their kind, so that the first few conflicts are of many kinds.
        conflicts += enumerate(f"{one} = {other}: not one to one" for one, other in several)
        conflicts += enumerate(f"{one} = {other}: would join two of one source" for one, other in refused)
    return groups, kinds, [conflict for _, conflict in sorted(conflicts, key=itemgetter(0))]


def number_concepts(terms: Iterable[str], groups: dict[str, dict[str, str]]) -> dict[str, str]:
    """Return the CUI of each term's id."""
    cui_of: dict[str, str] = {}
    taken: set[int] = set()
    for first in sorted(terms, key=lambda one: (rank_of(one), one)):
        group = groups.get(first, {prefix_of(first): first})
        if first in cui_of:
            continue  # numbered with the first of its group
        if "UMLS" in group:
            cui = group["UMLS"].partition(":")[2]
        else:
            hashed = hashlib.blake2b(first.encode(), digest_size=8).digest()
            number = int.from_bytes(hashed, "big") % NUMBERS
            while number in taken:
                number = (number + 1) % NUMBERS
            taken.add(number)
            cui = f"K{number:07d}"
        for member in group.values():
            cui_of[member] = cui
    known = set(terms)
    return {member: cui for member, cui in cui_of.items() if member in known}
