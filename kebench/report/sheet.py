"""A sheet: grids of text with captions and notes, printed in a terminal, as Markdown or as LaTeX.

Reports that are more than one grid of one kind (comparisons, the paper's tables) build a sheet and are done.
"""

import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table
from rich.text import Text

from kebench.report.fitting import column_runs, fit_latex, latex_width_pt
from kebench.report.latex_signs import escape_latex
from kebench.report.render import RULES, escape_markdown

_LEAST_NAME = 14  # narrower names of rows are not broken to keep a grid in one block; ours
_MEAN = re.compile(r"\d+\.\d+")


@dataclass(frozen=True)
class Grid:
    """Headings and rows of text; the first column names the rows and is set left, the others right.

    best, second: (row, column) of the cells to emphasise. breaks: rows before which a rule is drawn.
    is_prose: cells hold text, not numbers: all are set left and wrapped, the first column twice as wide.
    """

    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    best: frozenset[tuple[int, int]] = frozenset()
    second: frozenset[tuple[int, int]] = frozenset()
    breaks: frozenset[int] = frozenset()
    is_prose: bool = False


@dataclass(frozen=True)
class Sheet:
    """What is printed together: a title, captions under it, grids, and notes at the end.

    best, second: what the emphasised cells are, in words; the first note says so, and how they are shown.
    """

    title: str
    captions: tuple[str, ...]
    grids: tuple[Grid, ...]
    notes: tuple[str, ...] = ()
    best: str = ""
    second: str = ""

    def all_notes(self, *, best: str, second: str) -> list[str]:
        """Return the notes. best, second: how a format shows such cells ("bold"), "" if it does not."""
        shown = [f"{how}: {what}" for how, what in ((best, self.best), (second, self.second)) if how and what]
        if not shown:
            return list(self.notes)
        said = "; ".join(shown)
        return [f"{said[0].upper()}{said[1:]}.", *self.notes]


def sheet_for_terminal(sheet: Sheet, *, width: int, is_styled: bool) -> str:
    """Return a sheet for a terminal; grids wider than it are cut between columns and stacked.

    Where broken names of rows make room for all columns they are broken instead.
    is_styled: whether the terminal shows bold and underline; if not, the best get a star and the second none.
    """
    out = io.StringIO()
    console = Console(file=out, width=width, force_terminal=is_styled, highlight=False, legacy_windows=False)
    console.print(Text(sheet.title, style="bold"))
    for caption in sheet.captions:
        console.print(Text(caption))
    for grid in sheet.grids:
        if grid.is_prose:
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
        for row, texts in enumerate(grid.rows)
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
    for place, row in enumerate(grid.rows):
        cells = [_styled(grid, place, column, is_styled=is_styled) for column in columns]
        texts = [Text(text, style=style) for text, style in cells]
        table.add_row(Text(row[0]), *texts, end_section=place + 1 in grid.breaks)
    console.print(table)


def _print_prose(console: Console, grid: Grid, *, is_styled: bool) -> None:
    table = Table(box=RULES, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0), expand=True)
    for column, heading in enumerate(grid.headings):
        table.add_column(Text(heading), ratio=1 if column else 2, overflow="fold")
    for place in range(len(grid.rows)):
        cells = (_styled(grid, place, column, is_styled=is_styled) for column in range(len(grid.headings)))
        texts = [Text(text, style=style) for text, style in cells]
        table.add_row(*texts, end_section=place + 1 in grid.breaks)
    console.print(table)


def _styled(grid: Grid, row: int, column: int, *, is_styled: bool) -> tuple[str, str]:
    text = grid.rows[row][column]
    if (row, column) in grid.best:
        return (text, "bold") if is_styled else (f"{text}*", "")
    return text, "underline" if is_styled and (row, column) in grid.second else ""


def sheet_as_markdown(sheet: Sheet) -> str:
    """Return a sheet as Markdown: best bold, second in italics (Markdown has no underline)."""
    parts = [f"**{escape_markdown(sheet.title)}**", *(escape_markdown(caption) for caption in sheet.captions)]
    parts += ["\n".join(_markdown_lines(grid)) for grid in sheet.grids]
    if notes := sheet.all_notes(best="bold", second="in italics"):
        parts.append("\n".join(f"- {escape_markdown(note)}" for note in notes))
    return "\n\n".join(parts) + "\n"


