"""Figures of ranked probing, from one matrix of scores: what each query earns, and what its baselines earn.

All false candidates of the pool compete with the best-placed true answer of a query; true answers do not
stand in each other's way. Nothing is drawn: accuracy among 20 drawn candidates is its exact expectation over
all draws, equal scores are in random order, other subjects are all rows of other subjects.

Why baselines beside chance: the same prompt without a subject, or with another, may rank as well (Zhong et
al., BioLAMA, arXiv:2109.07154, section 5), and so may the answers that a set asks for most often.
"""

# S queries of one relation and direction, C candidates of their pool, R rows of scores,
# K the true answers of all queries, one after the other

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from kebench.scoring.cloze import Floats, Ints

Bools = NDArray[np.bool_]
NUM_CANDIDATES = 20  # of acc@1: the true answer and 19 drawn false ones; ours
HITS_AT = 5
METRICS = {"acc_1": "acc@1", "mrr": "MRR", "hits_5": "hits@5", "auc": "AUC"}
SOURCES = ("own", "other_subjects", "no_subject", "frequency", "shared_words", "uniform")
_VALUES_AT_ONCE = 1_000_000  # bounds memory; does not move a figure

Earnings = dict[str, Floats]  # by metric: what each query earns, from 0 to 1; NaN where it has no figure


class QueryFigures(NamedTuple):
    """What each query of a relation earns, by source of the scores (SOURCES) and by metric (METRICS), (S,).

    acc_1: whether the best-placed true answer stands first among 20 candidates: itself and false ones that
        are drawn without replacement, or all of them where there are fewer. mrr: of its rank among all false
        ones. hits_5: whether that rank is at most 5. auc: Mann-Whitney's, the share of all pairs of a true
        and a false answer in which the true one is higher, equal ones half; .5 by chance however many answers
        are true, which the share below the best-placed one is not.
    own: by the query's scores. other_subjects: the mean over the scores of all queries of other subjects.
    no_subject: by the scores of a statement without one. frequency: a candidate's score is how many queries
        it is a true answer of, known from the answers as a majority is. shared_words: by how much of its name
        stands in the question. uniform: by random scores; 1 in 20 for acc_1 with one true answer, and more
        with several, m / (m + 19).
    num_true, num_false: candidates with a score. A query without one of either has no figure: NaN throughout.
    A figure of other scores is NaN, too, where these lack a candidate of the query's.
    """

    by_source: dict[str, Earnings]
    num_true: Ints
    num_false: Ints


class _Pool(NamedTuple):
    """Queries that are ranked among the same C candidates, all of which have scores.

    query_K, candidate_K: the true answers, by query. start_S: the first of each query's.
    """

    query_K: Ints
    candidate_K: Ints
    start_S: Ints
    num_true_S: Ints
    num_false_S: Ints
    num_candidates: int  # of acc@1


def rank_queries(
    score_SC: Floats,
    is_true_SC: Bools,
    subject_S: Sequence[Any] | NDArray[Any],
    *,
    neutral_C: Floats | None = None,
    shared_SC: Floats | None = None,
    num_candidates: int = NUM_CANDIDATES,
) -> QueryFigures:
    """Return what the queries of one relation and direction earn, and what their baselines earn.

    score_SC: higher is better, exactly as compared (`name_scores` rounds). NaN where a candidate cannot be
    scored or is taken out, as the answers of shots are; it does not compete then.
    is_true_SC: all true answers. subject_S: what the query is about; rows of an equal one are no baseline.
    neutral_C: scores of the statement without a subject. shared_SC: how much of a candidate's name stands in
    the question. Without one of them its baseline is NaN.

    Takes O(S x S x true answers of a query + S x C log C).
    """
    num_queries, pool_size = score_SC.shape
    assert is_true_SC.shape == score_SC.shape, "scores and true answers of the same queries and candidates"
    assert len(subject_S) == num_queries, f"{len(subject_S)} subjects of {num_queries} queries"
    assert neutral_C is None or len(neutral_C) == pool_size, "a neutral score for each candidate"
    assert num_candidates > 1, "at least one false candidate"
    subject = np.unique(np.asarray(subject_S), return_inverse=True)[1].reshape(-1)
    is_scored_SC = ~np.isnan(score_SC)
    num_true = (is_true_SC & is_scored_SC).sum(axis=1)
    num_false = (~is_true_SC & is_scored_SC).sum(axis=1)
    found = {source: {metric: np.full(num_queries, np.nan) for metric in METRICS} for source in SOURCES}

    # Of all queries, the query itself among them: without it, evenly frequent answers would earn less than
    # chance, since each of them is one time rarer where it is right.
    frequency_SC = np.broadcast_to(is_true_SC.sum(axis=0, dtype=np.float64), score_SC.shape)

    # As a rule all queries lack the same candidates: those of the shots.
    ranked = np.flatnonzero((num_true > 0) & (num_false > 0))
    patterns, pattern_of = np.unique(is_scored_SC[ranked], axis=0, return_inverse=True)
    for number, pattern in enumerate(patterns):
        queries = ranked[pattern_of.reshape(-1) == number]
        query_K, candidate_K = np.nonzero(is_true_SC[np.ix_(queries, pattern)])
        pool = _Pool(
            query_K,
            candidate_K,
            np.searchsorted(query_K, np.arange(len(queries))),
            num_true[queries],
            num_false[queries],
            num_candidates,
        )
        by_source = {
            "own": _earned_by_own(score_SC[np.ix_(queries, pattern)], pool),
            "frequency": _earned_by_own(frequency_SC[np.ix_(queries, pattern)], pool),
            "uniform": _earned_by_chance(pool),
        }
        if shared_SC is not None:
            by_source["shared_words"] = _earned_by_own(shared_SC[np.ix_(queries, pattern)], pool)
        has_all = is_scored_SC[:, pattern].all(axis=1)
        is_other_RS = subject[has_all][:, None] != subject[queries]
        rows_RC = score_SC[np.ix_(has_all, pattern)]
        by_source["other_subjects"] = _earned_by_others(rows_RC, is_other_RS, pool)
        if neutral_C is not None and not np.isnan(neutral_C[pattern]).any():
            by_source["no_subject"] = _earned_by_others(
                neutral_C[None, pattern], np.ones((1, len(queries)), dtype=bool), pool
            )
        for source, earnings in by_source.items():
            for metric, earned in earnings.items():
                found[source][metric][queries] = earned
    return QueryFigures(found, num_true, num_false)


