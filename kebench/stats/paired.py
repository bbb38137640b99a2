"""Does one probe answer better than another on the same facts? A test, intervals, and what could be seen.

The figure may be any that a query earns from 0 to 1: acc@1 in ranking, whether any answer hit, whether a
choice was right. The statistic is the macro mean over relations of the difference of each query.
"""

# Q queries, G subjects, B resamples

from collections.abc import Sequence
from itertools import product
from statistics import NormalDist
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from kebench.scoring.cloze import Floats, Ints
from kebench.scoring.macro import MacroMean, macro_means
from kebench.stats.pvalue import PValue, correct

NUM_RESAMPLES = 10_000  # of signs: a p-value of .05 is then known to within .004 (two standard errors)
ALPHA = 0.05
POWER = 0.8  # Cohen's; "80 of 100 such comparisons"
_NORMAL = NormalDist()
_VALUES_AT_ONCE = 2_000_000  # bounds memory; does not move a figure


class Power(NamedTuple):
    """What the two-sided test at .05 over so many facts can see, by the normal approximation (Connor 1987).

    standard_error: of the macro mean of the differences, from their deviation within relations, by subject.
    unit_error: what it would be if one query's deviation were 1: the root of the sum of 1 / (R x R x n).
    least_share: of the macro mean, the least that a query's difference of 1 adds to it: 1 / (R x n).
    is_binary: every difference is -1, 0 or 1. A mean difference d then needs a share d of queries that
    differ, so their variance is at least d - d x d however few differ now: two probes that nearly always
    agree have not shown that small differences would be seen. And the sums under flipped signs lie two shares
    apart, where those that are equal to the observed one count against it.
    """

    standard_error: float
    unit_error: float
    least_share: float
    is_binary: bool

    def of(self, difference: float) -> float:
        """Return the chance that a true difference of this size, from 0 to 1, is significant."""
        error, half_step = self.standard_error, 0.0
        if self.is_binary:
            error = max(error, self.unit_error * (difference - difference**2) ** 0.5)
            half_step = self.least_share
        if error == 0:
            return 1.0 if difference > half_step else 0.0
        # Flipped signs have no mean to deviate from: their variance holds the difference itself.
        error_flipped = (error**2 + (self.unit_error * difference) ** 2) ** 0.5
        limit = _NORMAL.inv_cdf(1 - ALPHA / 2) * error_flipped + half_step
        return _NORMAL.cdf((difference - limit) / error) + _NORMAL.cdf((-difference - limit) / error)

    def smallest(self, power: float = POWER) -> float | None:
        """Return the smallest difference that is seen with this chance; None if none up to 1 is."""
        if self.of(1.0) < power:
            return None
        low, high = 0.0, 1.0
        for _ in range(50):  # a bisection: the power grows with the difference
            middle = (low + high) / 2
            low, high = (low, middle) if self.of(middle) >= power else (middle, high)
        return high


class RelationDifference(NamedTuple):
    """The comparison on one relation: means from 0 to 1; p_corrected: by Holm, over all relations."""

    relation: str
    num_queries: int
    a: float
    b: float
    difference: float
    test: PValue
    p_corrected: float | None


class PairedComparison(NamedTuple):
    """Two probes on the same facts; means and differences are A less B, macro over relations, from 0 to 1.

    test: sign-flip permutation over subjects. power: None where each relation has a single subject, with the
    reason in no_power. num_left_out: queries of which one of the two has no figure.
    """

    a: MacroMean
    b: MacroMean
    difference: MacroMean
    test: PValue
    by_relation: tuple[RelationDifference, ...]
    power: Power | None
    no_power: str
    num_left_out: int


