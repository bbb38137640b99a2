"""Comparisons for programs: a row a test, flat, for CSV and pandas; and the JSON of `kebench significance`.

A p-value never stands without its test, sides, n, correction and family. Nothing is rounded; what a test does
not have is None (empty in CSV). Averages are rows too, of the task `average`, outside the family.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from kebench.report.compare import RESAMPLED, TESTS, Compared, Comparison, Settings
from kebench.report.compare_published import ONE_SAMPLE, PublishedComparison, of_difference
from kebench.report.compare_words import family_of
from kebench.report.export import UNDEFINED
from kebench.report.significance import Significance
from kebench.report.table import Column, Table
from kebench.report.words import summary_fields
from kebench.scoring.metrics import METRICS
from kebench.stats.seeds import hedges_g

# The fields of a test, in the order of the CSV's columns.
FIELDS = (
    "suite",
    "protocol",
    "metric",
    "kind",
    "task",  # `average` for the average of a kind
    "column",  # the hash of the task's protocol
    "a",
    "b",
    "a_mean_percent",
    "a_sd_percent",
    "a_n",
    "b_mean_percent",
    "b_sd_percent",
    "b_n",
    "difference_percent",  # a less b
    "hedges_g",
    "test",
    "sides",
    "n",  # of each sample, in `unit`
    "unit",
    "resamples",
    "resample_seed",
    "statistic",
    "df",
    "interval_low_percent",  # of the difference, by this very test
    "interval_high_percent",
    "confidence",
    "p",
    "p_corrected",
    "correction",
    "family",  # what it was corrected over, in words
    "family_size",
    "note",  # why there is no p-value
)
Row = dict[str, Any]


def comparison_rows(comparison: Comparison) -> Iterator[Row]:
    """Yield a row for each test of each task, then of each average."""
    settings = comparison.settings
    shared = {**_table_fields(comparison.table, settings), "a": comparison.a, "b": comparison.b}
    families = {name: family_of(comparison, name) for name in TESTS}
    made = {name: _made(name, settings, ", ".join(tasks), len(tasks)) for name, tasks in families.items()}
    for task in comparison.tasks:
        yield from _test_rows(task, shared | _column_fields(task.column), made)
    for kind, column in comparison.undefined:
        note = UNDEFINED.format(lacks=METRICS[column.metric].lacks)
        yield _complete({**shared, "kind": kind, **_column_fields(column), "note": note})
    for average in comparison.averages:
        yield from _test_rows(average, {**shared, "task": "average"}, {})
    if comparison.overall:
        yield from _test_rows(comparison.overall, {**shared, "task": OVERALL}, made_overall(settings))


def made_overall(settings: Settings) -> Mapping[str, Row]:
    """Return how the tests of a suite's one score were drawn, which are in no family."""
    alone = settings._replace(correction="none")
    return {name: _made(name, alone, "", 0) for name in ("permutation", "bootstrap")}


def published_rows(comparison: PublishedComparison) -> Iterator[Row]:
    """Yield a row for each task, then for each average. b: the published row; it has a score alone."""
    settings, source = comparison.settings, comparison.printed.table.source
    shared = {**_table_fields(comparison.table, settings), "a": comparison.a}
    shared["b"] = f"{comparison.b} ({source})"
    tested = comparison.family
    made = {ONE_SAMPLE: _made(ONE_SAMPLE, settings, ", ".join(tested), len(tested))}
    for task in comparison.tasks:
        yield from _test_rows(of_difference(task), shared | _column_fields(task.column), made)
    for average in comparison.averages:
        yield from _test_rows(of_difference(average), {**shared, "task": "average"}, {})


def significance_rows(found: Significance) -> Iterator[Row]:
    """Yield a row for each pair of models on each task; a is the one with the better mean."""
    test: str = found.test
    shared = _table_fields(found.table, found.settings)
    family_size = sum(pair.raw is not None for pair in found.pairs)
    family = "all pairs of models on all tasks of the table"
    made = {test: _made(test, found.settings, family, family_size)}
    columns = {column.hash: (kind, column) for kind, column in found.columns}
    for pair in found.pairs:
        kind, column = columns[pair.task]
        a, b = found.cells[pair.better, pair.task], found.cells[pair.worse, pair.task]
        by_seed = [list(cell.test_percent_by_seed.values()) for cell in (a, b)]
        tested, corrected = {test: pair.tested}, {test: pair.p}
        one = Compared(kind, a.score, b.score, tested, corrected=corrected, hedges_g=hedges_g(*by_seed))
        models = {"a": found.labels[pair.better], "b": found.labels[pair.worse]}
        yield from _test_rows(one, shared | models | _column_fields(column), made)
    for better, worse, one in found.overall:
        models = {"a": found.labels[better], "b": found.labels[worse]}
        how = dict(made_overall(found.settings))
        how["permutation"] = _made(
            "permutation", found.settings, "all pairs of models that have the score", len(found.overall)
        )
        yield from _test_rows(one, {**shared, **models, "task": OVERALL}, how)


def significance_fields(found: Significance) -> dict[str, Any]:
    """Return the tests of a table's models for JSON, and their mean ranks where there are any."""
    ranking = found.ranking
    labels = [found.labels[key] for key in found.ranked]
    friedman = {"test": "Friedman", "sides": "omnibus", "correction": "none", "models": labels}
    return {
        "suite": found.table.suite,
        "protocol": dict(found.table.protocol),
        "metric": found.settings.metric,
        "correction": found.settings.correction,
        "tests": list(significance_rows(found)),
        "ranking": ranking and {**friedman, **ranking._asdict()},
    }


OVERALL = "overall"  # what stands for a task where the number is a suite's one score


def _test_rows(one: Compared, shared: Row, made: Mapping[str, Row]) -> Iterator[Row]:
    """Yield a row for each test. made: how each was drawn and corrected; what is not in it, was not."""
    row = {**shared, "kind": one.kind, "difference_percent": one.difference, "hedges_g": one.hedges_g}
    for side, summary in (("a", one.a), ("b", one.b)):
        row |= {f"{side}_{name}": number for name, number in summary_fields(summary).items()}
    for name, test in one.p_values.items():
        low, high = test.interval or (None, None)
        tested = {
            **test._asdict(),
            "interval_low_percent": low,
            "interval_high_percent": high,
            "confidence": test.confidence if test.interval else None,
            "p_corrected": one.corrected.get(name),
            "note": test.note or None,
        }
        yield _complete(row | tested | made.get(name, {"correction": "none"}))


def _made(test: str, settings: Settings, family: str, size: int) -> Row:
    """Return how a test was drawn, and over what its p-values were corrected."""
    row: Row = {"correction": settings.correction}
    if settings.correction != "none":
        row |= {"family": family, "family_size": size}
    if test in RESAMPLED:
        row |= {"resamples": settings.num_resamples, "resample_seed": settings.seed}
    return row


def _complete(row: Row) -> Row:
    return {field: row.get(field) for field in FIELDS}


def _table_fields(table: Table, settings: Settings) -> Row:
    return {"suite": table.suite, "protocol": table.caption, "metric": settings.metric}


def _column_fields(column: Column) -> Row:
    return {"task": column.task, "column": column.hash}
