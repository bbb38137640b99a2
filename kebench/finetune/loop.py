"""The training loop (KeBioLM, section 4.3): AdamW, 10% linear warm-up, linear decay, best epoch on dev.

Fast without touching the protocol: batches are padded to their own longest example, `quick` sorts
by length inside shuffled pools, AdamW is fused, CUDA computes in bf16. The loss is the mean over
all decisions of the batch of 16, whatever its share on this process or in this micro-batch.
"""

import tempfile
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from kebench.errors import UserError
from kebench.finetune.classifier import HEADS, Classifier, Head, collate
from kebench.kinds.encoded import Answer, Encoded, Ints
from kebench.model.optimizer import Part, Trainer, Update, decay_matrices_only, halving, linear_rate
from kebench.records import Settings

POOL_BATCHES = 50  # ours: large enough that batches stay random, small enough that lengths are close
# Steps between two looks whether losses are numbers: at each on the CPU, which has them at hand; a GPU would
# have to be waited for, so it is asked about many steps at once. The first bad one is named either way. Ours.
LOOK_EVERY = {"cpu": 1, "cuda": 50}
EVALUATION_BATCH = 64


class NotFiniteError(UserError):
    """A model computes what is no number: nothing it answers means anything."""


class Epoch(NamedTuple):
    """What an epoch did, for those who watch. losses, learning_rates: of its steps; seconds: of training.

    last_step: the number of its last step, from 1, over all epochs.
    """

    number: int
    last_step: int
    losses: tuple[float, ...]
    learning_rates: tuple[float, ...]
    mean_loss: float
    num_examples: int
    seconds: float


class Trained(NamedTuple):
    """How a training went. The model itself holds the weights of its best epoch afterwards.

    dev_percent_by_epoch: None for an epoch after which the score was undefined.
    micro_batch: examples that were in memory at once in the end.
    """

    best_epoch: int
    dev_percent_by_epoch: tuple[float | None, ...]
    train_loss_by_epoch: tuple[float, ...]
    micro_batch: int


def train(
    model: Classifier,
    encoded: Encoded,
    *,
    settings: Settings,
    seed: int,
    pad_id: int,
    accelerator: Any,
    score_dev: Callable[[], float | None],
    untrained_percent: float | None = 0.0,
    micro_batch: int | None = None,
    watch: Callable[[Epoch, float | None], None] = lambda epoch, dev_percent: None,
) -> Trained:
    """Train, score dev after every epoch, and leave the best epoch's weights in the model.

    score_dev: the model's score as it stands, a percentage, None if it is undefined; of equal epochs the
        earliest is best. untrained_percent: of a model that has not begun to learn
        (`kebench.scoring.metrics`).
    micro_batch: examples in memory at once; None starts with the batch and halves it when CUDA runs out.
    watch: is told what each epoch did, and the dev score after it.
    Raises NotFiniteError with epoch, step and rate if a loss, a gradient or an answer is not finite.
    """
    trainer = new_trainer(model, settings, encoded.num_examples, accelerator, micro_batch)
    order = np.random.default_rng(seed)
    scores: list[float | None] = []
    losses: list[float] = []
    # On disk: a copy in memory would raise the peak. The file has no name and ends with the process.
    with tempfile.TemporaryFile() as best_weights:
        for epoch in range(1, settings.epochs + 1):
            batches = epoch_batches(encoded, settings, order)
            done = train_epoch(trainer, model.head, encoded, batches, pad_id, number=epoch)
            losses.append(done.mean_loss)
            try:
                scores.append(score_dev())
            except NotFiniteError as error:
                raise NotFiniteError(
                    f"epoch {epoch}, after step {len(done.losses)}, the last: {error} "
                    f"(learning rate up to {max(done.learning_rates):g}); lower it with --learning-rates"
                ) from None
            watch(done, scores[-1])
            best = max((one for one in scores if one is not None), default=None)
            best_epoch = scores.index(best) + 1  # of equal ones the first
            if best_epoch == epoch < settings.epochs:
                best_weights.seek(0)
                best_weights.truncate()
                torch.save(model.state_dict(), best_weights)
            # It is over if so many epochs have brought nothing better than one that has begun to learn.
            has_begun = best is not None and (untrained_percent is None or best > untrained_percent)
            if settings.patience and has_begun and epoch - best_epoch >= settings.patience:
                break
        if best_epoch < epoch:
            best_weights.seek(0)
            model.load_state_dict(torch.load(best_weights, weights_only=True, map_location="cpu"))
    return Trained(best_epoch, tuple(scores), tuple(losses), trainer.micro_batch)


def epoch_batches(encoded: Encoded, settings: Settings, order: np.random.Generator) -> list[Ints]:
    """Return one epoch's batches of row numbers, in an order drawn from `order`."""
    rows = order.permutation(encoded.num_examples)
    size = settings.batch_size
    if settings.order == "shuffled":
        return [rows[start : start + size] for start in range(0, len(rows), size)]
    batches: list[Ints] = []
    lengths = encoded.pieces.lengths()
    for start in range(0, len(rows), size * POOL_BATCHES):
        pool = rows[start : start + size * POOL_BATCHES]
        pool = pool[np.argsort(lengths[pool], kind="stable")]
        batches += [pool[first : first + size] for first in range(0, len(pool), size)]
    return [batches[place] for place in order.permutation(len(batches))]


