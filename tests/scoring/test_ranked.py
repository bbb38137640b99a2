"""Figures of ranked probing: against all draws and all orders of ties, scikit-learn, and plain loops."""

from itertools import combinations, permutations
from statistics import fmean
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from kebench.scoring.ranked import METRICS, SOURCES, QueryFigures, mean_over_draws, rank_queries

NAN = float("nan")
# Scores with ties and gaps, and which of them are true.
ONE_QUERY = st.lists(st.tuples(st.sampled_from([0.0, 1.0, 2.0, NAN]), st.booleans()), min_size=2, max_size=7)


def rank(score_SC: Any, is_true_SC: Any, subjects: Any = None, **options: Any) -> QueryFigures:
    score, is_true = np.array(score_SC, dtype=np.float64), np.array(is_true_SC, dtype=bool)
    return rank_queries(score, is_true, range(len(score)) if subjects is None else subjects, **options)


def expected_by_enumeration(
    scores: list[float], is_true: list[bool], num_candidates: int
) -> dict[str, float] | None:
    """Every set of drawn false answers, every order of what ties with the best true one."""
    true = [score for score, right in zip(scores, is_true, strict=True) if right and score == score]
    false = [score for score, right in zip(scores, is_true, strict=True) if not right and score == score]
    if not true or not false:
        return None
    best = max(true)
    first = []
    for drawn in combinations(false, min(num_candidates - 1, len(false))):
        tied = [True] * true.count(best) + [False] * drawn.count(best)
        wins = [order[0] for order in permutations(tied)]
        first.append(0.0 if max(drawn) > best else fmean(wins))
    above = sum(score > best for score in false)
    tied = [True] * true.count(best) + [False] * false.count(best)
    ranks = [above + 1 + order.index(True) for order in permutations(tied)]
    return {
        "acc_1": fmean(first),
        "mrr": fmean(1 / place for place in ranks),
        "hits_5": fmean(place <= 5 for place in ranks),
        "auc": roc_auc_score([True] * len(true) + [False] * len(false), true + false),
    }


@given(ONE_QUERY, st.integers(2, 5))
def test_a_query_earns_its_expectation_over_all_draws_and_orders(
    query: list[tuple[float, bool]], num_candidates: int
) -> None:
    scores, is_true = map(list, zip(*query, strict=True))
    found = rank([scores], [is_true], num_candidates=num_candidates)
    expected = expected_by_enumeration(scores, is_true, num_candidates)
    for metric in METRICS:
        earned = found.by_source["own"][metric][0]
        assert np.isnan(earned) if expected is None else earned == pytest.approx(expected[metric]), metric


def test_the_expectation_is_what_draws_of_19_false_answers_earn_on_average() -> None:
    rng = np.random.default_rng(1)
    scores = rng.normal(size=60).round(1)  # ten values or so are shared
    gold = np.argsort(-scores)[2]
    is_true = np.arange(60) == gold
    found = rank([scores], [is_true]).by_source["own"]["acc_1"][0]
    earned = []
    for _ in range(20_000):
        drawn = rng.choice(scores[~is_true], 19, replace=False)
        earned.append((drawn <= scores[gold]).all() / (1 + (drawn == scores[gold]).sum()))
    assert found == pytest.approx(np.mean(earned), abs=3 * np.std(earned) / 20_000**0.5)


def test_a_true_answer_that_ties_with_drawn_ones_shares_with_them() -> None:
    # one true and two false answers, all equal, none else: a third each
    assert rank([[1, 1, 1]], [[1, 0, 0]]).by_source["own"]["acc_1"].tolist() == pytest.approx([1 / 3])


def test_true_answers_do_not_stand_in_each_others_way() -> None:
    # 9 and 8 are true; below them one false answer: rank 1 for the best, and all pairs are in order
    own = rank([[8, 9, 1]], [[1, 1, 0]]).by_source["own"]
    assert [own[metric][0] for metric in METRICS] == [1, 1, 1, 1]


