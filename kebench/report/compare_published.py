"""A measured model against a published score: the paper's one-sample t-test (KeBioLM, Table 2).

The measured scores are those computed as published numbers are. The published score is taken as exact, since
papers seldom print a deviation; how its runs were trained is its source's affair, and stands in a note.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from kebench.errors import UserError, did_you_mean
from kebench.grid import UNDEFINED, Cell, Grid, GridRows, Sheet
from kebench.kinds.registry import KINDS
from kebench.report.compare import NO_SEED_AVERAGE
from kebench.report.published import PrintedRow, mark_rows, read_published_tables
from kebench.report.rows import find_key, row_of
from kebench.report.table import PUBLISHED_SUITE, Column, Leaderboard, RowKey, Table, average_by_seed
from kebench.report.table import Cell as TaskCell
from kebench.report.words import (
    column_notes,
    column_title,
    score_title,
    score_words,
    summary_cell,
    summary_fields,
)
from kebench.scoring.metrics import AS_PUBLISHED
from kebench.stats.families import CORRECTIONS, Correction, correct
from kebench.stats.pvalue import PValue, Sides
from kebench.stats.seeds import one_sample_t
from kebench.stats.summary import Summary


@dataclass(frozen=True)
class PublishedComparison:
    """One model against one published row. tasks: those that both have: column, cell, printed score, test.

    averages: likewise of the kinds whose average both have; not corrected, and in no family.
    undefined: tasks, with their kinds, of which we have no score, since the test set has no gold.
    """

    model: str
    printed: PrintedRow
    table: Table
    kinds: tuple[str, ...]
    tasks: tuple[tuple[Column, TaskCell, float, PValue], ...]
    correction: Correction
    corrected: tuple[float | None, ...]
    averages: tuple[tuple[str, Summary, float, PValue], ...]
    undefined: tuple[tuple[str, Column], ...] = ()


def printed_rows_of(model: str) -> list[PrintedRow]:
    """Return the published rows of a model or label. Raises UserError if none is shipped."""
    printed = mark_rows(read_published_tables(PUBLISHED_SUITE))
    rows = [one for one in printed if model in (one.row.model, one.row.label)]
    if not rows:
        known = {one.row.model for one in printed}
        raise UserError(
            f"no published row of '{model}'{did_you_mean(model, known)} there are {', '.join(sorted(known))}"
        )
    return rows


def compare_published(
    board: Leaderboard, model: str, printed: PrintedRow, *, sides: Sides, correction: Correction
) -> list[PublishedComparison]:
    """Test a model's seeds against a published row's scores, in each table of the row's suite.

    Nothing, if the model has none of its tasks. Raises UserError if the row may not be compared.
    """
    assert board.metric == AS_PUBLISHED, "published scores are compared with scores computed as they are"
    if not printed.row.comparable:
        raise UserError(f"{printed.row.label} of {printed.table.source}: {printed.row.reason}; not compared")
    tables = [table for table in board.tables if table.suite == printed.table.suite]
    key = find_key(board, model)
    compared = [_compare_in(table, key, model, printed, sides, correction) for table in tables]
    return [comparison for comparison in compared if comparison]


def _compare_in(
    table: Table, key: RowKey, model: str, printed: PrintedRow, sides: Sides, correction: Correction
) -> PublishedComparison | None:
    tasks, kinds, averages, undefined = [], [], [], []
    for block in table.blocks:
        row = row_of(block.rows, key)
        for column, cell in zip(block.columns, row.cells if row else (), strict=bool(row)):
            score = printed.row.scores.get(column.task)
            if cell and cell.test and score is not None:
                tested = _one_sample(list(cell.test_percent_by_seed.values()), score, sides)
                tasks.append((column, cell, score, tested))
                kinds.append(block.kind)
            elif cell and score is not None:
                undefined.append((block.kind, column))
        printed_average = printed.row.percent_of(block.kind)
        if row and row.average and printed_average is not None:
            by_seed = average_by_seed([cell for cell in row.cells if cell])
            tested = PValue(None, "one-sample t", sides, (), "seeds", note=NO_SEED_AVERAGE)
            if by_seed is not None:
                tested = _one_sample(list(by_seed.values()), printed_average, sides)
            averages.append((block.kind, row.average, printed_average, tested))
    if not tasks:
        return None
    corrected = correct([test.p for *_, test in tasks], correction)
    kinds = list(dict.fromkeys(kinds))
    return PublishedComparison(
        model, printed, table, tuple(kinds), tuple(tasks), correction, tuple(corrected), tuple(averages),
        tuple(undefined),
    )  # fmt: skip


def _one_sample(scores: Sequence[float], score: float, sides: Sides) -> PValue:
    if len(scores) < 2:
        return PValue(None, "one-sample t", sides, (len(scores),), "seeds", note="it needs two seeds")
    return one_sample_t(scores, score, sides=sides)


def published_sheet(comparison: PublishedComparison) -> Sheet:
    """Return the comparison as one grid."""
    printed = comparison.printed
    tested = {column.hash for column, *_ in comparison.tasks}
    blocks = comparison.table.blocks
    columns = [(block.kind, one) for block in blocks for one in block.columns if one.hash in tested]
    return Sheet(
        title=f"{comparison.model} against {printed.row.label} as published: {comparison.table.caption}",
        captions=(
            f"{score_title(columns)} in percent, mean ± sd over seeds, computed as published numbers are. "
            + score_words(columns),
        ),
        grids=(_grid(comparison),),
        notes=tuple(_notes(comparison)),
    )


def _grid(comparison: PublishedComparison) -> Grid:
    headings = ("task", comparison.model, "n", "published", "difference", "95% interval", "p", "corrected")
    decimals = comparison.printed.table.decimals
    rows: GridRows = [
        (column_title(column), *_cells(cell.score, score, test, corrected, decimals))
        for (column, cell, score, test), corrected in zip(comparison.tasks, comparison.corrected, strict=True)
    ]
    rows += [(column_title(column), UNDEFINED, *[None] * 6) for _, column in comparison.undefined]
    rows += [
        (f"{KINDS[kind].title} average", *_cells(average, score, test, None, decimals))
        for kind, average, score, test in comparison.averages
    ]
    return Grid(headings, rows, breaks=frozenset([len(comparison.tasks) + len(comparison.undefined)]))


def _cells(
    ours: Summary, score: float, test: PValue, corrected: float | None, decimals: int
) -> tuple[Cell, ...]:
    return (
        summary_cell(ours),
        Cell(ours.n, "d"),
        Cell(score, f".{decimals}f"),
        Cell(ours.mean - score, "+.1f"),
        Cell(form="+.1f", interval=test.interval and (test.interval[0] - score, test.interval[1] - score)),
        Cell(test.p, "p"),
        Cell(corrected, "p"),
    )


def _notes(comparison: PublishedComparison) -> list[str]:
    printed = comparison.printed
    sides = next(test.sides for *_, test in comparison.tasks)
    said = {"greater": "one-sided, measured better", "less": "one-sided, published better"}.get(sides, sides)
    tested = [column.heading for column, _, _, test in comparison.tasks if test.p is not None]
    family = f"{CORRECTIONS[comparison.correction]} over the family: {', '.join(tested) or 'none'}"
    notes = [
        f"p: one-sample t-test of n seeds against the published score, {said}; corrected: {family}. The "
        "published score is taken as exact: its own variance over seeds is unknown here, so p is too small.",
        f"Published: {printed.table.source}, {printed.row.source}: {printed.table.protocol}.",
        "The interval is that of the t-test.",
    ]
    if comparison.averages:
        notes.append("Averages: over each seed's average, not corrected; they stand outside the family.")
    tested_all = (*comparison.tasks, *comparison.averages)
    exceptions = {test.note: None for *_, test in tested_all if test.note}
    undefined = {column.hash for _, column in comparison.undefined}
    shown = {column.hash for column, *_ in comparison.tasks} | undefined
    columns = [(block.kind, one) for block in comparison.table.blocks for one in block.columns]
    marks = column_notes([pair for pair in columns if pair[1].hash in shown], undefined)
    return [*notes, *(f"A dash: {note}." for note in exceptions), *marks]


def published_as_fields(comparison: PublishedComparison) -> dict[str, Any]:
    """Return the comparison for JSON, unrounded."""
    rows = [
        {
            "task": column.task,
            **summary_fields(cell.score),
            "percent_by_seed": dict(cell.test_percent_by_seed),
            "records": [run.identity for run in cell.runs],
            "published_percent": score,
            "tests": [{**test._asdict(), "p_corrected": corrected}],
        }
        for (column, cell, score, test), corrected in zip(comparison.tasks, comparison.corrected, strict=True)
    ]
    return {
        "a": comparison.model,
        "published": comparison.printed.row.label,
        "source": comparison.printed.table.source,
        "protocol": dict(comparison.table.protocol),
        "metric": AS_PUBLISHED,
        "correction": comparison.correction,
        "tasks": rows,
        "averages": [
            {
                "kind": kind,
                **summary_fields(average),
                "published_percent": score,
                "correction": "none",
                "tests": [{**test._asdict(), "p_corrected": None}],
            }
            for kind, average, score, test in comparison.averages
        ],
    }
