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
from typing import NamedTuple

from kebench.umls.open.ids import prefix_of, rank_of, source_of
from kebench.umls.open.manifest import Kind, Unification
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
    former = _former_ids(terms)
    joining, referring = _cross_references(terms, former, vocabularies)
    groups, kinds, conflicts = join(joining)
    cui_of = number_concepts(terms, groups)
    aliases = _aliases(terms, former, groups, referring, cui_of)
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
            other = merged.get(term.id)
            is_home = vocabulary.name == source_of(prefix_of(term.id))
            if other is not None:
                term = _united(term, other) if is_home else _united(other, term)
            merged[term.id] = term
    return merged


def _united(home: Term, other: Term) -> Term:
    """Return a term with the other's names and references too; relations stay with their vocabularies."""
    names = dict.fromkeys([*home.synonyms, Synonym(other.name), *other.synonyms])
    return home._replace(
        synonyms=tuple(synonym for synonym in names if synonym.name != home.name),
        types=tuple(dict.fromkeys(home.types + other.types)),
        xrefs=tuple(dict.fromkeys(home.xrefs + other.xrefs)),
        alternates=tuple(dict.fromkeys(home.alternates + other.alternates)),
    )


def _former_ids(terms: dict[str, Term]) -> dict[str, str]:
    """Return the term that each former id stands for; one that two terms claim stands for none."""
    claims: dict[str, list[str]] = defaultdict(list)
    for term in terms.values():
        for former in term.alternates:
            if former not in terms:
                claims[former].append(term.id)
    return {former: claimants[0] for former, claimants in claims.items() if len(claimants) == 1}


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
    conflicts: list[str] = []
    for kind in sorted(joining, key=lambda one: (_trust(one[1]), _trust(one[0]))):
        single, several = one_to_one(joining[kind])
        refused = [pair for pair in single if not _join(groups, *pair)]
        counts = {
            "joined": len(single) - len(refused),
            "not_one_to_one": len(several),
            "refused": len(refused),
        }
        kinds.append(Kind(between=kind, given=len(joining[kind]), **counts))
        conflicts += [f"{one} = {other}: not one to one" for one, other in several]
        conflicts += [f"{one} = {other}: would join two of one source" for one, other in refused]
    return groups, kinds, _spread(conflicts)


def _join(groups: dict[str, dict[str, str]], one: str, other: str) -> bool:
    """Make two groups one, unless it would hold two ids of one namespace."""
    first = groups.setdefault(one, {prefix_of(one): one})
    second = groups.setdefault(other, {prefix_of(other): other})
    if first is second:
        return True
    if first.keys() & second.keys():
        return False
    first |= second
    for member in second.values():
        groups[member] = first
    return True


def _spread(conflicts: list[str]) -> list[str]:
    """Return the conflicts such that the first few are of many kinds: by place within their kind."""
    seen: Counter[tuple[str, ...]] = Counter()
    placed: list[tuple[int, int, str]] = []
    for conflict in conflicts:
        one, _, rest = conflict.partition(" = ")
        kind = (prefix_of(one), prefix_of(rest), conflict.rpartition(": ")[2])
        placed.append((seen[kind], len(placed), conflict))
        seen[kind] += 1
    return [conflict for _, _, conflict in sorted(placed)]


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


def _aliases(
    terms: dict[str, Term],
    former: dict[str, str],
    groups: dict[str, dict[str, str]],
    referring: dict[Pair, set[Pair]],
    cui_of: dict[str, str],
) -> dict[str, str]:
    """Return the concept of ids that are no term's own.

    An id of a source that is not loaded stands for the one term that refers to it one to one; where terms
    of several namespaces do, for that of the first rank.
    """
    aliases = {old: cui_of[new] for old, new in former.items()}
    for member, group in groups.items():
        if member not in terms:
            known = [other for other in group.values() if other in cui_of]
            if known:
                aliases[member] = cui_of[known[0]]
    for kind in sorted(referring, key=lambda one: (rank_of(f"{one[0]}:"), one[1])):
        for term, other in one_to_one(referring[kind])[0]:
            if term in cui_of and other not in cui_of:
                aliases.setdefault(other, cui_of[term])
    return aliases
