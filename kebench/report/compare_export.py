"""Comparisons for programs: a row a test, flat, for CSV and pandas; and the JSON of `kebench significance`.

A p-value never stands without its test, sides, n, correction and family. Nothing is rounded; what a test does
not have is None (empty in CSV). Averages are rows too, of the task `average`, outside the family.
"""

from collections.abc import Iterator
from typing import Any

from kebench.report.compare import AVERAGE_TESTS, RESAMPLED, TESTS, Comparison
from kebench.report.compare_published import PublishedComparison
from kebench.report.compare_words import family_of
from kebench.report.export import UNDEFINED
from kebench.report.significance import Significance
from kebench.report.table import Column, Table
from kebench.scoring.metrics import METRICS
from kebench.stats.pvalue import PValue
from kebench.stats.seeds import hedges_g
from kebench.stats.summary import Summary

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
    shared = {**_table_fields(comparison.table), "metric": settings.metric}
    shared |= {"a": comparison.a, "b": comparison.b}
    families = {name: family_of(comparison, name) for name in TESTS}
    for task in comparison.tasks:
        what = {**shared, "kind": task.kind, **_column_fields(task.column), "hedges_g": task.hedges_g}
        what |= _sides_fields(task.a.score, task.b.score)
        for name in TESTS:
            family = _family_fields(settings.correction, ", ".join(families[name]), len(families[name]))
            drawn = _drawn(name, settings.num_resamples, settings.seed)
            corrected = task.corrected[name]
            yield _complete(what | _test_fields(task.p_values[name], corrected) | family | drawn)
    for kind, column in comparison.undefined:
        note = UNDEFINED.format(lacks=METRICS[column.metric].lacks)
        yield _complete({**shared, "kind": kind, **_column_fields(column), "note": note})
    for average in comparison.averages:
        what = {**shared, "kind": average.kind, "task": "average", "hedges_g": average.hedges_g}
        what |= _sides_fields(average.a, average.b)
        for name in AVERAGE_TESTS:
            yield _complete(what | _test_fields(average.p_values[name], None) | _NO_FAMILY)


def published_rows(comparison: PublishedComparison) -> Iterator[Row]:
    """Yield a row for each task, then for each average. b: the published row; it has a score alone."""
    printed = comparison.printed
    shared = {**_table_fields(comparison.table), "metric": "as-published"}
    shared |= {"a": comparison.model, "b": f"{printed.row.label} ({printed.table.source})"}
    tested = [column.heading for column, _, _, test in comparison.tasks if test.p is not None]
    family = _family_fields(comparison.correction, ", ".join(tested), len(tested))
    kinds = {column.hash: block.kind for block in comparison.table.blocks for column in block.columns}
    for (column, cell, score, test), p in zip(comparison.tasks, comparison.corrected, strict=True):
        what = {**shared, "kind": kinds[column.hash], **_column_fields(column)}
        what |= _sides_fields(cell.score, Summary(score, None, None))
        yield _complete(what | _test_fields(_of_difference(test, score), p) | family)
    for kind, average, score, test in comparison.averages:
        what = {**shared, "kind": kind, "task": "average"}
        what |= _sides_fields(average, Summary(score, None, None))
        yield _complete(what | _test_fields(_of_difference(test, score), None) | _NO_FAMILY)


def significance_rows(found: Significance) -> Iterator[Row]:
    """Yield a row for each pair of models on each task; a is the one with the better mean."""
    settings = found.settings
    shared = {**_table_fields(found.table), "metric": settings.metric}
    tested = sum(pair.raw is not None for pair in found.pairs)
    family = _family_fields(settings.correction, "all pairs of models on all tasks of the table", tested)
    drawn = _drawn(found.test, settings.num_resamples, settings.seed)
    columns = {column.hash: (kind, column) for kind, column in found.columns}
    for pair in found.pairs:
        kind, column = columns[pair.task]
        a, b = found.cells[pair.better, pair.task], found.cells[pair.worse, pair.task]
        by_seed = [list(cell.test_percent_by_seed.values()) for cell in (a, b)]
        what = {**shared, "kind": kind, **_column_fields(column), **_sides_fields(a.score, b.score)}
        what |= {"a": found.labels[pair.better], "b": found.labels[pair.worse]}
        what["hedges_g"] = hedges_g(*by_seed) if min(map(len, by_seed)) > 1 else None
        yield _complete(what | _test_fields(pair.tested, pair.p) | family | drawn)


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


def _complete(row: Row) -> Row:
    return {field: row.get(field) for field in FIELDS}


def _table_fields(table: Table) -> Row:
    return {"suite": table.suite, "protocol": table.caption}


def _column_fields(column: Column) -> Row:
    return {"task": column.task, "column": column.hash}


def _sides_fields(a: Summary, b: Summary) -> Row:
    of_each = {
        f"{side}_{name}": number
        for side, summary in (("a", a), ("b", b))
        for name, number in zip(("mean_percent", "sd_percent", "n"), summary, strict=True)
    }
    return {**of_each, "difference_percent": a.mean - b.mean}


def _of_difference(test: PValue, score: float) -> PValue:
    """Return a one-sample test with the interval of the difference, not of the mean."""
    if test.interval is None:
        return test
    low, high = test.interval
    return test._replace(interval=(low - score, high - score))


def _test_fields(test: PValue, corrected: float | None) -> Row:
    low, high = test.interval or (None, None)
    return {
        "test": test.test,
        "sides": test.sides,
        "n": test.n,
        "unit": test.unit,
        "statistic": test.statistic,
        "df": test.df,
        "interval_low_percent": low,
        "interval_high_percent": high,
        "confidence": test.confidence if test.interval else None,
        "p": test.p,
        "p_corrected": corrected,
        "note": test.note or None,
    }


def _drawn(name: str, num_resamples: int, seed: int) -> Row:
    return {"resamples": num_resamples, "resample_seed": seed} if name in RESAMPLED else {}


def _family_fields(correction: str, family: str, size: int) -> Row:
    if correction == "none":
        return _NO_FAMILY
    return {"correction": correction, "family": family, "family_size": size}


_NO_FAMILY: Row = {"correction": "none"}
