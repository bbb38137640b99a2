"""TransE's distance and margin loss (Bordes et al. 2013, eqs. 1 and 2), with the gradient written out.

A triple (head, relation, tail) is plausible if head + relation lies near tail. The loss asks that a triple
lies nearer by a margin than one whose head or tail was replaced:

    sum over pairs of max(0, margin + |h + r - t| - |h' + r - t'|)

A sum, as in the paper, not a mean: Adam's steps are the same, and its epsilon is then negligible.
"""

# P pairs of a triple and its corruption, D dimensions

import torch
from torch import Tensor

SMALLEST_DISTANCE = 1e-12  # where a distance is zero, so is the gradient


def margin_loss_(true_PD: Tensor, corrupt_PD: Tensor, *, margin: float, norm: int) -> Tensor:
    """Return the summed margin loss of pairs, and put its gradients in place of the differences.

    true_PD, corrupt_PD: head + relation - tail of each triple and of its corruption.
    norm: 2 or 1, the distance that is meant.
    """
    true_P1 = torch.linalg.vector_norm(true_PD, norm, dim=1, keepdim=True)
    corrupt_P1 = torch.linalg.vector_norm(corrupt_PD, norm, dim=1, keepdim=True)
    violation_P1 = (true_P1 - corrupt_P1).add_(margin).clamp_min_(0)
    weight_P1 = (violation_P1 > 0).to(true_PD.dtype)
    _slope_(true_PD, true_P1, weight_P1, norm)
    _slope_(corrupt_PD, corrupt_P1, -weight_P1, norm)
    return violation_P1.sum()


def _slope_(difference_PD: Tensor, distance_P1: Tensor, weight_P1: Tensor, norm: int) -> Tensor:
    """Put the gradient of weight times distance in place of each difference."""
    if norm == 1:
        return difference_PD.sign_().mul_(weight_P1)
    return difference_PD.mul_(weight_P1 / distance_P1.clamp_min(SMALLEST_DISTANCE))
