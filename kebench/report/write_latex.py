"""Sheets as LaTeX with booktabs: one table environment a sheet, everything escaped.

A line on top says which packages the preamble needs: booktabs, for texts array, for leaderboards siunitx;
pdflatex compiles it as it is, also where more of them are loaded. Leaderboards have their numbers aligned at
their points by siunitx; the other tables mix numbers, intervals and words, and are set right.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from math import sqrt
from typing import NamedTuple

from kebench.grid import PUBLISHED_TITLE, Cell, Grid, Sheet
from kebench.report.fitting import NARROW_TABCOLSEP_PT, TEXT_WIDTH_PT, fit_latex, latex_width_pt
from kebench.report.latex_signs import escape_latex

_BOARD_PREAMBLE = (
    "% needs \\usepackage{booktabs} and \\usepackage{siunitx}\n"
    "\\providecommand{\\kebsecond}[1]{\\rlap{\\underline{\\phantom{#1}}}}\n"
)
_SETUP = (
    "\\sisetup{detect-weight=true, reset-text-series=false, "
    "text-series-to-math=true, table-align-text-before=false, table-align-text-after=false}"
)
_MOST_UNBROKEN_PT = 90.0  # of a text in a listing that is not wrapped; ours
# Names of 13 signs and more that are not letters alone, and after what they may be broken if they have to.
_LONG_NAME = re.compile(r"(?=[^ ]*[^A-Za-z ])[^ {}]{13,}")
_NAME_PARTS = re.compile(r"\\[_#&%$]|[-/:.=,]|[A-Za-z0-9]{8}")
_MOST_ROWS = 35  # of a table on a page, beside caption and notes
_MOST_LINES = 56  # of a table on a page, all told: rows, headings and rules, notes
_BOLD_SHARE = 1.15  # of bold digits to plain ones


def sheets_as_latex(sheets: Iterable[Sheet]) -> str:
    """Return a table environment a sheet, or a part of one if it is long; best bold, second underlined."""
    sheets = list(sheets)
    has_board = any(grid.layout == "board" for sheet in sheets for grid in sheet.grids)
    return (_BOARD_PREAMBLE if has_board else "") + "\n".join(map(_sheet_text, sheets))


def _sheet_text(sheet: Sheet) -> str:
    layouts = {grid.layout for grid in sheet.grids}
    grids = [part for grid in sheet.grids for part in _parts(grid)]
    blocks = [list(_grid_lines(grid)) for grid in grids]
    num_rows = sum(line.endswith("\\\\") for lines in blocks for line in lines)
    # on a page: rows, headings and rules of each block, notes
    height = num_rows + 4 * len(blocks) + sum(1 + len(note) // 110 for note in sheet.notes)
    is_long = len(blocks) > 1 and (
        height > _MOST_LINES
        or (num_rows > _MOST_ROWS and ("board" in layouts or len(grids) > len(sheet.grids)))
    )
    caption = " ".join(f"{line.rstrip('.')}." for line in (sheet.title, *sheet.captions) if line)
    setup = f"\n{_SETUP}" if "board" in layouts else ""
    lines = []
    if "board" not in layouts:
        lines.append(f"% needs \\usepackage{{{'array,' if layouts & {'prose', 'listing'} else ''}booktabs}}")
    opening = f"\\begin{{table}}\n\\centering\n\\footnotesize{setup}"
    lines += [opening, *([f"\\caption{{{escape_latex(caption)}}}"] if caption else [])]
    for place, block in enumerate(blocks):
        if place and is_long:
            again = f"{caption} (Continued.)".strip()
            lines += ["\\end{table}\n", opening, f"\\caption{{{escape_latex(again)}}}"]
        lines += ["\n\\medskip\n", *block]
    if notes := sheet.all_notes(best="bold", second="underlined"):
        lines.append("\n\\medskip\n\\raggedright\\footnotesize")
        lines += [f"{escape_latex(note)}\\par" for note in notes]
    return "\n".join([*lines, "\\end{table}"]) + "\n"


def _parts(grid: Grid) -> list[Grid]:
    """Return a grid in parts that fit on a page each, where nothing in it is known by its place."""
    if len(grid.rows) <= _MOST_ROWS or grid.best or grid.second or grid.breaks or grid.published is not None:
        return [grid]
    starts = range(0, len(grid.rows), _MOST_ROWS)
    return [replace(grid, rows=grid.rows[start : start + _MOST_ROWS]) for start in starts]


def _grid_lines(grid: Grid) -> Iterator[str]:
    """Write a grid so that it fits on the page, cut between columns into blocks if it must be."""
    space = " " if grid.layout == "board" else ""
    texts = [list(grid.headings), *([cell.text(space=space) for cell in row] for row in grid.cells)]
    widths = [max(map(latex_width_pt, column)) for column in zip(*texts, strict=True)]
    if grid.layout == "prose":
        columns = _columns([2.0, *[1.0] * (len(widths) - 1)])
        yield from _block_lines(grid, range(1, len(widths)), columns=columns)
        return
    wraps = [
        width > _MOST_UNBROKEN_PT and not all(row[place].is_number for row in grid.cells)
        for place, width in enumerate(widths)
    ]
    is_wide = grid.layout == "listing" and sum(widths) + 12 * (len(widths) - 1) > TEXT_WIDTH_PT
    if is_wide and any(wraps):
        # long texts share what the other columns leave; by the root, so that a shorter one is not squeezed
        shares = [
            sqrt(min(width, TEXT_WIDTH_PT)) * is_long for width, is_long in zip(widths, wraps, strict=True)
        ]
        used = sum(width for width, is_long in zip(widths, wraps, strict=True) if not is_long)
        gap = 2 * NARROW_TABCOLSEP_PT / TEXT_WIDTH_PT
        columns = _columns(shares, room=max(0.3, 1 - used / TEXT_WIDTH_PT), gap=gap)
        yield f"{{\\setlength{{\\tabcolsep}}{{{NARROW_TABCOLSEP_PT:g}pt}}"
        yield from _block_lines(grid, range(1, len(widths)), columns=columns)
        yield "\\par}"
        return
    board = {}
    if grid.layout == "board":
        board = {place: _points([row[place] for row in grid.cells]) for place in range(1, len(widths))}
        widths = [widths[0], *(max(board[place].width_pt, widths[place]) for place in board)]
    fit = fit_latex(widths)
    if fit.commands:
        yield f"{{{fit.commands}"
    for number, run in enumerate(fit.runs):
        if number:
            yield "\n\\medskip\n"
        columns = "".join(board[place].setting for place in run) if board else "r" * len(run)
        yield from _block_lines(grid, run, columns="l" + columns, board=board)
    if fit.commands:
        yield "\\par}"


class _Points(NamedTuple):
    """How a column of numbers is set about its points: for siunitx, its widest deviation, its width."""

    setting: str
    widest_sd: str
    width_pt: float


def _points(cells: Sequence[Cell]) -> _Points:
    """Return a column as wide as its widest: digits about the point, and room for what stands behind."""
    found = [cell for cell in cells if _is_aligned(cell)]
    parts = [cell.value_text().lstrip("-").partition(".") for cell in found]
    before = max((len(whole) for whole, _, _ in parts), default=2)
    after = max((len(decimals) for _, _, decimals in parts), default=1)
    sign = "-" if any(cell.value_text().startswith("-") for cell in found) else ""
    widest = max((cell.deviation_text() for cell in found), key=len, default="")
    room = max((_behind(cell, widest) for cell in found), key=len, default="")
    room = f", table-space-text-post={{\\bfseries{room}}}" if room else ""
    shown = zip(
        *((cell.value_text(), cell.deviation_text(), str(cell.n or "")) for cell in found), strict=True
    )
    widths = [max(map(latex_width_pt, texts)) for texts in shown] or [0.0, 0.0, 0.0]
    between = latex_width_pt("±") * bool(widths[1]) + latex_width_pt(" ()") * bool(widths[2])
    setting = f"S[table-format={sign}{before}.{after}{room}]"
    return _Points(setting, widest, _BOLD_SHARE * (sum(widths) + between))


def _is_aligned(cell: Cell) -> bool:
    """Return whether siunitx sets a cell: a fraction written out, without a mark."""
    is_fraction = isinstance(cell.value, float) and not (cell.before or cell.mark)
    return is_fraction and "." in cell.value_text() and "e" not in cell.value_text()


def _behind(cell: Cell, widest_sd: str) -> str:
    """Return what stands behind a mean: deviation, as wide as the column's widest, and n."""
    sd = cell.deviation_text()
    missing = f"\\phantom{{{'0' * (len(widest_sd) - len(sd))}}}" if sd and len(sd) < len(widest_sd) else ""
    deviation = f"\\,$\\pm$\\,{missing}{sd}" if sd else ""
    return deviation + ("" if cell.n is None else f"\\,({cell.n})")


