"""Two models, task by task: how much better is the first, and would that hold for other seeds and sentences?

What is compared stands in one table of the leaderboard: one protocol, each model at the rate that won on dev.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, NamedTuple

import numpy as np

from kebench.errors import UserError, did_you_mean
from kebench.records import Record
from kebench.report.table import Cell, Column, Leaderboard, Metric, Row, Table
from kebench.stats.dominance import Dominance, almost_stochastic_order
from kebench.stats.examples import NUM_RESAMPLES, Ints, paired_bootstrap, permutation_test
from kebench.stats.families import Correction, correct
from kebench.stats.pvalue import PValue, Sides
from kebench.stats.seeds import hedges_g, paired_t, seeds_needed, welch_t
from kebench.stats.units import Unit, count_units, sum_by_document, unit_word

Predictions = Callable[[Record], dict[str, Any]]
TESTS = ("welch", "paired", "permutation", "bootstrap", "both")


class Settings(NamedTuple):
    """How two models are compared. seed: of the resamples."""

    metric: Metric = "strict"
    sides: Sides = "two-sided"
    correction: Correction = "holm"
    unit: Unit = "example"
    num_resamples: int = NUM_RESAMPLES
    seed: int = 0


@dataclass(frozen=True)
class TaskComparison:
    """Two models on one task. p_values: by the names in TESTS; `corrected` likewise, within the family.

    seeds_needed: to see a difference of 0.5 F1 with the larger of the two deviations; None beyond 1,000 or
    with one seed.
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
        return self.a.test.mean - self.b.test.mean


@dataclass(frozen=True)
class Comparison:
    """Two models on the tasks that both have under one protocol: a family of tests."""

    a: str
    b: str
    table: Table
    settings: Settings
    tasks: tuple[TaskComparison, ...]


def compare(
    board: Leaderboard, a: str, b: str, *, settings: Settings, predictions: Predictions
) -> list[Comparison]:
    """Compare two rows of a leaderboard, in each table that has both of them on a task.

    a, b: labels of rows, or names of models where these are one row. predictions: reads what stands beside a
    record. Raises UserError if there is no such row, or no table in which both have a task.
    """
    for name in (a, b):
        check_name(name, board)
    compared = [_compare_in(table, a, b, settings, predictions) for table in board.tables]
    found = [comparison for comparison in compared if comparison]
    if not found:
        raise UserError(
            f"{a} and {b} have no task under one protocol (see 'kebench leaderboard'); run both with the "
            "same budget and subset"
        )
    return found


def check_name(name: str, board: Leaderboard) -> None:
    """Raise UserError if a leaderboard has no row of that label or model, or several of that model."""
    labels: dict[str, set[str]] = {}
    for row in (row for table in board.tables for block in table.blocks for row in block.rows):
        labels.setdefault(row.key.model, set()).add(row.label)
    known = {label for several in labels.values() for label in several}
    if name in known:
        return
    if name not in labels:
        raise UserError(f"no records of model '{name}'{did_you_mean(name, known)} there are {_listed(known)}")
    if len(labels[name]) > 1:
        raise UserError(
            f"model '{name}' has several rows: {_listed(labels[name])}; name one of them in quotes"
        )


def _listed(names: set[str]) -> str:
    return ", ".join(sorted(names))


def _compare_in(
    table: Table, a: str, b: str, settings: Settings, predictions: Predictions
) -> Comparison | None:
    """Compare the two in one table; None if they share no column of it."""
    pairs = []
    for block in table.blocks:
        first, second = row_of(block.rows, a), row_of(block.rows, b)
        if first and second:
            for column, one, other in zip(block.columns, first.cells, second.cells, strict=True):
                if one and other:
                    pairs.append((column, block.kind, one, other))
    if not pairs:
        return None
    tests = [_test(kind, one, other, settings, predictions) for _, kind, one, other in pairs]
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
    return Comparison(a, b, table, settings, tasks)


def row_of(rows: Sequence[Row], name: str) -> Row | None:
    """Return the row of that label or model, None if there is none."""
    return next((row for row in rows if name in (row.label, row.key.model)), None)