def compare_probes(
    a_Q: Floats,
    b_Q: Floats,
    relation_Q: Sequence[str],
    subject_Q: Sequence[Any] | NDArray[Any],
    *,
    seed: int,
    num_resamples: int = NUM_RESAMPLES,
) -> PairedComparison:
    """Compare what two probes earn on the same queries. Raises ValueError if they share no query.

    a_Q, b_Q: from 0 to 1, or less a baseline of that kind, of the same queries in the same order; NaN where
    one has no figure, and then the query is left out of both. subject_Q: what each query is about: a fact of
    several relations is not several observations.
    """
    assert len(a_Q) == len(b_Q) == len(relation_Q) == len(subject_Q), "both probes asked the same queries"
    is_shared = ~(np.isnan(a_Q) | np.isnan(b_Q))
    if not is_shared.any():
        raise ValueError("the two probes share no query of which both have a figure")
    a, b = a_Q[is_shared], b_Q[is_shared]
    assert -1 <= min(a.min(), b.min()) <= max(a.max(), b.max()) <= 1, "figures, or figures less a baseline"
    names, relation = np.unique(np.asarray(relation_Q, dtype=object)[is_shared], return_inverse=True)
    subject = np.unique(np.asarray(subject_Q)[is_shared], return_inverse=True)[1].reshape(-1)
    difference = a - b
    size_Q = np.bincount(relation)[relation]
    generator = np.random.default_rng(seed)
    means = macro_means(np.stack([a, b, difference], axis=1), relation, generator)
    # Of the macro mean each query holds a share of 1 / (relations x queries of its relation).
    share_Q = difference / (len(names) * size_Q)
    rows_of = [np.flatnonzero(relation == place) for place in range(len(names))]
    test, *tests = (
        sign_flip_test(_by_subject(share_Q[rows], subject[rows]), generator, num_resamples=num_resamples)
        for rows in (np.arange(len(subject)), *rows_of)
    )
    corrected = correct([one.p for one in tests], "holm")
    by_relation = tuple(
        RelationDifference(
            relation=str(name),
            num_queries=len(rows),
            a=float(a[rows].mean()),
            b=float(b[rows].mean()),
            difference=float(difference[rows].mean()),
            test=tested,
            p_corrected=p_corrected,
        )
        for name, rows, tested, p_corrected in zip(names, rows_of, tests, corrected, strict=True)
    )
    # What is of one subject moves together: its deviations from their mean cancel out.
    is_single_R = np.array([len(set(subject[rows])) < 2 for rows in rows_of])
    return PairedComparison(
        a=means[0],
        b=means[1],
        difference=means[2],
        test=test,
        by_relation=by_relation,
        power=None if is_single_R.all() else _power(difference, relation, subject, is_single_R),
        no_power="each relation has a single subject" if is_single_R.all() else "",
        num_left_out=int((~is_shared).sum()),
    )


def sign_flip_test(
    part_G: Floats, generator: np.random.Generator, *, num_resamples: int = NUM_RESAMPLES
) -> PValue:
    """Test, two-sided, whether a sum of differences is larger than chance: signs are flipped at random.

    part_G: what each independent unit adds to the sum. Flipping a sign exchanges the two probes on a unit
    (Fisher 1935), which under the null changes nothing. All signs are tried where these are no more than the
    resamples; else the observed ones count as one of them, so p is never 0.
    """
    moving = part_G[part_G != 0]
    observed, slack = abs(float(part_G.sum())), 1e-9 * float(np.abs(part_G).sum())
    size, name = (len(part_G),), "sign-flip permutation"
    if 2 ** len(moving) <= num_resamples:
        signs = np.array(list(product((1.0, -1.0), repeat=len(moving))))
        is_extreme = np.abs(signs @ moving) >= observed - slack
        return PValue(float(is_extreme.mean()), name, "two-sided", size, "subjects", note="all signs")
    num_extreme, at_once = 0, max(1, _VALUES_AT_ONCE // len(moving))
    for start in range(0, num_resamples, at_once):
        shape = (min(at_once, num_resamples - start), len(moving))
        flipped_BG = generator.integers(2, size=shape, dtype=np.int8)
        # the sum less twice what is flipped
        sums_B = float(moving.sum()) - 2 * (flipped_BG.astype(np.float64) @ moving)
        num_extreme += int((np.abs(sums_B) >= observed - slack).sum())
    return PValue((1 + num_extreme) / (num_resamples + 1), name, "two-sided", size, "subjects")


def _by_subject(part_Q: Floats, subject_Q: Ints) -> Floats:
    """Return the sum over the queries of each subject."""
    _, of_subject = np.unique(subject_Q, return_inverse=True)
    return np.bincount(of_subject.reshape(-1), part_Q).astype(np.float64)


def _power(difference_Q: Floats, relation_Q: Ints, subject_Q: Ints, is_single_R: NDArray[np.bool_]) -> Power:
    """Return what can be seen, from the deviations of the differences from their relation's mean.

    is_single_R: relations of a single subject; they are taken to spread as queries of the others do.
    """
    size_R = np.bincount(relation_Q)
    mean_R = np.bincount(relation_Q, difference_Q) / size_R
    size_Q, num_relations = size_R[relation_Q], len(size_R)
    # a sum over subjects, each with its part of every relation that it is asked in; n / (n - 1) for the mean
    is_single_Q = is_single_R[relation_Q]
    deviation_Q = difference_Q - mean_R[relation_Q]
    deviation_Q[~is_single_Q] *= np.sqrt(size_Q[~is_single_Q] / (size_Q[~is_single_Q] - 1))
    deviation_Q[is_single_Q] = np.sqrt((deviation_Q[~is_single_Q] ** 2).mean())
    part_G = _by_subject(deviation_Q / (num_relations * size_Q), subject_Q)
    return Power(
        standard_error=float(np.sqrt((part_G**2).sum())),
        unit_error=float(np.sqrt((1 / size_R).sum()) / num_relations),
        least_share=float(1 / (num_relations * size_R.max())),
        is_binary=bool(np.isin(difference_Q, (-1.0, 0.0, 1.0)).all()),
    )
