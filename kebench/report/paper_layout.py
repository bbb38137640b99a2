"""Tables 2, 3 and 4 of the KeBioLM paper with scores of ours on another suite, such as the miniature."""

from collections.abc import Mapping
from typing import NamedTuple

from kebench.errors import UserError
from kebench.grid import Grid, GridRows, Sheet
from kebench.report.published import PublishedTable
from kebench.report.rows import find_key, row_of
from kebench.report.table import Leaderboard, RowKey, Table
from kebench.report.words import (
    KIND_TITLES,
    average_cell,
    column_notes,
    column_title,
    task_cell,
    undefined_columns,
)


class _Variant(NamedTuple):
    """A row of the printed table, and our model in its place."""

    label: str
    key: RowKey


def layout_sheets(
    board: Leaderboard, published: PublishedTable, *, suite: str, measured_as: Mapping[str, str]
) -> list[Sheet]:
    """Return the table's layout with our scores on a suite, one sheet for each protocol of ours.

    measured_as: which of our models stands for a published row, by the row's model; one of the same name does
    where none is named. Raises UserError if none stands there.
    """
    tables = [table for table in board.tables if table.suite == suite]
    models = {row.key.model for table in tables for block in table.blocks for row in block.rows}
    variants = [
        _Variant(row.label, find_key(board, measured_as.get(row.model, row.model)))
        for row in published.rows
        if row.model in measured_as or row.model in models
    ]
    sheets = [_sheet(table, published, variants) for table in tables]
    found = [sheet for sheet in sheets if sheet]
    if not found:
        raise UserError(
            f"no records on the suite {suite} of a model of this table; say which of yours stands where by "
            f"--as MODEL=ROW, with the rows {', '.join(row.model for row in published.rows)}"
        )
    return found


def _sheet(table: Table, published: PublishedTable, variants: list[_Variant]) -> Sheet | None:
    grids = []
    for block in table.blocks:
        shown = [
            (variant, row) for variant in variants if (row := row_of(block.rows, variant.key)) is not None
        ]
        if not shown:
            continue
        rows: GridRows = [
            (column_title(column), *(task_cell(row.cells[place], show_n=False) for _, row in shown))
            for place, column in enumerate(block.columns)
        ]
        averages = (average_cell(row, show_n=False) for _, row in shown)
        rows.append((f"{KIND_TITLES[block.kind]} average", *averages))
        headings = ("ours", *(variant.label for variant, _ in shown))
        grids.append(Grid(headings, rows, breaks=frozenset({len(rows) - 1})))
    if not grids:
        return None
    named = "; ".join(f"{variant.label}: {variant.key.model}" for variant in variants)
    return Sheet(
        title=f"The layout of {published.source}, with ours on the suite {table.suite}: {table.caption}",
        captions=("F1 in percent, mean ± sd; scored as published numbers are", named),
        grids=tuple(grids),
        notes=(
            f"The suite {table.suite} is not the paper's: hold the order of columns against the printed one, "
            "not the scores. 'kebench compare' says which differences hold.",
            *column_notes(
                [(block.kind, column) for block in table.blocks for column in block.columns],
                undefined_columns(table),
            ),
        ),
    )
