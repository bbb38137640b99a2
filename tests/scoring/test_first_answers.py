"""First answers: confidence by hand, Brier and bins against scikit-learn, agreement against SciPy."""

import numpy as np
import pytest
from scipy.special import softmax
from scipy.stats import spearmanr
from sklearn.metrics import brier_score_loss

from kebench.scoring.calibration import calibration_error_percent
from kebench.scoring.first_answers import (
    agreement,
    agreement_over_wordings,
    agreement_with_negated,
    first_answers,
)

NAN = float("nan")


def test_confidence_is_the_softmax_over_the_candidates_that_compete() -> None:
    # weights 1, 3 and 4 of 8; the last candidate is taken out
    score = np.array([[0.0, np.log(3), np.log(4), NAN]]) - 800
    found = first_answers(score, np.array([[True, True, False, True]]))
    assert found.confidence.tolist() == pytest.approx([1 / 2])
    assert found.is_right.tolist() == [0]
    assert found.true_mass.tolist() == pytest.approx([1 / 2])
    assert found.brier.tolist() == pytest.approx([1 / 4])


def test_answers_that_share_the_first_place_are_right_in_part() -> None:
    found = first_answers(np.array([[1.0, 1.0, 1.0, 0.0]]), np.array([[True, False, True, False]]))
    assert found.is_right.tolist() == pytest.approx([2 / 3])


def test_a_query_without_a_true_answer_among_the_candidates_is_not_judged() -> None:
    score = np.array([[1.0, 0.0], [NAN, 0.0], [NAN, NAN]])
    found = first_answers(score, np.array([[False, False], [True, False], [True, False]]))
    assert np.isnan(found.confidence).all()
    assert np.isnan(found.is_right).all()
    assert found.bins() == []


def test_the_brier_score_and_the_error_are_those_of_the_predictions() -> None:
    rng = np.random.default_rng(1)
    score, is_true = rng.normal(0, 3, (400, 12)), np.arange(12) == rng.integers(12, size=(400, 1))
    found = first_answers(score, is_true)
    probability = softmax(score, axis=1)
    right = is_true[np.arange(400), probability.argmax(axis=1)]
    assert found.confidence == pytest.approx(probability.max(axis=1))
    assert found.brier.mean() == pytest.approx(brier_score_loss(right, probability.max(axis=1)))
    place = np.minimum((probability.max(axis=1) * 10).astype(int), 9)
    gaps = [abs((right - probability.max(axis=1))[place == one].sum()) for one in range(10)]
    assert calibration_error_percent(found.bins()) == pytest.approx(100 * sum(gaps) / 400)


def test_agreement_is_spearmans_over_what_both_score() -> None:
    rng = np.random.default_rng(2)
    one, other = rng.integers(6, size=(20, 9)).astype(np.float64), rng.normal(size=(20, 9))
    one[3, 2] = other[3, 5] = NAN
    found = agreement(one, other)
    for query in range(20):
        both = ~(np.isnan(one[query]) | np.isnan(other[query]))
        expected = spearmanr(one[query][both], other[query][both]).statistic
        assert found.rank_correlation[query] == pytest.approx(expected)


def test_the_same_first_answer_is_counted_and_ties_have_the_chance_of_it() -> None:
    one = np.array([[3.0, 1, 0], [3, 1, 0], [2, 2, 0], [2, 2, 0], [NAN, NAN, NAN]])
    other = np.array([[9.0, 1, 0], [0, 1, 9], [5, 1, 0], [5, 5, 5], [1, 2, 3]])
    # same; another; one of two; 1/2 x 1/3 for each of two shared answers; nothing to compare
    assert agreement(one, other).same_first.tolist() == pytest.approx([1, 0, 1 / 2, 1 / 3, NAN], nan_ok=True)


def test_equal_scores_rank_nothing() -> None:
    assert np.isnan(agreement(np.zeros((1, 4)), np.array([[1.0, 2, 3, 4]])).rank_correlation).all()


def test_agreement_is_the_mean_over_pairs_of_wordings() -> None:
    # pairs: same, other, other; with the negated one: same, same, other
    wordings = [np.array([[2.0, 1]]), np.array([[5.0, 1]]), np.array([[1.0, 2]])]
    found = agreement_over_wordings(wordings)
    assert found.same_first.tolist() == pytest.approx([1 / 3])
    assert found.rank_correlation.tolist() == pytest.approx([-1 / 3])
    assert agreement_with_negated(wordings, np.array([[9.0, 1]])).same_first.tolist() == pytest.approx(
        [2 / 3]
    )
    with pytest.raises(ValueError, match="1 wording: agreement is of two"):
        agreement_over_wordings(wordings[:1])
