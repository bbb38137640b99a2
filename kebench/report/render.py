"""A leaderboard as text: for a terminal, with lines no longer than it is wide, and as Markdown."""

import io
from collections.abc import Iterator, Sequence

from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from kebench.report.fitting import column_runs
from kebench.report.table import Block, Leaderboard, Table
from kebench.report.words import (
    DASH,
    Line,
    Style,
    captions,
    footnotes,
    headings,
    measured_lines,
    published_lines,
)
from kebench.report.write_markdown import escape_markdown
from kebench.report.write_terminal import RULES

PUBLISHED_TITLE = "published"


def render_terminal(leaderboard: Leaderboard, *, width: int, is_styled: bool) -> str:
    """Return the tables for a terminal. Blocks wider than it are cut between columns and stacked.

    is_styled: whether the terminal shows bold; if not (a pipe, a file), the best get a star.
    """
    style = Style(space="", best="in bold" if is_styled else "with *")
    out = io.StringIO()
    console = Console(file=out, width=width, force_terminal=is_styled, highlight=False, legacy_windows=False)
    for place, table in enumerate(leaderboard.tables):
        if place:
            console.print()
        protocol, numbers = captions(table, leaderboard.metric)
        console.print(Text(protocol, style="bold"))
        console.print(Text(numbers))
        for block in table.blocks:
            console.print()
            _print_block(console, table, block, style, is_styled=is_styled)
        console.print()
        for note in footnotes(table, style):
            console.print(Text(note))
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines()) + "\n"


def _print_block(console: Console, table: Table, block: Block, style: Style, *, is_styled: bool) -> None:
    names = headings(block)
    measured, published = measured_lines(table, block, style), published_lines(block, style)
    if not is_styled:
        measured = [_starred(line) for line in measured]
    gap = 2 if is_styled else 1  # a star parts columns too
    for columns in _fitting_columns(names, [*measured, *published], width=console.width, gap=gap):
        if columns[0] > 0:
            console.print()
        printed = [line for line in published if any(line.cells[column] != DASH for column in columns)]
        console.print(_rich_table(names, measured, printed, columns, gap=gap))


def _starred(line: Line) -> Line:
    cells = tuple(f"{cell}*" if place in line.best else cell for place, cell in enumerate(line.cells))
    return Line(line.label, cells, line.best)


def _fitting_columns(
    names: Sequence[str], lines: Sequence[Line], *, width: int, gap: int
) -> Iterator[list[int]]:
    """Yield runs of columns that fit beside the labels, at least one column at a time."""
    labels = max(len(text) for text in (names[0], PUBLISHED_TITLE, *(line.label for line in lines)))
    widths = [
        max(len(name), *(len(line.cells[column]) for line in lines)) for column, name in enumerate(names[1:])
    ]
    for run in column_runs([labels, *widths], room=width, gap=gap):
        yield [place - 1 for place in run]


def _rich_table(
    names: Sequence[str],
    measured: Sequence[Line],
    published: Sequence[Line],
    columns: Sequence[int],
    *,
    gap: int,
) -> RichTable:
    grid = RichTable(box=RULES, show_edge=False, pad_edge=False, padding=(0, gap - 1, 0, 0))
    grid.add_column(Text(names[0]), no_wrap=False, overflow="fold")
    for column in columns:
        grid.add_column(Text(names[1 + column]), no_wrap=True)
    for place, line in enumerate(measured):
        cells = (_styled(line, column) for column in columns)
        grid.add_row(Text(line.label), *cells, end_section=place == len(measured) - 1 and bool(published))
    if published:
        grid.add_row(Text(PUBLISHED_TITLE, style="italic"))
    for line in published:
        grid.add_row(Text(line.label), *(Text(line.cells[column]) for column in columns))
    return grid


def _styled(line: Line, column: int) -> Text:
    return Text(line.cells[column], style="bold" if column in line.best else "")


def render_markdown(leaderboard: Leaderboard) -> str:
    """Return the tables as Markdown, ready to paste into a README or an issue."""
    return "\n\n".join(_markdown_table(table, leaderboard) for table in leaderboard.tables) + "\n"


def _markdown_table(table: Table, leaderboard: Leaderboard) -> str:
    style = Style(space=" ", best="in bold")
    protocol, numbers = (escape_markdown(caption) for caption in captions(table, leaderboard.metric))
    blocks = ("\n".join(_markdown_block(table, block, style)) for block in table.blocks)
    notes = "\n".join(f"- {escape_markdown(note)}" for note in footnotes(table, style))
    return "\n\n".join([f"**{protocol}**", numbers, *blocks, notes])


def _markdown_block(table: Table, block: Block, style: Style) -> Iterator[str]:
    names = headings(block)
    yield _markdown_line(names)
    yield f"|{' --- |' * len(names)}"
    for line in measured_lines(table, block, style):
        cells = (f"**{cell}**" if place in line.best else cell for place, cell in enumerate(line.cells))
        yield _markdown_line([escape_markdown(line.label), *cells])
    if block.published:
        yield _markdown_line([f"*{PUBLISHED_TITLE}*", *("" for _ in names[1:])])
    for line in published_lines(block, style):
        yield _markdown_line([escape_markdown(line.label), *line.cells])


def _markdown_line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
