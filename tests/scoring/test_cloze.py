"""Averages over relations: by hand, and against SciPy's bootstrap."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import bootstrap

from kebench.scoring.cloze import Averages, average, group_means, ranked_earnings


def generator() -> np.random.Generator:
    return np.random.default_rng(7)


def hits(*earned: float) -> dict[str, np.ndarray]:
    return {"hit": np.array(earned, dtype=np.float64)}


def relation(*numbers: int) -> np.ndarray:
    return np.array(numbers, dtype=np.int64)


def test_the_macro_average_weighs_relations_equally_and_the_micro_average_queries() -> None:
    # relation 0: 1 of 4, relation 1: 1 of 1; macro (25 + 100) / 2, micro 2 of 5
    found = average(hits(1, 0, 0, 0, 1), relation(0, 0, 0, 0, 1), generator())["hit"]
    assert (found.macro_percent, found.micro_percent) == (62.5, 40)


def test_a_relation_without_a_query_of_the_kind_does_not_count() -> None:
    found = average(hits(1, 0), relation(2, 7), generator())["hit"]
    assert found.macro_percent == 50


def test_no_query_is_no_score_and_one_relation_has_no_interval() -> None:
    assert average(hits(), relation(), generator()) == {"hit": Averages(None, None, None, None)}
    assert average(hits(1, 0), relation(3, 3), generator())["hit"] == Averages(50, None, None, 50)


def test_a_rank_earns_its_reciprocal_and_a_miss_nothing() -> None:
    earned = ranked_earnings(relation(1, 5, 6, 0))
    assert earned["acc_1"].tolist() == [1, 0, 0, 0]
    assert earned["acc_5"].tolist() == [1, 1, 0, 0]
    assert earned["mrr"].tolist() == pytest.approx([1, 1 / 5, 1 / 6, 0])


def test_a_query_counts_in_each_of_its_groups() -> None:
    # group 4 has queries 0 and 1, group 9 has query 1
    found = group_means(hits(1, 0), relation(4, 4, 9), relation(0, 1, 1))
    assert (found.groups.tolist(), found.num_queries.tolist()) == ([4, 9], [2, 1])
    assert found.means["hit"].tolist() == [50, 0]


def test_the_interval_is_scipys_percentile_bootstrap() -> None:
    # 40 relations of one query each; two programs draw other resamples, so the ends agree to half a point
    draws = np.random.default_rng(3).random(40)
    found = average(hits(*draws), np.arange(40), generator())["hit"]
    theirs = bootstrap(
        (100 * draws,), np.mean, n_resamples=10_000, method="percentile", random_state=generator()
    ).confidence_interval
    assert found.low_percent == pytest.approx(theirs.low, abs=0.5)
    assert found.high_percent == pytest.approx(theirs.high, abs=0.5)


def test_the_same_generator_gives_the_same_interval() -> None:
    earned, of = hits(1, 0, 0, 1, 1), relation(0, 0, 1, 2, 3)
    assert average(earned, of, generator()) == average(earned, of, generator())


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 8)), min_size=1, max_size=20))
def test_better_figures_never_stand_below_stricter_ones(queries: list[tuple[int, int]]) -> None:
    of, ranks = (np.array(column, dtype=np.int64) for column in zip(*queries, strict=True))
    earned = {"hit": (ranks > 0).astype(np.float64), **ranked_earnings(ranks)}
    found = {metric: one.macro_percent for metric, one in average(earned, of, generator()).items()}
    assert found["hit"] >= found["acc_5"] >= found["acc_1"]
    assert found["hit"] >= found["mrr"] >= found["acc_1"]


@given(st.lists(st.integers(0, 9), min_size=1, max_size=9), st.data())
def test_a_better_rank_never_earns_less(ranks: list[int], data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(ranks) - 1))
    better = [*ranks]
    better[place] = (
        max(ranks[place] - 1, 1) if ranks[place] else 9
    )  # from a miss to the last place, else one up
    before, after = (ranked_earnings(np.array(some)) for some in (ranks, better))
    assert all(after[metric][place] >= before[metric][place] for metric in before)
