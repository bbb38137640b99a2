"""Finds the line of an RRF file that cannot be right, once DuckDB has refused it or a check has failed.

DuckDB reads in parallel and names no line that one could trust; so after a failure the file is read once
more, a line at a time, by this.
"""

import gzip
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from kebench.umls.rrf import COLUMNS, REMEDY

_BELOW_A = r"(?s:[\x00-@].*)?"  # what DuckDB finds to be < 'A'
# What stands in a column if no bar within a name has moved the fields behind it; as `rrf._IN_PLACE` has it.
_FORMS = {
    "SRL": (_BELOW_A, "a number or nothing"),
    "ATUI": (r"(AT.*)?", "AT and a number, or nothing"),
    "SUPPRESS": (r"[NOEY]?", "N, O, E, Y or nothing"),
    "CVF": (_BELOW_A, "a number or nothing"),
}
COLUMNS_OF_CUIS = {"MRREL": (0, 4), "MRSTY": (0,)}


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


def row_with(paths: Sequence[Path], columns: Sequence[int], value: str) -> str:
    """Return "FILE line N" of the first row with a value in one of the columns (from 0)."""
    wanted = value.encode()
    for number, line in _numbered_lines(paths):
        fields = line.split(b"|")
        if any(fields[column] == wanted for column in columns if column < len(fields)):
            return f"{_name(paths)} line {number}"
    raise AssertionError(f"{value} was found in {_name(paths)} a moment ago")


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
