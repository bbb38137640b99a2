"""Sheets for programs: JSON, and CSV with one line a cell. Numbers are those printed, as numbers.

What is missing is null (JSON) or empty (CSV).
"""

import csv
import io
import json
import re
from collections.abc import Sequence
from typing import Any

from kebench.grid import Grid, Sheet
from kebench.report.words import DASH, UNDEFINED

SHEET_SCHEMA = 1
# The fields of a cell, in the order of the CSV's columns.
CELL_FIELDS = ("title", "grid", "row", "column", "value", "is_best")
_NUMBER = re.compile(r"[+-]?\d+(\.\d+)?")
_MISSING = ("", "-", DASH, UNDEFINED)


def sheets_as_csv(sheets: Sequence[Sheet]) -> str:
    """Return one line a cell: title of its sheet, number of its grid, its row, its column, its value."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(CELL_FIELDS)
    for sheet in sheets:
        for number, grid in enumerate(sheet.grids, start=1):
            for place, row in enumerate(grid.texts):
                for column in range(1, len(row)):
                    cell = (grid.headings[column], _value(row[column]), (place, column) in grid.best)
                    writer.writerow((sheet.title, number, row[0], *cell))
    return out.getvalue()


def sheets_as_json(sheets: Sequence[Sheet], **more: Any) -> str:
    """Return all that is printed as one JSON object. more: further fields, behind the sheets."""
    content = [
        {
            "title": sheet.title,
            "captions": list(sheet.captions),
            "grids": [_grid_fields(grid) for grid in sheet.grids],
            "notes": list(sheet.notes),
        }
        for sheet in sheets
    ]
    fields = {"schema": SHEET_SCHEMA, "sheets": content, **more}
    return json.dumps(fields, indent=1, ensure_ascii=False) + "\n"


def _grid_fields(grid: Grid) -> dict[str, object]:
    return {
        "headings": list(grid.headings),
        "rows": [[row[0], *map(_value, row[1:])] for row in grid.texts],
        "best": sorted([row, column] for row, column in grid.best),
    }


def _value(text: str) -> str | int | float | None:
    """Return what a cell says, as a number where it is one; the first of a row is its name."""
    if text in _MISSING:
        return None
    plain = text.replace(",", "")
    if not _NUMBER.fullmatch(plain):
        return text
    return float(plain) if "." in plain else int(plain)
