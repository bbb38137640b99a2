"""The leaderboard as sheets for people, one a table: a grid a kind of task, with other rows below.

Below are baselines and published rows, if there are any; neither is ranked.
"""

from kebench.grid import Grid, GridRows, Sheet
from kebench.report.overall import overall_grid, overall_notes
from kebench.report.table import Block, Leaderboard
from kebench.report.words import (
    ORDER,
    average_cell,
    baseline_cell,
    captions,
    footnotes,
    headings,
    printed_cell,
    second_cells,
    shared_n,
    task_cell,
)


def board_sheets(board: Leaderboard) -> list[Sheet]:
    """Return a sheet for each table of the leaderboard."""
    sheets = []
    for table in board.tables:
        protocol, numbers = captions(table)
        show_n = shared_n(table) is None
        has_best = any(block.best for block in table.blocks)
        grids = tuple(block_grid(block, show_n=show_n) for block in table.blocks)
        overall = overall_grid(table)
        grids += (overall,) if overall else ()
        best = f"Best measured score {{how}}. {ORDER}" if has_best else ""
        sheets.append(Sheet(protocol, (numbers,), grids, (*overall_notes(table), *footnotes(table)), best))
    return sheets


def block_grid(block: Block, *, show_n: bool) -> Grid:
    """Return the measured rows of a block, then baselines, then the published ones with their marks."""
    rows: GridRows = [
        (
            row.label,
            *(task_cell(cell, show_n=show_n) for cell in row.cells),
            average_cell(row, show_n=show_n),
            *(extra.cells[place] for extra in block.extras),
        )
        for place, row in enumerate(block.rows)
    ]
    rows += [
        (one.label, *map(baseline_cell, (*one.scores, one.average)), *(None for _ in block.extras))
        for one in block.baselines
    ]
    # the second column of a task gets no published score
    names = [*(column.task if column.letter in ("", "a") else "" for column in block.columns), block.kind]
    rows += [
        (
            f"{printed.row.label} {printed.mark}",
            *(printed_cell(printed.row, name, printed.table.decimals) for name in names),
            *(None for _ in block.extras),
        )
        for printed in block.published
    ]
    return Grid(
        headings(block),
        rows,
        best=frozenset((row, 1 + column) for row, column in block.best),
        second=frozenset((row, 1 + column) for row, column in second_cells(block)),
        layout="board",
        breaks=frozenset({len(block.rows)} if block.baselines else ()),
        published=len(block.rows) + len(block.baselines),
    )
