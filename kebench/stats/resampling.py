"""Tests over the examples of a test set: would the difference hold for other sentences (or documents)?

They take the runs as they are: the statistic is the difference of two means of a metric over seeds, computed
again for every resample. Whether it would hold for other seeds is asked by `kebench.stats.seeds`.

A metric of sums depends on a unit only through its statistics in every run, so units that are alike in all
of them are counted, not drawn one by one: a resample of 15,000 sentences draws some hundreds of binomials,
and is exact. A metric of ranks is computed from all units of each resample.
"""

# S seeds, U units, K kinds of units that are alike, R resamples, T statistics of a unit (`Metric.units`)

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from kebench.scoring.metrics import Metric
from kebench.stats.pvalue import PValue, Sides

NUM_RESAMPLES = 10_000  # a p-value of .05 is then known to within .004 (two standard errors)
_CHUNK = 1000  # resamples in memory at once
_VALUES_AT_ONCE = 4_000_000  # of resampled units, where a metric is not additive: 64 MB

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def permutation_test(
    a_SUT: Floats,
    b_SUT: Floats,
    *,
    metric: Metric,
    unit: str,
    seed: int,
    sides: Sides,
    num_resamples: int = NUM_RESAMPLES,
) -> PValue:
    """Test the difference in mean score by exchanging the two models' outputs on random units (Noreen 1989).

    A unit is exchanged in all seeds at once, since its outputs depend on each other. The observed labelling
    counts as one of the resamples, so p is never 0; those without a score are left out, with a note.
    a_SUT and b_SUT: statistics of the same units, seed by seed.
    """
    resamples = _exchanged if metric.is_additive else _exchanged_units
    return _test("permutation", resamples, a_SUT, b_SUT, metric, unit, seed, sides, num_resamples)


def paired_bootstrap(
    a_SUT: Floats,
    b_SUT: Floats,
    *,
    metric: Metric,
    unit: str,
    seed: int,
    sides: Sides,
    num_resamples: int = NUM_RESAMPLES,
    confidence: float = 0.95,
) -> PValue:
    """Return interval and p-value of the difference in mean score, units drawn with replacement (Efron 1979).

    The interval is that of the percentiles; p is the share of resamples as far from the observed difference
    as zero is (the distribution shifted to the null); the observed one counts, so that it is never 0.
    Resamples without a score (no gold) are left out, with a note.
    """
    resamples = _redrawn if metric.is_additive else _redrawn_units
    return _test(
        "paired bootstrap", resamples, a_SUT, b_SUT, metric, unit, seed, sides, num_resamples, confidence
    )


def _test(
    name: str,
    resamples: "Resamples",
    a_SUT: Floats,
    b_SUT: Floats,
    metric: Metric,
    unit: str,
    seed: int,
    sides: Sides,
    num_resamples: int,
    confidence: float | None = None,
) -> PValue:
    """Hold the observed difference against those of resamples. confidence: of the bootstrap's interval."""
    assert a_SUT.shape == b_SUT.shape, "both models need the same units and as many seeds"
    size = (a_SUT.shape[1],)
    both_2SUT = np.stack([a_SUT, b_SUT]).astype(np.float64)
    whole = both_2SUT.sum(axis=2) if metric.is_additive else both_2SUT
    observed = float(_difference(whole[None], metric)[0])
    if np.isnan(observed):
        note = f"no {metric.lacks} in the test set, so no {metric.title}"
        return PValue(None, name, sides, size, unit, note=note)
    drawn = resamples(both_2SUT, np.random.default_rng(seed), num_resamples)
    differences_R = np.concatenate([_difference(chunk, metric) for chunk in drawn])
    without = np.isnan(differences_R)
    differences_R = differences_R[~without]
    center = 0.0 if confidence is None else observed  # exchanged outputs have the null's difference already
    as_extreme = 1 + _count_extreme(differences_R - center, observed, sides)
    interval = None
    if confidence is not None:
        low, high = np.quantile(differences_R, [(1 - confidence) / 2, (1 + confidence) / 2])
        interval = (float(low), float(high))
    return PValue(
        as_extreme / (len(differences_R) + 1),
        name,
        sides,
        size,
        unit,
        interval=interval,
        confidence=confidence or 0.95,
        note=f"{without.sum():,} resamples without {metric.lacks} are left out" if without.any() else "",
    )


