"""Tests over the examples of a test set: would the difference hold for other sentences (or documents)?

They take the runs as they are: the statistic is the difference of two means over seeds of F1, and F1 is
computed again from counts for every resample. Whether it would hold for other seeds is asked by
`kebench.stats.seeds`.

F1 depends on a unit only through its three counts in every run, so units that are alike in all of them are
counted, not drawn one by one: a resample of 15,000 sentences draws some hundreds of binomials, and is exact.
"""

# S seeds, U units, K kinds of units that are alike, R resamples, 3 counts: gold, predicted, correct

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from kebench.stats.pvalue import PValue, Sides

NUM_RESAMPLES = 10_000  # a p-value of .05 is then known to within .004 (two standard errors)
_CHUNK = 1000  # resamples in memory at once
NO_GOLD = "no gold in the test set, so no F1"

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


class _Alike(NamedTuple):
    """The kinds of units: counts of A and B, (K, 2, S, 3), and how many units there are of each, (K,)."""

    counts: Floats
    num_units: Ints


def permutation_test(
    a_SU3: Ints, b_SU3: Ints, *, unit: str, seed: int, sides: Sides, num_resamples: int = NUM_RESAMPLES
) -> PValue:
    """Test the difference in mean F1 by exchanging the two models' outputs on random units (Noreen 1989).

    A unit is exchanged in all seeds at once, since its outputs depend on each other. The observed labelling
    counts as one of the resamples, so p is never 0. a_SU3 and b_SU3: counts of the same units, seed by seed.
    """
    alike = _group(a_SU3, b_SU3)
    observed = _difference(_totals(alike))
    size = a_SU3.shape[1]
    if np.isnan(observed[0]):
        return PValue(None, "permutation", sides, (size,), unit, note=NO_GOLD)
    as_extreme = 1  # the observed one
    for totals_R2S3 in _exchanged(alike, np.random.default_rng(seed), num_resamples):
        as_extreme += _count_extreme(_difference(totals_R2S3), float(observed[0]), sides)
    return PValue(as_extreme / (num_resamples + 1), "permutation", sides, (size,), unit)


def paired_bootstrap(
    a_SU3: Ints,
    b_SU3: Ints,
    *,
    unit: str,
    seed: int,
    sides: Sides,
    num_resamples: int = NUM_RESAMPLES,
    confidence: float = 0.95,
) -> PValue:
    """Return interval and p-value of the difference in mean F1, drawing units with replacement (Efron 1979).

    The interval is that of the percentiles; p is the share of resamples as far from the observed difference
    as zero is (the distribution shifted to the null); the observed one counts, so that it is never 0.
    Resamples that hold no gold have no F1 and are left out, with a note.
    """
    alike = _group(a_SU3, b_SU3)
    observed = float(_difference(_totals(alike))[0])
    if np.isnan(observed):
        return PValue(None, "paired bootstrap", sides, (a_SU3.shape[1],), unit, note=NO_GOLD)
    chunks = [_difference(totals) for totals in _redrawn(alike, np.random.default_rng(seed), num_resamples)]
    drawn_R = np.concatenate(chunks)
    differences_R = drawn_R[~np.isnan(drawn_R)]
    num_without = num_resamples - len(differences_R)
    as_extreme = 1 + _count_extreme(differences_R - observed, observed, sides)
    low, high = np.quantile(differences_R, [(1 - confidence) / 2, (1 + confidence) / 2])
    return PValue(
        as_extreme / (len(differences_R) + 1),
        "paired bootstrap",
        sides,
        (a_SU3.shape[1],),
        unit,
        interval=(float(low), float(high)),
        confidence=confidence,
        note=f"{num_without:,} resamples without gold are left out" if num_without else "",
    )


def _group(a_SU3: Ints, b_SU3: Ints) -> _Alike:
    assert a_SU3.shape == b_SU3.shape, "both models need the same units and as many seeds"
    num_seeds, num_units, _ = a_SU3.shape
    both_U = np.stack([a_SU3, b_SU3]).transpose(2, 0, 1, 3).reshape(num_units, -1)
    kinds, num_alike = np.unique(both_U, axis=0, return_counts=True)
    return _Alike(kinds.reshape(-1, 2, num_seeds, 3).astype(np.float64), num_alike.astype(np.int64))


def _totals(alike: _Alike) -> Floats:
    """Return the observed totals, (1, 2, S, 3)."""
    return np.tensordot(alike.num_units[None].astype(np.float64), alike.counts, axes=1)


def _exchanged(alike: _Alike, rng: np.random.Generator, num_resamples: int) -> Iterator[Floats]:
    """Yield totals, (R, 2, S, 3), of resamples: each unit's models are exchanged with probability 1/2."""
    totals = _totals(alike)
    gain_KS3 = alike.counts[:, 1] - alike.counts[:, 0]
    for size in _sizes(num_resamples):
        num_exchanged_RK = rng.binomial(alike.num_units, 0.5, (size, len(alike.num_units))).astype(np.float64)
        moved_RS3 = np.tensordot(num_exchanged_RK, gain_KS3, axes=1)
        yield np.stack([totals[:, 0] + moved_RS3, totals[:, 1] - moved_RS3], axis=1)


def _redrawn(alike: _Alike, rng: np.random.Generator, num_resamples: int) -> Iterator[Floats]:
    """Yield totals, (R, 2, S, 3), of resamples of as many units, drawn with replacement."""
    num_units = int(alike.num_units.sum())
    for size in _sizes(num_resamples):
        drawn_RK = rng.multinomial(num_units, alike.num_units / num_units, size).astype(np.float64)
        yield np.tensordot(drawn_RK, alike.counts, axes=1)


def _sizes(num_resamples: int) -> Iterator[int]:
    for start in range(0, num_resamples, _CHUNK):
        yield min(_CHUNK, num_resamples - start)


def _difference(totals_R2S3: Floats) -> Floats:
    """Return the mean F1 of A over seeds less that of B, in percent, for each resample; NaN without gold."""
    gold, predicted, correct = np.moveaxis(totals_R2S3, -1, 0)
    f1_R2S = np.divide(200 * correct, gold + predicted, out=np.full_like(gold, np.nan), where=gold > 0)
    mean_R2 = f1_R2S.mean(axis=2)
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
