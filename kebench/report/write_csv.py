"""Tables as CSV, with nothing rounded; what is missing is empty."""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from kebench.grid import Sheet

# The fields of a cell, in the order of the columns. grid: its number in the sheet, from 1.
CELL_FIELDS = (
    "title", "grid", "row", "column", "value", "is_best", "deviation", "n", "low", "high", "corrected",
    "mark",
)  # fmt: skip


def rows_as_csv(fields: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> str:
    """Return one line a row; several numbers of one field stand with a blank between."""
    lines = (
        [" ".join(map(str, one)) if isinstance(one, list | tuple) else one for one in map(row.get, fields)]
        for row in rows
    )
    return lines_as_csv(fields, lines)


def lines_as_csv(headings: Sequence[str], lines: Iterable[Sequence[Any]]) -> str:
    """Return headings, which may be alike, and lines of values below."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(headings)
    writer.writerows(lines)
    return out.getvalue()


def sheets_as_csv(sheets: Iterable[Sheet]) -> str:
    """Return one line a cell: title of its sheet, number of its grid, its row, its column, its value."""
    lines = (
        (
            sheet.title,
            number,
            row[0].text(),
            grid.headings[column],
            cell.value,
            (place, column) in grid.best,
            cell.deviation,
            cell.n,
            *(cell.interval or (None, None)),
            cell.corrected,
            f"{cell.before}{cell.mark}".strip(),
        )
        for sheet in sheets
        for number, grid in enumerate(sheet.grids, start=1)
        for place, row in enumerate(grid.cells)
        for column, cell in enumerate(row[1:], start=1)
    )
    return lines_as_csv(CELL_FIELDS, lines)
