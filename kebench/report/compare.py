"""Two models, task by task: how much better is the first, and would that hold for other seeds and sentences?

What is compared stands in one table of the leaderboard: one protocol, each model at the rate that won on dev.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field, replace
from typing import Any, Literal, NamedTuple

import numpy as np

from kebench.errors import UserError
from kebench.kinds.registry import KINDS, metric_of
from kebench.records import Record
from kebench.report.overall import overall_of, score_parts, scores_by_seed
from kebench.report.table import (
    Cell,
    Choice,
    Column,
    Leaderboard,
    RowKey,
    Table,
    average_by_seed,
    find_key,
    row_of,
)
from kebench.scoring.metrics import METRICS, OWN, Metric
from kebench.stats.pvalue import Correction, PValue, Sides, correct
from kebench.stats.resampling import NUM_RESAMPLES, Floats, TaskUnits, weighted_test
from kebench.stats.seeds import Dominance, almost_stochastic_order, hedges_g, paired_t, seeds_needed, welch_t
from kebench.stats.summary import Summary

Unit = Literal["example", "document"]  # what a test over examples draws: sentences, instances, or documents
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
class Compared:
    """Two summaries, and what tests say of their difference.

    p_values: by the names in TESTS; `corrected` likewise, within the family: empty for what is in none.
    """

    kind: str
    a: Summary
    b: Summary
    p_values: Mapping[str, PValue]
    _: KW_ONLY
    corrected: Mapping[str, float | None] = field(default_factory=dict)
    hedges_g: float | None = None

    @property
    def difference(self) -> float:
        """The first mean less the second, in percent."""
        return self.a.mean - self.b.mean


@dataclass(frozen=True)
class TaskComparison(Compared):
    """Two models on one task. cells: of both, or of one where the other is a published row.

    seeds_needed: to see a difference of 0.5 points with the larger of the two deviations; None beyond 1,000
    or with one seed.
    """

    column: Column
    cells: tuple[Cell, ...]
    _: KW_ONLY
    dominance: Dominance | None = None
    seeds_needed: int | None = None


@dataclass(frozen=True)
class Comparison:
    """Two models on the tasks that both have under one protocol: a family of tests.

    averages: as the leaderboard has them, of the kinds of which both have every task of the suite; tests are
    over each seed's average, never corrected, and in no family.
    undefined: tasks, with their kinds, that both have and that have no score: no gold in the test set.
    overall: of the one score over a suite's tasks, in its place among the averages; None where one lacks it.
    """

    a: str
    b: str
    table: Table
    settings: Settings
    tasks: tuple[TaskComparison, ...]
    averages: tuple[Compared, ...]
    undefined: tuple[tuple[str, Column], ...]
    _: KW_ONLY
    overall: Compared | None = None


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
    tasks, undefined = [], []
    for block in table.blocks:
        first, second = (row_of(block.rows, key) for key in keys)
        if first and second:
            for column, a, b in zip(block.columns, first.cells, second.cells, strict=True):
                if a and b and a.test and b.test:
                    tasks.append(_compare_on(column, block.kind, a, b, settings, counts))
                elif a and b:
                    undefined.append((block.kind, column))
    if not tasks and not undefined:
        return None
    family = correct_family(tasks, TESTS, settings.correction)
    averages, overall = _averages(table, keys, settings), compare_overall(table, keys, settings, counts)
    return Comparison(*names, table, settings, family, averages, tuple(undefined), overall=overall)


def _compare_on(
    column: Column, kind: str, a: Cell, b: Cell, settings: Settings, counts: UnitStatistics
) -> TaskComparison:
    """Compare two models on one task; nothing is corrected yet."""
    tests = {name: p_value_of(name, kind, a, b, settings, counts) for name in TESTS if name != "both"}
    tests["both"] = _both(tests["welch"], tests["permutation"])
    found = TaskComparison(kind, a.score, b.score, tests, column, (a, b))
    scores = [list(cell.test_percent_by_seed.values()) for cell in (a, b)]
    if min(map(len, scores)) < 2:
        return found
    return replace(
        found,
        hedges_g=hedges_g(*scores),
        dominance=almost_stochastic_order(*scores, seed=settings.seed),
        seeds_needed=seeds_needed(max(a.score.sd or 0.0, b.score.sd or 0.0)),
    )


def correct_family(
    tasks: Sequence[TaskComparison], names: Sequence[str], correction: Correction
) -> tuple[TaskComparison, ...]:
    """Return the tasks of a family with the p-values of each test corrected over those that have one."""
    corrected = {name: correct([task.p_values[name].p for task in tasks], correction) for name in names}
    return tuple(
        replace(task, corrected={name: corrected[name][place] for name in names})
        for place, task in enumerate(tasks)
    )


def p_value_of(name: str, kind: str, a: Cell, b: Cell, settings: Settings, counts: UnitStatistics) -> PValue:
    """Return the p-value of one of TESTS on one task.

    A test over the units of the test set needs the same seeds of both models: over other seeds than the
    printed means are of, the sign of the difference could be another.
    """
    sides, first, second = settings.sides, a.test_percent_by_seed, b.test_percent_by_seed
    if name == "welch":
        return welch_t(list(first.values()), list(second.values()), sides=sides)
    if name == "paired":
        return paired_t(first, second, sides=sides)
    if name == "both":
        return _both(*(p_value_of(part, kind, a, b, settings, counts) for part in ("welch", "permutation")))
    unit = "documents" if settings.unit == "document" else f"{KINDS[kind].words.example}s"
    units = _task_units(a, b, settings, counts)
    if isinstance(units, str):
        return PValue(None, name, sides, (), unit, note=units)
    return weighted_test(
        name,
        [units],
        unit=unit,
        seed=settings.seed,
        sides=sides,
        num_resamples=settings.num_resamples,
    )


def _task_units(
    a: Cell, b: Cell, settings: Settings, counts: UnitStatistics, *, weight: float = 1.0
) -> TaskUnits | str:
    """Return the statistics of the units of both models, or why these cannot be held against each other."""
    if set(a.test_percent_by_seed) != set(b.test_percent_by_seed):
        return SAME_SEEDS
    both = [[counts(run) for run in sorted(cell.runs, key=lambda run: run.seed)] for cell in (a, b)]
    if (
        len({of_run.shape for units in both for of_run in units}) > 1
    ):  # classes of a macro average are columns
        return SAME_LABELS
    return TaskUnits(np.stack(both[0]), np.stack(both[1]), metric_of(a.runs[0], settings.metric), weight)


def _both(welch: PValue, permutation: PValue) -> PValue:
    """Return the p-value of "the difference would hold for other seeds and for other sentences".

    The larger of the two: an intersection-union test (Berger 1982), whose level is that of its parts.
    """
    p = None if welch.p is None or permutation.p is None else max(welch.p, permutation.p)
    note = welch.note or permutation.note if p is None else ""
    return PValue(
        p, "both", welch.sides, (*welch.n, *permutation.n), f"seeds and {permutation.unit}", note=note
    )


def _averages(table: Table, keys: tuple[RowKey, RowKey], settings: Settings) -> tuple[Compared, ...]:
    """Compare the averages that the leaderboard has of both models.

    The paired test needs the same seeds of both: over shared ones the difference could have another sign.
    """
    found, sides = [], settings.sides
    for block in table.blocks:
        first, second = (row_of(block.rows, key) for key in keys)
        if not (first and second and first.average and second.average):
            continue
        by_seed = (average_by_seed([cell for cell in row.cells if cell]) for row in (first, second))
        tests, g = _tests_over_seeds(sides, *by_seed)
        found.append(Compared(block.kind, first.average, second.average, tests, hedges_g=g))
    return tuple(found)


def _tests_over_seeds(
    sides: Sides, a: dict[int, float] | None, b: dict[int, float] | None
) -> tuple[dict[str, PValue], float | None]:
    """Return the t-tests of two models' averages by seed, and Hedges' g; None for one without."""
    if a is None or b is None:  # the tasks of a model have different seeds
        nothing = PValue(None, "Welch t", sides, (), "seeds", note=NO_SEED_AVERAGE)
        return {"welch": nothing, "paired": nothing._replace(test="paired t")}, None
    scores = list(a.values()), list(b.values())
    tests = {"welch": welch_t(*scores, sides=sides), "paired": paired_t(a, b, sides=sides)}
    if set(a) != set(b):
        tests["paired"] = PValue(None, "paired t", sides, (), "seeds", note=SAME_SEEDS)
    return tests, hedges_g(*scores)


def compare_overall(
    table: Table, keys: tuple[RowKey, RowKey], settings: Settings, counts: UnitStatistics
) -> Compared | None:
    """Compare the one score of the suite, with the examples of each task resampled within it.

    None where a model has no score. Without a p-value, and with a note, where the seeds of a task differ.
    """
    overall = {one.key: one.score for one in overall_of(table)}
    a, b = (overall.get(key) for key in keys)
    if not (a and b):
        return None
    parts = [score_parts(table, key) for key in keys]
    tests, g = _tests_over_seeds(settings.sides, *map(scores_by_seed, parts))
    unit = "documents" if settings.unit == "document" else "examples"
    compared = []
    for one, other in zip(*parts, strict=True):
        units = _task_units(one.cell, other.cell, settings, counts, weight=one.weight)
        if isinstance(units, str):
            note = f"{one.column.task}: {units}"
            nothing = PValue(None, "permutation", settings.sides, (), unit, note=note)
            tests |= {"permutation": nothing, "bootstrap": nothing._replace(test="paired bootstrap")}
            return Compared(table.score, a, b, tests, hedges_g=g)
        compared.append(units)
    for name in ("permutation", "bootstrap"):
        tests[name] = weighted_test(
            name,
            compared,
            unit=unit,
            seed=settings.seed,
            sides=settings.sides,
            num_resamples=settings.num_resamples,
        )
    return Compared(table.score, a, b, tests, hedges_g=g)


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


def sum_by_document(units_UT: Floats, ids: Sequence[str], *, metric: Metric) -> Floats:
    """Return the statistics of each document, in the order of its first example.

    The ids of ChemProt, DDI and EBM PICO begin with their document's ("10064839.T1.T2",
    "DDI-DrugBank.d297.s3.p0", "10070173.s4").
    Raises UserError where ids do not say which document an example is from, or the metric has no sums.
    """
    if not metric.is_additive:
        raise UserError(f"{metric.name} is no sum over examples; compare by example instead")
    documents = [document_of(example_id) for example_id in ids]
    places = {document: place for place, document in enumerate(dict.fromkeys(documents))}
    sums = np.zeros((len(places), units_UT.shape[1]))
    np.add.at(sums, [places[document] for document in documents], units_UT)
    return sums


def document_of(example_id: str) -> str:
    """Return the document that an example's id names. Raises UserError if it names none."""
    if sentence := re.fullmatch(r"(.+)\.s\d+", example_id):
        return sentence[1]
    parts = example_id.split(".")
    if len(parts) < 3:
        raise UserError(
            f"example {example_id}: its id names no document, as those of NER and GAD do not; "
            "compare by example instead"
        )
    return ".".join(parts[:2]) if parts[0].startswith("DDI-") else parts[0]
