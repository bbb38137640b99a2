"""From what a model said of names to all figures of a ranked probe; no model, no torch."""

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from kebench.probe.ranked import NEGATED, NEUTRAL, RankedPool
from kebench.probe.record import RankSettings
from kebench.scoring.first_answers import (
    agreement_over_wordings,
    agreement_with_negated,
    first_answers,
    mean_agreement,
)
from kebench.scoring.name_scores import SCORES, CandidateScores, NameParts, PoolNames, candidate_scores
from kebench.scoring.ranked import METRICS, QueryFigures, mean_over_draws, rank_queries
from kebench.scoring.ranked_figures import (
    RankedFigures,
    RankedRelation,
    answer_frequency,
    ranked_figures,
)

BOOTSTRAP_SEED = 0
COMPARED = ("own", "other_subjects")  # of each query, kept for comparisons of probes

Floats = NDArray[np.float64]


class Said(NamedTuple):
    """What a model said under one wording and draw, (queries + 1, names); NaN where nothing.

    A row a query, the last that of no subject; names in the order of the pool.
    """

    name_log_prob: Floats
    first_log_prob: Floats
    after_log_prob: Floats
    tokens: Floats


def figures_of(
    scores: pa.Table, pools: Sequence[RankedPool], settings: RankSettings
) -> tuple[dict[str, RankedFigures], pa.Table]:
    """Return the figures by score, and a row a query and score of what it earns."""
    by_score: dict[str, list[RankedRelation]] = {score: [] for score in SCORES}
    earned: list[pa.Table] = []
    by_pool = _grouped(scores, "pool_id")
    for pool in pools:
        found = {
            (wording, draw): candidate_scores_of(said, pool, wording, draw, settings=settings)
            for (wording, shown), said in _cells(by_pool[pool.pool_id], pool).items()
            # without shots one statement serves for every draw of what is left out
            for draw in ([shown] if settings.shots else range(len(pool.left_out)))
        }
        is_true, shared = truth_of(pool), shared_words(pool)
        strata, quantities = (
            strata_of(pool, (is_true & (shared > 0)).any(axis=1)),
            quantities_of(pool, is_true),
        )
        for score in SCORES:
            relation = _relation(
                pool, {key: one[score] for key, one in found.items()}, is_true, shared, strata, quantities
            )
            by_score[score].append(relation)
            if not relation.lacks:
                earned.append(_earned(pool, score, relation.figures))
    made = {
        score: ranked_figures(relations, np.random.default_rng(BOOTSTRAP_SEED))
        for score, relations in by_score.items()
        if not all(relation.lacks for relation in relations)
    }
    return made, pa.concat_tables(earned)


def _grouped(table: pa.Table, column: str) -> dict[int, pa.Table]:
    values = table[column].to_numpy()
    return {int(value): table.filter(pa.array(values == value)) for value in np.unique(values)}


def _cells(rows: pa.Table, pool: RankedPool) -> dict[tuple[int, int], Said]:
    """Return what was said under each wording and draw."""
    return {
        (wording, draw): read_said(some, pool)
        for wording, of_wording in _grouped(rows, "wording").items()
        for draw, some in _grouped(of_wording, "draw").items()
    }


def read_said(rows: pa.Table, pool: RankedPool) -> Said:
    """Return what the rows of one wording and draw of a pool hold."""
    place_of = {query.query_id: place for place, query in enumerate(pool.queries)} | {NEUTRAL: -1}
    places = [place_of[query_id] for query_id in rows["query_id"].to_pylist()]
    starts = rows["first_name"].to_pylist()
    said = Said(*(np.full((len(pool.queries) + 1, len(pool.names)), np.nan) for _ in Said._fields))
    for column, whole in zip(Said._fields, said, strict=True):
        lists = rows[column].combine_chunks()
        bounds, values = lists.offsets.to_numpy(), lists.values.to_numpy(zero_copy_only=False)
        for place, start, first, end in zip(places, starts, bounds[:-1], bounds[1:], strict=True):
            whole[place, start : start + end - first] = values[first:end]
    return said


def candidate_scores_of(
    said: Said, pool: RankedPool, wording: int, draw: int, *, settings: RankSettings
) -> dict[str, CandidateScores]:
    """Return the scores of a pool's candidates under one wording and draw; the answers left out go."""
    total, first, after, tokens = (part.copy() for part in said)
    # What a causal model says of the words behind a name counts, too, and is then no mean of its tokens.
    # One that reads the name first has said nothing of the subject before it has read on.
    if follows := settings.family == "causal" and pool.words_follow(wording):
        total, tokens = total + after, np.zeros_like(tokens)
        if pool.subject_follows(wording):
            first = np.full_like(first, np.nan)
    is_out = [pool.left_out[draw].excludes(pool.candidates[candidate]) for candidate, _ in pool.names]
    for part in (total, first, after):
        part[:, is_out] = np.nan
        for place, query in enumerate(pool.queries):
            for candidate in query.out:
                part[place, [of == candidate for of, _ in pool.names]] = np.nan
    parts, neutral = (
        NameParts(
            total[some],
            first[some],
            np.nan_to_num(tokens[some]).astype(np.int64),
            after[some] if follows else None,
        )
        for some in (slice(None, -1), slice(-1, None))
    )
    has_neutral = not np.isnan(total[-1]).all()
    num_chars = np.array([np.nan if follows else len(name) for _, name in pool.names])
    names = PoolNames(np.array([candidate for candidate, _ in pool.names]), num_chars)
    subjects = [query.about for query in pool.queries]
    return candidate_scores(parts, names, subjects, neutral=neutral if has_neutral else None)