def _block_lines(
    grid: Grid, shown: Sequence[int], *, columns: str, board: Mapping[int, _Points] | None = None
) -> Iterator[str]:
    """Write some columns. board: of a leaderboard, how each is set about its points."""
    board, places = board or {}, (0, *shown)
    yield f"\\begin{{tabular}}{{@{{}}{columns}@{{}}}}\n\\toprule"
    if grid.groups and len(shown) == len(grid.headings) - 1:
        over = [
            f"\\multicolumn{{{number}}}{{c}}{{{escape_latex(name)}}}" if name else ""
            for name, number in grid.groups
        ]
        yield f" & {' & '.join(over)} \\\\"
    headings = [escape_latex(grid.headings[place]) for place in places]
    yield _row(
        [f"{{{text}}}" if place in board else text for place, text in zip(places, headings, strict=True)]
    )
    yield "\\midrule"
    rows, start = grid.shown_rows(shown), grid.published
    first = next((place for place in rows if start is not None and place >= start), None)
    for place in rows:
        if place in grid.breaks:
            yield "\\midrule"
        if place == first:
            title = f"\\multicolumn{{{len(places)}}}{{@{{}}l}}{{\\emph{{{PUBLISHED_TITLE}}}}}"
            yield f"\\midrule\n{title} \\\\"
        yield _row(_cell_text(grid, place, column, board.get(column)) for column in places)
    yield "\\bottomrule\n\\end{tabular}"


