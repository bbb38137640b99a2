"""From open sources to a knowledge base: their tables, then the import that a UMLS release takes too.

They are files of one's own (ontologies, tables of terms, tables of triples), or a folder for open-kb, our
named release from whatever openly licensed sources it holds. The folder, or a folder in it, may hold the two
wheels of wheels.toml (`kebench kb open --fetch` gets them), ontologies (.obo, .json, also .gz), tables of
terms and of triples (.tsv), and drug indications. An ontology of one's own takes the place of a wheel's table
of the same source.
"""

import gzip
import logging
import shutil
import zlib
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from pydantic import BaseModel

from kebench.errors import UserError
from kebench.files import sha256_of, sweep_temporaries_of, temporary_beside
from kebench.progress import progress
from kebench.umls.filters import Filters
from kebench.umls.importing import import_release, same_already
from kebench.umls.manifest import Manifest, import_hash
from kebench.umls.open.drugs import FILES, drugs_by_name, is_indications_folder, read_indications
from kebench.umls.open.ontology import opened, read_ontology
from kebench.umls.open.resolve import resolve_relations
from kebench.umls.open.sources import read_source, source_cards, wheels
from kebench.umls.open.tables import write_tables
from kebench.umls.open.terms import Vocabulary
from kebench.umls.open.tsv import read_terms, read_triples, table_kind
from kebench.umls.open.unify import Unification, unify
from kebench.umls.rrf import COLUMNS, NUMBERED, Release, input_file, parquet_sql

log = logging.getLogger(__name__)

RELEASE = "open-kb"
GRAPHS_WITHIN_BYTES = 4096  # ours; it is the first key of the file
ONTOLOGY_SUFFIXES = (".obo", ".json", ".obo.gz", ".json.gz")


class SourceEntry(BaseModel, frozen=True):
    """One source, and what of it is in the knowledge base.

    version: as the file or the card says it; empty if neither does.
    files: those that were read, or members of a wheel, each a `terms.SourceFile`.
    terms, names: as the source has them, repeated names once.
    relations: facts between two different concepts, each once, in the direction of the source.
    unresolved: relations left out because one end is no concept here (an import that is not loaded, an id
        that several concepts share); example: the first of them.
    within: relations left out because both ends are one concept here.
    negations: relations left out because they say that something does not hold.
    noted: what was passed over of an ontology's file, and ids that were read from addresses, by kind;
        noted_examples: of each kind the first. noted_example: the first of all, in older manifests.
    """

    name: str
    title: str
    version: str
    licence: str
    homepage: str
    citation: str
    note: str
    files: tuple[dict[str, str | int], ...]
    terms: int
    names: int
    relations: int
    unresolved: int
    unresolved_example: str
    within: int
    negations: int
    noted: dict[str, int]
    noted_examples: dict[str, str]


class OpenManifest(BaseModel, frozen=True):
    """All sources in order of name, and the unification; `model_dump(mode="json")` goes into kb.json.

    release: "open-kb" or "" for a knowledge base of the user's own files.
    """

    release: str
    sources: tuple[SourceEntry, ...]
    unification: Unification
    notes: tuple[str, ...] = ()


def import_open_kb(
    folder: Path,
    out: Path,
    *,
    indications: Path | None = None,
    skip_faults: bool = False,
    filters: Filters,
    memory_mib: int | None = None,
) -> Manifest:
    """Make open-kb of a folder's sources, and of drug indications elsewhere; return its manifest."""
    files = find_sources(folder, indications).files()
    write = partial(tables_of_open_kb, folder, indications=indications)
    return _import(files, out, write, skip_faults, filters=filters, memory_mib=memory_mib)


def import_own(
    ontologies: Sequence[Path],
    out: Path,
    *,
    terms: Sequence[Path] = (),
    triples: Sequence[Path] = (),
    skip_faults: bool = False,
    name: str = "",
    filters: Filters,
    memory_mib: int | None = None,
) -> Manifest:
    """Make a knowledge base of ontologies and tables of one's own; return its manifest.

    skip_faults: leave out and count what an ontology states in lines that cannot be read. name: of the
    release; by default the names of the files.
    """
    files = [*ontologies, *terms, *triples]
    name = name or "+".join(sorted(path.name.partition(".")[0] for path in files))
    write = partial(tables_from_obo, ontologies, terms=terms, triples=triples)
    return _import(files, out, write, skip_faults, name=name, filters=filters, memory_mib=memory_mib)


