"""Two models, task by task: how much better is the first, and would that hold for other seeds and sentences?

What is compared stands in one table of the leaderboard: one protocol, each model at the rate that won on dev.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from kebench.errors import UserError
from kebench.kinds.registry import metric_of
from kebench.records import Record
from kebench.report.rows import find_key, row_of
from kebench.report.table import Cell, Choice, Column, Leaderboard, RowKey, Table, average_by_seed
from kebench.scoring.metrics import METRICS, OWN
from kebench.stats.dominance import Dominance, almost_stochastic_order
from kebench.stats.families import Correction, correct
from kebench.stats.pvalue import PValue, Sides
from kebench.stats.resampling import NUM_RESAMPLES, Floats, paired_bootstrap, permutation_test
from kebench.stats.seeds import hedges_g, paired_t, seeds_needed, welch_t
from kebench.stats.summary import Summary
from kebench.stats.units import Unit, sum_by_document, unit_word

Predictions = Callable[[Record], dict[str, Any]]
UnitStatistics = Callable[[Record], Floats]
NO_SEED_AVERAGE = "the tasks of a model have different seeds, so no seed has an average"
SAME_SEEDS = "it needs the same seeds of both models"
SAME_LABELS = "a model predicts a label that stands in no gold, and others do not"
TESTS = ("welch", "paired", "permutation", "bootstrap", "both")
RESAMPLED = ("permutation", "bootstrap", "both")
AVERAGE_TESTS = ("welch", "paired")


class Settings(NamedTuple):
    """How two models are compared. seed: of the resamples. without_seen: what the records were scored on."""

    metric: Choice = OWN
    sides: Sides = "two-sided"
    correction: Correction = "holm"
    unit: Unit = "example"
    num_resamples: int = NUM_RESAMPLES
    seed: int = 0
    without_seen: bool = False


@dataclass(frozen=True)
class TaskComparison:
    """Two models on one task. p_values: by the names in TESTS; `corrected` likewise, within the family.

    seeds_needed: to see a difference of 0.5 points with the larger of the two deviations; None beyond 1,000
    or with one seed.
    """

    column: Column
    kind: str
    a: Cell
    b: Cell
    p_values: Mapping[str, PValue]
    corrected: Mapping[str, float | None]
    hedges_g: float | None
    dominance: Dominance | None
    seeds_needed: int | None

    @property
    def difference(self) -> float:
        """The first model's mean less the second's, in percent."""
        return self.a.score.mean - self.b.score.mean


@dataclass(frozen=True)
class AverageComparison:
    """Two models' averages over all tasks of a kind, as the leaderboard has them.

    p_values: `welch` and `paired`, over each seed's average; never corrected, and in no family.
    """

    kind: str
    tasks: tuple[str, ...]
    a: Summary
    b: Summary
    p_values: Mapping[str, PValue]
    hedges_g: float | None

    @property
    def difference(self) -> float:
        """The first model's average less the second's, in percent."""
        return self.a.mean - self.b.mean


@dataclass(frozen=True)
class Comparison:
    """Two models on the tasks that both have under one protocol: a family of tests.

    averages: of the kinds of which both have every task of the suite.
    undefined: tasks, with their kinds, that both have and that have no score: no gold in the test set.
    """

    a: str
    b: str
    table: Table
    settings: Settings
    tasks: tuple[TaskComparison, ...]
    averages: tuple[AverageComparison, ...]
    undefined: tuple[tuple[str, Column], ...] = ()


def compare(
    board: Leaderboard, a: str, b: str, *, settings: Settings, predictions: Predictions
) -> list[Comparison]:
    """Compare two rows of a leaderboard, in each table that has both of them on a task.

    a, b: labels of rows, or names of models where these are one row. predictions: reads what stands beside a
    record. Raises UserError if there is no such row, or no table in which both have a task.
    """
    keys = find_key(board, a), find_key(board, b)
    if keys[0] == keys[1]:
        raise UserError(f"{a} and {b} are one row of the leaderboard; name two models")
    counts = unit_counts(predictions, settings)
    compared = [_compare_in(table, keys, (a, b), settings, counts) for table in board.tables]
    found = [comparison for comparison in compared if comparison and comparison.tasks]
    if undefined := [column for one in compared if one for _, column in one.undefined if not found]:
        metric, tasks = METRICS[undefined[0].metric], ", ".join(column.task for column in undefined)
        raise UserError(
            f"{a} and {b}: {metric.title} is undefined on {tasks}, of which the test set has no "
            f"{metric.lacks}; nothing to compare"
        )
    if not found:
        raise UserError(
            f"{a} and {b} have no task under one protocol (see 'kebench leaderboard'); run both with the "
            "same budget and subset"
        )
    return found


def _compare_in(
    table: Table,
    keys: tuple[RowKey, RowKey],
    names: tuple[str, str],
    settings: Settings,
    counts: UnitStatistics,
) -> Comparison | None:
    """Compare the two in one table; None if they share no column of it."""
    pairs, undefined = [], []
    for block in table.blocks:
        first, second = (row_of(block.rows, key) for key in keys)
        if first and second:
            for column, one, other in zip(block.columns, first.cells, second.cells, strict=True):
                if one and other and one.test and other.test:
                    pairs.append((column, block.kind, one, other))
                elif one and other:
                    undefined.append((block.kind, column))
    if not pairs and not undefined:
        return None
    tests = [_test(kind, one, other, settings, counts) for _, kind, one, other in pairs]
    corrected = {name: correct([test[name].p for test in tests], settings.correction) for name in TESTS}
    tasks = tuple(
        TaskComparison(
            column,
            kind,
            one,
            other,
            test,
            {name: corrected[name][place] for name in TESTS},
            *_sizes(one, other, settings.seed),
        )
        for place, ((column, kind, one, other), test) in enumerate(zip(pairs, tests, strict=True))
    )
    return Comparison(*names, table, settings, tasks, _averages(table, keys, settings), tuple(undefined))


def _test(kind: str, a: Cell, b: Cell, settings: Settings, counts: UnitStatistics) -> dict[str, PValue]:
    """Return the p-values of one task by the names in TESTS."""
    tests = {
        name: p_value_of(name, kind, a, b, settings, counts)
        for name in ("welch", "paired", "permutation", "bootstrap")
    }
    return tests | {"both": _both(tests["welch"], tests["permutation"])}


def p_value_of(name: str, kind: str, a: Cell, b: Cell, settings: Settings, counts: UnitStatistics) -> PValue:
    """Return the p-value of one of TESTS on one task."""
    by_seed = a.test_percent_by_seed, b.test_percent_by_seed
    match name:
        case "welch":
            return _welch(*by_seed, settings.sides)
        case "paired":
            return _paired(*by_seed, settings.sides)
        case "permutation" | "bootstrap":
            return _over_examples(name, kind, a, b, settings, counts)
    assert name == "both", name
    welch = _welch(*by_seed, settings.sides)
    return _both(welch, _over_examples("permutation", kind, a, b, settings, counts))


def _over_examples(
    name: str, kind: str, a: Cell, b: Cell, settings: Settings, counts: UnitStatistics
) -> PValue:
    """Test over the units of the test set, in which both models need the same seeds.

    Over other seeds than the printed means are of, the sign of the difference could be another.
    """
    test = {"permutation": permutation_test, "bootstrap": paired_bootstrap}[name]
    unit = unit_word(kind, settings.unit)
    seeds = sorted(a.test_percent_by_seed)
    if seeds != sorted(b.test_percent_by_seed):
        return PValue(None, name, settings.sides, (), unit, note=SAME_SEEDS)
    units = [counts({run.seed: run for run in cell.runs}[seed]) for cell in (a, b) for seed in seeds]
    if len({of_run.shape for of_run in units}) > 1:  # of a macro average, whose classes are columns
        return PValue(None, name, settings.sides, (), unit, note=SAME_LABELS)
    return test(
        np.stack(units[: len(seeds)]),
        np.stack(units[len(seeds) :]),
        metric=metric_of(a.runs[0], settings.metric),
        unit=unit,
        seed=settings.seed,
        sides=settings.sides,
        num_resamples=settings.num_resamples,
    )


def _welch(a: Mapping[int, float], b: Mapping[int, float], sides: Sides) -> PValue:
    if min(len(a), len(b)) < 2:
        return PValue(None, "Welch t", sides, (len(a), len(b)), "seeds", note="it needs two seeds of each")
    return welch_t(list(a.values()), list(b.values()), sides=sides)


def _paired(a: Mapping[int, float], b: Mapping[int, float], sides: Sides) -> PValue:
    num_shared = len(set(a) & set(b))
    if num_shared < 2:
        return PValue(None, "paired t", sides, (num_shared,), "seeds", note="it needs two shared seeds")
    return paired_t(a, b, sides=sides)


def _both(welch: PValue, permutation: PValue) -> PValue:
    """Return the p-value of "the difference would hold for other seeds and for other sentences".

    The larger of the two: an intersection-union test (Berger 1982), whose level is that of its parts.
    """
    p = None if welch.p is None or permutation.p is None else max(welch.p, permutation.p)
    note = welch.note or permutation.note if p is None else ""
    return PValue(
        p, "both", welch.sides, (*welch.n, *permutation.n), f"seeds and {permutation.unit}", note=note
    )


def _sizes(a: Cell, b: Cell, seed: int) -> tuple[float | None, Dominance | None, int | None]:
    first, second = list(a.test_percent_by_seed.values()), list(b.test_percent_by_seed.values())
    if min(len(first), len(second)) < 2:
        return None, None, None
    sd = max(a.score.sd or 0.0, b.score.sd or 0.0)
    return hedges_g(first, second), almost_stochastic_order(first, second, seed=seed), seeds_needed(sd)


def _averages(table: Table, keys: tuple[RowKey, RowKey], settings: Settings) -> tuple[AverageComparison, ...]:
    """Compare the averages that the leaderboard has of both models."""
    found = []
    for block in table.blocks:
        a, b = (row_of(block.rows, key) for key in keys)
        if a and b and a.average and b.average:
            first, second = (average_by_seed([cell for cell in row.cells if cell]) for row in (a, b))
            tasks = tuple(column.task for column in block.columns)
            tests, g = _test_averages(first, second, settings.sides)
            found.append(AverageComparison(block.kind, tasks, a.average, b.average, tests, g))
    return tuple(found)


def _test_averages(
    a: Mapping[int, float] | None, b: Mapping[int, float] | None, sides: Sides
) -> tuple[dict[str, PValue], float | None]:
    """Test averages by seed; None: of a model whose tasks have different seeds. Returns Hedges' g too.

    The paired test needs the same seeds of both: over shared ones the difference could have another sign.
    """
    if a is None or b is None:
        nothing = PValue(None, "", sides, (), "seeds", note=NO_SEED_AVERAGE)
        return {"welch": nothing._replace(test="Welch t"), "paired": nothing._replace(test="paired t")}, None
    paired = _paired(a, b, sides)
    if set(a) != set(b):
        paired = PValue(None, "paired t", sides, (), "seeds", note=SAME_SEEDS)
    g = hedges_g(list(a.values()), list(b.values())) if min(len(a), len(b)) > 1 else None
    return {"welch": _welch(a, b, sides), "paired": paired}, g


def unit_counts(predictions: Predictions, settings: Settings) -> UnitStatistics:
    """Return what gives the statistics of a run's units, (units, statistics): each run is read once."""
    known: dict[tuple[str, str, str], Floats] = {}

    def of_run(run: Record) -> Floats:
        key = (run.task, run.model, run.identity)
        if key not in known:
            stored, metric = predictions(run), metric_of(run, settings.metric)
            units = metric.units(stored, "test")
            if settings.unit == "document":
                units = sum_by_document(units, stored["test"]["ids"], metric=metric)
            known[key] = units
        return known[key]

    return of_run
