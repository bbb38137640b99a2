"""Sheets for programs: JSON, and CSV with a line a cell. Texts are those printed, rounded as there."""

import csv
import io
import json
from collections.abc import Sequence

from kebench.report.sheet import Grid, Sheet

SHEET_SCHEMA = 1
# The fields of a cell, in the order of the CSV's columns.
CELL_FIELDS = ("title", "grid", "row", "name", "column", "text", "is_best")


def sheets_as_csv(sheets: Sequence[Sheet]) -> str:
    """Return one line a cell: title of its sheet, grid and row by number, name of the row, heading, text."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(CELL_FIELDS)
    for sheet in sheets:
        for number, grid in enumerate(sheet.grids, start=1):
            for place, row in enumerate(grid.rows):
                for column in range(1, len(row)):
                    cell = (grid.headings[column], row[column], (place, column) in grid.best)
                    writer.writerow((sheet.title, number, place + 1, row[0], *cell))
    return out.getvalue()


def sheets_as_json(sheets: Sequence[Sheet]) -> str:
    """Return all that is printed as one JSON object."""
    content = [
        {
            "title": sheet.title,
            "captions": list(sheet.captions),
            "grids": [_grid_fields(grid) for grid in sheet.grids],
            "notes": list(sheet.notes),
        }
        for sheet in sheets
    ]
    return json.dumps({"schema": SHEET_SCHEMA, "sheets": content}, indent=1, ensure_ascii=False) + "\n"


def _grid_fields(grid: Grid) -> dict[str, object]:
    return {
        "headings": list(grid.headings),
        "rows": [list(row) for row in grid.rows],
        "best": sorted([row, column] for row, column in grid.best),
    }
