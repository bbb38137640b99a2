"""Tests over the scores of seeds: would the difference hold for other random seeds?

They take the test set as it is. Whether the difference would hold for other sentences is asked by
`kebench.stats.examples`; a claim about two models needs both (docs/STATISTICS.md).
The paper's own test is `one_sample_t` (KeBioLM, Table 2).
"""

import statistics
import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from kebench.stats.pvalue import PValue, Sides

# Scores in percent that lie closer than this are equal: they come from counts of at most some 100,000.
_SAME_PERCENT = 1e-9
MAX_SEEDS = 1000
CONFIDENCE = 0.95


def one_sample_t(scores: Sequence[float], constant: float, *, sides: Sides) -> PValue:
    """Test the mean of n scores against a constant, such as a published score (n - 1 degrees of freedom).

    The constant is taken as exact: a published mean's own variance is ignored, so the test is too sure.
    Raises ValueError for fewer than two scores.
    """
    from scipy import stats  # a second of imports

    _refuse_few(scores)
    test = f"one-sample t against {constant:g}"
    if _is_constant(scores):
        return PValue(None, test, sides, (len(scores),), "seeds", note=_no_variance(scores))
    return _p_value(test, sides, (len(scores),), partial(stats.ttest_1samp, scores, constant))


def welch_t(a: Sequence[float], b: Sequence[float], *, sides: Sides) -> PValue:
    """Test the difference of two means without assuming equal variances (Welch 1947).

    Raises ValueError if either has fewer than two scores.
    """
    from scipy import stats

    _refuse_few(a)
    _refuse_few(b)
    if _is_constant(a) and _is_constant(b):
        return PValue(None, "Welch t", sides, (len(a), len(b)), "seeds", note=_no_variance(a, b))
    return _p_value("Welch t", sides, (len(a), len(b)), partial(stats.ttest_ind, a, b, equal_var=False))


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
    only as far as that matters. Raises ValueError if they share fewer than two seeds.
    """
    from scipy import stats

    shared = sorted(set(a) & set(b))
    first, second = [a[seed] for seed in shared], [b[seed] for seed in shared]
    _refuse_few(shared)
    if _is_constant([x - y for x, y in zip(first, second, strict=True)]):
        note = f"all {len(shared)} differences are equal: no variance, no t-test"
        return PValue(None, "paired t", sides, (len(shared),), "seeds", note=note)
    return _p_value("paired t", sides, (len(shared),), partial(stats.ttest_rel, first, second))


def _p_value(test: str, sides: Sides, n: tuple[int, ...], t_test: Callable[..., Any]) -> PValue:
    """Return the p-value of the sides asked for; the interval always has two ends."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of scipy's, where one of two samples does not vary
        result = t_test(alternative=sides)
        low, high = t_test(alternative="two-sided").confidence_interval(CONFIDENCE)
    numbers = float(result.statistic), float(result.df), (float(low), float(high))
    return PValue(float(result.pvalue), test, sides, n, "seeds", *numbers)


def hedges_g(a: Sequence[float], b: Sequence[float]) -> float | None:
    """Return the difference of means in pooled standard deviations, corrected for few seeds (Hedges 1981).

    The correction is the usual approximation 1 - 3 / (4 df - 1). None where no score varies. Raises
    ValueError if either has fewer than two scores.
    """
    _refuse_few(a)
    _refuse_few(b)
    df = len(a) + len(b) - 2
    pooled: float = (
        ((len(a) - 1) * statistics.variance(a) + (len(b) - 1) * statistics.variance(b)) / df
    ) ** 0.5
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
        reached = solver.power(effect, num_seeds, alpha)
        return (
            not reached < power
        )  # NaN where the effect is so large that the distribution cannot be computed

    few, many = 1, 2  # `few` is never enough: one seed has no variance
    while not is_enough(many):
        if many == MAX_SEEDS:
            return None
        few, many = many, min(2 * many, MAX_SEEDS)
    while many - few > 1:
        middle = (few + many) // 2
        few, many = (few, middle) if is_enough(middle) else (middle, many)
    return many


def _refuse_few(scores: Sequence[Any]) -> None:
    if len(scores) < 2:
        raise ValueError(f"{len(scores)} score: a t-test needs at least two seeds")


def _is_constant(scores: Sequence[float]) -> bool:
    return max(scores) - min(scores) < _SAME_PERCENT


def _no_variance(*samples: Sequence[float]) -> str:
    scores = " and ".join(f"{sample[0]:.2f}" for sample in samples)
    return f"all scores are equal ({scores}): no variance, no t-test"
