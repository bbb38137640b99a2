"""kb.json: what a knowledge base was made from, how, and how much it holds."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import pyarrow.parquet
from pydantic import BaseModel, Field, field_validator

from kebench.cards import read_json_as
from kebench.errors import UserError
from kebench.files import hash_of, sha256_of
from kebench.umls.filters import Filters
from kebench.umls.rrf import InputFile

MANIFEST = "kb.json"
TABLES = ("concepts", "names", "types", "triples")
IMPORT_VERSION = 2  # raised by every change of the import that can change a table


class Table(BaseModel, extra="forbid", frozen=True):
    """One Parquet file: its rows, its size, its hash."""

    rows: int
    bytes: int
    sha256: str


class Manifest(BaseModel, extra="forbid", frozen=True):
    """What kb.json holds.

    content_hash: of the rows of the tables in their order, and of the filters; not of the release's name, nor
    of how its files were packed. import_hash: of what decides the tables: inputs, filters and the version of
    the import; "" in knowledge bases that are older than it. inputs: the files that it was made from. counts:
    for names and relations the rows read, left out by reason, and kept. sources: of an open knowledge base,
    its sources with version, licence and counts; empty for RRF files. unification: how concepts of several
    sources became one; empty for RRF files.
    """

    schema_version: Literal[1] = Field(default=1, alias="schema")
    release: str
    made_from: str
    content_hash: str
    import_hash: str = ""
    inputs: list[InputFile]
    filters: Filters
    counts: dict[str, dict[str, int]]
    tables: dict[str, Table]
    sources: list[dict[str, Any]] = []
    unification: dict[str, Any] = {}
    provenance: dict[str, Any]

    @field_validator("counts")
    @classmethod
    def _counts_what_was_read(cls, counts: dict[str, dict[str, int]]) -> dict[str, dict[str, int]]:
        if not all({"read", "kept"} <= set(counts.get(what, {})) for what in ("names", "relations")):
            raise ValueError("no numbers of names and relations, read and kept")
        return counts

    @field_validator("tables")
    @classmethod
    def _has_all_tables(cls, tables: dict[str, Table]) -> dict[str, Table]:
        if set(tables) != set(TABLES):
            raise ValueError(f"expected {', '.join(TABLES)}")
        return tables

    @field_validator("sources")
    @classmethod
    def _says_what_sources_are(cls, sources: list[dict[str, Any]]) -> list[dict[str, Any]]:
        for source in sources:
            texts = (source.get(name) for name in ("name", "version", "licence"))
            numbers = (source.get(name) for name in ("terms", "relations"))
            if not all(isinstance(one, str) for one in texts) or not all(type(one) is int for one in numbers):
                raise ValueError("a source without name, version, licence, terms or relations")
        return sources


def import_hash(inputs: list[InputFile], filters: Filters, *, named: Sequence[str] = ()) -> str:
    """Return the hash by which an import knows that it has been done; equal inputs and filters, equal hash.

    named: what else decides what is in the tables: names of inputs, an option.
    """
    parts = {"version": IMPORT_VERSION, "inputs": [file.sha256 for file in inputs], "named": list(named)}
    return hash_of(parts | {"filters": filters.model_dump(mode="json")})


def read_manifest(folder: Path) -> Manifest:
    """Return the manifest of a knowledge base. Raises UserError if the folder is none or is not whole."""
    path = folder / MANIFEST
    try:
        manifest = read_json_as(path, Manifest, refused="{}; import the release again")
    except FileNotFoundError:
        raise UserError(
            f"{folder}: no knowledge base ({MANIFEST} is missing); make one with 'kebench kb import'"
        ) from None
    except NotADirectoryError:
        raise UserError(f"{folder}: a file, expected the folder of a knowledge base") from None
    # A copy may be cut off or changed: the hashes of 300 MB take under a second.
    for name, table in manifest.tables.items():
        path, wrong = folder / f"{name}.parquet", ""
        if not path.is_file():
            wrong = "missing"
        elif (found := path.stat().st_size) != table.bytes:
            wrong = f"{found:,} bytes, expected {table.bytes:,}"
        elif sha256_of(path) != table.sha256:
            wrong = f"not the file that {MANIFEST} describes"
        elif (rows := pyarrow.parquet.read_metadata(path).num_rows) != table.rows:
            wrong = f"{rows:,} rows, {MANIFEST} says {table.rows:,}"
        if wrong:
            raise UserError(f"{path}: {wrong}; copy the knowledge base again, or import the release again")
    return manifest