def _markdown_lines(grid: Grid) -> Iterator[str]:
    yield _markdown_row(escape_markdown(heading) for heading in grid.headings)
    yield f"| --- |{(' --- |' if grid.is_prose else ' ---: |') * (len(grid.headings) - 1)}"
    for place, row in enumerate(grid.rows):
        yield _markdown_row(
            f"**{cell}**"
            if (place, column) in grid.best
            else f"*{cell}*"
            if (place, column) in grid.second
            else cell
            for column, cell in enumerate(map(escape_markdown, row))
        )


def _markdown_row(cells: "Iterator[str]") -> str:
    return f"| {' | '.join(cells)} |"


def sheet_as_latex(sheet: Sheet) -> str:
    """Return a sheet as one table environment with booktabs: best bold, second underlined."""
    packages = "array,booktabs" if any(grid.is_prose for grid in sheet.grids) else "booktabs"
    lines = [f"% needs \\usepackage{{{packages}}}", "\\begin{table}\n\\centering\n\\footnotesize"]
    caption = " ".join(f"{line.rstrip('.')}." for line in (sheet.title, *sheet.captions))
    lines.append(f"\\caption{{{escape_latex(caption)}}}")
    for grid in sheet.grids:
        lines += ["\n\\medskip\n", *_latex_lines(grid)]
    if notes := sheet.all_notes(best="bold", second="underlined"):
        lines.append("\n\\medskip\n\\raggedright\\footnotesize")
        lines += [f"{escape_latex(note)}\\par" for note in notes]
    return "\n".join([*lines, "\\end{table}"]) + "\n"


def _latex_lines(grid: Grid) -> Iterator[str]:
    """Write a grid so that it fits on the page, cut between columns into blocks if it must be."""
    if grid.is_prose:
        yield from _latex_block(grid, range(1, len(grid.headings)), columns=_prose_columns(grid))
        return
    fit = fit_latex(_latex_widths(grid))
    if fit.commands:
        yield f"{{{fit.commands}"
    for place, run in enumerate(fit.runs):
        if place:
            yield "\n\\medskip\n"
        yield from _latex_block(grid, run, columns="l" + "r" * len(run))
    if fit.commands:
        yield "\\par}"


def _latex_block(grid: Grid, shown: Sequence[int], *, columns: str) -> Iterator[str]:
    yield f"\\begin{{tabular}}{{@{{}}{columns}@{{}}}}\n\\toprule"
    yield f"{' & '.join(escape_latex(grid.headings[column]) for column in (0, *shown))} \\\\\n\\midrule"
    for place, row in enumerate(grid.rows):
        if place in grid.breaks:
            yield "\\midrule"
        cells = (_latex_cell(grid, place, column, escape_latex(row[column])) for column in (0, *shown))
        yield f"{' & '.join(cells)} \\\\"
    yield "\\bottomrule\n\\end{tabular}"


def _latex_widths(grid: Grid) -> list[float]:
    return [max(map(latex_width_pt, column)) for column in zip(grid.headings, *grid.rows, strict=True)]


def _prose_columns(grid: Grid) -> str:
    """Return columns of text that fill the line but for their gaps, the first twice as wide as each other."""
    num_columns = len(grid.headings)
    share = (1 - 0.04 * (num_columns - 1)) / (num_columns + 1)  # a gap is 12 pt of article's 345
    column = ">{{\\raggedright\\arraybackslash}}p{{{width:.3f}\\linewidth}}"
    widths = (2 * share, *[share] * (len(grid.headings) - 1))
    return "".join(column.format(width=width) for width in widths)


def _latex_cell(grid: Grid, row: int, column: int, text: str) -> str:
    if (row, column) in grid.best:
        return f"\\textbf{{{text}}}"
    if (row, column) not in grid.second:
        return text
    mean = _MEAN.match(text)  # a line under all of mean, deviation and mark would look like a rule
    return f"\\underline{{{mean.group()}}}{text[mean.end() :]}" if mean else f"\\underline{{{text}}}"