def _import(
    files: Iterable[Path],
    out: Path,
    write: Callable[..., OpenManifest],
    skip_faults: bool,
    *,
    name: str = "",
    filters: Filters,
    memory_mib: int | None,
) -> Manifest:
    inputs = sorted(map(input_file, files), key=lambda file: file.sha256)  # their order makes no other base
    # A table's file name is the source of its triples.
    named = sorted(f"{file.sha256} {file.name}" for file in inputs if file.name.endswith(".tsv"))
    named += ["faults skipped"] if skip_faults else []
    if already := same_already(out, import_hash(inputs, filters, named=named)):
        return already
    sweep_temporaries_of(out)
    tables = temporary_beside(out)
    tables.mkdir()
    try:
        described = write(into=tables, skip_faults=skip_faults)
        sql = {table: parquet_sql(tables / f"{table}.parquet") for table in COLUMNS}
        rows = parquet_sql(tables / f"{NUMBERED}.parquet", with_row_number=True)
        sql[NUMBERED] = f"(SELECT * EXCLUDE file_row_number, file_row_number AS line FROM {rows})"
        return import_release(
            Release(name or described.release, inputs, {}, sql),
            out,
            filters=filters,
            memory_mib=memory_mib,
            made_from="open sources",
            named=named,
            sources=[source.model_dump(mode="json") for source in described.sources],
            unification=described.unification.model_dump(mode="json") | {"notes": list(described.notes)},
        )
    finally:
        shutil.rmtree(tables, ignore_errors=True)


def tables_from_obo(
    paths: Sequence[Path],
    *,
    terms: Sequence[Path] = (),
    triples: Sequence[Path] = (),
    skip_faults: bool = False,
    into: Path,
) -> OpenManifest:
    """Write MRCONSO, MRREL and MRSTY (.parquet) of some ontologies and tables into a folder that exists.

    paths: OBO or OBO-JSON files, read by `read_ontology`. terms, triples: tables as `kebench.umls.open.tsv`
    describes them. The outcome does not depend on the order of the files.
    """
    vocabularies = [
        *(read_ontology(path, skip_faults=skip_faults) for path in paths),
        *map(read_terms, terms),
        *map(read_triples, triples),
    ]
    return build_tables(vocabularies, into=into)


def build_tables(
    vocabularies: Sequence[Vocabulary], *, into: Path, release: str = "", notes: Sequence[str] = ()
) -> OpenManifest:
    """Unify vocabularies, write the three tables, and return the manifest."""
    if not any(vocabulary.terms for vocabulary in vocabularies):
        raise UserError("no ontology and no table of terms: nothing to build a knowledge base from; name one")
    ordered = sorted(vocabularies, key=lambda one: (one.name, one.files, one.title))
    for place, vocabulary in enumerate(ordered):
        if vocabulary.drugs_by_name:
            terms = (term for other in ordered if other is not vocabulary for term in other.terms)
            mappings = [*vocabulary.mappings, *drugs_by_name(vocabulary.terms, terms)]
            ordered[place] = vocabulary._replace(mappings=mappings)
    unified = unify(ordered)
    facts = resolve_relations(ordered, unified)
    write_tables(ordered, unified, facts, into)
    sources = []
    for vocabulary, stated in zip(ordered, facts, strict=True):
        names = (len({term.name, *(one.name for one in term.synonyms)}) for term in vocabulary.terms)
        counts = {"terms": len(vocabulary.terms), "names": sum(names), "relations": len(stated.rows)}
        files = {
            "files": [file._asdict() for file in vocabulary.files],
            "noted_examples": vocabulary.examples,
        }
        said = vocabulary._asdict() | stated._asdict()
        sources.append(SourceEntry.model_validate(said | counts | files))
    return OpenManifest(
        release=release, sources=tuple(sources), unification=unified.report, notes=tuple(notes)
    )


class Found(NamedTuple):
    """What a folder holds. wheels: by distribution."""

    wheels: dict[str, Path]
    ontologies: list[Path]
    terms: list[Path]
    triples: list[Path]
    indications: list[Path]

    def files(self) -> list[Path]:
        """Return every file that is read."""
        tables = [folder / name for folder in self.indications for name in FILES]
        return [*self.wheels.values(), *self.ontologies, *self.terms, *self.triples, *tables]


