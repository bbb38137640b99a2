"""A sheet for programs: JSON, or CSV with one line a cell. Numbers are those printed, as numbers.

What is missing is null (JSON) or empty (CSV).
"""

import csv
import io
import json
import re
from collections.abc import Sequence
from typing import Any

from kebench.report.sheet import Sheet

SCHEMA = 1
FIELDS = ("table", "row", "column", "value")
_NUMBER = re.compile(r"[+-]?\d+(\.\d+)?")
_MISSING = ("", "-", "–")


def sheet_as_json(sheet: Sheet, **more: Any) -> str:
    """Return a sheet as one JSON object. more: further fields, behind its own."""
    content = {
        "schema": SCHEMA,
        "title": sheet.title,
        "captions": list(sheet.captions),
        "tables": [
            {"headings": list(grid.headings), "rows": [_values(row) for row in grid.rows]}
            for grid in sheet.grids
        ],
        "notes": list(sheet.notes),
        **more,
    }
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


def sheet_as_csv(sheet: Sheet) -> str:
    """Return one line a cell: the first heading of its table, its row, its column, its value."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(FIELDS)
    for grid in sheet.grids:
        for row in grid.rows:
            for heading, value in zip(grid.headings[1:], _values(row)[1:], strict=True):
                writer.writerow([grid.headings[0], row[0], heading, value])
    return out.getvalue()


def _values(row: Sequence[str]) -> list[str | int | float | None]:
    """Return a row with its cells as values; the first is its name."""
    return [row[0], *map(_value, row[1:])]


def _value(text: str) -> str | int | float | None:
    if text in _MISSING:
        return None
    plain = text.replace(",", "")
    if not _NUMBER.fullmatch(plain):
        return text
    return float(plain) if "." in plain else int(plain)
