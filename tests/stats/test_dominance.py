"""Almost stochastic order, by hand and against figures computed by deepsig 1.2.8 (Ulmer et al. 2022)."""

import numpy as np
import pytest

from kebench.stats.seeds import almost_stochastic_order, violation_ratios

A = [72.6, 73.1, 72.0, 71.8, 73.3]
B = [72.1, 72.9, 71.2, 72.5, 71.9]
C = [70.1, 72.0, 71.1, 70.4, 73.0, 71.5, 70.9]


def test_bounds_are_those_of_deepsig_within_its_bootstrap() -> None:
    # deepsig.aso(A, B), (A, C), (B, A) with 5,000 resamples: 0.4255, 0.0733, 1.0
    bounds = [
        almost_stochastic_order(one, other, seed=0, num_resamples=5000).bound
        for one, other in ((A, B), (A, C), (B, A))
    ]
    assert bounds == pytest.approx([0.4255, 0.0733, 1.0], abs=0.02)


def test_the_ratio_is_the_share_of_the_squared_distance_where_a_is_below() -> None:
    # Sorted gaps -1, +3: 1 of 1 + 9.
    assert violation_ratios(np.array([[5.0, 0.0]]), np.array([[1.0, 2.0]])) == pytest.approx(0.1)


def test_samples_of_different_sizes_are_integrated_over_the_steps_of_both() -> None:
    # A: 2 on the lower half, 5 on the upper. B: 1, 3, 3 on thirds.
    # Gaps: 1 on [0, 1/3), -1 on [1/3, 1/2), 2 on [1/2, 1): 1/3, 1/6, 2.
    ratio = violation_ratios(np.array([[5.0, 2.0]]), np.array([[3.0, 1.0, 3.0]]))
    assert ratio == pytest.approx((1 / 6) / (1 / 3 + 1 / 6 + 2))


def test_both_directions_add_up_to_one() -> None:
    one, other = np.array([A]), np.array([C])
    assert violation_ratios(one, other) + violation_ratios(other, one) == pytest.approx(1)


def test_equal_samples_have_no_order() -> None:
    result = almost_stochastic_order([70.0, 71.0], [71.0, 70.0], seed=0)
    assert (result.ratio, result.bound) == (None, None)


def test_one_seed_is_refused() -> None:
    with pytest.raises(ValueError, match="at least two seeds"):
        almost_stochastic_order([70.0], [71.0, 72.0], seed=0)


def test_with_few_seeds_the_bound_is_below_a_half_too_often_as_the_page_on_statistics_says() -> None:
    # Nominal 5%; asymptotic, so about one in five at five seeds. A change of this is news.
    rng = np.random.default_rng(0)
    below = sum(
        (
            almost_stochastic_order(
                rng.normal(80, 1, 5), rng.normal(80, 1, 5), seed=draw, num_resamples=200
            ).bound
            or 1
        )
        < 0.5
        for draw in range(400)
    )
    assert 0.1 < below / 400 < 0.35
