"""Numbers from ranks: mean reciprocal rank, hits, mean rank, with ties by name."""

import numpy as np

from kebench.transe.rank import Ranks

HITS = (1, 3, 10)
# How an answer is ranked among entities at the same distance: before all, in the middle, behind all.
TIES = {"optimistic": 0.0, "realistic": 0.5, "pessimistic": 1.0}

Numbers = dict[str, dict[str, dict[str, float]]]


def metrics(ranks: dict[str, Ranks]) -> Numbers:
    """Return {side: {ties: {"mrr", "hits_at_1", ..., "mean_rank"}}}; sides are head, tail, both.

    Shares from 0 to 1. A realistic rank is the mean of the optimistic and the pessimistic one.
    """
    both = Ranks(*(np.concatenate(part) for part in zip(*ranks.values(), strict=True)))
    numbers: Numbers = {}
    for side, of in {**ranks, "both": both}.items():
        numbers[side] = {}
        for ties, weight in TIES.items():
            rank = 1 + of.nearer + weight * of.tied
            hits = {f"hits_at_{k}": float((rank <= k).mean()) for k in HITS}
            numbers[side][ties] = {"mrr": float((1 / rank).mean()), **hits, "mean_rank": float(rank.mean())}
    return numbers
