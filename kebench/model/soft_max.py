"""Soft-max over very many classes (entities, word pieces) in parts: memory does not grow with their number.

`best_of` finds the best few of each row and what all sum to, in as few passes as can be. In training the
forward pass keeps that one number a row, the log of the sum of exponentials; the backward pass computes the
logits again, some classes at a time, so each class's gradient is written once.
"""

# P rows, N or V classes, F features, K best

from typing import Any, NamedTuple

import torch
from torch import Tensor

_BLOCK = 64  # values that share one maximum
_VALUES = {"cpu": 2**22, "cuda": 2**28}  # logits in memory at once; ours: no more speed beyond
_LEAST_ROWS = {"cpu": 32, "cuda": 256}  # else all classes would be read again and again


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


class Told(NamedTuple):
    """loss_P: the cross-entropy of each row. best_P: its most probable class."""

    loss_P: Tensor
    best_P: Tensor


def cross_entropy_in_parts(
    query_PF: Tensor, weight_NF: Tensor, bias_N: Tensor | None, right_P: Tensor
) -> Told:
    """Return what cross_entropy(linear(query, weight, bias), right) is for each row, and the best classes.

    Under autocast the products are in its number format, as those of a linear layer are.
    """
    device = query_PF.device.type
    if torch.is_autocast_enabled(device):
        low = torch.get_autocast_dtype(device)
        query_PF, weight_NF = query_PF.to(low), weight_NF.to(low)
        bias_N = None if bias_N is None else bias_N.to(low)
    with torch.autocast(device, enabled=False):
        return Told(*_CrossEntropy.apply(query_PF, weight_NF, bias_N, right_P))


class _CrossEntropy(torch.autograd.Function):
    """`cross_entropy_in_parts`, in the number format of what it is given."""

    @staticmethod
    def forward(
        ctx: Any, query_PF: Tensor, weight_NF: Tensor, bias_N: Tensor | None, right_P: Tensor
    ) -> tuple[Tensor, Tensor]:
        losses, bests, normalisers = [], [], []
        rows = rows_at_once(weight_NF)
        for part_PF, part_right_P in zip(query_PF.split(rows), right_P.split(rows), strict=True):
            logit_PN = _logits(part_PF, weight_NF, bias_N)
            right_logit_P = logit_PN.gather(1, part_right_P[:, None])[:, 0]  # before they are used up
            best = best_of(logit_PN, 1)
            losses.append(best.normaliser_P - right_logit_P)
            bests.append(best.index_PK[:, 0])
            normalisers.append(best.normaliser_P)
        loss_P, best_P = (torch.cat(parts) for parts in (losses, bests))
        ctx.save_for_backward(query_PF, weight_NF, bias_N, right_P, torch.cat(normalisers))
        ctx.mark_non_differentiable(best_P)
        return loss_P, best_P

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor | None, Tensor | None, None]:
        loss_grad_P = gradients[0]
        query_PF, weight_NF, bias_N, right_P, normaliser_P = ctx.saved_tensors
        weight_grad_NF = torch.empty_like(weight_NF) if ctx.needs_input_grad[1] else None
        bias_grad_N = torch.empty_like(bias_N) if ctx.needs_input_grad[2] else None
        query_grad_PF = cross_entropy_gradients(
            query_PF, weight_NF, bias_N, right_P, normaliser_P, loss_grad_P, weight_grad_NF, bias_grad_N
        )
        return query_grad_PF, weight_grad_NF, bias_grad_N, None


def rows_at_once(weight_NF: Tensor) -> int:
    """Return how many rows of logits over all classes are in memory at once."""
    device = _kind_of(weight_NF)
    return max(_LEAST_ROWS[device], _VALUES[device] // len(weight_NF))


def _kind_of(tensor: Tensor) -> str:
    return "cpu" if tensor.device.type == "cpu" else "cuda"  # any other accelerator is taken for one


def cross_entropy_gradients(
    query_PF: Tensor,
    weight_NF: Tensor,
    bias_N: Tensor | None,
    right_P: Tensor,
    normaliser_P: Tensor,
    scale_P: Tensor,
    weight_grad_NF: Tensor | None,
    bias_grad_N: Tensor | None = None,
    *,
    excluded: tuple[int, ...] = (),
) -> Tensor:
    """Return the gradient of the scaled sum of losses by the queries.

    Probabilities less the right class's 1 are taken in full precision; only their products are not.
    weight_grad_NF, bias_grad_N: the gradients by weight and bias are written here.
    excluded: classes that have no part in the sum.
    """
    query_grad_PF = torch.zeros_like(query_PF)
    size = max(1, _VALUES[_kind_of(query_PF)] // max(1, len(query_PF)))
    class_P1 = right_P[:, None]
    for start in range(0, len(weight_NF), size):
        part_NF = weight_NF[start : start + size]
        part_bias_N = None if bias_N is None else bias_N[start : start + size]
        probability_PN = _logits(query_PF, part_NF, part_bias_N).sub_(normaliser_P[:, None]).exp_()
        if here := [row - start for row in excluded if start <= row < start + size]:
            probability_PN[:, here] = 0
        is_here_P1 = (class_P1 >= start) & (class_P1 < start + len(part_NF))
        place_P1 = (class_P1 - start).clamp(0, len(part_NF) - 1)
        probability_PN.scatter_add_(1, place_P1, -is_here_P1.to(probability_PN.dtype))
        probability_PN = probability_PN.mul_(scale_P[:, None]).to(query_PF.dtype)
        query_grad_PF.addmm_(probability_PN, part_NF)
        if weight_grad_NF is not None:
            torch.mm(probability_PN.T, query_PF, out=weight_grad_NF[start : start + size])
        if bias_grad_N is not None:
            bias_grad_N[start : start + size] = probability_PN.sum(0)
    return query_grad_PF


def _logits(query_PF: Tensor, weight_NF: Tensor, bias_N: Tensor | None) -> Tensor:
    """Return logits with all digits that their number format leaves."""
    logit_PN = torch.nn.functional.linear(query_PF, weight_NF, bias_N)
    return logit_PN.float() if logit_PN.dtype in (torch.bfloat16, torch.float16) else logit_PN
