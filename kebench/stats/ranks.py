"""Do models differ over tasks? Friedman's test and Nemenyi's critical difference (Demšar 2006).

A task is one observation, so they say nothing with few tasks: at least five are asked for.
"""

from collections.abc import Sequence
from typing import NamedTuple

MIN_TASKS = 5


class Ranking(NamedTuple):
    """Mean ranks over tasks, 1 the best, and what may be said of their differences.

    p: of Friedman's test that all models rank alike. critical_difference: mean ranks closer than this do not
    differ at `alpha` (Nemenyi). groups: the largest sets of models that do not differ, as places in
    `mean_ranks`.
    """

    mean_ranks: tuple[float, ...]
    p: float
    critical_difference: float
    alpha: float
    num_tasks: int
    groups: tuple[tuple[int, ...], ...]


def rank_models(scores: Sequence[Sequence[float]], *, alpha: float = 0.05) -> Ranking:
    """Rank models over tasks. scores: one row a task, one column a model, higher is better; ties share ranks.

    Raises ValueError for fewer than five tasks or three models (of two, compare them).
    """
    from scipy.stats import friedmanchisquare, rankdata, studentized_range

    num_tasks, num_models = len(scores), len(scores[0]) if scores else 0
    if num_tasks < MIN_TASKS or num_models < 3:
        raise ValueError(
            f"{num_tasks} tasks and {num_models} models: ranks need {MIN_TASKS} tasks and three models"
        )
    ranks = rankdata([[-score for score in row] for row in scores], axis=1)
    mean_ranks = tuple(float(rank) for rank in ranks.mean(axis=0))
    quantile = float(studentized_range.isf(alpha, num_models, float("inf"))) / 2**0.5
    critical = quantile * (num_models * (num_models + 1) / (6 * num_tasks)) ** 0.5
    is_tied = all(len(set(row)) == 1 for row in scores)
    p = 1.0 if is_tied else float(friedmanchisquare(*zip(*scores, strict=True)).pvalue)
    # the largest runs of neighbouring ranks that lie within the critical difference
    order = sorted(range(num_models), key=lambda model: (mean_ranks[model], model))
    groups: list[tuple[int, ...]] = []
    covered = 0
    for start, model in enumerate(order):
        reach = start
        while reach + 1 < num_models and mean_ranks[order[reach + 1]] - mean_ranks[model] < critical:
            reach += 1
        if reach > max(start, covered):
            groups.append(tuple(order[start : reach + 1]))
            covered = reach
    return Ranking(mean_ranks, p, critical, alpha, num_tasks, tuple(groups))
