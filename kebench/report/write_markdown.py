"""Sheets as Markdown, ready to paste into a README or an issue."""

from collections.abc import Iterable, Iterator

from kebench.grid import Grid, Sheet


def sheets_as_markdown(sheets: Iterable[Sheet]) -> str:
    """Return sheets as Markdown: best bold, second in italics (Markdown has no underline)."""
    return "\n".join(map(_sheet_text, sheets))


def _sheet_text(sheet: Sheet) -> str:
    parts = [f"**{escape_markdown(sheet.title)}**", *(escape_markdown(caption) for caption in sheet.captions)]
    parts += ["\n".join(_grid_lines(grid)) for grid in sheet.grids]
    if notes := sheet.all_notes(best="bold", second="in italics"):
        parts.append("\n".join(f"- {escape_markdown(note)}" for note in notes))
    return "\n\n".join(parts) + "\n"


def _grid_lines(grid: Grid) -> Iterator[str]:
    yield _line(escape_markdown(heading) for heading in grid.headings)
    column = " --- |" if grid.layout == "prose" else " ---: |"
    yield f"| --- |{column * (len(grid.headings) - 1)}"
    for place, row in enumerate(grid.texts):
        yield _line(
            f"**{cell}**"
            if (place, column) in grid.best
            else f"*{cell}*"
            if (place, column) in grid.second
            else cell
            for column, cell in enumerate(map(escape_markdown, row))
        )


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def escape_markdown(text: str) -> str:
    """Return text in which nothing is taken for Markdown or HTML."""
    for sign in "\\`*_[]|~$#":
        text = text.replace(sign, f"\\{sign}")
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
