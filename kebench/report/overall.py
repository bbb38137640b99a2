"""The one score of a suite: the mean of a model's averages by kind of task (Gu et al. 2022).

A model has one if it has every task of the suite. Its deviation is that of each seed's score where all tasks
have the same seeds, else what the deviations of the tasks make of it, whose runs are independent.
"""

from math import sqrt
from typing import NamedTuple

from kebench.grid import Grid, GridRows
from kebench.kinds.registry import KINDS
from kebench.report.table import Cell, Column, RowKey, Table, average_by_seed, best_and_second, row_of
from kebench.report.words import printed_cell, summary_cell
from kebench.stats.summary import Summary, summarise


class Part(NamedTuple):
    """A task's part in a score: its kind, column and cell, and its weight; weights sum to 1."""

    kind: str
    column: Column
    cell: Cell
    weight: float


class Overall(NamedTuple):
    """A model's averages by the suite's kinds, and its score."""

    key: RowKey
    label: str
    averages: tuple[Summary | None, ...]
    score: Summary | None


def overall_of(table: Table) -> list[Overall]:
    """Return the averages and the score of each model, the best score first; [] where a suite has none."""
    if not table.score or len(table.blocks) < 2:
        return []
    found = []
    for key, label in {row.key: row.label for block in table.blocks for row in block.rows}.items():
        rows = {block.kind: row_of(block.rows, key) for block in table.blocks}
        averages = tuple(row.average if (row := rows.get(kind)) else None for kind in table.kinds)
        found.append(Overall(key, label, averages, _score(score_parts(table, key))))
    found.sort(key=lambda one: one.label)
    found.sort(key=lambda one: (one.score is None, -(one.score.mean if one.score else 0)))
    return found


def score_parts(table: Table, key: RowKey) -> list[Part]:
    """Return what a model's score is made of, [] if it has none."""
    rows = {block.kind: (block, row_of(block.rows, key)) for block in table.blocks}
    parts: list[Part] = []
    for kind in table.kinds:
        block, row = rows.get(kind, (None, None))
        if not (block and row and row.average):
            return []
        weight = 1 / (len(table.kinds) * len(block.columns))
        parts += [
            Part(kind, column, cell, weight)
            for column, cell in zip(block.columns, row.cells, strict=True)
            if cell
        ]
    return parts


def scores_by_seed(parts: list[Part]) -> dict[int, float] | None:
    """Return the score of each seed, None where the tasks have different seeds."""
    if not parts or average_by_seed([part.cell for part in parts]) is None:
        return None
    seeds = sorted(parts[0].cell.test_percent_by_seed)
    return {seed: sum(one.weight * one.cell.test_percent_by_seed[seed] for one in parts) for seed in seeds}


def _score(parts: list[Part]) -> Summary | None:
    if not parts:
        return None
    if by_seed := scores_by_seed(parts):
        return summarise(list(by_seed.values()))
    mean = sum(part.weight * part.cell.score.mean for part in parts)
    deviations = [part.cell.score.sd for part in parts]
    if None in deviations:
        return Summary(mean, None, None)
    sd = sqrt(sum((one.weight * (one.cell.score.sd or 0)) ** 2 for one in parts))
    return Summary(mean, sd, None)


def overall_grid(table: Table) -> Grid | None:
    """Return models by kinds, the score behind them, and published rows below; None if no model has one."""
    found = overall_of(table)
    if not any(one.score for one in found):
        return None
    means = [[one.mean if one else None for one in (*overall.averages, overall.score)] for overall in found]
    best, second = (frozenset((row, 1 + at) for row, at in one) for one in best_and_second(means))
    rows: GridRows = [(one.label, *map(summary_cell, one.averages), summary_cell(one.score)) for one in found]
    names = (*table.kinds, table.suite)
    printed = {
        (one.table.source, one.row.label): one for block in table.blocks for one in block.published
    }.values()
    shown = [one for one in printed if one.row.percent_of(table.suite) is not None]
    rows += [
        (
            f"{one.row.label} {one.mark}",
            *(printed_cell(one.row, name, one.table.decimals) for name in names),
        )
        for one in shown
    ]
    headings = ("averages", *(KINDS[kind].title for kind in table.kinds), table.score)
    return Grid(headings, rows, best=best, second=second, layout="board", published=len(found))


def overall_notes(table: Table) -> list[str]:
    """Say what the score is, and what models without one lack."""
    found = overall_of(table)
    if not found:
        return []
    notes = []
    if any(one.score for one in found):
        notes.append(f"{table.score}: the mean of the averages of the {len(table.kinds)} kinds of task.")
    if any(one.score and one.score.sd is not None and one.score.n is None for one in found):
        notes.append(
            f"Tasks have different seeds: the deviation of the {table.score} is made of theirs, as of "
            "independent runs."
        )
    lacking: dict[str, list[str]] = {}
    for one in (one for one in found if not one.score):
        lacking.setdefault(", ".join(lacking_tasks(table, one.key)), []).append(one.label)
    if lacking and table.protocol:
        notes.append("Runs under other protocols are in other tables; --across-protocols puts all into one.")
    notes += [
        f"No {table.score} of {', '.join(labels)}: under this protocol without {tasks}."
        for tasks, labels in lacking.items()
    ]
    return notes


def lacking_tasks(table: Table, key: RowKey) -> list[str]:
    """Name the tasks of the suite of which a model has no score, or several under other protocols."""
    scores: dict[str, list[bool]] = {task: [] for task in table.tasks}
    for _, row, column, cell in table.measured:
        if row.key == key:
            scores.setdefault(column.task, []).append(cell.test is not None)
    said = {0: "", 1: " (undefined)"}
    return [
        task + (said[len(held)] if len(held) < 2 else " (under several protocols)")
        for task, held in scores.items()
        if held != [True]
    ]
