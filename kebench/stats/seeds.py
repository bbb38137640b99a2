"""Tests over the scores of seeds, effect sizes, and power: would the difference hold for other random seeds?

They take the test set as it is. Whether the difference would hold for other sentences is asked by
`kebench.stats.resampling`; a claim about two models needs both (docs/STATISTICS.md).
The paper's own test is `one_sample_t` (KeBioLM, Table 2).
"""

import statistics
import warnings
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from kebench.stats.pvalue import CONFIDENCE, PValue, Sides

# Scores in percent that lie closer than this are equal: they come from counts of at most some 100,000.
_SAME_PERCENT = 1e-9
MAX_SEEDS = 1000


def one_sample_t(scores: Sequence[float], constant: float, *, sides: Sides) -> PValue:
    """Test the mean of n scores against a constant, such as a published score (n - 1 degrees of freedom).

    The constant is taken as exact: a published mean's own variance is ignored, so the test is too sure.
    """
    if len(scores) < 2:
        return PValue(None, "one-sample t", sides, (len(scores),), "seeds", note="it needs two seeds")
    test = f"one-sample t against {constant:g}"
    if _is_constant(scores):
        return PValue(None, test, sides, (len(scores),), "seeds", note=_no_variance(scores))
    return _p_value(test, sides, (len(scores),), "ttest_1samp", scores, constant)


def welch_t(a: Sequence[float], b: Sequence[float], *, sides: Sides) -> PValue:
    """Test the difference of two means without assuming equal variances (Welch 1947)."""
    n = (len(a), len(b))
    if min(n) < 2:
        return PValue(None, "Welch t", sides, n, "seeds", note="it needs two seeds of each")
    if _is_constant(a) and _is_constant(b):
        return PValue(None, "Welch t", sides, n, "seeds", note=_no_variance(a, b))
    return _p_value("Welch t", sides, n, "ttest_ind", a, b, equal_var=False)


def welch_from_summaries(a: tuple[float, float, int], b: tuple[float, float, int | None]) -> float | None:
    """Return the two-sided p of Welch's test from (mean, sd, n) of each; with b's n None, b is exact.

    None where neither varies. Raises ValueError if an n is below two.
    """
    from scipy import stats

    (mean_a, sd_a, n_a), (mean_b, sd_b, n_b) = a, b
    if n_a < 2 or (n_b is not None and n_b < 2):
        raise ValueError("a t-test needs at least two seeds")
    if sd_a < _SAME_PERCENT and (n_b is None or sd_b < _SAME_PERCENT):
        return None
    if n_b is None:
        return float(2 * stats.t.sf(abs(mean_a - mean_b) / (sd_a / n_a**0.5), n_a - 1))
    return float(stats.ttest_ind_from_stats(*a, *b, equal_var=False).pvalue)


def paired_t(a: Mapping[int, float], b: Mapping[int, float], *, sides: Sides) -> PValue:
    """Test the mean difference over the seeds that both have.

    A seed draws the order of the training examples and the new weights; runs of one seed resemble each other
    only as far as that matters.
    """
    shared = sorted(set(a) & set(b))
    n = (len(shared),)
    if len(shared) < 2:
        return PValue(None, "paired t", sides, n, "seeds", note="it needs two shared seeds")
    first, second = [a[seed] for seed in shared], [b[seed] for seed in shared]
    if _is_constant([x - y for x, y in zip(first, second, strict=True)]):
        note = f"all {len(shared)} differences are equal: no variance, no t-test"
        return PValue(None, "paired t", sides, n, "seeds", note=note)
    return _p_value("paired t", sides, n, "ttest_rel", first, second)


def _p_value(test: str, sides: Sides, n: tuple[int, ...], name: str, *args: Any, **options: bool) -> PValue:
    """Return what SciPy's test of this name says of the sides asked for; its interval has two ends."""
    from scipy import stats  # a second of imports

    t_test = partial(getattr(stats, name), *args, **options)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of scipy's, where one of two samples does not vary
        result = t_test(alternative=sides)
        low, high = t_test(alternative="two-sided").confidence_interval(CONFIDENCE)
    numbers = float(result.statistic), float(result.df), (float(low), float(high))
    return PValue(float(result.pvalue), test, sides, n, "seeds", *numbers)


def hedges_g(a: Sequence[float], b: Sequence[float]) -> float | None:
    """Return the difference of means in pooled standard deviations, corrected for few seeds (Hedges 1981).

    The correction is the usual approximation 1 - 3 / (4 df - 1). None where no score varies, or either has
    fewer than two.
    """
    if min(len(a), len(b)) < 2:
        return None
    df = len(a) + len(b) - 2
    squares = (len(a) - 1) * statistics.variance(a) + (len(b) - 1) * statistics.variance(b)
    pooled: float = (squares / df) ** 0.5
    if pooled < _SAME_PERCENT:
        return None
    return (statistics.fmean(a) - statistics.fmean(b)) / pooled * (1 - 3 / (4 * df - 1))


