"""A leaderboard as LaTeX with booktabs and siunitx: one table environment a table, everything escaped.

The preamble needs `\\usepackage{booktabs}` and `\\usepackage{siunitx}`, no more; pdflatex compiles it as it
is. Best measured scores are bold, second ones underlined, numbers aligned at their points.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from kebench.report.fitting import fit_latex, latex_width_pt
from kebench.report.latex_signs import escape_latex
from kebench.report.render import PUBLISHED_TITLE
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

_STYLE = Style(space=" ", best="in bold, second underlined")
_PREAMBLE = (
    "% needs \\usepackage{booktabs} and \\usepackage{siunitx}\n"
    "\\providecommand{\\kebsecond}[1]"
    "{\\rlap{\\underline{\\phantom{#1}}}}\n"
)
_SETUP = (
    "\\sisetup{detect-weight=true, reset-text-series=false, "
    "text-series-to-math=true, table-align-text-before=false, table-align-text-after=false}"
)
# Mean, deviation and n as `words` writes them; each but the mean may be missing.
_NUMBER = re.compile(r"(?P<mean>\d+\.\d+)(?: ± (?P<sd>\d+\.\d+))?(?: \((?P<n>\d+)\))?")

_MOST_ROWS = 35  # on a page, beside caption and notes
_PARTS = ("mean", "sd", "n")
_BOLD_SHARE = 1.15  # of bold digits to plain ones


def render_latex(leaderboard: Leaderboard) -> str:
    """Return one table environment for each table of the leaderboard, for a long one one for each block."""
    tables = ("\n".join(_table_lines(table, leaderboard)) for table in leaderboard.tables)
    return _PREAMBLE + "\n\n".join(tables) + "\n"


def _table_lines(table: Table, leaderboard: Leaderboard) -> Iterator[str]:
    caption = " ".join(f"{line.rstrip('.')}." for line in captions(table, leaderboard.metric))
    yield from _opening(caption)
    blocks = [list(_tabular_lines(table, block)) for block in table.blocks]
    is_long = sum(line.endswith("\\\\") for lines in blocks for line in lines) > _MOST_ROWS
    for place, lines in enumerate(blocks):
        if place and is_long:
            yield "\\end{table}\n"
            yield from _opening(f"{caption} (Continued.)")
        yield "\n\\medskip\n"
        yield from lines
    yield "\n\\medskip\n\\raggedright\\footnotesize"
    yield from (f"{escape_latex(note)}\\par" for note in footnotes(table, _STYLE))
    yield "\\end{table}"


def _opening(caption: str) -> Iterator[str]:
    yield f"\\begin{{table}}\n\\centering\n\\footnotesize\n{_SETUP}"
    yield f"\\caption{{{escape_latex(caption)}}}"


def _tabular_lines(table: Table, block: Block) -> Iterator[str]:
    """Write a block; one wider than the page is cut between columns and stacked, as in a terminal."""
    names = headings(block)
    measured, published = measured_lines(table, block, _STYLE), published_lines(block, _STYLE)
    lines = [Line(names[0], names[1:]), *measured, *published]
    widths = [max(latex_width_pt(line.label) for line in lines)]
    widths += [_width_pt([line.cells[place] for line in lines]) for place in range(len(names) - 1)]
    fit = fit_latex(widths)
    if fit.commands:
        yield f"{{{fit.commands}"
    for number, run in enumerate(fit.runs):
        if number:
            yield "\n\\medskip\n"
        columns = [place - 1 for place in run]
        printed = [line for line in published if any(line.cells[column] != DASH for column in columns)]
        yield from _tabular(names, measured, printed, columns)
    if fit.commands:
        yield "\\par}"


def _tabular(
    names: Sequence[str], measured: Sequence[Line], published: Sequence[Line], places: Sequence[int]
) -> Iterator[str]:
    columns = {place: _column([line.cells[place] for line in (*measured, *published)]) for place in places}
    settings = "".join(column.setting for column in columns.values())
    yield f"\\begin{{tabular}}{{@{{}}l{settings}@{{}}}}\n\\toprule"
    yield _row([escape_latex(names[0]), *(f"{{{escape_latex(names[1 + place])}}}" for place in places)])
    yield "\\midrule"
    for line in measured:
        yield _row([escape_latex(line.label), *_cells(line, columns)])
    if published:
        yield f"\\midrule\n\\multicolumn{{{1 + len(places)}}}{{@{{}}l}}{{\\emph{{{PUBLISHED_TITLE}}}}} \\\\"
    for line in published:
        yield _row([escape_latex(line.label), *_cells(line, columns)])
    yield "\\bottomrule\n\\end{tabular}"


class _Column(NamedTuple):
    """How wide a column of numbers is: its setting for siunitx, and the widest deviation as text."""

    setting: str
    widest_sd: str


def _column(texts: Sequence[str]) -> _Column:
    """Return a column as wide as its widest: digits about the point, and room for what stands behind."""
    found = [number for text in texts if (number := _NUMBER.fullmatch(text))]
    before = max((len(number["mean"].split(".")[0]) for number in found), default=2)
    after = max((len(number["mean"].split(".")[1]) for number in found), default=1)
    widest = max((number["sd"] for number in found if number["sd"]), key=len, default="")
    room = max((_behind(number["sd"], number["n"], widest) for number in found), key=len, default="")
    room = f", table-space-text-post={{\\bfseries{room}}}" if room else ""
    return _Column(f"S[table-format={before}.{after}{room}]", widest)


def _behind(sd: str | None, n: str | None, widest_sd: str) -> str:
    """Return what stands behind a mean: deviation, as wide as the column's widest, and n."""
    missing = f"\\phantom{{{'0' * (len(widest_sd) - len(sd))}}}" if sd and len(sd) < len(widest_sd) else ""
    deviation = f"\\,$\\pm$\\,{missing}{sd}" if sd else ""
    return deviation + (f"\\,({n})" if n else "")


def _width_pt(texts: Sequence[str]) -> float:
    """Return how wide a column gets, in which the widest mean, deviation and n have room side by side."""
    found = [number for text in texts if (number := _NUMBER.fullmatch(text))]
    parts = [max((latex_width_pt(number[part] or "") for number in found), default=0.0) for part in _PARTS]
    between = latex_width_pt("±") * bool(parts[1]) + latex_width_pt(" ()") * bool(parts[2])
    return max(_BOLD_SHARE * (sum(parts) + between), *map(latex_width_pt, texts))


def _cells(line: Line, columns: Mapping[int, _Column]) -> list[str]:
    return [
        _cell(line.cells[place], column, is_best=place in line.best, is_second=place in line.second)
        for place, column in columns.items()
    ]


def _cell(text: str, column: _Column, *, is_best: bool, is_second: bool) -> str:
    """Return a cell for a column of numbers: the mean, which siunitx aligns, and the rest as its text."""
    number = _NUMBER.fullmatch(text)
    if number is None:
        shown = escape_latex(text)
        return f"{{\\textbf{{{shown}}}}}" if is_best else f"{{{shown}}}"
    behind = _behind(number["sd"], number["n"], column.widest_sd)
    before = "\\bfseries " if is_best else f"{{\\kebsecond{{{number['mean']}}}}}" if is_second else ""
    return f"{before}{number['mean']}{f'{{{behind}}}' if behind else ''}"


def _row(cells: "Iterator[str] | Sequence[str]") -> str:
    return " & ".join(cells) + " \\\\"
