"""What a one-sample t-test gives where only rounded numbers are printed: a range, as far as rounding decides.

The paper marks scores of KeBioLM with a star for p <= 0.05 against PubMedBERT's score (Table 2). It prints
means and deviations to one decimal, so that mean, deviation and the other score may each be half a unit off.
"""

from itertools import product
from typing import NamedTuple

from kebench.stats.pvalue import Sides


class Printed(NamedTuple):
    """A mean with its deviation over n runs, and the score it is tested against, all to so many decimals."""

    mean: float
    sd: float
    n: int
    constant: float
    decimals: int


class Range(NamedTuple):
    """The smallest and the largest p-value that numbers rounding to the printed ones can have."""

    low: float
    high: float

    def verdict(self, alpha: float = 0.05) -> bool | None:
        """Return whether it is significant; None if the printed digits do not decide."""
        if self.high <= alpha:
            return True
        return False if self.low > alpha else None


def printed_p(printed: Printed, *, sides: Sides, is_exact: bool = False) -> Range:
    """Return the range of p of a one-sample t-test. Raises ValueError for fewer than two runs.

    is_exact: as if nothing had been rounded away, so that both ends are the one p of the printed numbers.
    """
    from scipy import stats

    if printed.n < 2:
        raise ValueError(f"{printed.n} run: a t-test needs at least two")
    rounding = 0.5 * 10**-printed.decimals
    half = 0.0 if is_exact else rounding
    least_sd = max(printed.sd - half, rounding * 1e-6)  # a deviation printed as 0.0 may be next to nothing
    lows_and_highs = (
        (printed.mean - half, printed.mean + half),
        (least_sd, max(printed.sd + half, least_sd)),
        (printed.constant - half, printed.constant + half),
    )
    corners = [(mean - constant) / (sd / printed.n**0.5) for mean, sd, constant in product(*lows_and_highs)]
    lowest_t, highest_t = min(corners), max(corners)
    df = printed.n - 1
    if sides == "greater":
        return Range(float(stats.t.sf(highest_t, df)), float(stats.t.sf(lowest_t, df)))
    if sides == "less":
        return Range(float(stats.t.cdf(lowest_t, df)), float(stats.t.cdf(highest_t, df)))
    nearest = 0.0 if lowest_t <= 0 <= highest_t else min(abs(lowest_t), abs(highest_t))
    farthest = max(abs(lowest_t), abs(highest_t))
    return Range(float(2 * stats.t.sf(farthest, df)), float(2 * stats.t.sf(nearest, df)))
