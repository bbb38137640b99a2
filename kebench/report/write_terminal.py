"""Sheets for a terminal: lines no longer than it is wide, the best in bold."""

import io
import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby

from rich.box import Box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from kebench.grid import NAME_WIDTH, PUBLISHED_TITLE, Grid, Sheet
from kebench.report.fitting import column_runs

# Rules only: under the headings and above the published rows.
RULES = Box("    \n    \n ── \n    \n ── \n ── \n    \n    \n")
_LEAST_NAME = 14  # narrower names of rows are not broken to keep a grid in one block; ours
_NARROW_TEXT = 12  # what is left of a listing's column of text before lines grow too long; ours


def sheets_for_terminal(sheets: Iterable[Sheet], *, width: int, is_styled: bool) -> str:
    """Return sheets for a terminal; grids wider than it are cut between columns and stacked.

    Where broken names of rows make room for all columns they are broken instead.
    is_styled: whether the terminal shows bold and underline; if not, the best get a star and the second none.
    """
    return "\n".join(_sheet_text(sheet, width=width, is_styled=is_styled) for sheet in sheets)


def _sheet_text(sheet: Sheet, *, width: int, is_styled: bool) -> str:
    out = io.StringIO()
    listings = (grid for grid in sheet.grids if grid.layout == "listing")
    width = max([width, *(sum(2 + least for least in _narrowest(grid)) for grid in listings)])
    console = Console(file=out, width=width, force_terminal=is_styled, highlight=False, legacy_windows=False)
    is_listing = bool(sheet.grids) and all(grid.layout == "listing" for grid in sheet.grids)
    if sheet.title:
        console.print(Text(sheet.title, style="bold"))
    for caption in sheet.captions:
        console.print(Text(caption))
    for number, table in enumerate(_tables(sheet, width=width, is_styled=is_styled)):
        if number or ((sheet.title or sheet.captions) and not is_listing):
            console.print()
        for part in table:
            console.print(part)
    is_board = any(grid.layout == "board" for grid in sheet.grids)
    second = "underlined" if is_styled and not is_board else ""
    notes = sheet.all_notes(best="bold" if is_styled else "with *", second=second)
    if notes and not is_listing:
        console.print()
    for note in notes:
        console.print(Text(note))
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines()) + "\n"


def _tables(sheet: Sheet, *, width: int, is_styled: bool) -> Iterator[list[Text | Table]]:
    """Yield what is printed one below the other: tables, and what stands over their columns."""
    for grid in sheet.grids:
        if grid.layout == "prose":
            yield [_ruled_table(grid, range(1, len(grid.headings)), gap=2, is_styled=is_styled)]
            continue
        if grid.layout == "listing":
            yield [_listing_table(grid, is_styled=is_styled)]
            continue
        # how wide each column may get; a best cell may have a star
        has_stars = not (grid.layout == "board" and is_styled)
        widths = [
            max(len(text) + (has_stars and (row, place) in grid.best) for row, text in enumerate(texts, -1))
            for place, texts in enumerate(zip(grid.headings, *grid.texts, strict=True))
        ]
        if grid.layout == "board" or grid.published is not None:
            widths[0] = max(widths[0], len(PUBLISHED_TITLE))
        gap, runs = _fitting_columns(grid, widths, width=width, is_styled=is_styled)
        group_of = ["", *(name for name, number in grid.groups for _ in range(number))]
        for columns in runs:
            parts: list[Text | Table] = []
            if grid.groups:  # each in the middle over its columns
                line = " " * min(widths[0], width - sum(widths[column] + gap for column in columns))
                for name, group in groupby(columns, key=lambda column: group_of[column]):
                    room = sum(widths[column] + gap for column in group)
                    line += " " * gap + f"{name[: room - gap]:^{room - gap}}"
                parts.append(Text(line.rstrip(), no_wrap=True))
            yield [*parts, _ruled_table(grid, columns, gap=gap, is_styled=is_styled)]