def new_trainer(
    model: Classifier, settings: Settings, num_rows: int, accelerator: Any, micro_batch: int | None
) -> Trainer:
    """Return a trainer with the paper's optimiser and rate (section 4.3), for so many rows an epoch."""
    steps = -(-num_rows // settings.batch_size) * settings.epochs
    warmup = round(settings.warmup_fraction * steps)
    groups = decay_matrices_only(model, settings.weight_decay)
    return Trainer(
        model,
        torch.optim.AdamW(groups, lr=settings.learning_rate, fused=True),
        lambda step: settings.learning_rate * linear_rate(step, warmup, steps),
        max_grad_norm=settings.max_grad_norm,
        accelerator=accelerator,
        micro_batch=micro_batch or settings.batch_size,
        may_halve=micro_batch is None,
    )


def train_epoch(
    trainer: Trainer, head: Head, encoded: Encoded, batches: list[Ints], pad_id: int, *, number: int
) -> Epoch:
    """Take one step a batch; return what they did."""
    started = time.monotonic()
    trainer.model.train()
    updates: list[Update] = []
    look_every = LOOK_EVERY[trainer.accelerator.device.type]
    for rows in batches:
        num_decisions = max(int(encoded.labels.lengths()[rows].sum()), 1)

        def losses(parts: list[Part], num_decisions: int = num_decisions) -> Iterator[Tensor]:
            for part, weight in parts:
                batch = collate(encoded, part, pad_id=pad_id, label_type=head.label_type)
                batch = batch.to(trainer.accelerator.device)
                yield head.summed_loss(trainer.model(batch), batch.labels) * weight / num_decisions

        updates.append(trainer.update(rows, losses))
        if len(updates) % look_every == 0 or len(updates) == len(batches):
            _refuse_not_finite(updates, look_every, epoch=number)
    loss_S = torch.stack([update.losses for update in updates])
    mean = float(loss_S.mean())  # waits for the device, so that the seconds are those of the steps
    seconds = time.monotonic() - started
    return Epoch(
        number=number,
        last_step=number * len(batches),
        losses=tuple(loss_S.tolist()),
        learning_rates=tuple(update.learning_rate for update in updates),
        mean_loss=mean,
        num_examples=sum(map(len, batches)),
        seconds=seconds,
    )


def _refuse_not_finite(updates: list[Update], num_last: int, *, epoch: int) -> None:
    """Raise NotFiniteError for the first of an epoch's last steps whose loss or gradient is not finite."""
    last, rates = updates[-num_last:], [update.learning_rate for update in updates]
    both = [torch.stack([one.losses for one in last]), torch.stack([one.grad_norm for one in last])]
    loss_and_norm_2S = torch.stack(both).cpu()
    is_bad_S = ~loss_and_norm_2S.isfinite().all(0)
    if not is_bad_S.any():
        return
    place = int(is_bad_S.nonzero()[0])
    step = len(updates) - is_bad_S.numel() + place
    loss, norm = loss_and_norm_2S[:, place].tolist()
    remedy = "lower it with --learning-rates"
    if (epoch, step) == (1, 0):
        remedy = "no weight has been changed yet, so the checkpoint's own are at fault"
    raise NotFiniteError(
        f"epoch {epoch}, step {step + 1}: loss {loss:g}, gradient norm {norm:g}: training stops here "
        f"(learning rate {rates[step]:g} at this step, up to {max(rates):g} before); {remedy}"
    )


def predict(
    model: nn.Module,
    encoded: Encoded,
    *,
    pad_id: int,
    accelerator: Any,
    head: Head = HEADS["softmax"],
    batch_size: int = EVALUATION_BATCH,
) -> list[Answer]:
    """Return what a model answers to each example, with probabilities, in the order of the examples.

    Examples are sorted by length, so that little is padding; the result does not depend on it or on
    batch_size but for near ties (the best two logits within 1e-4). Processes share the examples,
    and each gets all answers. Raises NotFiniteError if an answer is no number.
    """
    model.eval()
    by_length = np.argsort(encoded.pieces.lengths(), kind="stable")[::-1]
    mine = by_length[accelerator.process_index :: accelerator.num_processes]
    answered: list[tuple[int, Answer]] = []

    def answer_next(size: int) -> Answer:
        """Answer every decision of the examples that come next."""
        rows = mine[len(answered) : len(answered) + size]
        batch = collate(encoded, rows, pad_id=pad_id, label_type=head.label_type).to(accelerator.device)
        with torch.inference_mode():
            outputs_PL = model(batch).float()
            labels, probability = head.decide(outputs_PL)
        if not outputs_PL.isfinite().all():
            raise NotFiniteError("what the model answers is not finite")
        permille = (1000 * probability).round().int() if probability is not None else outputs_PL[:, :0].int()
        return Answer(labels.cpu().numpy(), permille.cpu().numpy())

    while len(answered) < len(mine):
        best, batch_size = halving(answer_next, batch_size)
        rows = mine[len(answered) : len(answered) + batch_size]
        ends = encoded.labels.lengths()[rows].cumsum()[:-1]
        answers = map(Answer, np.split(best.labels, ends), np.split(best.permille, ends))
        answered += zip(rows.tolist(), answers, strict=True)
    if accelerator.num_processes > 1:
        from accelerate.utils import gather_object

        answered = gather_object(answered)
    return [answer for _, answer in sorted(answered, key=lambda one: one[0])]
