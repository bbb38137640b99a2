"""Tests over the examples of a test set: would the difference hold for other sentences (or documents)?

They take the runs as they are: the statistic is the difference of two means of a metric over seeds, computed
again for every resample. Whether it would hold for other seeds is asked by `kebench.stats.seeds`.

A metric of sums depends on a unit only through its statistics in every run, so units that are alike in all
of them are counted, not drawn one by one: a resample of 15,000 sentences draws some hundreds of binomials,
and is exact. A metric of ranks is computed from all units of each resample.
"""

# S seeds, U units, K kinds of units that are alike, R resamples, T statistics of a unit (`Metric.units`)

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from kebench.scoring.metrics import Metric
from kebench.stats.pvalue import CONFIDENCE, PValue, Sides

NUM_RESAMPLES = 10_000  # a p-value of .05 is then known to within .004 (two standard errors)
_CHUNK = 1000  # resamples in memory at once
_VALUES_AT_ONCE = 4_000_000  # of resampled units, where a metric is not additive: 64 MB

Floats = NDArray[np.float64]
Resample = Callable[[int], Floats]  # so many resamples of both models


def resampling_test(
    test: str,
    a_SUT: Floats,
    b_SUT: Floats,
    *,
    metric: Metric,
    unit: str,
    seed: int,
    sides: Sides,
    num_resamples: int = NUM_RESAMPLES,
) -> PValue:
    """Test the difference in mean score. a_SUT and b_SUT: statistics of the same units, seed by seed.

    test: permutation exchanges the two models' outputs on random units (Noreen 1989), in all seeds at once,
    since its outputs depend on each other. bootstrap draws units with replacement (Efron 1979): the interval
    is that of the percentiles, p the share of resamples as far from the observed difference as zero is (the
    distribution shifted to the null). What was observed counts as one of the resamples, so p is never 0;
    those without a score (no gold) are left out, with a note.
    """
    task = TaskUnits(a_SUT, b_SUT, metric, 1.0)
    return weighted_test(test, [task], unit=unit, seed=seed, sides=sides, num_resamples=num_resamples)


class TaskUnits(NamedTuple):
    """A task on which two models are compared, and its weight in a score over several.

    a_SUT, b_SUT: statistics of the same units, seed by seed.
    """

    a_SUT: Floats
    b_SUT: Floats
    metric: Metric
    weight: float


def weighted_test(
    test: str,
    tasks: Sequence[TaskUnits],
    *,
    unit: str,
    seed: int,
    sides: Sides,
    num_resamples: int = NUM_RESAMPLES,
) -> PValue:
    """Test the difference in a weighted sum of scores; the rest is as in `resampling_test`.

    The units of each task are resampled within it, independently of the others: a stratified bootstrap.
    """
    assert test in ("permutation", "bootstrap"), test
    is_exchanged = test == "permutation"
    name = "permutation" if is_exchanged else "paired bootstrap"
    size = (sum(task.a_SUT.shape[1] for task in tasks),)
    rng = np.random.default_rng(seed)
    observed, differences_R = 0.0, np.zeros(num_resamples)
    for task in tasks:
        assert task.a_SUT.shape == task.b_SUT.shape, "both models need the same units and as many seeds"
        metric, both_2SUT = task.metric, np.stack([task.a_SUT, task.b_SUT]).astype(np.float64)
        whole = both_2SUT.sum(axis=2) if metric.is_additive else both_2SUT
        here = float(_difference(whole[None], metric)[0])
        if np.isnan(here):
            note = f"no {metric.lacks} in the test set, so no {metric.title}"
            return PValue(None, name, sides, size, unit, note=note)
        observed += task.weight * here
        resample = (_summed if metric.is_additive else _listed)(both_2SUT, rng, is_exchanged=is_exchanged)
        at_once = _CHUNK if metric.is_additive else max(1, _VALUES_AT_ONCE // both_2SUT.size)
        differences_R += task.weight * np.concatenate(
            [
                _difference(resample(min(at_once, num_resamples - start)), metric)
                for start in range(0, num_resamples, at_once)
            ]
        )
    without = np.isnan(differences_R)
    differences_R = differences_R[~without]
    centered_R = differences_R - (0.0 if is_exchanged else observed)  # exchanged, it is the null's already
    slack = 1e-9  # rounding is no distance
    if sides == "greater":
        is_extreme_R = centered_R >= observed - slack
    elif sides == "less":
        is_extreme_R = centered_R <= observed + slack
    else:
        is_extreme_R = np.abs(centered_R) >= abs(observed) - slack
    p = (1 + int(is_extreme_R.sum())) / (len(differences_R) + 1)
    interval = None
    if not is_exchanged:
        low, high = np.quantile(differences_R, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
        interval = (float(low), float(high))
    lacks = " or ".join(dict.fromkeys(task.metric.lacks for task in tasks))
    note = f"{without.sum():,} resamples without {lacks} are left out" if without.any() else ""
    return PValue(p, name, sides, size, unit, interval=interval, note=note)


def _summed(both_2SUT: Floats, rng: np.random.Generator, *, is_exchanged: bool) -> Resample:
    """Return what gives the sums of so many resamples, (R, 2, S, T)."""
    num_seeds, num_units, num_statistics = both_2SUT.shape[1:]
    of_units = both_2SUT.transpose(2, 0, 1, 3).reshape(num_units, -1)
    kinds, num_alike_K = np.unique(of_units, axis=0, return_counts=True)
    kinds_K2ST = kinds.reshape(-1, 2, num_seeds, num_statistics)
    totals_12ST = np.tensordot(num_alike_K[None].astype(np.float64), kinds_K2ST, axes=1)
    gain_KST = kinds_K2ST[:, 1] - kinds_K2ST[:, 0]

    def exchange(size: int) -> Floats:
        num_exchanged_RK = rng.binomial(num_alike_K, 0.5, (size, len(num_alike_K))).astype(np.float64)
        moved_RST = np.tensordot(num_exchanged_RK, gain_KST, axes=1)
        return np.stack([totals_12ST[:, 0] + moved_RST, totals_12ST[:, 1] - moved_RST], axis=1)

    def redraw(size: int) -> Floats:
        drawn_RK = rng.multinomial(num_units, num_alike_K / num_units, size).astype(np.float64)
        return np.tensordot(drawn_RK, kinds_K2ST, axes=1)

    return exchange if is_exchanged else redraw


def _listed(both_2SUT: Floats, rng: np.random.Generator, *, is_exchanged: bool) -> Resample:
    """Return what gives the units of so many resamples, (R, 2, S, U, T)."""
    num_units = both_2SUT.shape[2]

    def exchange(size: int) -> Floats:
        is_exchanged_RU = rng.random((size, num_units)) < 0.5
        return np.where(is_exchanged_RU[:, None, None, :, None], both_2SUT[::-1], both_2SUT)

    def redraw(size: int) -> Floats:
        return both_2SUT[:, :, rng.integers(num_units, size=(size, num_units))].transpose(2, 0, 1, 3, 4)

    return exchange if is_exchanged else redraw


def _difference(statistics: Floats, metric: Metric) -> Floats:
    """Return the mean score of A over seeds less that of B for each resample; NaN where one has none.

    statistics: sums (R, 2, S, T), or units (R, 2, S, U, T).
    """
    mean_R2 = metric.percent(statistics).mean(axis=2)
    difference: Floats = mean_R2[:, 0] - mean_R2[:, 1]
    return difference
