"""Scores of cloze queries: macro averages over relations with their intervals, and breakdowns.

KeBioLM, section 4.6.3: a query is answered if any decoded string of any length is right, and the score is
the mean over relations of the share that is answered ("macro-recall@5"). That is an unranked hit among
B beams x L lengths, so it is called hit@(B x L) here, and ranked figures stand beside it.
What has no query has no score: None, never 0.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
NUM_RESAMPLES = 10_000  # ours
INTERVAL = (2.5, 97.5)  # percentiles: 95%
_RESAMPLES_AT_ONCE = 250  # bounds memory; does not move a figure


class Averages(NamedTuple):
    """One metric over some queries, in percent.

    macro_percent: mean over the relations that have such a query. low_percent, high_percent: percentile
    bootstrap over these relations; None where there are fewer than two. micro_percent: mean over queries.
    """

    macro_percent: float | None
    low_percent: float | None
    high_percent: float | None
    micro_percent: float | None


class GroupMeans(NamedTuple):
    """The groups that have a query, their sizes, and each metric's mean over them, in percent."""

    groups: Ints
    num_queries: Ints
    means: dict[str, Floats]


def ranked_earnings(rank: Ints) -> dict[str, Floats]:
    """Return what each query earns under Acc@1, Acc@5 and MRR, from 0 to 1. rank: from 1, 0 for a miss."""
    found = rank > 0
    reciprocal = np.divide(1.0, rank, out=np.zeros(len(rank)), where=found)
    within = {f"acc_{k}": (found & (rank <= k)).astype(np.float64) for k in (1, 5)}
    return {**within, "mrr": reciprocal}


def group_means(earnings: Mapping[str, Floats], group: Ints, rows: Ints | None = None) -> GroupMeans:
    """Return each metric's mean over the queries of each group.

    earnings: by metric, what each query earns, from 0 to 1.
    group: the group of each row, from 0. rows: the query of each row, where a query may be in several.
    """
    present, number = np.unique(group, return_inverse=True)
    sizes = np.bincount(number, minlength=len(present))
    means = {
        metric: 100 * np.bincount(number, earned if rows is None else earned[rows], len(present)) / sizes
        for metric, earned in earnings.items()
    }
    return GroupMeans(present, sizes, means)


def average(
    earnings: Mapping[str, Floats], relation: Ints, generator: np.random.Generator
) -> dict[str, Averages]:
    """Return the averages of each metric over queries and over relations, with intervals.

    relation: the relation of each query, counted from 0. The same resamples serve all metrics.
    """
    by_relation = group_means(earnings, relation)
    if not len(relation):
        return {metric: Averages(None, None, None, None) for metric in earnings}
    means_RM = np.stack([*by_relation.means.values()], axis=1)  # R relations, M metrics
    num_relations, num_metrics = means_RM.shape
    interval = np.full((2, num_metrics), None)
    if num_relations > 1:
        resampled = [
            means_RM[generator.integers(num_relations, size=(_RESAMPLES_AT_ONCE, num_relations))].mean(axis=1)
            for _ in range(NUM_RESAMPLES // _RESAMPLES_AT_ONCE)
        ]
        interval = np.percentile(np.concatenate(resampled), INTERVAL, axis=0)
    return {
        metric: Averages(float(means.mean()), low, high, float(100 * earnings[metric].mean()))
        for (metric, means), low, high in zip(by_relation.means.items(), *interval.tolist(), strict=True)
    }
