"""A leaderboard as LaTeX with booktabs and siunitx: one table environment a table, everything escaped.

The preamble needs `\\usepackage{booktabs}` and `\\usepackage{siunitx}`, no more; pdflatex compiles it as it
is. Best measured scores are bold, second ones underlined, numbers aligned at their points.
"""

import re
from collections.abc import Iterator, Sequence

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
    "{\\rlap{\\underline{\\phantom{\\num[separate-uncertainty]{#1}}}}}\n"
)
_SETUP = (
    "\\sisetup{separate-uncertainty=true, detect-weight=true, reset-text-series=false, "
    "text-series-to-math=true, table-align-text-before=false, table-align-text-after=false}"
)
# Mean, deviation and n as `words` writes them; each but the mean may be missing, or a dash.
_NUMBER = re.compile(r"(?P<mean>\d+\.\d+)(?: ± (?P<sd>\d+\.\d+|–))?(?: \((?P<n>\d+|–)\))?")

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
    names: Sequence[str], measured: Sequence[Line], published: Sequence[Line], columns: Sequence[int]
) -> Iterator[str]:
    kinds = "".join(_column([line.cells[place] for line in (*measured, *published)]) for place in columns)
    yield f"\\begin{{tabular}}{{@{{}}l{kinds}@{{}}}}\n\\toprule"
    yield _row([escape_latex(names[0]), *(f"{{{escape_latex(names[1 + place])}}}" for place in columns)])
    yield "\\midrule"
    for line in measured:
        yield _row([escape_latex(line.label), *_cells(line, columns)])
    if published:
        yield f"\\midrule\n\\multicolumn{{{1 + len(columns)}}}{{@{{}}l}}{{\\emph{{{PUBLISHED_TITLE}}}}} \\\\"
    for line in published:
        yield _row([escape_latex(line.label), *_cells(line, columns)])
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


def _width_pt(texts: Sequence[str]) -> float:
    """Return how wide a column gets, in which the widest mean, deviation and n have room side by side."""
    found = [number for text in texts if (number := _NUMBER.fullmatch(text))]
    parts = [max((latex_width_pt(number[part] or "") for number in found), default=0.0) for part in _PARTS]
    between = latex_width_pt("±") * bool(parts[1]) + latex_width_pt(" ()") * bool(parts[2])
    return max(_BOLD_SHARE * (sum(parts) + between), *map(latex_width_pt, texts))


def _digits(deviation: str) -> str:
    """Return a deviation as siunitx reads one in brackets: its digits in units of the last place."""
    return str(int(deviation.replace(".", "")))


def _cells(line: Line, columns: Sequence[int]) -> list[str]:
    return [
        _cell(line.cells[place], is_best=place in line.best, is_second=place in line.second)
        for place in columns
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