def tables_of_open_kb(
    folder: Path, into: Path, *, indications: Path | None = None, skip_faults: bool = False
) -> OpenManifest:
    """Write MRCONSO, MRREL and MRSTY (.parquet) of a folder's sources into another folder that exists.

    skip_faults: as `kebench.umls.open.ontology.read_ontology` has it. Raises UserError if the folder holds
    nothing that can be used. The manifest's notes say which choices were made.
    """
    found = find_sources(folder, indications)
    kinds = {f"tables of {distribution}": [path] for distribution, path in found.wheels.items()}
    kinds |= {"ontology": found.ontologies, "table of terms": found.terms}
    kinds |= {"table of triples": found.triples, "drug indications": found.indications}
    for kind, paths in kinds.items():
        for path in paths:
            log.info("uses %s: %s", path, kind)
    vocabularies = [read_ontology(path, skip_faults=skip_faults) for path in found.ontologies]
    replaced = {vocabulary.name for vocabulary in vocabularies}
    cards = [card for card in source_cards() if card.wheel in found.wheels]
    notes = [
        f"{card.name}: the folder's own ontology instead of {card.wheel}'s table"
        for card in cards
        if card.name in replaced
    ]
    pinned = {wheel.distribution: wheel.sha256 for wheel in wheels()}
    notes += [
        f"{path.name}: not the pinned wheel (other SHA-256)"
        for distribution, path in found.wheels.items()
        if sha256_of(path) != pinned[distribution]
    ]
    vocabularies += map(read_terms, found.terms)
    vocabularies += map(read_triples, found.triples)
    vocabularies += map(read_indications, found.indications)
    wanted = [card for card in cards if card.name not in replaced]
    with progress("reading sources", total=len(wanted), unit="sources") as advance:
        for card in wanted:
            vocabularies.append(read_source(card, found.wheels[card.wheel]))
            advance(1)
    return build_tables(vocabularies, into=into, release=RELEASE, notes=notes)


def check_indications(folder: Path) -> None:
    """Raise UserError if a folder holds no drug indications."""
    if not is_indications_folder(folder):
        raise UserError(
            f"{folder}: no drug indications; expected {', '.join(FILES)}, the last with the columns doid_id, "
            "drugbank_id and category, as the folder catalog of github.com/dhimmel/indications has them"
        )


def find_sources(folder: Path, indications: Path | None = None) -> Found:
    """Return what a folder and the folders in it hold, and a folder of drug indications elsewhere."""
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder; check the path")
    places = [folder, *sorted(path for path in folder.iterdir() if path.is_dir())]
    with_indications = [place for place in places if is_indications_folder(place)]
    if indications is not None:
        check_indications(indications)
        others = [place for place in with_indications if place.resolve() != indications.resolve()]
        if others:
            raise UserError(
                f"{others[0]}: drug indications already, beside those of {indications}; remove the one or "
                "leave the other out"
            )
        with_indications = [indications]
    files = sorted(path for place in places for path in place.iterdir() if path.is_file())
    tables = [
        path
        for path in files
        if path.suffix == ".tsv" and not (is_indications_folder(path.parent) and path.name in FILES)
    ]
    kinds = {path: table_kind(path) for path in tables}
    found = Found(
        wheels={wheel.distribution: path for wheel in wheels() for path in files if path.name == wheel.file},
        ontologies=[path for path in files if _is_ontology(path)],
        terms=[path for path in tables if kinds[path] == "terms"],
        triples=[path for path in tables if kinds[path] == "triples"],
        indications=with_indications,
    )
    if not found.files():
        raise UserError(
            f"{folder}: no source in it; expected the wheels that 'kebench kb open --fetch' gets, ontologies "
            "(.obo, .json), tables of terms or triples (.tsv), or drug indications"
        )
    return found


def _is_ontology(path: Path) -> bool:
    """Say whether a file is an ontology: OBO by its name, JSON if it begins as an obographs file does."""
    if not path.name.endswith(ONTOLOGY_SUFFIXES):
        return False
    if ".obo" in path.name:
        return True
    try:
        with opened(path) as file:
            return b'"graphs"' in file.read(GRAPHS_WITHIN_BYTES)
    except (EOFError, zlib.error, gzip.BadGzipFile):
        return True  # whoever reads it says what is wrong with it
