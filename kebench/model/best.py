"""Finds the best few of very many numbers, and what all of them sum to, in as few passes as can be.

A masked language model's head ranks tokens so, an entity linker ranks entities: K of many thousands a row.
"""

from typing import NamedTuple

import torch
from torch import Tensor

# P rows (places asked for, mentions), V values a row (tokens, entities), K best
_BLOCK = 64  # values that share one maximum


class Best(NamedTuple):
    """The best logits of each row, best first; normaliser_P: log of the sum of all exponentials."""

    value_PK: Tensor
    index_PK: Tensor
    normaliser_P: Tensor


def best_of(logit_PV: Tensor, num_best: int, banned: Tensor | None = None) -> Best:
    """Return the best logits of each row with their indices; the logits are used up.

    banned: indices that cannot be answers; what they add to the sum stays in it.
    """
    logit_PV = logit_PV.float() if logit_PV.dtype in (torch.bfloat16, torch.float16) else logit_PV
    num_banned = 0 if banned is None else len(banned)
    num_best = min(num_best, logit_PV.shape[1] - num_banned)
    best_PK, index_PK = _top(logit_PV, num_best + num_banned)
    most_P1 = best_PK[:, :1].clone()
    if banned is not None:
        best_PK, place_PK = best_PK.masked_fill(torch.isin(index_PK, banned), -torch.inf).topk(
            num_best, dim=1
        )
        index_PK = index_PK.gather(1, place_PK)
    normaliser_P1 = logit_PV.sub_(most_P1).exp_().sum(1, keepdim=True).log_() + most_P1
    return Best(best_PK, index_PK, normaliser_P1[:, 0])


def _top(value_PV: Tensor, num_best: int) -> tuple[Tensor, Tensor]:
    """Return what `value_PV.topk(num_best)` returns, several times as fast for rows of many thousands.

    Rows are cut into blocks: the best K values stand in the K blocks of the highest maxima. That reads the
    rows once, where a selection reads them again and again.
    """
    num_rows, size = value_PV.shape
    whole = size - size % _BLOCK
    if whole < 4 * _BLOCK * num_best:
        best = value_PV.topk(num_best, dim=1)
        return best.values, best.indices
    blocks = value_PV[:, :whole].view(num_rows, -1, _BLOCK)
    block_PK = blocks.amax(2).topk(num_best, dim=1).indices
    chosen = blocks.gather(1, block_PK[..., None].expand(-1, -1, _BLOCK)).flatten(1)
    best_PK, place_PK = torch.cat([chosen, value_PV[:, whole:]], dim=1).topk(num_best, dim=1)
    in_blocks = num_best * _BLOCK
    block_of_PK = block_PK.gather(1, (place_PK // _BLOCK).clamp(max=num_best - 1))
    inside_PK = block_of_PK * _BLOCK + place_PK % _BLOCK
    return best_PK, torch.where(place_PK < in_blocks, inside_PK, whole + place_PK - in_blocks)
