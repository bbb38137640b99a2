"""The three files of a UMLS release that make a knowledge base: their columns, and how DuckDB reads them.

Columns as in the UMLS Reference Manual, chapter 3, tables MRCONSO, MRREL and MRSTY. Every field is closed by
"|", so that a row of n columns has n bars. A release ships its files plain, gzipped, or gzipped in parts
(MRCONSO.RRF.aa.gz, MRCONSO.RRF.ab.gz ...) that may end in the middle of a line.

The order of MRCONSO means something: of a LUI the first row counts, and of equal names the first. DuckDB
keeps the order of a file in some plans and loses it in others, so a row of MRCONSO carries the number of its
line, in the column `line`. Nothing depends on the order of the others.
"""

import itertools
import os
import re
import string
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from isal import igzip
from isal.igzip_lib import IsalError
from pydantic import BaseModel, ConfigDict

from kebench.errors import UserError
from kebench.files import sha256_of

CONSO_COLUMNS = (
    "CUI", "LAT", "TS", "LUI", "STT", "SUI", "ISPREF", "AUI", "SAUI", "SCUI", "SDUI", "SAB", "TTY", "CODE",
    "STR", "SRL", "SUPPRESS", "CVF",
)  # fmt: skip
REL_COLUMNS = (
    "CUI1", "AUI1", "STYPE1", "REL", "CUI2", "AUI2", "STYPE2", "RELA", "RUI", "SRUI", "SAB", "SL", "RG",
    "DIR", "SUPPRESS", "CVF",
)  # fmt: skip
STY_COLUMNS = ("CUI", "TUI", "STN", "STY", "ATUI", "CVF")
_CHUNK_BYTES = 1 << 20
_BUFFER_BYTES = 8_000_000  # ours; DuckDB takes 32 MB for each thread and file, and is no faster for it
_LONGEST_LINE = 1 << 24  # ours; the longest of UMLS have 3,000 letters
_BROKEN: Any = (EOFError, igzip.BadGzipFile, IsalError)
REMEDY = "mend it if the release is your own, else unpack or download it again"
COLUMNS = {"MRCONSO": CONSO_COLUMNS, "MRREL": REL_COLUMNS, "MRSTY": STY_COLUMNS}
NUMBERED = "MRCONSO"  # the table whose rows carry the numbers of their lines
# True of every row whose fields stand in their places. DuckDB passes over an empty field too many at the end
# of a row, so that a bar within a name would move all fields behind it by one; then a letter stands in CVF, a
# number.
_IN_PLACE = {
    "MRCONSO": "CUI <> '' AND CVF < 'A' AND SRL < 'A' AND SUPPRESS IN ('N', 'O', 'E', 'Y', '')",
    "MRREL": "CVF < 'A' AND SUPPRESS IN ('N', 'O', 'E', 'Y', '')",
    "MRSTY": "CUI <> '' AND CVF < 'A' AND (ATUI = '' OR starts_with(ATUI, 'AT'))",
}


