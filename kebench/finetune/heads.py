"""Heads: from the outputs of a decision a loss, and an answer with its probability.

Every kind of task names one of HEADS (`kebench.kinds`).
"""

# P decisions, L outputs of a decision

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional


class Head(NamedTuple):
    """summed_loss: of outputs (P, L) and gold. decide: answers, and their probabilities where they have such.

    label_type: of the gold, as `Encoded.labels` holds it.
    """

    summed_loss: Callable[[Tensor, Tensor], Tensor]
    decide: Callable[[Tensor], tuple[Tensor, Tensor | None]]
    label_type: torch.dtype


def _best_label(logits_PL: Tensor) -> tuple[Tensor, Tensor]:
    """Return the label with the highest probability, (P,)."""
    labels_P = logits_PL.argmax(-1)
    return labels_P, logits_PL.softmax(-1).gather(-1, labels_P[:, None]).squeeze(-1)


def _labels_over_half(logits_PL: Tensor) -> tuple[Tensor, Tensor]:
    """Return 1 for each label that is more probable than not, else 0, (P, L), and the probability of that."""
    probability_PL = logits_PL.sigmoid()
    labels_PL = (probability_PL > 0.5).long()
    return labels_PL, torch.where(labels_PL == 1, probability_PL, 1 - probability_PL)


HEADS: dict[str, Head] = {
    "softmax": Head(
        lambda logits_PL, labels_P: functional.cross_entropy(logits_PL, labels_P, reduction="sum"),
        _best_label,
        torch.int64,
    ),
    # The mean over labels, so that the loss of a decision does not grow with their number.
    "sigmoid": Head(
        lambda logits_PL, labels_PL: (
            functional.binary_cross_entropy_with_logits(logits_PL, labels_PL, reduction="sum")
            / logits_PL.shape[-1]
        ),
        _labels_over_half,
        torch.float32,
    ),
    "regression": Head(
        lambda values_P1, gold_P: functional.mse_loss(values_P1.squeeze(-1), gold_P, reduction="sum"),
        lambda values_P1: (values_P1.squeeze(-1), None),
        torch.float32,
    ),
}