class _Alike(NamedTuple):
    """The kinds of units: statistics of A and B, (K, 2, S, T), and how many units there are of each, (K,)."""

    statistics: Floats
    num_units: Ints


def _group(both_2SUT: Floats) -> _Alike:
    num_seeds, num_units, num_statistics = both_2SUT.shape[1:]
    of_units = both_2SUT.transpose(2, 0, 1, 3).reshape(num_units, -1)
    kinds, num_alike = np.unique(of_units, axis=0, return_counts=True)
    return _Alike(kinds.reshape(-1, 2, num_seeds, num_statistics), num_alike.astype(np.int64))


def _exchanged(both_2SUT: Floats, rng: np.random.Generator, num_resamples: int) -> Iterator[Floats]:
    """Yield sums, (R, 2, S, T), of resamples: each unit's models are exchanged with probability 1/2."""
    alike = _group(both_2SUT)
    totals_12ST = np.tensordot(alike.num_units[None].astype(np.float64), alike.statistics, axes=1)
    gain_KST = alike.statistics[:, 1] - alike.statistics[:, 0]
    for size in _sizes(num_resamples, _CHUNK):
        num_exchanged_RK = rng.binomial(alike.num_units, 0.5, (size, len(alike.num_units))).astype(np.float64)
        moved_RST = np.tensordot(num_exchanged_RK, gain_KST, axes=1)
        yield np.stack([totals_12ST[:, 0] + moved_RST, totals_12ST[:, 1] - moved_RST], axis=1)


def _redrawn(both_2SUT: Floats, rng: np.random.Generator, num_resamples: int) -> Iterator[Floats]:
    """Yield sums, (R, 2, S, T), of resamples of as many units, drawn with replacement."""
    alike = _group(both_2SUT)
    num_units = int(alike.num_units.sum())
    for size in _sizes(num_resamples, _CHUNK):
        drawn_RK = rng.multinomial(num_units, alike.num_units / num_units, size).astype(np.float64)
        yield np.tensordot(drawn_RK, alike.statistics, axes=1)


def _exchanged_units(both_2SUT: Floats, rng: np.random.Generator, num_resamples: int) -> Iterator[Floats]:
    """Yield the units of resamples, (R, 2, S, U, T), exchanged as `_exchanged` does."""
    for size in _sizes(num_resamples, max(1, _VALUES_AT_ONCE // both_2SUT.size)):
        is_exchanged_RU = rng.random((size, both_2SUT.shape[2])) < 0.5
        yield np.where(is_exchanged_RU[:, None, None, :, None], both_2SUT[::-1], both_2SUT)


def _redrawn_units(both_2SUT: Floats, rng: np.random.Generator, num_resamples: int) -> Iterator[Floats]:
    """Yield the units of resamples, (R, 2, S, U, T), drawn as `_redrawn` does."""
    num_units = both_2SUT.shape[2]
    for size in _sizes(num_resamples, max(1, _VALUES_AT_ONCE // both_2SUT.size)):
        drawn_RU = rng.integers(num_units, size=(size, num_units))
        yield both_2SUT[:, :, drawn_RU].transpose(2, 0, 1, 3, 4)


Resamples = Callable[[Floats, np.random.Generator, int], Iterator[Floats]]


def _sizes(num_resamples: int, at_once: int) -> Iterator[int]:
    for start in range(0, num_resamples, at_once):
        yield min(at_once, num_resamples - start)


def _difference(statistics: Floats, metric: Metric) -> Floats:
    """Return the mean score of A over seeds less that of B for each resample; NaN where one has none.

    statistics: sums (R, 2, S, T), or units (R, 2, S, U, T).
    """
    mean_R2 = metric.percent(statistics).mean(axis=2)
    difference: Floats = mean_R2[:, 0] - mean_R2[:, 1]
    return difference


def _count_extreme(differences_R: Floats, observed: float, sides: Sides) -> int:
    """Count the resamples at least as far out as the observed difference; rounding is no distance."""
    slack = 1e-9
    if sides == "greater":
        return int((differences_R >= observed - slack).sum())
    if sides == "less":
        return int((differences_R <= observed + slack).sum())
    return int((np.abs(differences_R) >= abs(observed) - slack).sum())
