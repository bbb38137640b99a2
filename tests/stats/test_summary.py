"""Mean, sample standard deviation and n."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kebench.stats.summary import Summary, summarise

PERCENTS = st.lists(st.floats(0, 100), min_size=2, max_size=10)


def test_the_deviation_divides_by_n_minus_one() -> None:
    # Deviations from the mean 70: -1, 0, 1; squares sum to 2; 2 / (3 - 1) = 1.
    assert summarise([69.0, 70.0, 71.0]) == Summary(mean=70.0, sd=1.0, n=3)


def test_one_run_has_no_deviation_rather_than_zero() -> None:
    assert summarise([70.0]) == Summary(mean=70.0, sd=None, n=1)


def test_no_run_has_no_mean() -> None:
    with pytest.raises(ValueError, match="no score"):
        summarise([])


@given(PERCENTS)
def test_the_mean_lies_between_the_scores_and_order_does_not_matter(percents: list[float]) -> None:
    summary = summarise(percents)
    assert min(percents) - 1e-9 <= summary.mean <= max(percents) + 1e-9
    assert summarise(percents[::-1]) == summary