class InputFile(BaseModel):
    """A file that a knowledge base was made from."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    bytes: int
    sha256: str


class Release(NamedTuple):
    """What a knowledge base is made of: three tables, from RRF files or from anywhere else.

    files: the RRF file of each table, or its parts in order; empty where the tables are not RRF.
    tables: where they are not, for each the SQL that may stand behind FROM; all columns are strings, empty
        where there is nothing, but for the number `line` of MRCONSO.
    inputs: every file that was read for it.
    """

    name: str
    inputs: list[InputFile]
    files: dict[str, list[Path]]
    tables: dict[str, str]


def find_release(folder: Path, *, name: str = "") -> Release:
    """Return the release in a folder, or in the folder META below it, as NLM unpacks it.

    name: by default as its release.dat says, else the folder's.
    """
    meta = folder / "META" if (folder / "META").is_dir() else folder
    files = {table: _files_of(table, meta) for table in COLUMNS}
    inputs = [input_file(path) for paths in files.values() for path in paths]
    if not name and (said := meta / "release.dat").is_file():
        found = re.search(r"^umls\.release\.name=(\S+)", said.read_text(encoding="utf-8"), re.MULTILINE)
        name = found[1] if found else ""
    return Release(name or folder.resolve().name, inputs, files, {})


def _files_of(table: str, folder: Path) -> list[Path]:
    """Return the file of a table, or its parts in order. Plain text comes before gzip."""
    if folder.is_file():
        raise UserError(f"{folder}: a file; an ontology goes with --obo, a table with --terms or --triples")
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder; expected MRCONSO.RRF, MRREL.RRF and MRSTY.RRF in it")
    for single in (f"{table}.RRF", f"{table}.RRF.gz"):
        if (folder / single).is_file():
            return [folder / single]
    parts = sorted(p for p in folder.iterdir() if re.fullmatch(rf"{table}\.RRF\.[a-z]{{2}}(\.gz)?", p.name))
    if not parts and (folder / "kb.json").is_file():
        raise UserError(f"{folder}: a knowledge base already; to write it as RRF: kebench kb export")
    if not parts:
        raise UserError(
            f"{folder}: no {table}.RRF, {table}.RRF.gz or {table}.RRF.aa.gz; "
            "name the folder of a UMLS release"
        )
    for part, letters in zip(parts, itertools.product(string.ascii_lowercase, repeat=2), strict=False):
        wanted = "".join(letters)  # aa, ab, ac ...
        if part.name.split(".")[2] != wanted:
            raise UserError(
                f"{part.parent}: {table}.RRF.{wanted}* is missing before {part.name}; "
                "copy every part of the release"
            )
    return parts


def input_file(path: Path) -> InputFile:
    """Return what a manifest says of a file."""
    return InputFile(name=path.name, bytes=path.stat().st_size, sha256=sha256_of(path))


class Source(NamedTuple):
    """One table of a release, ready to be read.

    sql: may stand behind FROM. num_lines: of its file; None where it is no RRF file.
    """

    sql: str
    num_lines: int | None


def ready(release: Release, table: str, staging: Path) -> Source:
    """Return a table ready to be read; first it is unpacked into `staging`, and its lines get their numbers.

    DuckDB reads a plain file with all cores and a gzipped one with one. A line that runs from one part into
    the next is whole again. Raises UserError for a compressed file that is cut off or broken, ValueError for
    a plain one that is.
    """
    if table in release.tables:
        return Source(release.tables[table], None)
    paths, is_numbered = release.files[table], table == NUMBERED
    is_read_as_it_is = len(paths) == 1 and paths[0].suffix != ".gz" and not is_numbered
    plain = paths[0] if is_read_as_it_is else staging / f"{table}.RRF"
    num_lines, rest = 0, b""
    with open(os.devnull if is_read_as_it_is else plain, "wb") as target:
        for chunk in _chunks(paths):
            lines, end, rest = (rest + chunk).rpartition(b"\n")
            if len(rest) > _LONGEST_LINE:
                raise ValueError(f"{plain} has a line without an end")
            if is_numbered and end:
                target.writelines(_numbered(lines, first=num_lines + 1))
            else:
                target.write(lines + end)
            num_lines += lines.count(b"\n") + len(end)
    if rest or not num_lines:
        # DuckDB takes a last line without its end, and a file that was cut off behind a bar would pass.
        raise ValueError(f"{plain} is empty or does not end with the end of a line")
    return Source(scan_sql(plain, table), num_lines)


def _numbered(lines: bytes, *, first: int) -> Iterator[bytes]:
    """Yield lines with their numbers as a field in front. Empty ones go: DuckDB passes over them."""
    for number, line in enumerate(lines.split(b"\n"), first):
        if line.strip(b"\r"):
            yield b"%d|%b\n" % (number, line)


def _chunks(paths: Sequence[Path]) -> Iterator[bytes]:
    """Yield the unpacked bytes of a file, or of its parts one behind another."""
    for path in paths:
        try:
            with igzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
                while chunk := file.read(_CHUNK_BYTES):
                    yield chunk
        except _BROKEN as error:
            raise UserError(
                f"{path}: the compressed file is cut off or broken ({error}); pack or download it again"
            ) from None


def scan_sql(path: Path, table: str) -> str:
    """Return the SQL that reads a table's plain file; empty fields are empty strings, a quote is a quote.

    DuckDB itself refuses rows of too few fields. What stands behind the last bar is read as one more column.
    Any row that is not in order is an error as soon as its first column, a CUI, is looked at.
    """
    columns = COLUMNS[table]
    names = [*columns, "surplus"]
    kinds = ({"line": "BIGINT"} if table == NUMBERED else {}) | dict.fromkeys(names, "VARCHAR")
    types = ", ".join(f"'{name}': '{kind}'" for name, kind in kinds.items())
    rows = (
        f"read_csv({_exactly(path)}, hive_partitioning = false, delim = '|', quote = '', escape = '', "
        f"header = false, auto_detect = false, buffer_size = {_BUFFER_BYTES}, columns = {{{types}}}, "
        f"force_not_null = {names}, new_line = '\\n')"
    )
    first = f"if(surplus = '' AND {_IN_PLACE[table]}, {columns[0]}, error('a broken row'))"
    return f"(SELECT * EXCLUDE surplus REPLACE ({first} AS {columns[0]}) FROM {rows})"


def parquet_sql(path: Path, *, with_row_number: bool = False) -> str:
    """Return the SQL that reads one Parquet file, if wanted with a column `file_row_number`."""
    more = ", file_row_number = true" if with_row_number else ""
    return f"read_parquet({_exactly(path)}, hive_partitioning = false{more})"


def _exactly(path: Path) -> str:
    """Return a path as SQL that names this very file: DuckDB would take a folder called kb* for a pattern."""
    return quoted("".join(f"[{letter}]" if letter in "*?[" else letter for letter in str(path)))


def quoted(text: str) -> str:
    """Return a text as an SQL string."""
    return "'" + text.replace("'", "''") + "'"