def _relation(
    pool: RankedPool,
    found: Mapping[tuple[int, int], CandidateScores],
    is_true: NDArray[np.bool_],
    shared: Floats,
    strata: dict[str, Sequence[str | tuple[str, ...]]],
    quantities: dict[str, Sequence[float | None]],
) -> RankedRelation:
    """Return what one pool's figures by one score are made of. found: by wording and draw."""
    subjects = [query.about for query in pool.queries]
    affirmed = {key: one for key, one in found.items() if key[0] != NEGATED}
    figures = [
        rank_queries(one.score_SC, is_true, subjects, neutral_C=one.neutral_C, shared_SC=shared)
        for one in affirmed.values()
    ]
    # Wordings are compared behind the same shots, draw by draw.
    wordings, negated = [], []
    for draw in sorted({draw for _, draw in found}):
        statements = [one.score_SC for (_, other), one in affirmed.items() if other == draw]
        if len(statements) > 1:
            wordings.append(agreement_over_wordings(statements))
        if (NEGATED, draw) in found:
            negated.append(agreement_with_negated(statements, found[NEGATED, draw].score_SC))
    return RankedRelation(
        f"{pool.relation}/{pool.direction}",
        mean_over_draws(figures),
        [first_answers(one.score_SC, is_true) for one in affirmed.values()],
        wordings=mean_agreement(wordings) if wordings else None,
        negated=mean_agreement(negated) if negated else None,
        strata=strata,
        quantities=quantities,
        lacks=_lacks(affirmed),
    )


def _lacks(found: Mapping[tuple[int, int], CandidateScores]) -> str:
    """Return why a score has no numbers by any wording; "" if it has."""
    if all(one.lacks for one in found.values()):
        return next(iter(found.values())).lacks
    if all(np.isnan(one.score_SC).all() for one in found.values()):
        return (
            "words stand behind the blank: of a name before them, by itself, a causal model says too little"
        )
    return ""


def truth_of(pool: RankedPool) -> NDArray[np.bool_]:
    """Return which candidates answer which query, (queries, candidates)."""
    is_true = np.zeros((len(pool.queries), len(pool.candidates)), dtype=np.bool_)
    for place, query in enumerate(pool.queries):
        is_true[place, list(query.true)] = True
    return is_true


def strata_of(pool: RankedPool, shares_S: NDArray[np.bool_]) -> dict[str, Sequence[str | tuple[str, ...]]]:
    """Return by what the queries of a pool are split, and the stratum of each, or several.

    shares_S: whether a true answer is named with a word of the question.
    """
    types = [
        tuple(sorted({one for place in query.true for one in pool.candidates[place].semantic_types}))
        or "unknown"
        for query in pool.queries
    ]
    return {
        "semantic-type": types,
        "type": ["type 1" if query.is_type_1 else "type 2" for query in pool.queries],
        "flag": [query.flags or "none" for query in pool.queries],
        "shared-words": ["shared" if shares else "none shared" for shares in shares_S.tolist()],
    }


def shared_words(pool: RankedPool) -> Floats:
    """Return which share of a candidate's name stands in the question, (queries, candidates).

    Words of four letters and more, by their first five: "ventricle" is "ventricular" by them. Of several
    names the one of the greatest share counts.
    """

    def stems(text: str) -> set[str]:
        return {word[:5] for word in re.findall(r"[^\W\d_]{4,}", text.casefold())}

    named = [[stems(name) for name in one.names] for one in pool.candidates]
    shared_SC = np.zeros((len(pool.queries), len(named)))
    for place, query in enumerate(pool.queries):
        asked = stems(query.subject or query.text)
        shared_SC[place] = [max(len(asked & of) / len(of) if of else 0.0 for of in names) for names in named]
    return shared_SC


def quantities_of(pool: RankedPool, is_true: NDArray[np.bool_]) -> dict[str, Sequence[float | None]]:
    """Return numbers by which queries are split into quarters; of several true answers the largest counts."""

    def most(numbers: Sequence[int | None]) -> list[float | None]:
        known = [[numbers[place] for place in query.true] for query in pool.queries]
        return [max((one for one in of if one is not None), default=None) for of in known]

    return {
        "frequency": answer_frequency(is_true),
        "names": most([one.num_names for one in pool.candidates]),
        "triples": most([one.num_triples for one in pool.candidates]),
    }


def _earned(pool: RankedPool, score: str, figures: QueryFigures) -> pa.Table:
    number = len(pool.queries)
    columns: dict[str, Sequence[object] | NDArray[np.float64]] = {
        "score": [score] * number,
        "query_id": [query.query_id for query in pool.queries],
        "relation": [f"{pool.relation}/{pool.direction}"] * number,
        "subject": [query.about for query in pool.queries],
    }
    for source in COMPARED:
        for metric in METRICS:
            columns[f"{source}_{metric}"] = figures.by_source[source][metric]
    return pa.table(columns)
