"""A measured model against a published score: the paper's one-sample t-test (KeBioLM, Table 2).

The measured scores are those computed as published numbers are. The published score is taken as exact, since
papers seldom print a deviation; how its runs were trained is its source's affair, and stands in a note.
"""

from dataclasses import dataclass, replace
from typing import Any

from kebench.errors import UserError, did_you_mean
from kebench.grid import UNDEFINED, Cell, Grid, GridRows, Plain, Sheet
from kebench.kinds.registry import KINDS
from kebench.report.compare import (
    NO_SEED_AVERAGE,
    Compared,
    Comparison,
    Settings,
    TaskComparison,
    correct_family,
)
from kebench.report.compare_words import tests_fields
from kebench.report.published import PrintedRow, mark_rows, read_published_tables
from kebench.report.table import PUBLISHED_SUITE, Leaderboard, average_by_seed, find_key, row_of
from kebench.report.words import (
    column_notes,
    column_title,
    columns_of,
    score_title,
    score_words,
    summary_cell,
    summary_fields,
)
from kebench.scoring.metrics import AS_PUBLISHED
from kebench.stats.pvalue import CORRECTIONS, Correction, PValue, Sides
from kebench.stats.seeds import one_sample_t
from kebench.stats.summary import Summary

ONE_SAMPLE = "one-sample"  # the only test


@dataclass(frozen=True)
class PublishedComparison(Comparison):
    """One model against one published row, b: a task's printed score has neither deviation nor n."""

    printed: PrintedRow

    @property
    def family(self) -> list[str]:
        """The tasks over which p-values are corrected: those that have one."""
        return [task.column.heading for task in self.tasks if task.p_values[ONE_SAMPLE].p is not None]


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
    key = find_key(board, model)
    settings = Settings(metric=AS_PUBLISHED, sides=sides, correction=correction)
    found = []
    for table in (table for table in board.tables if table.suite == printed.table.suite):
        tasks, averages, undefined = [], [], []
        for block in table.blocks:
            row = row_of(block.rows, key)
            for column, cell in zip(block.columns, row.cells if row else (), strict=bool(row)):
                score = printed.row.scores.get(column.task)
                if cell and cell.test and score is not None:
                    theirs = Summary(score, None, None)
                    tested = one_sample_t(list(cell.test_percent_by_seed.values()), score, sides=sides)
                    tasks.append(
                        TaskComparison(block.kind, cell.test, theirs, {ONE_SAMPLE: tested}, column, (cell,))
                    )
                elif cell and score is not None:
                    undefined.append((block.kind, column))
            score = printed.row.percent_of(block.kind)
            if row and row.average and score is not None:
                by_seed = average_by_seed([cell for cell in row.cells if cell])
                tested = PValue(None, "one-sample t", sides, (), "seeds", note=NO_SEED_AVERAGE)
                if by_seed is not None:
                    tested = one_sample_t(list(by_seed.values()), score, sides=sides)
                theirs = Summary(score, None, None)
                averages.append(Compared(block.kind, row.average, theirs, {ONE_SAMPLE: tested}))
        if tasks:
            family = correct_family(tasks, (ONE_SAMPLE,), correction)
            measured = (model, printed.row.label, table, settings, family, tuple(averages), tuple(undefined))
            found.append(PublishedComparison(*measured, printed))
    return found


def of_difference(one: Compared) -> Compared:
    """Return a comparison whose test has the interval of the difference, not of the mean."""
    test = one.p_values[ONE_SAMPLE]
    if test.interval is None:
        return one
    interval = (test.interval[0] - one.b.mean, test.interval[1] - one.b.mean)
    return replace(one, p_values={ONE_SAMPLE: test._replace(interval=interval)})


def published_sheet(comparison: PublishedComparison) -> Sheet:
    """Return the comparison as one grid."""
    columns = [(task.kind, task.column) for task in comparison.tasks]
    headings = ("task", comparison.a, "n", "published", "difference", "95% interval", "p", "corrected")
    rows: GridRows = [_row(column_title(task.column), task, comparison) for task in comparison.tasks]
    rows += [(column_title(column), UNDEFINED, *[None] * 6) for _, column in comparison.undefined]
    above = frozenset([len(rows)])  # a rule
    rows += [_row(f"{KINDS[one.kind].title} average", one, comparison) for one in comparison.averages]
    return Sheet(
        title=f"{comparison.a} against {comparison.b} as published: {comparison.table.caption}",
        captions=(
            f"{score_title(columns)} in percent, mean ± sd over seeds, computed as published numbers are. "
            + score_words(columns),
        ),
        grids=(Grid(headings, rows, breaks=above),),
        notes=tuple(_notes(comparison)),
    )


def _row(title: str, one: Compared, comparison: PublishedComparison) -> tuple[Plain, ...]:
    test = of_difference(one).p_values[ONE_SAMPLE]
    return (
        title,
        summary_cell(one.a),
        Cell(one.a.n, "d"),
        Cell(one.b.mean, f".{comparison.printed.table.decimals}f"),
        Cell(one.difference, "+.1f"),
        Cell(form="+.1f", interval=test.interval),
        Cell(test.p, "p"),
        Cell(one.corrected.get(ONE_SAMPLE), "p"),
    )


def _notes(comparison: PublishedComparison) -> list[str]:
    printed, settings = comparison.printed, comparison.settings
    words = {"greater": "one-sided, measured better", "less": "one-sided, published better"}
    said = words.get(settings.sides, settings.sides)
    family = f"{CORRECTIONS[settings.correction]} over the family: {', '.join(comparison.family) or 'none'}"
    notes = [
        f"p: one-sample t-test of n seeds against the published score, {said}; corrected: {family}. The "
        "published score is taken as exact: its own variance over seeds is unknown here, so p is too small.",
        f"Published: {printed.table.source}, {printed.row.source}: {printed.table.protocol}.",
        "The interval is that of the t-test.",
    ]
    if comparison.averages:
        notes.append("Averages: over each seed's average, not corrected; they stand outside the family.")
    exceptions = dict.fromkeys(
        one.p_values[ONE_SAMPLE].note for one in (*comparison.tasks, *comparison.averages)
    )
    undefined = {column.hash for _, column in comparison.undefined}
    shown = {task.column.hash for task in comparison.tasks} | undefined
    columns = [(kind, column) for kind, column in columns_of(comparison.table) if column.hash in shown]
    dashes = (f"A dash: {note}." for note in exceptions if note)
    return [*notes, *dashes, *column_notes(columns, undefined)]


def published_as_fields(comparison: PublishedComparison) -> dict[str, Any]:
    """Return the comparison for JSON, unrounded."""
    return {
        "a": comparison.a,
        "published": comparison.b,
        "source": comparison.printed.table.source,
        "protocol": dict(comparison.table.protocol),
        "metric": comparison.settings.metric,
        "correction": comparison.settings.correction,
        "tasks": [
            {
                "task": task.column.task,
                **summary_fields(task.a),
                "percent_by_seed": dict(cell.test_percent_by_seed),
                "records": [run.identity for run in cell.runs],
                "published_percent": task.b.mean,
                "tests": tests_fields(task),
            }
            for task in comparison.tasks
            for cell in task.cells
        ],
        "averages": [
            {
                "kind": average.kind,
                **summary_fields(average.a),
                "published_percent": average.b.mean,
                "correction": "none",
                "tests": tests_fields(average),
            }
            for average in comparison.averages
        ],
    }