def mean_over_draws(draws: Sequence[QueryFigures]) -> QueryFigures:
    """Return each query's mean over draws of shots (or wordings), over those in which it has the figure.

    num_true and num_false are those of the draw that has most of them.
    """
    assert draws, "no draw to average"
    means = {
        source: {metric: known_mean([draw.by_source[source][metric] for draw in draws]) for metric in METRICS}
        for source in SOURCES
    }
    most = (np.max([getattr(draw, name) for draw in draws], axis=0) for name in ("num_true", "num_false"))
    return QueryFigures(means, *most)


def over_other_subjects(column: Mapping[tuple[str, str], Floats]) -> dict[tuple[str, str], Floats]:
    """Return the figures of queries, by metric and source, with over_other_subjects: own less other subjects.

    All are of the queries that can be held against other subjects, NaN of the rest: so own and other figures
    differ by over.
    """
    lacks_Q = np.any(
        [np.isnan(values) for (_, source), values in column.items() if source == "other_subjects"], axis=0
    )
    held = {name: np.where(lacks_Q, np.nan, values) for name, values in column.items()}
    for metric in dict.fromkeys(metric for metric, _ in column):
        held[metric, "over_other_subjects"] = held[metric, "own"] - held[metric, "other_subjects"]
    return held


def known_mean(values: Sequence[Floats]) -> Floats:
    """Return the mean over several arrays, place by place, of what is not NaN."""
    stacked = np.stack(values)
    is_known = ~np.isnan(stacked)
    total, number = np.where(is_known, stacked, 0.0).sum(axis=0), is_known.sum(axis=0)
    return np.divide(total, number, out=np.full(total.shape, np.nan), where=number > 0)


def _earned_by_own(score_SC: Floats, pool: _Pool) -> Earnings:
    """Return what each query earns by its own row of scores."""
    higher_SC, equal_SC = _standing(score_SC)
    place = (pool.query_K, pool.candidate_K)
    return _earned(higher_SC[place], equal_SC[place], pool, pool_size=score_SC.shape[1])