def plain_figures(score: Any, is_true: Any, keep: Any, num_candidates: int) -> list[float]:
    found = expected_by_enumeration(list(score[keep]), list(is_true[keep]), num_candidates)
    assert found is not None
    return [found[metric] for metric in METRICS]


def test_other_subjects_are_all_rows_of_others_on_the_candidates_of_the_query() -> None:
    rng = np.random.default_rng(2)
    score, is_true = rng.integers(4, size=(6, 6)).astype(np.float64), np.eye(6, dtype=bool)
    is_true[0, 3] = True
    score[1, 4] = NAN  # row 1 cannot stand in for queries that have candidate 4; query 1 is ranked without it
    subjects = ["a", "b", "a", "c", "d", "e"]
    neutral = rng.integers(4, size=6).astype(np.float64)
    found = rank(score, is_true, subjects, neutral_C=neutral, num_candidates=4).by_source
    for query in range(6):
        keep = ~np.isnan(score[query])
        others = [row for row in range(6) if subjects[row] != subjects[query]]
        others = [row for row in others if not np.isnan(score[row][keep]).any()]
        earned = [plain_figures(score[row], is_true[query], keep, 4) for row in others]
        expected = {
            "own": plain_figures(score[query], is_true[query], keep, 4),
            "other_subjects": np.mean(earned, axis=0),
            "no_subject": plain_figures(neutral, is_true[query], keep, 4),
        }
        for source, of_metrics in expected.items():
            assert [found[source][metric][query] for metric in METRICS] == pytest.approx(list(of_metrics))


