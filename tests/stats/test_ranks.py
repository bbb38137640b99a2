"""Friedman and Nemenyi against the figures of Demšar 2006."""

import pytest

from kebench.stats.ranks import rank_models


@pytest.mark.parametrize(
    ("num_models", "quantile"),
    [(3, 2.343), (4, 2.569), (5, 2.728), (6, 2.850), (7, 2.949), (8, 3.031), (9, 3.102), (10, 3.164)],
)
def test_the_critical_difference_has_the_quantiles_of_demsars_table(num_models: int, quantile: float) -> None:
    scores = [[float(model + task) for model in range(num_models)] for task in range(6)]
    expected = quantile * (num_models * (num_models + 1) / (6 * 6)) ** 0.5
    assert rank_models(scores).critical_difference == pytest.approx(expected, abs=2e-3)


def test_ranks_are_means_over_tasks_and_ties_share_theirs() -> None:
    # Ranks a task: 1 2 3, 1 2 3, 1.5 1.5 3, 3 1 2, 1 2.5 2.5.
    scores = [[9, 8, 7], [5, 4, 3], [6, 6, 1], [1, 3, 2], [4, 2, 2]]
    assert rank_models(scores).mean_ranks == pytest.approx((7.5 / 5, 9 / 5, 13.5 / 5))


def test_friedman_of_one_order_on_all_tasks_is_that_of_the_chi_square() -> None:
    # k = 3, N = 5, all alike: chi-square 10 with 2 degrees of freedom: p = exp(-5).
    result = rank_models([[3.0, 2.0, 1.0]] * 5)
    assert result.p == pytest.approx(2.718281828**-5)


def test_groups_are_the_largest_sets_within_the_critical_difference() -> None:
    scores = [[4.0, 3.0, 2.0, 1.0]] * 5  # ranks 1 2 3 4; CD = 2.569 * sqrt(20/30) = 2.098
    assert rank_models(scores).groups == ((0, 1, 2), (1, 2, 3))


def test_a_group_inside_another_is_not_repeated() -> None:
    scores = [[3.0, 2.0, 1.0], [1.0, 2.0, 3.0], [2.0, 3.0, 1.0], [1.0, 3.0, 2.0], [3.0, 1.0, 2.0]]
    assert [set(group) for group in rank_models(scores).groups] == [{0, 1, 2}]


def test_few_tasks_or_models_are_refused() -> None:
    with pytest.raises(ValueError, match="4 tasks and 3 models: ranks need 5 tasks"):
        rank_models([[3.0, 2.0, 1.0]] * 4)
    with pytest.raises(ValueError, match="three models"):
        rank_models([[3.0, 2.0]] * 5)


def test_models_that_always_tie_do_not_differ() -> None:
    result = rank_models([[1.0, 1.0, 1.0]] * 5)
    assert (result.p, result.mean_ranks) == (1.0, (2.0, 2.0, 2.0))
