"""The three files of a UMLS release: their columns, how DuckDB reads them, and which line of them is broken.

Columns as in the UMLS Reference Manual, chapter 3, tables MRCONSO, MRREL and MRSTY. Every field is closed by
"|", so that a row of n columns has n bars. A release ships its files plain, gzipped, or gzipped in parts
(MRCONSO.RRF.aa.gz, MRCONSO.RRF.ab.gz ...) that may end in the middle of a line.

The order of MRCONSO means something: of a LUI the first row counts, and of equal names the first. DuckDB
keeps the order of a file in some plans and loses it in others, so a row of MRCONSO carries the number of its
line, in the column `line`. Nothing depends on the order of the others.

DuckDB reads in parallel and names no line that one could trust; so once it has refused a file or a check has
failed, `find_damage` reads the release again, a line at a time.
"""

import gzip
import itertools
import os
import re
import string
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from isal import igzip
from isal.igzip_lib import IsalError
from pydantic import BaseModel

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
_BELOW_A = r"(?s:[\x00-@].*)?"  # what DuckDB finds to be < 'A'
# What stands in a column if no bar within a name has moved the fields behind it; as `_IN_PLACE` has it.
_FORMS = {
    "SRL": (_BELOW_A, "a number or nothing"),
    "ATUI": (r"(AT.*)?", "AT and a number, or nothing"),
    "SUPPRESS": (r"[NOEY]?", "N, O, E, Y or nothing"),
    "CVF": (_BELOW_A, "a number or nothing"),
}
_CUI_COLUMNS = {"MRREL": (0, 4), "MRSTY": (0,)}


class InputFile(BaseModel, extra="forbid", frozen=True):
    """A file that a knowledge base was made from."""

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
    if meta.is_file():
        raise UserError(f"{meta}: a file; an ontology goes with --obo, a table with --terms or --triples")
    if not meta.is_dir():
        raise UserError(f"{meta}: no such folder; expected MRCONSO.RRF, MRREL.RRF and MRSTY.RRF in it")
    files = {table: _files_of(table, meta) for table in COLUMNS}
    inputs = [input_file(path) for paths in files.values() for path in paths]
    if not name and (said := meta / "release.dat").is_file():
        found = re.search(r"^umls\.release\.name=(\S+)", said.read_text(encoding="utf-8"), re.MULTILINE)
        name = found[1] if found else ""
    return Release(name or folder.resolve().name, inputs, files, {})


def _files_of(table: str, folder: Path) -> list[Path]:
    """Return the file of a table, or its parts in order. Plain text comes before gzip."""
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


def ready(release: Release, table: str, staging: Path) -> tuple[str, int | None]:
    """Return the SQL of a table that may stand behind FROM, and the number of its lines if it is an RRF file.

    First it is unpacked into `staging`, and its lines get their numbers.
    DuckDB reads a plain file with all cores and a gzipped one with one. A line that runs from one part into
    the next is whole again. Raises UserError for a compressed file that is cut off or broken, ValueError for
    a plain one that is.
    """
    if table in release.tables:
        return release.tables[table], None
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
                # With its number as a field in front; empty lines go, for DuckDB passes over them.
                numbered = enumerate(lines.split(b"\n"), num_lines + 1)
                target.writelines(
                    b"%d|%b\n" % (number, line) for number, line in numbered if line.strip(b"\r")
                )
            else:
                target.write(lines + end)
            num_lines += lines.count(b"\n") + len(end)
    if rest or not num_lines:
        # DuckDB takes a last line without its end, and a file that was cut off behind a bar would pass.
        raise ValueError(f"{plain} is empty or does not end with the end of a line")
    return scan_sql(plain, table), num_lines


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


def find_damage(files: dict[str, list[Path]]) -> str:
    """Return "FILE line N: what is wrong; remedy" for the first damaged line of a release, or ""."""
    for table, paths in files.items():
        num_rows = 0
        for number, line in _numbered_lines(paths):
            num_rows += bool(line.strip())
            if wrong := _what_is_wrong(line, table):
                return f"{_name(paths)} line {number}: {wrong}; {REMEDY}"
        if not num_rows:
            return f"{_name(paths)}: the file is empty; {REMEDY}"
    return ""


def _what_is_wrong(line: bytes, table: str) -> str:
    num_columns = len(COLUMNS[table])
    row = line.rstrip(b"\r\n")
    if not row:
        return ""  # DuckDB passes over empty lines
    num_bars = row.count(b"|")
    is_cut = not line.endswith(b"\n")
    if num_bars != num_columns or not row.endswith(b"|"):
        fields = num_bars + (not row.endswith(b"|"))
        wrong = f"{fields} fields, expected {num_columns}"
        if fields == num_columns:
            wrong = f"no bar behind the last of {num_columns} fields"
        return wrong + (", and no end of line: the file is cut off" if is_cut else "")
    if is_cut:
        return "no end of line: the file is cut off"
    if b"\r" in row:
        return "a carriage return within the line"
    try:
        row.decode("utf-8")
    except UnicodeDecodeError as error:
        return f"byte 0x{row[error.start]:02x} at column {error.start + 1} is not UTF-8"
    if table != "MRREL" and row.startswith(b"|"):
        return "the first field, a CUI, is empty"
    values = dict(zip(COLUMNS[table], row.decode().split("|"), strict=False))
    for column, (pattern, expected) in _FORMS.items():
        if column in values and not re.fullmatch(pattern, values[column]):
            return f"'{values[column]}' in {column}, expected {expected}"
    return ""


def row_with(release: Release, table: str, cui: str) -> str:
    """Return "FILE line N" of the first row with a CUI; where the tables are not RRF, the table."""
    if not release.files:
        return table
    paths = release.files[table]
    for number, line in _numbered_lines(paths):
        fields = line.split(b"|")
        if any(fields[column] == cui.encode() for column in _CUI_COLUMNS[table] if column < len(fields)):
            return f"{_name(paths)} line {number}"
    raise AssertionError(f"{cui} was found in {_name(paths)} a moment ago")


def _numbered_lines(paths: Sequence[Path]) -> Iterator[tuple[int, bytes]]:
    """Yield the lines of a file, or of its parts one behind another, numbered from 1."""
    number, rest = 0, b""
    for path in paths:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            for line in file:
                whole, rest = rest + line, b""
                if not whole.endswith(b"\n"):
                    rest = whole  # it goes on in the next part, or the file is cut off
                    continue
                number += 1
                yield number, whole
    if rest:
        yield number + 1, rest


def _name(paths: Sequence[Path]) -> str:
    """Return the path, or that of the parts: META/MRREL.RRF.{aa,ab}.gz."""
    if len(paths) == 1:
        return str(paths[0])
    parts = ",".join(path.name.split(".")[2] for path in paths)
    table, suffix = paths[0].name.partition(".")[0], ".gz" if paths[0].suffix == ".gz" else ""
    return str(paths[0].with_name(f"{table}.RRF.{{{parts}}}{suffix}"))
