"""The training loop (KeBioLM, section 4.1): AdamW, linear warm-up and decay, batches of 512 by accumulation.

Each loss is divided by its number of terms in the whole batch, over all processes and micro-batches, so that
neither changes what is learnt. Dropout is seeded step by step, so a step depends on nothing but the weights,
the optimiser and its number, and a resumed run is the undisturbed one.
"""

import math
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from kebench.errors import UserError
from kebench.files import write_atomically
from kebench.model.optimizer import Part, Trainer, Update, decay_matrices_only, linear_rate
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


class Pretrainer(Trainer):
    """A trainer of a model with its losses, and where it is in the corpus."""

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
        self.settings = settings
        self.steps = num_steps(settings, len(sequences))
        warmup, groups = settings.warmup(self.steps), decay_matrices_only(objectives, settings.weight_decay)
        super().__init__(
            objectives,
            torch.optim.AdamW(groups, lr=settings.learning_rate, fused=True),
            lambda step: settings.learning_rate * linear_rate(step + 1, warmup, self.steps + 1),
            max_grad_norm=settings.max_grad_norm,
            accelerator=accelerator,
            micro_batch=micro_batch or MICRO_BATCH[accelerator.device.type],
            may_halve=micro_batch is None,
        )
        if settings.compile:
            self.model = torch.compile(self.model)
        self._weights_3 = torch.tensor(
            [getattr(settings, f"{name}_weight") for name in LOSSES], device=accelerator.device
        )
        self._order: tuple[int, Any] = (-1, None)

    def step(self) -> Step:
        """Take one step. Raises UserError, before the update, if a loss or gradient is not finite."""
        started = time.monotonic()
        size, seed = self.settings.batch_size, self.settings.seed
        epoch, place = divmod(self.done, -(-len(self.sequences) // size))
        if self._order[0] != epoch:
            self._order = (epoch, epoch_order(len(self.sequences), seed=seed, epoch=epoch))
        numbers = self._order[1][place * size : (place + 1) * size]
        self.objectives.train()
        update = self.update(
            numbers,
            partial(self._losses, epoch=epoch),
            weights=self._weights_3,
            check=partial(self._require_finite, numbers),
        )
        values = update.losses.tolist()
        return Step(
            number=self.done,
            loss=float((update.losses * self._weights_3).sum()),
            losses=dict(zip(LOSSES, values, strict=True)),
            learning_rate=update.learning_rate,
            grad_norm=float(update.grad_norm),
            tokens=sum(map(self.sequences.num_pieces, numbers.tolist())),
            seconds=time.monotonic() - started,
        )

    def _losses(self, parts: list[Part], *, epoch: int) -> Iterator[Tensor]:
        """Yield the three losses of each micro-batch, each divided by its terms in the whole batch."""
        entropy = [self.settings.seed, _DROPOUT, self.done, self.accelerator.process_index]
        seed_everything(int(np.random.SeedSequence(entropy).generate_state(1)[0]))
        hidden = partial(self.collator.hidden, of=self.sequences, epoch=epoch)
        batches = [(hidden(part.tolist()), weight) for part, weight in parts]
        counts = torch.stack([batch.counts() * weight for batch, weight in batches]).sum(0)
        count_3 = self.accelerator.reduce(counts.to(self.accelerator.device), reduction="sum").float()
        scale_3 = 1 / count_3.clamp(min=1)
        for batch, weight in batches:
            with self.accelerator.autocast():
                loss_3 = self.model(batch.to(self.accelerator.device)).loss_3 * scale_3 * weight
            yield loss_3

    def _require_finite(self, numbers: NDArray[np.int64], update: Update) -> None:
        losses, grad_norm = update.losses.tolist(), float(update.grad_norm)
        if all(map(math.isfinite, (*losses, grad_norm))):
            return
        self.optimizer.zero_grad()
        step = self.done + 1
        documents = dict.fromkeys(one for number in numbers for one in self.sequences[number].documents)
        said = ", ".join(f"{name} {value:g}" for name, value in zip(LOSSES, losses, strict=True))
        path = Path(f"not-finite-step-{step}.txt")
        if self.accelerator.is_main_process:
            write_atomically(path, "".join(f"{one}\n" for one in documents), point="not-finite")
        raise UserError(
            f"step {step}: not finite ({said}, gradient norm {grad_norm:g}), no weight was changed; "
            f"its {len(documents):,} documents are in {path}; lower the learning rate, or leave them out "
            "(kebench annotate --exclude)"
        )