def _test(kind: str, a: Cell, b: Cell, settings: Settings, predictions: Predictions) -> dict[str, PValue]:
    """Return the p-values of one task by the names in TESTS."""
    counts, shared = _drawn(kind, a, b, settings, predictions)
    tests = {
        "welch": p_value_of("welch", kind, a, b, settings, predictions),
        "paired": p_value_of("paired", kind, a, b, settings, predictions),
        "permutation": permutation_test(*counts.of_both, **shared)._replace(note=counts.note),
        "bootstrap": paired_bootstrap(*counts.of_both, **shared)._replace(note=counts.note),
    }
    return tests | {"both": _both(tests["welch"], tests["permutation"])}


def p_value_of(
    name: str, kind: str, a: Cell, b: Cell, settings: Settings, predictions: Predictions
) -> PValue:
    """Return the p-value of one of TESTS (not the bootstrap) on one task."""
    by_seed = a.test_percent_by_seed, b.test_percent_by_seed
    match name:
        case "welch":
            return _welch(*by_seed, settings.sides)
        case "paired":
            return _paired(*by_seed, settings.sides)
        case "permutation":
            counts, shared = _drawn(kind, a, b, settings, predictions)
            return permutation_test(*counts.of_both, **shared)._replace(note=counts.note)
    assert name == "both", name
    welch = _welch(*by_seed, settings.sides)
    return _both(welch, p_value_of("permutation", kind, a, b, settings, predictions))


def _drawn(
    kind: str, a: Cell, b: Cell, settings: Settings, predictions: Predictions
) -> tuple["_Counts", dict[str, Any]]:
    """Return the counts of the units that are drawn, and what the tests that draw them share."""
    shared: dict[str, Any] = {
        "unit": unit_word(kind, settings.unit),
        "seed": settings.seed,
        "sides": settings.sides,
        "num_resamples": settings.num_resamples,
    }
    return _counts(a, b, settings, predictions), shared


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
    known = welch.p is not None and permutation.p is not None
    p = max(welch.p, permutation.p) if welch.p is not None and permutation.p is not None else None
    note = "" if known else welch.note
    return PValue(
        p, "both", welch.sides, (*welch.n, *permutation.n), f"seeds and {permutation.unit}", note=note
    )


def _sizes(a: Cell, b: Cell, seed: int) -> tuple[float | None, Dominance | None, int | None]:
    first, second = list(a.test_percent_by_seed.values()), list(b.test_percent_by_seed.values())
    if min(len(first), len(second)) < 2:
        return None, None, None
    sd = max(a.test.sd or 0.0, b.test.sd or 0.0)
    return hedges_g(first, second), almost_stochastic_order(first, second, seed=seed), seeds_needed(sd)


class _Counts(NamedTuple):
    """The counts of both models' units, (seeds, units, 3) each, and which seeds they are of if not all."""

    of_both: tuple[Ints, Ints]
    note: str


def _counts(a: Cell, b: Cell, settings: Settings, predictions: Predictions) -> _Counts:
    """Return counts over as many seeds of each: the shared ones, else the first ones."""
    first, second = ({run.seed: run for run in cell.runs} for cell in (a, b))
    if shared := sorted(set(first) & set(second)):
        runs = [first[seed] for seed in shared], [second[seed] for seed in shared]
        note = "" if set(first) == set(second) else f"the {len(shared)} shared seeds"
    else:
        number = min(len(first), len(second))
        runs = list(islice(first.values(), number)), list(islice(second.values(), number))
        note = f"{number} seeds of each, none shared"
    stacks = tuple(np.stack([_units(predictions(run), settings) for run in several]) for several in runs)
    return _Counts((stacks[0], stacks[1]), note)


def _units(predictions: dict[str, Any], settings: Settings) -> Ints:
    counts = count_units(predictions, is_lenient=settings.metric == "as-published")
    return sum_by_document(counts, predictions["test"]["ids"]) if settings.unit == "document" else counts