def _row(cells: Iterable[str]) -> str:
    return f"{' & '.join(cells)} \\\\"


def _columns(shares: Sequence[float], *, room: float = 1, gap: float = 0.04) -> str:
    """Return columns of wrapped text that fill part of the line, gaps included; plain ones without a share.

    room, gap: parts of the line; a usual gap is 12 pt of article's 345.
    """
    left = (room - gap * (len(shares) - 1)) / sum(shares)
    wrapped = (
        ">{{\\raggedright\\arraybackslash\\hspace{{0pt}}}}p{{{width:.3f}\\linewidth}}"  # first words break
    )
    return "".join(wrapped.format(width=share * left) if share else "l" for share in shares)


def _cell_text(grid: Grid, row: int, column: int, points: _Points | None) -> str:
    """Return a cell. points: of a column of numbers, whose means siunitx aligns, with the rest as text."""
    cell, is_best = grid.cells[row][column], (row, column) in grid.best
    is_second = (row, column) in grid.second and not is_best
    if points and _is_aligned(cell):
        value, behind = cell.value_text(), _behind(cell, points.widest_sd)
        mean = f"\\bfseries {value}" if is_best else value
        if is_second:
            mean = f"{{\\kebsecond{{{value.replace('-', '$-$')}}}}}{value}"
        return f"{mean}{{{behind}}}" if behind else mean
    if points:
        shown = escape_latex(cell.text(space=" "))
        return f"{{\\textbf{{{shown}}}}}" if is_best else f"{{{shown}}}"
    text, value = escape_latex(cell.text()), escape_latex(cell.value_text())
    if grid.layout in ("prose", "listing"):
        text = _LONG_NAME.sub(lambda name: _NAME_PARTS.sub(r"\g<0>\\penalty9999 ", name[0]), text)
    if isinstance(cell.value, float | int) or cell.interval:
        text, value = (re.sub(r"(?<![\w.])-(?=[\d.])", "$-$", one) for one in (text, value))
    if is_best:
        return f"\\textbf{{{text}}}"
    # a line under all of mean, deviation and mark would look like a rule
    return f"\\underline{{{value}}}{text.removeprefix(value)}" if is_second else text
