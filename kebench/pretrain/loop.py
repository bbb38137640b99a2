"""The training loop (KeBioLM, section 4.1): AdamW, linear warm-up and decay, batches of 512 by accumulation.

Each loss is divided by its number of terms in the whole batch, over all processes and micro-batches, so that
neither changes what is learnt. Dropout is seeded step by step, so a step depends on nothing but the weights,
the optimiser and its number, and a resumed run is the undisturbed one.
"""

import math
import time
from collections.abc import Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from kebench.errors import UserError
from kebench.files import write_atomically
from kebench.model.memory import halving
from kebench.model.optimizer import decay_matrices_only, linear_rate, micro_batches
from kebench.pretrain.batches import Collator, epoch_order
from kebench.pretrain.curve import LOSSES
from kebench.pretrain.objectives import Objectives
from kebench.pretrain.recipe import Pretraining
from kebench.pretrain.sequences import Sequences
from kebench.runtime import seed_everything

MICRO_BATCH = {"cpu": 8, "cuda": 64}  # sequences in memory at once, to begin with
_DROPOUT = 2  # what a draw is for, beside those of `batches`


class Step(NamedTuple):
    """What a step did. losses: the mean of each; tokens: word pieces that were read, by all processes."""

    number: int
    loss: float
    losses: dict[str, float]
    learning_rate: float
    grad_norm: float
    tokens: int
    seconds: float


def num_steps(settings: Pretraining, num_sequences: int) -> int:
    """Return how many updates a pretraining takes; the last batch of an epoch may be smaller."""
    return settings.steps or settings.epochs * -(-num_sequences // settings.batch_size)


class Trainer:
    """A model with its optimiser, and where it is in the corpus."""

    def __init__(
        self,
        objectives: Objectives,
        sequences: Sequences,
        collator: Collator,
        settings: Pretraining,
        accelerator: Any,
        *,
        micro_batch: int | None = None,
    ) -> None:
        self.objectives, self.sequences, self.collator = objectives, sequences, collator
        self.settings, self.accelerator = settings, accelerator
        self.steps = num_steps(settings, len(sequences))
        self.done = 0
        self.may_halve = micro_batch is None and accelerator.num_processes == 1
        self.micro_batch = micro_batch or MICRO_BATCH[accelerator.device.type]
        self.wrapped = accelerator.prepare_model(objectives)
        if settings.compile:
            self.wrapped = torch.compile(self.wrapped)
        groups = decay_matrices_only(objectives, settings.weight_decay)
        self.optimizer = torch.optim.AdamW(groups, lr=settings.learning_rate, fused=True)
        self._weights_3 = torch.tensor(
            [getattr(settings, f"{name}_weight") for name in LOSSES], device=accelerator.device
        )
        self._order: tuple[int, Any] = (-1, None)

    def step(self) -> Step:
        """Take one step. Raises UserError, before the update, if a loss or gradient is not finite."""
        started = time.monotonic()
        numbers, epoch = self._numbers(self.done)
        rate = self.settings.learning_rate * linear_rate(
            self.done + 1, self.settings.warmup(self.steps), self.steps + 1
        )
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.objectives.train()
        (losses_3, tokens), self.micro_batch = halving(
            lambda size: self._accumulate(numbers, epoch, size),
            self.micro_batch,
            may_halve=self.may_halve,
            before_retry=self.optimizer.zero_grad,
        )
        norm = torch.nn.utils.clip_grad_norm_(self.objectives.parameters(), self.settings.max_grad_norm)
        values, grad_norm = losses_3.tolist(), float(norm)
        if not (all(map(math.isfinite, values)) and math.isfinite(grad_norm)):
            self._stop(numbers, values, grad_norm)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.done += 1
        total = float((losses_3 * self._weights_3).sum())
        named = dict(zip(LOSSES, values, strict=True))
        return Step(self.done, total, named, rate, grad_norm, tokens, time.monotonic() - started)

    def _numbers(self, step: int) -> tuple[Any, int]:
        """Return the numbers of a step's sequences, and its epoch."""
        size = self.settings.batch_size
        per_epoch = -(-len(self.sequences) // size)
        epoch, place = divmod(step, per_epoch)
        if self._order[0] != epoch:
            order = epoch_order(len(self.sequences), seed=self.settings.seed, epoch=epoch)
            self._order = (epoch, order)
        return self._order[1][place * size : (place + 1) * size], epoch

    def _accumulate(self, numbers: Any, epoch: int, size: int) -> tuple[Tensor, int]:
        """Return a batch's mean losses and word pieces, and leave its gradients; `size` sequences at once."""
        entropy = [self.settings.seed, _DROPOUT, self.done, self.accelerator.process_index]
        seed_everything(int(np.random.SeedSequence(entropy).generate_state(1)[0]))
        hidden = partial(self.collator.hidden, of=self.sequences, epoch=epoch)
        parts = micro_batches(numbers, size, self.accelerator)
        batches = [(hidden(part.tolist()), weight) for part, weight in parts]
        counts = torch.stack([batch.counts() * weight for batch, weight in batches]).sum(0)
        tokens = sum(int(batch.is_token_BT.sum()) * weight for batch, weight in batches)
        summed = torch.cat([counts, torch.tensor([tokens])]).to(self.accelerator.device)
        *count_3, tokens = self.accelerator.reduce(summed, reduction="sum").tolist()
        scale_3 = 1 / torch.tensor(count_3, device=self.accelerator.device).clamp(min=1)
        total_3 = torch.zeros(len(LOSSES), device=self.accelerator.device)
        for place, (batch, weight) in enumerate(batches):
            last = place == len(batches) - 1
            with nullcontext() if last else self.accelerator.no_sync(self.wrapped):
                with self.accelerator.autocast():
                    loss_3 = self.wrapped(batch.to(self.accelerator.device)).loss_3 * scale_3 * weight
                # DistributedDataParallel averages gradients over processes; times their number, they sum.
                self.accelerator.backward((loss_3 * self._weights_3).sum() * self.accelerator.num_processes)
            total_3 += loss_3.detach()
        reduced: Tensor = self.accelerator.reduce(total_3, reduction="sum")
        return reduced, tokens

    def _stop(self, numbers: Sequence[int], losses: Sequence[float], grad_norm: float) -> None:
        self.optimizer.zero_grad(set_to_none=True)
        documents = dict.fromkeys(one for number in numbers for one in self.sequences[number].documents)
        said = ", ".join(f"{name} {value:g}" for name, value in zip(LOSSES, losses, strict=True))
        path = Path(f"not-finite-step-{self.done + 1}.txt")
        if self.accelerator.is_main_process:
            write_atomically(path, "".join(f"{one}\n" for one in documents), point="not-finite")
        raise UserError(
            f"step {self.done + 1}: not finite ({said}, gradient norm {grad_norm:g}), no weight was changed; "
            f"its {len(documents):,} documents are in {path}; lower the learning rate, or leave them out "
            "(kebench annotate --exclude)"
        )
