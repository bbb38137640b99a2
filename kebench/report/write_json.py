"""Tables as JSON, with nothing rounded; what is missing is null."""

import json
from collections.abc import Iterable
from typing import Any

from kebench.grid import Grid, Sheet

SHEET_SCHEMA = 1


def as_json(content: Any) -> str:
    """Return content as JSON. Raises ValueError for what JSON has no number for."""
    return json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def sheets_as_json(sheets: Iterable[Sheet]) -> str:
    """Return all that is printed as one JSON object."""
    return as_json(sheets_content(sheets))


def sheets_content(sheets: Iterable[Sheet]) -> dict[str, Any]:
    """Return all that is printed, for JSON."""
    content = [
        {
            "title": sheet.title,
            "captions": list(sheet.captions),
            "grids": [_grid_fields(grid) for grid in sheet.grids],
            "notes": list(sheet.notes),
        }
        for sheet in sheets
    ]
    return {"schema": SHEET_SCHEMA, "sheets": content}


def _grid_fields(grid: Grid) -> dict[str, object]:
    """Return the values of a grid, and in a list of their own what only some have: by row and column."""
    beside = []
    for row, cells in enumerate(grid.cells):
        for column, cell in enumerate(cells):
            fields = {
                "deviation": cell.deviation,
                "n": cell.n,
                "interval": cell.interval and list(cell.interval),
                "corrected": cell.corrected,
                "mark": f"{cell.before}{cell.mark}".strip() or None,
            }
            if has := {name: value for name, value in fields.items() if value is not None}:
                beside.append({"row": row, "column": column, **has})
    return {
        "headings": list(grid.headings),
        "rows": [
            [row[0].text(), *(None if cell.value == "" else cell.value for cell in row[1:])]
            for row in grid.cells
        ],
        "best": sorted([row, column] for row, column in grid.best),
        **({"beside": beside} if beside else {}),
    }
