"""Scores of concepts from parts of names: by hand, column means against a plain loop, and under the null."""

from typing import Any

import numpy as np
import pytest
from scipy.special import logsumexp

from kebench.scoring.name_scores import (
    SCORES,
    CandidateScores,
    NameParts,
    PoolNames,
    candidate_scores,
    less_column_mean,
)
from kebench.scoring.ranked import METRICS, rank_queries

NAN = float("nan")
# Candidate 0 has the names 1 and 2, candidate 1 the name 0.
NAMES = PoolNames(np.array([1, 0, 0]), np.array([10, 4, 8]))


def parts(total: Any, first: Any, tokens: Any, given: Any = None) -> NameParts:
    return NameParts(
        np.array(total, dtype=np.float32),
        np.array(first, dtype=np.float32),
        np.array(tokens, dtype=np.int16),
        None if given is None else np.array(given, dtype=np.float32),
    )


def test_each_score_is_of_the_names_that_it_says() -> None:
    log = np.log
    asked = parts([[-6, log(0.1), log(0.3)]], [[-2, -1.5, -0.5]], [[3, 1, 2]], [[-4, log(0.2), log(0.4)]])
    neutral = parts([[-5, log(0.4), log(0.1)]], [[-1, -2, -3]], [[3, 1, 2]], [[-3, log(0.5), log(0.5)]])
    found = candidate_scores(asked, NAMES, ["x"], neutral=neutral)
    assert list(found) == list(SCORES)
    expected = {
        "sum": ([log(0.4), -6], [log(0.5), -5]),
        # of log .1 = -2.30 and log .3 / 2 = -.60 the larger, without a subject of log .4 = -.92 and -1.15
        "mean": ([log(0.3) / 2, -2], [log(0.4), -5 / 3]),
        "char": ([log(0.3) / 8, -0.6], [log(0.4) / 4, -0.5]),
        "first": ([-0.5, -2], [-2, -1]),
        "pmi": ([log(0.4 / 0.5), -1], [0, 0]),
        "given": ([log(0.3), -4], [log(0.5), -3]),
    }
    for score, (own, without) in expected.items():
        assert found[score].score_SC[0].tolist() == pytest.approx(own, abs=1e-4), score
        assert found[score].neutral_C is not None
        assert found[score].neutral_C.tolist() == pytest.approx(without, abs=1e-4), score
        assert not found[score].lacks


def test_what_a_score_lacks_is_said_and_gives_no_number() -> None:
    found = candidate_scores(parts([[-1, -2, -3]], [[-1, -2, -3]], [[1, 1, 1]]), NAMES, ["x"])
    assert {score: one.lacks for score, one in found.items() if one.lacks} == {
        "pmi": "no statement without a subject was asked",
        "column": "the mean of a column needs 20 subjects, the relation has 1",
        "given": "nothing stands behind the blank",
    }
    for score in ("pmi", "column", "given"):
        assert np.isnan(found[score].score_SC).all()
    assert all(one.neutral_C is None for one in found.values())


def test_names_without_a_score_do_not_count_and_a_candidate_without_any_has_none() -> None:
    asked = parts([[NAN, -2, NAN], [-1, NAN, NAN]], [[NAN, -1, NAN], [-1, NAN, NAN]], [[0, 2, 2], [1, 2, 2]])
    found = candidate_scores(asked, NAMES, ["x", "y"])
    assert found["sum"].score_SC.ravel().tolist() == pytest.approx([-2, NAN, NAN, -1], nan_ok=True)
    assert found["mean"].score_SC.ravel().tolist() == pytest.approx([-1, NAN, NAN, -1], nan_ok=True)


def test_what_a_batch_s_rounding_parts_is_a_tie() -> None:
    asked = parts([[-3.00001, -3.00002, -900]], [[-1, -1, -1]], [[1, 1, 1]])
    score = candidate_scores(asked, NAMES, ["x"])["sum"].score_SC[0]
    assert score[0] == score[1]


def plain_column(score_SC: np.ndarray, subjects: list[Any]) -> np.ndarray:
    found = np.full(score_SC.shape, NAN)
    for query, column in np.ndindex(*score_SC.shape):
        others = [row for row, subject in enumerate(subjects) if subject != subjects[query]]
        values = score_SC[others, column]
        values = values[~np.isnan(values)]
        if len(values) >= 19:
            found[query, column] = score_SC[query, column] - logsumexp(values) + np.log(len(values))
    return found


def test_a_column_mean_is_that_of_the_rows_of_other_subjects() -> None:
    rng = np.random.default_rng(1)
    score, subjects = rng.normal(-20, 6, (24, 5)), [0, 0, *range(1, 23)]
    score[4:6, 0] = NAN
    score[4:, 1] = NAN  # too few are left
    found = less_column_mean(score, subjects, neutral_C=score[7])
    np.testing.assert_allclose(found.score_SC, plain_column(score, subjects), rtol=1e-9)
    assert np.isnan(found.score_SC[:, 1]).all()
    whole = score[7, 2:] - logsumexp(score[:, 2:], axis=0) + np.log(24)
    assert found.neutral_C is not None
    np.testing.assert_allclose(found.neutral_C[2:], whole)


def test_a_row_that_is_a_column_s_mean_almost_alone_loses_no_digits() -> None:
    # 300 nats above the others: their mean is 0, and nothing of it is left in the mean of all
    score = np.zeros((25, 1))
    score[3] = 300
    found = less_column_mean(score, range(25)).score_SC[:, 0]
    assert found[3] == pytest.approx(300)
    assert found[0] == pytest.approx(-300 + np.log(24))


def test_a_constant_that_is_added_to_a_column_changes_nothing() -> None:
    rng = np.random.default_rng(2)
    score, constant = rng.normal(-9, 3, (30, 40)), rng.normal(0, 50, 40)
    before = less_column_mean(score, range(30), neutral_C=score[0])
    after = less_column_mean(score + constant, range(30), neutral_C=score[0] + constant)
    np.testing.assert_allclose(after.score_SC, before.score_SC, atol=1e-9)
    assert after.neutral_C is not None
    np.testing.assert_allclose(after.neutral_C, before.neutral_C, atol=1e-9)


def test_a_column_needs_twenty_subjects() -> None:
    score = np.zeros((25, 3))
    enough = less_column_mean(score, [*range(20), 0, 1, 2, 3, 4])
    assert not enough.lacks
    few = less_column_mean(score, [*range(19)] + [0] * 6, neutral_C=np.zeros(3))
    assert few.lacks == "the mean of a column needs 20 subjects, the relation has 19"
    assert few.neutral_C is not None
    assert np.isnan(few.neutral_C).all()


@pytest.mark.slow
def test_a_column_score_that_knows_nothing_earns_what_chance_and_other_subjects_do() -> None:
    # Rows with noise and columns with favourites, but no row knows its subject. Answers are frequent or rare.
    rng = np.random.default_rng(3)
    gaps: dict[str, list[list[float]]] = {"other_subjects": [], "uniform": []}
    for _ in range(400):
        score = rng.normal(0, 2, (30, 40)) + rng.normal(0, 4, 40)
        is_true = np.arange(40) == np.minimum(rng.geometric(0.1, 30), 40)[:, None] - 1
        column: CandidateScores = less_column_mean(score, range(30))
        found = rank_queries(column.score_SC, is_true, range(30)).by_source
        for source, of in gaps.items():
            of.append([float((found["own"][m] - found[source][m]).mean()) for m in METRICS])
    for of in gaps.values():
        mean, error = np.mean(of, axis=0), np.std(of, axis=0) / 400**0.5
        assert (np.abs(mean) < 3.5 * error).all()
