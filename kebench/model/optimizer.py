"""What all trainings of a language model share: an update in micro-batches, the rate, what is decayed."""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from typing import Any, NamedTuple, TypeVar

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

Result = TypeVar("Result")
_log = logging.getLogger(__name__)
Part = tuple[Any, int]  # rows of a micro-batch, and their weight: 0 of one that only keeps step with others


class Update(NamedTuple):
    """What an update did. losses: of the whole batch, over all processes; grad_norm: before clipping."""

    losses: Tensor
    grad_norm: Tensor
    learning_rate: float


class Trainer:
    """A model and its optimiser: an update at a time, in micro-batches that memory allows, by all processes.

    Fine-tuning, pretraining and the miniature's model bring optimiser, rate, batches and losses along.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        learning_rate: Callable[[int], float],
        *,
        max_grad_norm: float,
        accelerator: Any,
        micro_batch: int,
        may_halve: bool = False,
    ) -> None:
        """learning_rate: of an update, by its number from 0. micro_batch: rows in memory at once.

        may_halve: if CUDA runs out of memory; never where other processes have a micro-batch of their own.
        """
        self.parameters, self.model = list(model.parameters()), accelerator.prepare_model(model)
        self.optimizer, self.learning_rate, self.max_grad_norm = optimizer, learning_rate, max_grad_norm
        self.accelerator, self.micro_batch, self.done = accelerator, micro_batch, 0
        self.may_halve = may_halve and accelerator.num_processes == 1

    def update(
        self,
        rows: Sequence[Any] | NDArray[Any],
        losses_of: Callable[[list[Part]], Iterator[Tensor]],
        *,
        weights: float | Tensor = 1.0,
        check: Callable[[Update], None] = lambda update: None,
    ) -> Update:
        """Learn from the rows of a batch.

        losses_of: yields the losses of each micro-batch, divided so that they sum to the whole batch's.
        weights: of the losses, in what is minimised. check: raises if the weights must not be changed.
        """

        def backward(size: int) -> Tensor:
            # This process's rows in parts. Every process has as many; an empty one holds a row of weight 0.
            world, rank = self.accelerator.num_processes, self.accelerator.process_index
            mine, starts = rows[rank::world], range(0, -(-len(rows) // world), size)
            parts = [
                (mine[start : start + size], 1) if start < len(mine) else (rows[:1], 0) for start in starts
            ]
            losses, summed = losses_of(parts), torch.zeros((), device=self.accelerator.device)
            for left in reversed(range(len(parts))):
                with self.accelerator.no_sync(self.model) if left else nullcontext():
                    loss = next(losses)
                    # DistributedDataParallel averages gradients over processes; times their number, they sum.
                    self.accelerator.backward((loss * weights).sum() * self.accelerator.num_processes)
                summed = summed + loss.detach()
            reduced: Tensor = self.accelerator.reduce(summed, reduction="sum")
            return reduced

        rate = self.learning_rate(self.done)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        losses, self.micro_batch = halving(
            backward, self.micro_batch, may_halve=self.may_halve, before_retry=self.optimizer.zero_grad
        )
        norm = torch.nn.utils.clip_grad_norm_(self.parameters, self.max_grad_norm)
        check(update := Update(losses, norm, rate))
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.done += 1
        return update


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


def halving(
    compute: Callable[[int], Result],
    size: int,
    *,
    may_halve: bool = True,
    before_retry: Callable[[], None] = lambda: None,
) -> tuple[Result, int]:
    """Return compute(size), and the size that memory sufficed for, which is halved until it does.

    before_retry: drops what a computation that was cut short has left. A CUDA error of a size of 1, or of one
    that may not be halved because somebody chose it or other processes have their own, is raised.
    """
    while True:
        try:
            return compute(size), size
        except torch.cuda.OutOfMemoryError:
            if not may_halve or size == 1:
                raise
        # Out of the handler: the error would keep alive what the computation held.
        size //= 2
        _log.warning("CUDA out of memory; %d at once from here on", size)
        before_retry()
        torch.cuda.empty_cache()
