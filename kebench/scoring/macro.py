"""Macro means over relations, with bootstrap intervals that answer two questions.

Would it hold for other facts of these relations (facts are drawn again within each), and would it hold for
other relations too (relations are drawn again, and facts within each: a two-level bootstrap, Davison and
Hinkley 1997, section 3.8). Intervals are those of percentiles (Efron 1979).
"""

# Q queries, M figures, B resamples, R relations

from typing import NamedTuple

import numpy as np

from kebench.scoring.cloze import INTERVAL, Floats, Ints

NUM_RESAMPLES = 2000  # ours: an end of an interval is then known to within about a twentieth of its width

MIN_QUERIES = 10  # ours: resamples of fewer are of few values, and too narrow

Interval = tuple[float, float]


class MacroMean(NamedTuple):
    """The mean over relations of the mean over their queries, in the unit of the values.

    mean: None where no query has a value. facts: interval over other facts of these relations; None for fewer
    than MIN_QUERIES, and where no relation has two. Where one has a single query, it has the spread that the
    queries of the other relations have around their means. relations: over other relations, too; None for
    fewer than two, or MIN_QUERIES. num_queries, num_relations: that have a value.
    """

    mean: float | None
    facts: Interval | None
    relations: Interval | None
    num_queries: int
    num_relations: int


def macro_means(
    value_QM: Floats,
    relation_Q: Ints,
    generator: np.random.Generator,
    *,
    num_resamples: int = NUM_RESAMPLES,
) -> list[MacroMean]:
    """Return the macro mean of each of M figures, with intervals.

    value_QM: NaN where a query has no such value: it does not count, in resamples neither.
    relation_Q: the relation of each query, counted from 0.

    A difference of two figures is one more column: the same query is drawn for both.
    """
    found: dict[int, MacroMean] = {}
    # Figures that the same queries have share their resamples.
    has_values, mask_of = np.unique(~np.isnan(value_QM), axis=1, return_inverse=True)
    for number, has_value in enumerate(has_values.T):
        figures = np.flatnonzero(mask_of.reshape(-1) == number)
        some = value_QM[np.ix_(has_value, figures)]
        averaged = _averaged(some, relation_Q[has_value], generator, num_resamples)
        found |= zip(figures.tolist(), averaged, strict=True)
    return [found[figure] for figure in range(value_QM.shape[1])]


def _averaged(
    value_QM: Floats, relation_Q: Ints, generator: np.random.Generator, num_resamples: int
) -> list[MacroMean]:
    num_queries, num_figures = value_QM.shape
    if not num_queries:
        return [MacroMean(None, None, None, 0, 0)] * num_figures
    groups = np.unique(relation_Q)
    num_relations = len(groups)
    mean_RM = np.empty((num_relations, num_figures))
    spread_QM = _deviations(value_QM, relation_Q)
    resampled_RBM = np.empty((num_relations, num_resamples, num_figures))
    sizes = []
    for place, group in enumerate(groups):
        values = value_QM[relation_Q == group]
        sizes.append(len(values))
        mean_RM[place] = values.mean(axis=0)
        resampled_RBM[place] = drawn_counts(len(values), num_resamples, generator) @ values / len(values)
        if len(values) == 1 and len(spread_QM):
            resampled_RBM[place] += spread_QM[generator.integers(len(spread_QM), size=num_resamples)]
    mean_M = mean_RM.mean(axis=0)
    facts = relations = None
    if max(sizes) > 1 and num_queries >= MIN_QUERIES:
        facts = np.percentile(resampled_RBM.mean(axis=0), INTERVAL, axis=0)
    if num_relations > 1 and num_queries >= MIN_QUERIES:
        # A relation that is drawn twice has its facts drawn twice: each place takes its resamples in an
        # order of its own.
        total_BM = np.zeros((num_resamples, num_figures))
        for _ in range(num_relations):
            drawn_B = generator.integers(num_relations, size=num_resamples)
            total_BM += resampled_RBM[drawn_B, generator.permutation(num_resamples)]
        relations = np.percentile(total_BM / num_relations, INTERVAL, axis=0)
    return [
        MacroMean(
            float(mean_M[figure]),
            _ends(facts, figure),
            _ends(relations, figure),
            num_queries,
            num_relations,
        )
        for figure in range(num_figures)
    ]


def _deviations(value_QM: Floats, relation_Q: Ints) -> Floats:
    """Return how far queries are from their relation's mean, unbiased, of relations with two or more."""
    _, relation, size_R = np.unique(relation_Q, return_inverse=True, return_counts=True)
    total_RM = np.zeros((len(size_R), value_QM.shape[1]))
    np.add.at(total_RM, relation.reshape(-1), value_QM)
    size_Q = size_R[relation.reshape(-1)]
    is_several = size_Q > 1
    deviation_QM = value_QM - (total_RM / size_R[:, None])[relation.reshape(-1)]
    factor_Q = np.sqrt(size_Q[is_several] / (size_Q[is_several] - 1))
    spread: Floats = deviation_QM[is_several] * factor_Q[:, None]
    return spread


def drawn_counts(size: int, num_resamples: int, generator: np.random.Generator) -> Floats:
    """Return how often each of `size` units is drawn in each resample of as many, (B, size)."""
    drawn = generator.integers(size, size=(num_resamples, size)) + size * np.arange(num_resamples)[:, None]
    counts = np.bincount(drawn.reshape(-1), minlength=num_resamples * size)
    return counts.reshape(num_resamples, size).astype(np.float64)


def _ends(interval_2M: Floats | None, figure: int) -> Interval | None:
    return None if interval_2M is None else (float(interval_2M[0, figure]), float(interval_2M[1, figure]))
