"""Almost stochastic order: how far one model's scores are from being better at every quantile.

Del Barrio, Cuesta-Albertos and Matrán 2018; Dror, Shlomov and Reichart 2019 for NLP. Unlike a t-test it
assumes no shape of the distributions, and asks about all quantiles, not the means.
"""

from collections.abc import Sequence
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

NUM_RESAMPLES = 1000


class Dominance(NamedTuple):
    """How far A is from stochastic dominance over B: 0 dominates, 0.5 is no order, 1 is dominated.

    ratio: the violation ratio of the samples. bound: what the true ratio stays under with `confidence`; below
    0.5, A is almost stochastically dominant (many ask for 0.2). None where both samples are equal.
    """

    ratio: float | None
    bound: float | None
    n: tuple[int, int]
    confidence: float


def almost_stochastic_order(
    a: Sequence[float],
    b: Sequence[float],
    *,
    seed: int,
    confidence: float = 0.95,
    num_resamples: int = NUM_RESAMPLES,
) -> Dominance:
    """Return the violation ratio of "A is better than B" and its upper confidence bound.

    As Dror et al. 2019, section 4, with a bootstrap for the deviation. Raises ValueError if either has fewer
    than two scores.
    """
    if min(len(a), len(b)) < 2:
        raise ValueError("an order of distributions needs at least two seeds of each")
    sizes = (len(a), len(b))
    ratio = float(violation_ratios(np.array([a]), np.array([b]))[0])
    if np.isnan(ratio):
        return Dominance(None, None, sizes, confidence)
    rng = np.random.default_rng(seed)
    again_a = rng.choice(np.asarray(a, dtype=np.float64), (num_resamples, len(a)))
    again_b = rng.choice(np.asarray(b, dtype=np.float64), (num_resamples, len(b)))
    ratios_R = violation_ratios(again_a, again_b)
    # Two samples that are equal say nothing of the order; 0.5 is what no order is.
    deviation = float(np.std(np.nan_to_num(ratios_R, nan=0.5) - ratio))
    bound = ratio + deviation * NormalDist().inv_cdf(confidence)
    return Dominance(ratio, min(1.0, bound), sizes, confidence)


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
