"""A leaderboard as LaTeX with booktabs and siunitx: one table environment a table, everything escaped.

The preamble needs `\\usepackage{booktabs}` and `\\usepackage{siunitx}`, no more; pdflatex compiles it as it
is. Best measured scores are bold, second ones underlined, numbers aligned at their points.
"""

import re
from collections.abc import Iterator, Sequence

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
    "{\\rlap{\\underline{\\phantom{\\num[separate-uncertainty]{#1}}}}}\n"
)
_SETUP = (
    "\\sisetup{separate-uncertainty=true, detect-weight=true, reset-text-series=false, "
    "text-series-to-math=true, table-align-text-before=false, table-align-text-after=false}"
)
# Mean, deviation and n as `words` writes them; each but the mean may be missing, or a dash.
_NUMBER = re.compile(r"(?P<mean>\d+\.\d+)(?: ± (?P<sd>\d+\.\d+|–))?(?: \((?P<n>\d+|–)\))?")


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
    columns = "".join(
        _column([line.cells[place] for line in (*measured, *published)]) for place in range(len(names) - 1)
    )
    yield f"\\begin{{tabular}}{{@{{}}l{columns}@{{}}}}\n\\toprule"
    yield _row([escape_latex(names[0]), *(f"{{{escape_latex(name)}}}" for name in names[1:])])
    yield "\\midrule"
    for line in measured:
        yield _row([escape_latex(line.label), *_cells(line)])
    if published:
        yield f"\\midrule\n\\multicolumn{{{len(names)}}}{{@{{}}l}}{{\\emph{{{PUBLISHED_TITLE}}}}} \\\\"
    for line in published:
        yield _row([escape_latex(line.label), *_cells(line)])
    yield "\\bottomrule\n\\end{tabular}"


def _column(texts: Sequence[str]) -> str:
    """Return a column of numbers as wide as its widest: digits about the point, and of deviations."""
    found = [number for text in texts if (number := _NUMBER.fullmatch(text))]
    before = max((len(number["mean"].split(".")[0]) for number in found), default=2)
    after = max((len(number["mean"].split(".")[1]) for number in found), default=1)
    deviations = [len(_digits(number["sd"])) for number in found if number["sd"] not in (None, DASH)]
    width = f"({max(deviations)})" if deviations else ""
    has_n = any(number["n"] for number in found)
    n = ", table-space-text-post={\\,(3)}" if has_n else ""  # room for what stands behind a number
    return f"S[table-format={before}.{after}{width}{n}]"


def _digits(deviation: str) -> str:
    """Return a deviation as siunitx reads one in brackets: its digits in units of the last place."""
    return str(int(deviation.replace(".", "")))


def _cells(line: Line) -> list[str]:
    return [
        _cell(text, is_best=place in line.best, is_second=place in line.second)
        for place, text in enumerate(line.cells)
    ]


def _cell(text: str, *, is_best: bool, is_second: bool) -> str:
    """Return a cell for a column of numbers; what is none, or has a deviation of zero, stands in braces."""
    number = _NUMBER.fullmatch(text)
    if number is None or number["sd"] == "0.0":
        shown = escape_latex(text)
        return f"{{\\textbf{{{shown}}}}}" if is_best else f"{{{shown}}}"
    known = number["sd"] not in (None, DASH)
    value = f"{number['mean']}({_digits(number['sd'])})" if known else number["mean"]
    n = f"{{\\,({escape_latex(number['n'])})}}" if number["n"] else ""
    before = "\\bfseries " if is_best else f"\\kebsecond{{{value}}} " if is_second else ""
    return f"{before}{value}{n}"


def _row(cells: "Iterator[str] | Sequence[str]") -> str:
    return " & ".join(cells) + " \\\\"
