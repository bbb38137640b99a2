"""Identifiers: one spelling each inside kebench, and their source and code in the manner of a UMLS release.

Inside, an id is PREFIX:local with one spelling a prefix: "MESH:D010300", "HP:0001250", "UMLS:C0030567".
A release has two columns instead, SAB and CODE, and UMLS drops the prefix from some codes and not from
others: MSH/D010300, HPO/HP:0001250. Sources that UMLS does not hold keep the prefix.
"""

import re
from typing import NamedTuple

NOT_KNOWN = "T071"  # Entity, the root of the semantic network: a concept must have a type, this says nothing


class Namespace(NamedTuple):
    """What ids of one prefix are.

    source: SAB in a release.
    bare: the code is written without the prefix.
    types: semantic types of its terms, where the term does not say itself.
    spellings: how files write the prefix, besides ours; compared in lower case.
    """

    source: str
    bare: bool = False
    types: tuple[str, ...] = (NOT_KNOWN,)
    spellings: tuple[str, ...] = ()


# The order is a rank. It decides whose name a concept of several terms bears, and in which order concepts
# are numbered. Diseases are named by MONDO and the Disease Ontology before MeSH, which inverts headings
# ("Carcinoma, Ovarian Epithelial"); drugs by MeSH before ChEBI, whose names are systematic.
NAMESPACES: dict[str, Namespace] = {
    "MONDO": Namespace("MONDO", types=("T047",)),
    "DOID": Namespace("DOID", types=("T047",), spellings=("do",)),
    "HP": Namespace("HPO", types=("T033",), spellings=("hpo",)),
    "MESH": Namespace("MSH", bare=True, spellings=("msh",)),
    "CHEBI": Namespace("CHEBI", types=("T103",)),
    "GO": Namespace("GO", types=("T038",)),
    "HGNC": Namespace("HGNC", types=("T028",)),
    "FPLX": Namespace("FPLX", types=("T116",), spellings=("famplex",)),
    "UBERON": Namespace("UBERON", types=("T017",)),
    "CL": Namespace("CL", types=("T025",)),
    "PR": Namespace("PR", types=("T116",)),
    "NCBITAXON": Namespace("NCBI", bare=True, types=("T001",)),
    "DRUGBANK": Namespace("DRUGBANK", bare=True, types=("T121",), spellings=("db",)),
    "NCIT": Namespace("NCI", bare=True, spellings=("nci",)),
    "OMIM": Namespace("OMIM", bare=True, types=("T047",), spellings=("mim",)),
    "ORPHA": Namespace("ORPHANET", bare=True, types=("T047",), spellings=("orphanet", "ordo")),
    "SNOMEDCT": Namespace("SNOMEDCT_US", bare=True, spellings=("sctid", "snomed_ct", "snomedct_us")),
    "NCBIGENE": Namespace("NCBIGENE", types=("T028",), spellings=("entrez", "ncbi_gene")),
    "UMLS": Namespace("MTH", bare=True, spellings=("umls_cui",)),
}
RANKS = {prefix: rank for rank, prefix in enumerate(NAMESPACES)}
_OURS = {
    spelling: prefix
    for prefix, namespace in NAMESPACES.items()
    for spelling in (prefix.lower(), namespace.source.lower(), *namespace.spellings)
}
_VERSIONED = re.compile(r"^(snomedct(?:_us)?)_\d{4}_\d{1,2}_\d{1,2}$")  # SNOMEDCT_US_2023_03_01
_ID = re.compile(r"^[A-Za-z][A-Za-z0-9_.+-]*:[^\s|]+$")
CUI = re.compile(r"^C\d{7}$")
DRUGBANK_ID = re.compile(r"^DB\d{5}$")
_LOCAL_FORMS = {"UMLS": CUI, "DRUGBANK": DRUGBANK_ID, "MESH": re.compile(r"^[A-Z]\d{5,9}$")}


def canonical_id(prefix: str, local: str) -> str:
    """Return an id in our spelling: ("MSH", "D010300") and ("MESH", "MESH:D010300") are "MESH:D010300".

    Returns "" where it cannot be one, as "UMLS:0265205" (the Disease Ontology has some).
    """
    spelling = prefix.strip().lower()
    if versioned := _VERSIONED.match(spelling):
        spelling = versioned[1]
    ours = _OURS.get(spelling, prefix.strip().upper())
    first, colon, rest = local.strip().partition(":")
    ours_local = rest if colon and first.lower() == spelling else local.strip()
    if not ours_local or (ours in _LOCAL_FORMS and not _LOCAL_FORMS[ours].match(ours_local)):
        return ""
    return f"{ours}:{ours_local}"


def read_id(text: str) -> str:
    """Return the id that a text is, or "" if it is none.

    A bare CUI (C0030567) and a bare DrugBank accession (DB01048) are ids too.
    """
    if CUI.match(text):
        return f"UMLS:{text}"
    if DRUGBANK_ID.match(text):
        return f"DRUGBANK:{text}"
    if not _ID.match(text) or "://" in text:
        return ""
    prefix, _, local = text.partition(":")
    return canonical_id(prefix, local)


def id_of_address(text: str) -> str:
    """Return the id of a term that is written as an id or as an address, or "" if it is none.

    http://purl.obolibrary.org/obo/DOID_4 is DOID:4, and so it is with any address that ends in a prefix, an
    underscore and a number.
    """
    if "://" not in text:
        return read_id(text)
    local = re.split(r"[/#]", text)[-1]
    if re.match(r"https?://(identifiers\.org|bioregistry\.io)/", text):
        return read_id(local)
    prefix, _, rest = local.partition("_")
    return read_id(f"{prefix}:{rest}") if rest[:1].isdigit() else ""


def prefix_of(identifier: str) -> str:
    """Return the part of an id before the colon."""
    return identifier.partition(":")[0]


def rank_of(identifier: str) -> tuple[int, str]:
    """Return where an id's namespace stands: those of `NAMESPACES` in order, then the others by name."""
    prefix = prefix_of(identifier)
    return RANKS.get(prefix, len(RANKS)), prefix


def namespace_of(prefix: str) -> Namespace:
    """Return what ids of a prefix are; one that is not listed is its own source."""
    return NAMESPACES.get(prefix, Namespace(prefix))


def source_of(prefix: str) -> str:
    """Return the SAB of a prefix."""
    return namespace_of(prefix).source


def code_of(identifier: str) -> str:
    """Return the CODE of an id: "D010300" for "MESH:D010300", "HP:0001250" as it is."""
    prefix, _, local = identifier.partition(":")
    return local if namespace_of(prefix).bare else identifier
