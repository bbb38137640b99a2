"""A leaderboard as LaTeX with booktabs: one table environment a table, everything escaped.

The preamble needs `\\usepackage{booktabs}` and nothing else; pdflatex compiles it as it is.
"""

from collections.abc import Iterator, Sequence

from kebench.report.render import PUBLISHED_TITLE
from kebench.report.table import Block, Leaderboard, Table
from kebench.report.words import Style, captions, footnotes, headings, measured_lines, published_lines

_STYLE = Style(space=" ", best="in bold")
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
    return "% needs \\usepackage{booktabs}\n" + "\n\n".join(tables) + "\n"


def _table_lines(table: Table, leaderboard: Leaderboard) -> Iterator[str]:
    yield "\\begin{table}\n\\centering\n\\footnotesize\n\\setlength{\\tabcolsep}{2.5pt}"
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
    yield f"\\begin{{tabular}}{{@{{}}{'l' * len(names)}@{{}}}}\n\\toprule"
    yield _row(escape_latex(name) for name in names)
    yield "\\midrule"
    for line in measured_lines(table, block, _STYLE):
        yield _row([escape_latex(line.label), *_cells(line.cells, line.best)])
    if block.published:
        yield f"\\midrule\n\\multicolumn{{{len(names)}}}{{@{{}}l}}{{\\emph{{{PUBLISHED_TITLE}}}}} \\\\"
    for line in published_lines(block, _STYLE):
        yield _row([escape_latex(line.label), *_cells(line.cells, line.best)])
    yield "\\bottomrule\n\\end{tabular}"


def _cells(cells: Sequence[str], best: frozenset[int]) -> list[str]:
    escaped = [escape_latex(cell) for cell in cells]
    return [f"\\textbf{{{cell}}}" if place in best else cell for place, cell in enumerate(escaped)]


def _row(cells: "Iterator[str] | Sequence[str]") -> str:
    return " & ".join(cells) + " \\\\"