def _fitting_columns(
    grid: Grid, widths: Sequence[int], *, width: int, is_styled: bool
) -> tuple[int, list[list[int]]]:
    """Return the gap between columns, and runs of columns that fit beside the names of the rows.

    The gap is 2, or 1 where only then all columns fit; for one run of all the names may be broken. On a
    leaderboard stars part the columns too.
    """
    if grid.layout == "board":
        gap = 2 if is_styled else 1
        return gap, list(column_runs(widths, room=width, gap=gap))
    for least, gap in ((widths[0], 2), (widths[0], 1), (_LEAST_NAME, 1)):
        room = width - sum(widths[1:]) - gap * (len(widths) - 1)
        if room >= least:
            is_whole = room >= _LEAST_NAME
            runs = [list(range(1, len(widths)))] if is_whole else column_runs(widths, room=width, gap=gap)
            return gap, list(runs)
    return 2, list(column_runs(widths, room=width, gap=2))


def _ruled_table(grid: Grid, columns: Sequence[int], *, gap: int, is_styled: bool) -> Table:
    """Return the names of rows and some columns: of texts, which are wrapped, or of numbers."""
    is_prose = grid.layout == "prose"
    table = Table(box=RULES, show_edge=False, pad_edge=False, padding=(0, gap - 1, 0, 0), expand=is_prose)
    table.add_column(Text(grid.headings[0]), ratio=2 if is_prose else None, overflow="fold")
    for column in columns:
        table.add_column(
            Text(grid.headings[column]),
            justify="right" if grid.layout == "numbers" else "left",
            ratio=1 if is_prose else None,
            no_wrap=not is_prose,
            overflow="fold" if is_prose else "ellipsis",
        )
    shown = grid.shown_rows(columns)
    first = next((place for place in shown if grid.published is not None and place >= grid.published), None)
    for place in shown:
        if place == first:
            table.add_row(Text(PUBLISHED_TITLE, style="italic"))
        texts = [_styled(grid, place, column, is_styled=is_styled) for column in (0, *columns)]
        is_last = place + 1 in grid.breaks or (first is not None and place + 1 == grid.published)
        table.add_row(*texts, end_section=is_last)
    return table


def _listing_table(grid: Grid, *, is_styled: bool) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for place, (name, narrowest) in enumerate(zip(grid.headings, _narrowest(grid), strict=True)):
        table.add_column(
            Text(name),
            justify="right" if _holds_numbers(grid, place) else "left",
            overflow="fold",
            no_wrap=place == 0 and narrowest <= NAME_WIDTH,
            min_width=narrowest,
        )
    for place, row in enumerate(grid.cells):
        style = grid.row_styles.get(place, "") if is_styled else ""
        table.add_row(*(Text(cell.text(dash="-")) for cell in row), style=style)
    return table


def _narrowest(grid: Grid) -> list[int]:
    """Return how narrow the columns of a listing may get: those of numbers, and short names, not at all."""
    widths = []
    for place, heading in enumerate(grid.headings):
        texts = [line for row in grid.cells for line in row[place].text(dash="-").splitlines()]
        is_name = place == 0 and all(len(text) <= NAME_WIDTH for text in texts)
        wide = max(map(len, (*re.split(r"\s+", heading), *texts)))  # headings are broken between words
        widths.append(wide if is_name or _holds_numbers(grid, place) else min(wide, _NARROW_TEXT))
    return widths


def _holds_numbers(grid: Grid, column: int) -> bool:
    return bool(grid.rows) and all(row[column].is_number for row in grid.cells)


def _styled(grid: Grid, row: int, column: int, *, is_styled: bool) -> Text:
    text = grid.cells[row][column].text()
    if (row, column) in grid.best:
        return Text(text, style="bold") if is_styled else Text(f"{text}*")
    is_second = is_styled and grid.layout != "board" and (row, column) in grid.second
    return Text(text, style="underline" if is_second else "")
