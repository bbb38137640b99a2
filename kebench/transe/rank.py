"""Ranks the true head and tail of held-out triples among all entities: filtered, exact, in bounded memory.

A query asks for the tail t of (h, r, ?), which should lie at h + r, or for the head h of (?, r, t), which
should lie at t - r. The rank of its answer is one more than the number of entities nearer to that place;
known answers other than its own do not count. The paper's distance is Euclidean, so one matrix product gives
a whole block of squared distances less the true one,

    |q - e|^2 - |q - a|^2 = [-2q, 1, |q|^2 - |q - a|^2] . [e, |e|^2, 1]

in float32. What it cannot decide, because it comes within the product's largest rounding error of zero, is
computed again in float64 by the plain formula. So ranks are those of the plain formula, ties included.
"""

# Q queries of a block, E entities of a block, N all entities, D dimensions, C candidates, K known answers

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from kebench.transe.batches import Triples

BLOCK_QUERIES = 1024  # ours; with the next line, 8 MiB of distances at a time, which stay in the cache
BLOCK_ENTITIES = 2048  # ours
BLOCK_CANDIDATES = 1 << 15  # pairs computed again at a time: 26 MB each in float64 at 100 dimensions
UNIT_ROUNDOFF = 2.0**-24  # of float32
HITS = (1, 3, 10)
# How an answer is ranked among entities at the same distance: before all, in the middle, behind all.
TIES = {"optimistic": 0.0, "realistic": 0.5, "pessimistic": 1.0}

Numbers = dict[str, dict[str, dict[str, float]]]


class Ranks(NamedTuple):
    """For each triple, how many entities lie nearer than its answer, and how many at the same distance."""

    nearer: NDArray[np.int64]
    tied: NDArray[np.int64]


class AnswerIndex:
    """The known answers of every (entity, relation), in one direction: 12 bytes a known triple."""

    def __init__(self, triples: Triples, *, asked: int, num_relations: int) -> None:
        """asked: the column that is asked for, 0 for heads and 2 for tails."""
        self._given, self._num_relations = 2 - asked, num_relations
        keys = self._keys(triples)
        order = np.argsort(keys, kind="stable")
        self._sorted_keys, self._answers = keys[order], triples[order, asked]

    def of(self, triples: Triples) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """Return all answers to the triples' queries, and for each the place of its query."""
        keys = self._keys(triples)
        first = np.searchsorted(self._sorted_keys, keys, side="left")
        count = np.searchsorted(self._sorted_keys, keys, side="right") - first
        query = np.repeat(np.arange(len(triples)), count)
        place = np.arange(len(query)) - np.repeat(np.cumsum(count) - count - first, count)
        return self._answers[place], query

    def _keys(self, triples: Triples) -> NDArray[np.int64]:
        return triples[:, self._given].astype(np.int64) * self._num_relations + triples[:, 1]


def rank_triples(
    triples: Triples,
    *,
    known: Triples,
    entity_ND: Tensor,
    relation_RD: Tensor,
    norm: int,
    after_block: Callable[[int], None] = lambda _: None,
) -> dict[str, Ranks]:
    """Return the ranks of each triple's head and of its tail, as {"head": ..., "tail": ...}.

    known: triples that are true, the ranked ones too or not; they do not count against an answer.
    after_block: told how many queries have been answered.
    """
    ranks = {}
    for side, asked in (("head", 0), ("tail", 2)):
        index = AnswerIndex(known, asked=asked, num_relations=len(relation_RD))
        parts = []
        for start in range(0, len(triples), BLOCK_QUERIES):
            block = triples[start : start + BLOCK_QUERIES]
            parts.append(_rank_block(block, asked, index, entity_ND, relation_RD, norm))
            after_block(len(block))
        ranks[side] = Ranks(*(np.concatenate(part) for part in zip(*parts, strict=True)))
    return ranks


