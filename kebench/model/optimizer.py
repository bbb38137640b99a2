"""What trainings of a BERT share: AdamW on matrices, a rate that rises and falls, micro-batches."""

from collections.abc import Iterator
from typing import Any

from numpy.typing import NDArray
from torch import nn


def linear_rate(step: int, warmup_steps: int, steps: int) -> float:
    """Return the factor of the learning rate: from 0 to 1 over the warm-up, then to 0 at the last step."""
    if step < warmup_steps:
        return step / warmup_steps
    return max(0.0, (steps - step) / max(1, steps - warmup_steps))


def decay_matrices_only(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Return AdamW's parameter groups: biases and LayerNorms, which are vectors, are never decayed."""
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    return [
        {"params": [p for p in parameters if p.ndim >= 2], "weight_decay": weight_decay},
        {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
    ]


def micro_batches(rows: NDArray[Any], size: int, accelerator: Any) -> Iterator[tuple[NDArray[Any], int]]:
    """Yield this process's share of a batch in parts, with weight 1.

    Every process gets as many parts; one that would be empty holds a row with weight 0.
    """
    world, rank = accelerator.num_processes, accelerator.process_index
    for start in range(0, -(-len(rows) // world), size):
        part = rows[rank::world][start : start + size]
        yield (part, 1) if len(part) else (rows[:1], 0)