def _earned_by_others(score_RC: Floats, is_other_RS: Bools, pool: _Pool) -> Earnings:
    """Return what each query earns on average by the rows that are others to it; NaN where there is none."""
    num_rows, pool_size = score_RC.shape
    totals = {metric: np.zeros(len(pool.start_S)) for metric in METRICS}
    at_once = max(1, _VALUES_AT_ONCE // (len(pool.query_K) + pool_size))
    for start in range(0, num_rows, at_once):
        rows = slice(start, start + at_once)
        higher_RC, equal_RC = _standing(score_RC[rows])
        earnings_RS = _earned(
            higher_RC[:, pool.candidate_K], equal_RC[:, pool.candidate_K], pool, pool_size=pool_size
        )
        for metric, earned_RS in earnings_RS.items():
            totals[metric] += np.where(is_other_RS[rows], earned_RS, 0.0).sum(axis=0)
    number = is_other_RS.sum(axis=0)
    return {
        metric: np.divide(total, number, out=np.full(len(total), np.nan), where=number > 0)
        for metric, total in totals.items()
    }


def _earned_by_chance(pool: _Pool) -> Earnings:
    """Return what each query earns on average by scores in random order: by scores that are all equal."""
    nothing, all_K = np.zeros(len(pool.query_K), dtype=np.int64), pool.num_true_S + pool.num_false_S
    return _earned(nothing, all_K[pool.query_K], pool, pool_size=int(all_K[0]))


def _standing(score_RC: Floats) -> tuple[Ints, Ints]:
    """Return for each candidate how many are higher in its row, and how many equal, itself among them."""
    from scipy.stats import rankdata  # commands are imported without SciPy

    first_RC = rankdata(-score_RC, method="min", axis=1).astype(np.int64)
    last_RC = rankdata(-score_RC, method="max", axis=1).astype(np.int64)
    return first_RC - 1, last_RC - first_RC + 1


def _earned(higher_K: Ints, equal_K: Ints, pool: _Pool, *, pool_size: int) -> Earnings:
    """Return what each query earns. higher_K, equal_K: of each true answer, (K,) for (S,), (R, K) for (R, S).

    Every candidate is true or false of a query, so ranks among all of them say where the true ones stand.
    """
    num_true, num_false, starts = pool.num_true_S, pool.num_false_S, pool.start_S
    # No true answer is above the best one: what is higher is false.
    above = np.minimum.reduceat(higher_K, starts, axis=-1)
    is_best_K = higher_K == above[..., pool.query_K]
    true_tied = np.add.reduceat(is_best_K, starts, axis=-1, dtype=np.int64)
    tied = np.maximum.reduceat(np.where(is_best_K, equal_K, 0), starts, axis=-1) - true_tied

    sizes, size_S = np.unique(num_false, return_inverse=True)
    undrawn = np.zeros((len(sizes), pool_size + 1))
    for row, size in enumerate(sizes.tolist()):
        undrawn[row, : size + 1] = _chance_of_none_drawn(size, _num_drawn(size, pool.num_candidates))
    acc_1, mrr = undrawn[size_S.reshape(-1), above], 1 / (1 + above)
    hits_5 = (above < HITS_AT).astype(np.float64)
    if (ties := tied > 0).any():
        sizes_x = np.broadcast_to(num_false, tied.shape)
        cases, case_of = np.unique(
            np.stack([above[ties], tied[ties], true_tied[ties], sizes_x[ties]]), axis=1, return_inverse=True
        )
        expected = [_expected_of_ties(*case, pool.num_candidates) for case in cases.T.tolist()]
        acc_1[ties], mrr[ties], hits_5[ties] = np.array(expected)[case_of.reshape(-1)].T

    # Mann-Whitney's U: mean ranks from the lowest, summed over the true answers
    rank_K = pool_size - higher_K - (equal_K - 1) / 2
    wins = np.add.reduceat(rank_K, starts, axis=-1) - num_true * (num_true + 1) / 2
    return {"acc_1": acc_1, "mrr": mrr, "hits_5": hits_5, "auc": wins / (num_true * num_false)}


def _num_drawn(num_false: int, num_candidates: int) -> int:
    return min(num_candidates - 1, num_false)


@lru_cache(maxsize=4096)
def _chance_of_none_drawn(num_false: int, num_drawn: int) -> Floats:
    """Return the chance that none of the best x is drawn, x = 0 to num_false: C(F - x, k) / C(F, k)."""
    left = num_false - np.arange(num_false)
    chances: Floats = np.concatenate([[1.0], np.cumprod(np.maximum(left - num_drawn, 0) / left)])
    chances.setflags(write=False)
    return chances


@lru_cache(maxsize=65536)
def _expected_of_ties(
    above: int, tied: int, true_tied: int, num_false: int, num_candidates: int
) -> tuple[float, float, float]:
    """Return acc@1, reciprocal rank and hits@5 over all orders of the equal ones, true and false.

    above: false answers over the best true one. tied, true_tied: false, and true, ones that equal it.
    """
    before = np.arange(tied)
    at_least = np.concatenate([[1.0], np.cumprod((tied - before) / (tied + true_tied - before))])
    exactly = at_least - np.append(at_least[1:], 0.0)  # so many false ones come before the first true one
    place = above + np.arange(tied + 1)
    undrawn = _chance_of_none_drawn(num_false, _num_drawn(num_false, num_candidates))[place]
    return float(exactly @ undrawn), float(exactly @ (1 / (1 + place))), float(exactly @ (place < HITS_AT))
