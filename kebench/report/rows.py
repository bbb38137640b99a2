"""Finds a model's row in a leaderboard: by its label, or by the model's name where that is one row."""

from collections.abc import Sequence

from kebench.errors import UserError, did_you_mean
from kebench.report.table import Leaderboard, Row, RowKey


def find_key(board: Leaderboard, name: str) -> RowKey:
    """Return what a label stands for, or a model's name if only one row is of it.

    Raises UserError if there is no such row, or if a name is that of several weights or modes.
    """
    keys = {row.label: row.key for table in board.tables for block in table.blocks for row in block.rows}
    if name in keys:
        return keys[name]
    of_model = {label: key for label, key in keys.items() if key.model == name}
    if len(of_model) > 1:
        rows = ", ".join(sorted(of_model))
        raise UserError(f"model '{name}' has several rows: {rows}; name one of them in quotes")
    if of_model:
        return next(iter(of_model.values()))
    known = ", ".join(sorted(keys))
    raise UserError(f"no records of model '{name}'{did_you_mean(name, keys)} there are {known}")


def row_of(rows: Sequence[Row], key: RowKey) -> Row | None:
    """Return the row of a key, None if there is none."""
    return next((row for row in rows if row.key == key), None)
