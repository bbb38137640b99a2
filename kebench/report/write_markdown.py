"""Sheets as Markdown, ready to paste into a README or an issue."""

from collections.abc import Iterable, Iterator

from kebench.grid import PUBLISHED_TITLE, Grid, Sheet


def sheets_as_markdown(sheets: Iterable[Sheet]) -> str:
    """Return sheets as Markdown: best bold, second in italics (Markdown has no underline)."""
    texts = []
    for sheet in sheets:
        parts = [f"**{escape_markdown(sheet.title)}**"] if sheet.title else []
        parts += map(escape_markdown, sheet.captions)
        parts += ("\n".join(_grid_lines(grid)) for grid in sheet.grids)
        is_board = any(grid.layout == "board" for grid in sheet.grids)
        if notes := sheet.all_notes(best="bold", second="" if is_board else "in italics"):
            parts.append("\n".join(f"- {escape_markdown(note)}" for note in notes))
        texts.append("\n\n".join(parts) + "\n")
    return "\n".join(texts)


def _grid_lines(grid: Grid) -> Iterator[str]:
    groups = ["", *(f"{name}: " for name, number in grid.groups for _ in range(number))]
    groups += [""] * (len(grid.headings) - len(groups))
    pairs = zip(groups, grid.headings, strict=True)
    yield _line(escape_markdown(f"{group}{heading}") for group, heading in pairs)
    column = " ---: |" if grid.layout == "numbers" else " --- |"
    yield f"| --- |{column * (len(grid.headings) - 1)}"
    space, has_second = (" ", False) if grid.layout == "board" else ("", True)
    for place, row in enumerate(grid.cells):
        if place == grid.published:
            yield _line([f"*{PUBLISHED_TITLE}*", *[""] * (len(row) - 1)])
        cells = []
        for column_place, cell in enumerate(row):
            text = escape_markdown(cell.text(space=space))
            if (place, column_place) in grid.best:
                text = f"**{text}**"
            elif has_second and (place, column_place) in grid.second:
                text = f"*{text}*"
            cells.append(text)
        yield _line(cells)


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def escape_markdown(text: str) -> str:
    """Return text in which nothing is taken for Markdown or HTML."""
    for sign in "\\`*_[]|~$#":
        text = text.replace(sign, f"\\{sign}")
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
