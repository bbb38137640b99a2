"""open-kb: our named release, from whatever openly licensed sources a folder holds.

The folder, or a folder in it, may hold the two wheels of wheels.toml (`kebench kb open --fetch` gets
them), ontologies (.obo, .json, also .gz), tables of terms and of triples (.tsv), and drug indications. An
ontology of one's own takes the place of a wheel's table of the same source.
"""

import gzip
import logging
import zlib
from pathlib import Path
from typing import NamedTuple

from kebench.errors import UserError
from kebench.files import sha256_of
from kebench.progress import progress
from kebench.umls.open.build import build_tables
from kebench.umls.open.drugs import FILES, is_indications_folder, read_indications
from kebench.umls.open.fetch import wheels
from kebench.umls.open.manifest import OpenManifest
from kebench.umls.open.ontology import opened, read_ontology
from kebench.umls.open.sources import read_source, source_cards
from kebench.umls.open.tsv import read_terms, read_triples, table_kind

log = logging.getLogger(__name__)

RELEASE = "open-kb"
GRAPHS_WITHIN_BYTES = 4096  # ours; it is the first key of the file
ONTOLOGY_SUFFIXES = (".obo", ".json", ".obo.gz", ".json.gz")


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

    def described(self) -> list[str]:
        """Return a line for each thing found, as a person reads it."""
        return [
            *(f"{path}: tables of {distribution}" for distribution, path in self.wheels.items()),
            *(f"{path}: ontology" for path in self.ontologies),
            *(f"{path}: table of terms" for path in self.terms),
            *(f"{path}: table of triples" for path in self.triples),
            *(f"{path}: drug indications" for path in self.indications),
        ]


def tables_of_open_kb(folder: Path, into: Path, *, skip_faults: bool = False) -> OpenManifest:
    """Write MRCONSO, MRREL and MRSTY (.parquet) of a folder's sources into another folder that exists.

    skip_faults: as `kebench.umls.open.ontology.read_ontology` has it. Raises UserError if the folder holds
    nothing that can be used. The manifest's notes say which choices were made.
    """
    found = find_sources(folder)
    for line in found.described():
        log.info("uses %s", line)
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


def find_sources(folder: Path) -> Found:
    """Return what a folder and the folders in it hold."""
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder; check the path")
    places = [folder, *sorted(path for path in folder.iterdir() if path.is_dir())]
    indications = [place for place in places if is_indications_folder(place)]
    files = sorted(path for place in places for path in place.iterdir() if path.is_file())
    tables = [
        path
        for path in files
        if path.suffix == ".tsv" and not (path.parent in indications and path.name in FILES)
    ]
    kinds = {path: table_kind(path) for path in tables}
    found = Found(
        wheels={wheel.distribution: path for wheel in wheels() for path in files if path.name == wheel.file},
        ontologies=[path for path in files if _is_ontology(path)],
        terms=[path for path in tables if kinds[path] == "terms"],
        triples=[path for path in tables if kinds[path] == "triples"],
        indications=indications,
    )
    if not found.described():
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