def test_rows_are_taken_in_blocks_without_moving_a_figure(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(3)
    score, is_true = rng.normal(size=(15, 8)), np.eye(15, 8, dtype=bool)
    whole = rank(score, is_true).by_source["other_subjects"]
    monkeypatch.setattr("kebench.scoring.ranked._VALUES_AT_ONCE", 40)
    blocks = rank(score, is_true).by_source["other_subjects"]
    for metric in METRICS:
        assert blocks[metric] == pytest.approx(whole[metric], nan_ok=True)


def test_frequency_ranks_by_how_often_queries_have_an_answer() -> None:
    # Candidate 0 is true of queries 0, 1 and 2, candidate 1 of query 3: counts 3, 1, 0 for all.
    is_true = [[1, 0, 0], [1, 0, 0], [1, 0, 0], [0, 1, 0]]
    found = rank(np.zeros((4, 3)), is_true, list("abcd")).by_source["frequency"]
    assert found["mrr"].tolist() == pytest.approx([1, 1, 1, 1 / 2])


def test_evenly_frequent_answers_earn_by_frequency_what_chance_does() -> None:
    found = rank(np.zeros((40, 20)), np.tile(np.eye(20), (2, 1)), range(40)).by_source
    for metric in METRICS:
        assert found["frequency"][metric] == pytest.approx(found["uniform"][metric])


@pytest.mark.parametrize(("num_true", "num_false"), [(1, 99), (1, 19), (1, 6), (3, 40), (5, 7)])
def test_uniform_is_what_random_scores_earn(num_true: int, num_false: int) -> None:
    rng = np.random.default_rng(4)
    is_true = np.arange(num_true + num_false) < num_true
    drawn = rank(rng.normal(size=(1000, len(is_true))), np.tile(is_true, (1000, 1)), [0] * 1000).by_source
    for metric in METRICS:
        earned, chance = drawn["own"][metric], drawn["uniform"][metric][0]
        assert earned.mean() == pytest.approx(chance, abs=3.5 * earned.std() / 1000**0.5), metric
    least = min(19, num_false)
    assert drawn["uniform"]["acc_1"][0] == pytest.approx(num_true / (num_true + least))
    assert drawn["uniform"]["auc"][0] == pytest.approx(0.5)


def test_scores_that_are_all_equal_earn_what_chance_does() -> None:
    is_true = np.zeros((3, 30), dtype=bool)
    is_true[0, :1] = is_true[1, :4] = is_true[2, 5:7] = True
    found = rank(np.zeros((3, 30)), is_true, neutral_C=np.zeros(30)).by_source
    for source in ("own", "other_subjects", "no_subject"):
        for metric in METRICS:
            assert found[source][metric] == pytest.approx(found["uniform"][metric])


def test_what_a_query_lacks_gives_no_figure_and_is_no_zero() -> None:
    # no true answer; no false one; the only true one has no score; whole. Row 3 alone has all candidates.
    score = [[1, 2, 3], [1, 2, 3], [NAN, 2, 3], [3, 2, 1]]
    is_true = [[0, 0, 0], [1, 1, 1], [1, 0, 0], [1, 0, 0]]
    found = rank(score, is_true)
    for source in SOURCES[:-1]:
        assert np.isnan(found.by_source[source]["mrr"][:3]).all()
    assert found.by_source["own"]["mrr"][3] == 1
    assert found.by_source["other_subjects"]["mrr"][3] == pytest.approx(1 / 3)
    assert np.isnan(found.by_source["no_subject"]["mrr"]).all()
    assert found.num_true.tolist() == [0, 3, 0, 1]
    assert found.num_false.tolist() == [3, 0, 2, 2]


def test_a_query_whose_subject_is_the_only_one_has_no_other_subjects() -> None:
    found = rank([[2, 1], [1, 2]], [[1, 0], [1, 0]], ["a", "a"]).by_source
    assert np.isnan(found["other_subjects"]["acc_1"]).all()
    assert found["own"]["acc_1"].tolist() == [1, 0]


def test_a_neutral_statement_that_lacks_a_candidate_is_no_baseline_of_queries_that_have_it() -> None:
    found = rank([[2, 1, NAN], [2, 1, 0]], [[1, 0, 0]] * 2, neutral_C=np.array([1, 0, NAN])).by_source
    assert found["no_subject"]["mrr"][0] == 1
    assert np.isnan(found["no_subject"]["mrr"][1])


def test_other_subjects_earn_what_the_own_does_where_the_subject_is_not_read() -> None:
    score = np.tile(np.random.default_rng(5).normal(size=50), (12, 1))
    is_true = np.random.default_rng(6).random((12, 50)) < 0.1
    found = rank(score, is_true, neutral_C=score[0]).by_source
    for metric in METRICS:
        assert found["other_subjects"][metric] == pytest.approx(found["own"][metric], nan_ok=True)
        assert found["no_subject"][metric] == pytest.approx(found["own"][metric], nan_ok=True)


@given(st.permutations(range(9)))
def test_the_order_of_candidates_does_not_matter(order: list[int]) -> None:
    rng = np.random.default_rng(7)
    score, is_true = rng.integers(5, size=(4, 9)).astype(np.float64), rng.random((4, 9)) < 0.3
    here, there = rank(score, is_true), rank(score[:, order], is_true[:, order])
    for source in SOURCES:
        for metric in METRICS:
            assert there.by_source[source][metric] == pytest.approx(
                here.by_source[source][metric], nan_ok=True
            )


def test_a_query_has_the_mean_over_the_draws_that_rank_it() -> None:
    # in the second draw the true answer of query 1 is a shot's
    first = rank([[2, 1, 0], [1, 2, 0]], [[1, 0, 0], [1, 0, 0]])
    second = rank([[0, 1, 2], [NAN, 2, 0]], [[1, 0, 0], [1, 0, 0]])
    found = mean_over_draws([first, second])
    assert found.by_source["own"]["mrr"].tolist() == pytest.approx([(1 + 1 / 3) / 2, 1 / 2])
    assert (found.num_true.tolist(), found.num_false.tolist()) == ([1, 1], [2, 2])


def test_no_query_has_no_figure() -> None:
    found = rank(np.empty((0, 4)), np.empty((0, 4)))
    assert found.by_source["own"]["acc_1"].shape == (0,)
