"""Mean, sample standard deviation and n of scores: they are computed, and stand, together."""

import statistics
from collections.abc import Sequence
from typing import NamedTuple


class Summary(NamedTuple):
    """What a table prints of several runs, in percent.

    sd: None where it is unknown (fewer than two runs); a table prints a dash, never 0.
    n: None where the parts of an average have different runs, so that no single n is true.
    """

    mean: float
    sd: float | None
    n: int | None


def summarise(percents: Sequence[float]) -> Summary:
    """Return mean, sample standard deviation (n - 1) and n. Raises ValueError if there is no score."""
    if not percents:
        raise ValueError("no score to summarise")
    sd = statistics.stdev(percents) if len(percents) > 1 else None
    return Summary(statistics.fmean(percents), sd, len(percents))
