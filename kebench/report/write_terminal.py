"""Sheets for a terminal: lines no longer than it is wide, the best in bold."""

import io
from collections.abc import Iterable, Sequence

from rich.box import Box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from kebench.grid import Grid, Sheet
from kebench.report.fitting import column_runs

# Rules only: under the headings and above the published rows.
RULES = Box("    \n    \n ── \n    \n ── \n ── \n    \n    \n")
_LEAST_NAME = 14  # narrower names of rows are not broken to keep a grid in one block; ours


def sheets_for_terminal(sheets: Iterable[Sheet], *, width: int, is_styled: bool) -> str:
    """Return sheets for a terminal; grids wider than it are cut between columns and stacked.

    Where broken names of rows make room for all columns they are broken instead.
    is_styled: whether the terminal shows bold and underline; if not, the best get a star and the second none.
    """
    return "\n".join(_sheet_text(sheet, width=width, is_styled=is_styled) for sheet in sheets)


def _sheet_text(sheet: Sheet, *, width: int, is_styled: bool) -> str:
    out = io.StringIO()
    console = Console(file=out, width=width, force_terminal=is_styled, highlight=False, legacy_windows=False)
    console.print(Text(sheet.title, style="bold"))
    for caption in sheet.captions:
        console.print(Text(caption))
    for grid in sheet.grids:
        if grid.layout == "prose":
            console.print()
            _print_prose(console, grid, is_styled=is_styled)
            continue
        gap = _gap(grid, width)
        for columns in _blocks(grid, width, gap=gap):
            console.print()
            _print_grid(console, grid, columns, gap=gap, is_styled=is_styled)
    emphasis = ("bold", "underlined") if is_styled else ("with *", "")
    notes = sheet.all_notes(best=emphasis[0], second=emphasis[1])
    if notes:
        console.print()
    for note in notes:
        console.print(Text(note))
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines()) + "\n"


def _widths(grid: Grid) -> list[int]:
    """Return how wide each column may get; a best cell may have a star."""
    rows = [
        [len(text) + ((row, column) in grid.best) for column, text in enumerate(texts)]
        for row, texts in enumerate(grid.texts)
    ]
    return [max(column) for column in zip(map(len, grid.headings), *rows, strict=True)]


def _gap(grid: Grid, width: int) -> int:
    """Return the gap between columns with which all of them fit: 2 if so, else 1; and 2 if none does."""
    longest = _widths(grid)[0]
    for least, gap in ((longest, 2), (longest, 1), (_LEAST_NAME, 1)):
        if _room_for_names(grid, width, gap=gap) >= least:
            return gap
    return 2


def _room_for_names(grid: Grid, width: int, *, gap: int) -> int:
    """Return what all other columns leave of a terminal's width to the names of the rows."""
    return width - sum(_widths(grid)[1:]) - gap * (len(grid.headings) - 1)


def _blocks(grid: Grid, width: int, *, gap: int) -> list[list[int]]:
    """Return runs of columns that fit beside the names of the rows, which may be broken for one run."""
    widths = _widths(grid)
    if _room_for_names(grid, width, gap=gap) >= _LEAST_NAME:
        return [list(range(1, len(widths)))]
    return list(column_runs(widths, room=width, gap=gap))


def _print_grid(console: Console, grid: Grid, columns: Sequence[int], *, gap: int, is_styled: bool) -> None:
    table = Table(box=RULES, show_edge=False, pad_edge=False, padding=(0, gap - 1, 0, 0))
    table.add_column(Text(grid.headings[0]), overflow="fold")
    for column in columns:
        table.add_column(Text(grid.headings[column]), justify="right", no_wrap=True)
    for place, row in enumerate(grid.texts):
        texts = [_styled(grid, place, column, row[column], is_styled=is_styled) for column in columns]
        table.add_row(Text(row[0]), *texts, end_section=place + 1 in grid.breaks)
    console.print(table)


def _print_prose(console: Console, grid: Grid, *, is_styled: bool) -> None:
    table = Table(box=RULES, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0), expand=True)
    for column, heading in enumerate(grid.headings):
        table.add_column(Text(heading), ratio=1 if column else 2, overflow="fold")
    for place, row in enumerate(grid.texts):
        texts = [_styled(grid, place, column, text, is_styled=is_styled) for column, text in enumerate(row)]
        table.add_row(*texts, end_section=place + 1 in grid.breaks)
    console.print(table)


def _styled(grid: Grid, row: int, column: int, text: str, *, is_styled: bool) -> Text:
    if (row, column) in grid.best:
        return Text(text, style="bold") if is_styled else Text(f"{text}*")
    return Text(text, style="underline" if is_styled and (row, column) in grid.second else "")
