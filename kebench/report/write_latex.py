"""Sheets as LaTeX with booktabs: one table environment a sheet, everything escaped."""

from collections.abc import Iterable, Iterator, Sequence

from kebench.grid import Grid, Sheet
from kebench.report.fitting import fit_latex, latex_width_pt
from kebench.report.latex_signs import escape_latex


def sheets_as_latex(sheets: Iterable[Sheet]) -> str:
    """Return sheets as one table environment each: best bold, second underlined."""
    return "\n".join(map(_sheet_text, sheets))


def _sheet_text(sheet: Sheet) -> str:
    packages = "array,booktabs" if any(grid.layout == "prose" for grid in sheet.grids) else "booktabs"
    lines = [f"% needs \\usepackage{{{packages}}}", "\\begin{table}\n\\centering\n\\footnotesize"]
    caption = " ".join(f"{line.rstrip('.')}." for line in (sheet.title, *sheet.captions))
    lines.append(f"\\caption{{{escape_latex(caption)}}}")
    for grid in sheet.grids:
        lines += ["\n\\medskip\n", *_grid_lines(grid)]
    if notes := sheet.all_notes(best="bold", second="underlined"):
        lines.append("\n\\medskip\n\\raggedright\\footnotesize")
        lines += [f"{escape_latex(note)}\\par" for note in notes]
    return "\n".join([*lines, "\\end{table}"]) + "\n"


def _grid_lines(grid: Grid) -> Iterator[str]:
    """Write a grid so that it fits on the page, cut between columns into blocks if it must be."""
    if grid.layout == "prose":
        yield from _block_lines(grid, range(1, len(grid.headings)), columns=_prose_columns(grid))
        return
    columns = zip(grid.headings, *grid.texts, strict=True)
    fit = fit_latex([max(map(latex_width_pt, column)) for column in columns])
    if fit.commands:
        yield f"{{{fit.commands}"
    for place, run in enumerate(fit.runs):
        if place:
            yield "\n\\medskip\n"
        yield from _block_lines(grid, run, columns="l" + "r" * len(run))
    if fit.commands:
        yield "\\par}"


def _block_lines(grid: Grid, shown: Sequence[int], *, columns: str) -> Iterator[str]:
    yield f"\\begin{{tabular}}{{@{{}}{columns}@{{}}}}\n\\toprule"
    yield f"{' & '.join(escape_latex(grid.headings[column]) for column in (0, *shown))} \\\\\n\\midrule"
    for place in range(len(grid.rows)):
        if place in grid.breaks:
            yield "\\midrule"
        yield f"{' & '.join(_cell_text(grid, place, column) for column in (0, *shown))} \\\\"
    yield "\\bottomrule\n\\end{tabular}"


def _prose_columns(grid: Grid) -> str:
    """Return columns of text that fill the line but for their gaps, the first twice as wide as each other."""
    num_columns = len(grid.headings)
    share = (1 - 0.04 * (num_columns - 1)) / (num_columns + 1)  # a gap is 12 pt of article's 345
    column = ">{{\\raggedright\\arraybackslash}}p{{{width:.3f}\\linewidth}}"
    widths = (2 * share, *[share] * (len(grid.headings) - 1))
    return "".join(column.format(width=width) for width in widths)


def _cell_text(grid: Grid, row: int, column: int) -> str:
    cell = grid.cells[row][column]
    text = escape_latex(cell.text())
    if (row, column) in grid.best:
        return f"\\textbf{{{text}}}"
    if (row, column) not in grid.second:
        return text
    mean = escape_latex(cell.value_text())  # a line under all of mean, deviation and mark looks like a rule
    return f"\\underline{{{mean}}}{text.removeprefix(mean)}"
