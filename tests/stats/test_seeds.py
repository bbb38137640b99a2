"""T-tests over seeds, against figures of R's help pages and by hand."""

import pytest

from kebench.stats.seeds import hedges_g, one_sample_t, paired_t, seeds_needed, welch_t

# R's data set `sleep` (Student 1908): the figures are those that R prints for t.test.
SLEEP_A = [0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0]
SLEEP_B = [1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4]


def test_welch_gives_what_r_prints() -> None:
    result = welch_t(SLEEP_A, SLEEP_B, sides="two-sided")
    assert result.statistic == pytest.approx(-1.8608, abs=1e-4)
    assert result.df == pytest.approx(17.776, abs=1e-3)
    assert result.p == pytest.approx(0.07939, abs=1e-5)
    assert result.interval == pytest.approx((-3.3654832, 0.2054832), abs=1e-6)
    assert (result.test, result.sides, result.n) == ("Welch t", "two-sided", (10, 10))


def test_the_paired_test_gives_what_r_prints() -> None:
    result = paired_t(dict(enumerate(SLEEP_A)), dict(enumerate(SLEEP_B)), sides="two-sided")
    assert (result.statistic, result.df) == (pytest.approx(-4.0621, abs=1e-4), 9)
    assert result.p == pytest.approx(0.002833, abs=1e-6)
    assert result.interval == pytest.approx((-2.4598858, -0.7001142), abs=1e-6)


def test_one_sample_gives_what_r_prints() -> None:
    result = one_sample_t(SLEEP_A, 0, sides="two-sided")
    assert result.statistic == pytest.approx(1.3257, abs=1e-4)
    assert result.p == pytest.approx(0.2176, abs=1e-4)


def test_one_side_is_half_of_two_where_the_difference_points_there() -> None:
    two = welch_t(SLEEP_B, SLEEP_A, sides="two-sided").p
    greater, less = (welch_t(SLEEP_B, SLEEP_A, sides=sides).p for sides in ("greater", "less"))
    assert two is not None
    assert (greater, less) == (pytest.approx(two / 2), pytest.approx(1 - two / 2))


def test_the_interval_has_two_ends_whatever_the_sides() -> None:
    intervals = [
        welch_t(SLEEP_A, SLEEP_B, sides=sides).interval for sides in ("two-sided", "greater", "less")
    ]
    assert intervals == [pytest.approx((-3.3654832, 0.2054832), abs=1e-6)] * 3


def test_only_shared_seeds_are_paired() -> None:
    result = paired_t({0: 70.0, 1: 71.5, 7: 99.0}, {0: 69.0, 1: 70.0, 8: 0.0}, sides="two-sided")
    assert result.n == (2,)


def test_one_seed_says_nothing_and_why() -> None:
    for nothing, n, note in (
        (one_sample_t([70.0], 69, sides="less"), (1,), "it needs two seeds"),
        (welch_t([70.0], [69.0, 70.0], sides="less"), (1, 2), "it needs two seeds of each"),
        (paired_t({0: 70.0, 1: 71.0}, {0: 69.0, 2: 70.0}, sides="less"), (1,), "it needs two shared seeds"),
    ):
        assert (nothing.p, nothing.interval, nothing.sides) == (None, None, "less")
        assert (nothing.n, nothing.unit, nothing.note) == (n, "seeds", note)
    assert hedges_g([70.0, 71.0], [69.0]) is None


def test_scores_that_do_not_vary_have_no_p_value_and_say_so() -> None:
    same = welch_t([70.0, 70.0], [71.0, 71.0], sides="two-sided")
    assert same.p is None
    assert same.note == "all scores are equal (70.00 and 71.00): no variance, no t-test"
    assert one_sample_t([70.0, 70.0], 69, sides="greater").p is None
    shifted = paired_t({0: 70.0, 1: 72.0}, {0: 69.0, 1: 71.0}, sides="two-sided")
    assert shifted.p is None
    assert shifted.note == "all 2 differences are equal: no variance, no t-test"
    assert hedges_g([70.0, 70.0], [71.0, 71.0]) is None


def test_one_model_without_variance_is_still_compared() -> None:
    assert welch_t([70.0, 70.0], [71.0, 73.0], sides="two-sided").p is not None


def test_the_effect_size_is_in_pooled_deviations_and_corrected_for_few_seeds() -> None:
    # Means 2 and 4; both variances 1, so pooled sd 1; df 4: correction 1 - 3/15 = 0.8.
    assert hedges_g([1, 2, 3], [3, 4, 5]) == pytest.approx(-2 * 0.8)


def test_seeds_needed_are_those_of_cohens_table() -> None:
    # Cohen 1988, table 2.3.5: d = .5 and .8 at two-sided .05 and power .8 need 64 and 26 of each.
    assert seeds_needed(1.0, difference=0.5) == 64
    assert seeds_needed(1.0, difference=0.8) == 26


def test_seeds_needed_between_512_and_1000_are_found() -> None:
    assert seeds_needed(3.0) == 567  # statsmodels' solve_power: 566.08


def test_seeds_needed_at_the_ends() -> None:
    assert seeds_needed(0.0) == 2
    assert seeds_needed(1e-6) == 2
    assert seeds_needed(50.0) is None
