"""From open sources to a knowledge base: their tables, then the import that a UMLS release takes too."""

import shutil
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from kebench.files import sweep_temporaries_of, temporary_beside
from kebench.umls.filters import Filters
from kebench.umls.importing import import_release, same_already
from kebench.umls.manifest import Manifest, import_hash
from kebench.umls.open.build import tables_from_obo
from kebench.umls.open.manifest import OpenManifest
from kebench.umls.open.open_kb import find_sources, tables_of_open_kb
from kebench.umls.rrf import COLUMNS, NUMBERED, Release, input_file, parquet_sql


def import_open_kb(
    folder: Path, out: Path, *, skip_faults: bool = False, filters: Filters, memory_mib: int | None = None
) -> Manifest:
    """Make open-kb of the sources in a folder (`kebench.umls.open.open_kb`); return its manifest."""
    files = find_sources(folder).files()
    return _import(
        files,
        out,
        lambda into: tables_of_open_kb(folder, into, skip_faults=skip_faults),
        skip_faults=skip_faults,
        filters=filters,
        memory_mib=memory_mib,
    )


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
    return _import(
        files,
        out,
        lambda into: tables_from_obo(
            ontologies, terms=terms, triples=triples, skip_faults=skip_faults, into=into
        ),
        skip_faults=skip_faults,
        name=name or "+".join(sorted(path.name.partition(".")[0] for path in files)),
        filters=filters,
        memory_mib=memory_mib,
    )


def _import(
    files: Iterable[Path],
    out: Path,
    write_tables: Callable[[Path], OpenManifest],
    *,
    name: str = "",
    skip_faults: bool = False,
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
        described = write_tables(tables)
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
