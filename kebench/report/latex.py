"""A leaderboard as LaTeX with booktabs and siunitx: one table environment a table, everything escaped.

The preamble needs `\\usepackage{booktabs}` and `\\usepackage{siunitx}`, no more; pdflatex compiles it as it
is. Best measured scores are bold, second ones underlined, numbers aligned at their points.
"""

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from kebench.report.render import PUBLISHED_TITLE
from kebench.report.table import Block, Leaderboard, Table
from kebench.report.words import (
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
# Signs that TeX would take for commands, and signs beyond ASCII that our tables print.
_SIGNS = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    **{sign: f"\\{sign}" for sign in "_%&#${}"},
    "[": "{[}",  # a bare one at the start of a row would be read as an argument of the \\ before it
    "]": "{]}",
    "*": "{*}",
    '"': "{''}",
    "±": r"$\pm$",
    "–": "--",
    "≤": r"$\leq$",
    "†": r"\textdagger{}",
    "‡": r"\textdaggerdbl{}",
    "§": r"\S{}",
    "¶": r"\P{}",
}


def escape_latex(text: str) -> str:
    """Return text that TeX sets as it reads."""
    return "".join(_SIGNS.get(sign, sign) for sign in text)


def render_latex(leaderboard: Leaderboard) -> str:
    """Return one table environment for each table of the leaderboard."""
    tables = ("\n".join(_table_lines(table, leaderboard)) for table in leaderboard.tables)
    return _PREAMBLE + "\n\n".join(tables) + "\n"


def _table_lines(table: Table, leaderboard: Leaderboard) -> Iterator[str]:
    yield f"\\begin{{table}}\n\\centering\n\\footnotesize\n\\setlength{{\\tabcolsep}}{{2.5pt}}\n{_SETUP}"
    caption = " ".join(f"{line.rstrip('.')}." for line in captions(table, leaderboard.metric))
    yield f"\\caption{{{escape_latex(caption)}}}"
    for block in table.blocks:
        yield "\n\\medskip\n"
        yield from _tabular_lines(table, block)
    yield "\n\\medskip\n\\raggedright\\footnotesize"
    yield from (f"{escape_latex(note)}\\par" for note in footnotes(table, _STYLE))
    yield "\\end{table}"


def _tabular_lines(table: Table, block: Block) -> Iterator[str]:
    names = headings(block)
    measured, published = measured_lines(table, block, _STYLE), published_lines(block, _STYLE)
    columns = [
        _column([line.cells[place] for line in (*measured, *published)]) for place in range(len(names) - 1)
    ]
    settings = "".join(column.setting for column in columns)
    yield f"\\begin{{tabular}}{{@{{}}l{settings}@{{}}}}\n\\toprule"
    yield _row([escape_latex(names[0]), *(f"{{{escape_latex(name)}}}" for name in names[1:])])
    yield "\\midrule"
    for line in measured:
        yield _row([escape_latex(line.label), *_cells(line, columns)])
    if published:
        yield f"\\midrule\n\\multicolumn{{{len(names)}}}{{@{{}}l}}{{\\emph{{{PUBLISHED_TITLE}}}}} \\\\"
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


def _cells(line: Line, columns: Sequence[_Column]) -> list[str]:
    return [
        _cell(text, column, is_best=place in line.best, is_second=place in line.second)
        for place, (text, column) in enumerate(zip(line.cells, columns, strict=True))
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