def _rank_block(
    triples: Triples, asked: int, index: AnswerIndex, entity_ND: Tensor, relation_RD: Tensor, norm: int
) -> Ranks:
    """Count for each triple the entities nearer than its answer, and those just as far.

    Adding up signs in float32 (exact for a block) is three times as fast as comparing and counting.
    """
    device = entity_ND.device
    given_Q, relation_Q, answer_Q = (
        torch.from_numpy(triples[:, column].astype(np.int64)).to(device) for column in (2 - asked, 1, asked)
    )
    # Where the answers should be, in float64, and how far from there they are.
    sign = 1 if asked == 2 else -1
    place_QD = entity_ND[given_Q].double().add_(relation_RD[relation_Q].double(), alpha=sign)
    true_Q = exact_distance(place_QD, entity_ND[answer_Q], norm)
    # Known answers, the true ones among them, sorted so that those in a block of entities are a slice.
    known, query = index.of(triples)
    order = np.argsort(known, kind="stable")
    known_K, known_query_K = (
        torch.from_numpy(of[order].astype(np.int64)).to(device) for of in (known, query)
    )
    excess = EXCESS[norm](place_QD, true_Q)
    sign_Q, tied_Q = torch.zeros_like(answer_Q), torch.zeros_like(answer_Q)
    for start in range(0, len(entity_ND), BLOCK_ENTITIES):
        entity_ED = entity_ND[start : start + BLOCK_ENTITIES]
        end = start + len(entity_ED)
        excess_QE, largest_error = excess(entity_ED)
        # No known answer counts.
        first, last = torch.searchsorted(known_K, torch.tensor([start, end], device=device)).tolist()
        excess_QE[known_query_K[first:last], known_K[first:last] - start] = torch.inf
        inside_Q = (answer_Q >= start) & (answer_Q < end)
        excess_QE[inside_Q.nonzero()[:, 0], answer_Q[inside_Q] - start] = torch.inf
        # Rounding may have changed the order of some pairs; few rows have any, and their minimum is cheap.
        query_P = (excess_QE.abs().amin(1) <= largest_error).nonzero()[:, 0]
        pair_C2 = (excess_QE[query_P].abs_() <= largest_error).nonzero()
        for part_C2 in pair_C2.split(BLOCK_CANDIDATES):
            query_C, entity_C = query_P[part_C2[:, 0]], part_C2[:, 1]
            exact_C = exact_distance(place_QD[query_C], entity_ED[entity_C], norm) - true_Q[query_C]
            excess_QE[query_C, entity_C] = exact_C.to(excess_QE.dtype)
            tied_Q += query_C[exact_C == 0].bincount(minlength=len(tied_Q))
        sign_Q += excess_QE.sign_().sum(1).long()
    nearer_Q = (len(entity_ND) - tied_Q - sign_Q) // 2
    return Ranks(nearer_Q.cpu().numpy(), tied_Q.cpu().numpy())


def exact_distance(place_CD: Tensor, entity_CD: Tensor, norm: int) -> Tensor:
    """Return the distance in float64, squared if Euclidean, added up in the order of the dimensions.

    A fixed order makes equal vectors equally far, whichever block they are in.
    """
    difference_DC = (place_CD - entity_CD).T.contiguous()
    part_DC = difference_DC.abs_() if norm == 1 else difference_DC.square_()
    total_C = part_DC[0].clone()
    for part_C in part_DC[1:]:
        total_C += part_C
    return total_C


Excess = Callable[[Tensor], tuple[Tensor, float]]


def _euclidean_excess(place_QD: Tensor, true_Q: Tensor) -> Excess:
    """Return a function from a block of entities to squared distances less the true one, and their error.

    A product of n terms is off by at most n u / (1 - n u) times the sum of the terms' absolute values (Higham
    2002, sec. 3.1); twice that stands for the rounding of what goes into it.
    """
    square_Q1 = place_QD.square().sum(1, keepdim=True)
    offset_Q1 = square_Q1 - true_Q[:, None]
    query_QT = torch.cat([-2 * place_QD, torch.ones_like(square_Q1), offset_Q1], dim=1).float()
    longest, offset = float(square_Q1.max()) ** 0.5, float(offset_Q1.abs().max())

    def excess(entity_ED: Tensor) -> tuple[Tensor, float]:
        square_E1 = entity_ED.square().sum(1, keepdim=True)
        entity_ET = torch.cat([entity_ED, square_E1, torch.ones_like(square_E1)], dim=1)
        tallest = float(square_E1.max()) ** 0.5
        terms = 2 * longest * tallest + tallest**2 + offset
        return query_QT @ entity_ET.T, 2 * (query_QT.shape[1] + 2) * UNIT_ROUNDOFF * terms

    return excess


def _city_block_excess(place_QD: Tensor, true_Q: Tensor) -> Excess:
    """The same for the L1 distance, which no product gives; in float64 of float32's blocks."""

    def excess(entity_ED: Tensor) -> tuple[Tensor, float]:
        return torch.cdist(place_QD, entity_ED.double(), p=1).sub_(true_Q[:, None]), 1e-9

    return excess


EXCESS = {1: _city_block_excess, 2: _euclidean_excess}


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