def seeds_needed(
    sd: float, *, difference: float = 0.5, power: float = 0.8, alpha: float = 0.05
) -> int | None:
    """Return the seeds a model needs for a two-sided t-test of two models to see a difference that is there.

    sd: of one model's scores over seeds, in the unit of `difference`, taken to be the same for both.
    None if MAX_SEEDS are too few.
    """
    from statsmodels.stats.power import TTestIndPower

    if sd < _SAME_PERCENT:
        return 2
    solver, effect = TTestIndPower(), difference / sd

    def is_enough(num_seeds: int) -> bool:
        # NaN where the effect is so large that the distribution cannot be computed
        return not solver.power(effect, num_seeds, alpha) < power

    numbers = range(2, MAX_SEEDS + 1)  # one seed has no variance
    place = bisect_left(numbers, True, key=is_enough)
    return numbers[place] if place < len(numbers) else None


def _is_constant(scores: Sequence[float]) -> bool:
    return max(scores) - min(scores) < _SAME_PERCENT


def _no_variance(*samples: Sequence[float]) -> str:
    scores = " and ".join(f"{sample[0]:.2f}" for sample in samples)
    return f"all scores are equal ({scores}): no variance, no t-test"


class Dominance(NamedTuple):
    """How far A is from stochastic dominance over B: 0 dominates, 0.5 is no order, 1 is dominated.

    ratio: the violation ratio of the samples. bound: what the true ratio stays under with `confidence`; below
    0.5, A is almost stochastically dominant (many ask for 0.2). None where both samples are equal.
    """

    ratio: float | None
    bound: float | None
    n: tuple[int, int]
    confidence: float = CONFIDENCE


def almost_stochastic_order(
    a: Sequence[float], b: Sequence[float], *, seed: int, num_resamples: int = 1000
) -> Dominance:
    """Return the violation ratio of "A is better than B" and its upper confidence bound.

    Del Barrio, Cuesta-Albertos and Matrán 2018; Dror, Shlomov and Reichart 2019, section 4, with a bootstrap
    for the deviation. Unlike a t-test it assumes no shape of the distributions, and asks about all quantiles,
    not the means. Raises ValueError if either has fewer than two scores.
    """
    if min(len(a), len(b)) < 2:
        raise ValueError("an order of distributions needs at least two seeds of each")
    sizes = (len(a), len(b))
    ratio = float(violation_ratios(np.array([a]), np.array([b]))[0])
    if np.isnan(ratio):
        return Dominance(None, None, sizes)
    rng = np.random.default_rng(seed)
    again_a = rng.choice(np.asarray(a, dtype=np.float64), (num_resamples, len(a)))
    again_b = rng.choice(np.asarray(b, dtype=np.float64), (num_resamples, len(b)))
    ratios_R = violation_ratios(again_a, again_b)
    # Two samples that are equal say nothing of the order; 0.5 is what no order is.
    deviation = float(np.std(np.nan_to_num(ratios_R, nan=0.5) - ratio))
    bound = ratio + deviation * statistics.NormalDist().inv_cdf(CONFIDENCE)
    return Dominance(ratio, min(1.0, bound), sizes)


def violation_ratios(a_RN: NDArray[np.float64], b_RM: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return for each row the share of the squared 2-Wasserstein distance in which A's quantile is below B's.

    Quantile functions of samples are steps: the integral is an exact sum over the steps of both. NaN where
    the samples are equal. a_RN and b_RM need not be sorted.
    """
    num_a, num_b = a_RN.shape[1], b_RM.shape[1]
    # Steps in units of 1 / (N x M), so that a boundary of both is one boundary.
    ends = np.union1d(np.arange(1, num_a + 1) * num_b, np.arange(1, num_b + 1) * num_a)
    starts = np.concatenate([[0], ends[:-1]])
    gap_RQ = np.sort(a_RN, axis=1)[:, starts // num_b] - np.sort(b_RM, axis=1)[:, starts // num_a]
    weighed_RQ = gap_RQ**2 * (ends - starts)
    whole_R = weighed_RQ.sum(axis=1)
    violation_R = np.where(gap_RQ < 0, weighed_RQ, 0).sum(axis=1)
    return np.divide(violation_R, whole_R, out=np.full(len(whole_R), np.nan), where=whole_R > 0)
