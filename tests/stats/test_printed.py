"""T-tests from rounded numbers: the range that rounding leaves, by hand and by drawing."""

import random

import pytest
from scipy import stats

from kebench.stats.printed import Printed, Range, printed_p


def p_of(mean: float, sd: float, constant: float, *, sides: str) -> float:
    t = (mean - constant) / (sd / 5**0.5)
    return float(stats.t.sf(t, 4) if sides == "greater" else 2 * stats.t.sf(abs(t), 4))


@pytest.mark.parametrize("sides", ["greater", "two-sided"])
@pytest.mark.parametrize(
    ("mean", "sd", "constant"), [(86.1, 0.3, 85.6), (93.3, 0.2, 93.3), (81.9, 0.8, 82.4)]
)
def test_whatever_rounds_to_the_printed_numbers_lies_in_the_range(
    mean: float, sd: float, constant: float, sides: str
) -> None:
    found = printed_p(Printed(mean, sd, 5, constant, 1), sides=sides)  # type: ignore[arg-type]
    rng = random.Random(0)
    drawn = [
        p_of(*(value + rng.uniform(-0.05, 0.05) for value in (mean, sd, constant)), sides=sides)
        for _ in range(2000)
    ]
    assert found.low <= min(drawn)
    assert max(drawn) <= found.high
    assert min(drawn) - found.low < 0.05  # and the range is no wider than it has to be
    assert found.high - max(drawn) < 0.05


def test_the_ends_are_those_of_the_corners() -> None:
    # The most convincing numbers that print as 86.1, 0.3 and 85.6: 86.15, 0.25, 85.55.
    found = printed_p(Printed(86.1, 0.3, 5, 85.6, 1), sides="greater")
    assert found.low == pytest.approx(p_of(86.15, 0.25, 85.55, sides="greater"))
    assert found.high == pytest.approx(p_of(86.05, 0.35, 85.65, sides="greater"))


def test_the_other_side_is_the_mirror() -> None:
    greater = printed_p(Printed(86.1, 0.3, 5, 85.6, 1), sides="greater")
    less = printed_p(Printed(85.6, 0.3, 5, 86.1, 1), sides="less")
    assert (less.low, less.high) == (pytest.approx(greater.low), pytest.approx(greater.high))


def test_a_deviation_printed_as_zero_may_be_next_to_nothing() -> None:
    assert printed_p(Printed(86.1, 0.0, 5, 85.6, 1), sides="two-sided").low == pytest.approx(0, abs=1e-12)


def test_a_verdict_needs_the_whole_range_on_one_side() -> None:
    assert Range(0.01, 0.05).verdict() is True
    assert Range(0.051, 0.2).verdict() is False
    assert Range(0.04, 0.06).verdict() is None


def test_one_run_is_refused() -> None:
    with pytest.raises(ValueError, match="at least two"):
        printed_p(Printed(86.1, 0.3, 1, 85.6, 1), sides="greater")
