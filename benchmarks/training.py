"""Carries out one training of the benchmark in this process: kebench's loop or transformers' Trainer.

Both get the same word pieces, labels, encoder weights and settings, and the same instrument: a hook that
torch calls after every optimiser step, and a count of every collated batch.
"""

# B batch, T word pieces, L labels

import itertools
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from floor import CLOCKS, measure_machine

from kebench.finetune.encode import choose_rows
from kebench.kinds.encoded import Encoded
from kebench.kinds.kind import Kind
from kebench.kinds.registry import KINDS, read_split
from kebench.model.source import resolve_model
from kebench.records import Settings
from kebench.scoring.metrics import METRICS
from kebench.tasks.card import read_task_card

SUBSET_SEED = 0  # of the training rows' hash order
PADDED_LENGTH = 512  # the released KeBioLM code pads every sentence to its maximum length
EPOCHS_TIMED = 2  # the first warms up, the second is measured
PROBLEMS = {
    "softmax": "single_label_classification",
    "sigmoid": "multi_label_classification",
    "regression": "regression",
}
IGNORED = -100  # the label that transformers' loss leaves out

OURS, PADDED, PLAIN, GROUPED = "ours", "ours padded to 512", "Trainer", "Trainer, grouped by length"
VARIANTS = (OURS, PADDED, PLAIN, GROUPED)


class Spec(NamedTuple):
    """What one process does.

    kind: train (speed and memory), score (and the test score), or floor: then `variant` is the clock, and
        `rows` the word pieces of a matrix.
    """

    kind: str
    variant: str
    task: str
    model: str
    data: str
    rows: int
    epochs: int
    seed: int
    learning_rate: float


class Loaded(NamedTuple):
    """What a training needs: the checkpoint's folder, its tokenizer, and the chosen training rows."""

    folder: Path
    tokenizer: Any
    encoded: Encoded
    settings: Settings


class Watch:
    """Notes the clock at the end of every optimiser step, and how much of every batch is padding."""

    def __init__(self) -> None:
        self.wall: list[float] = []
        self.cpu: list[float] = []
        self.batches: list[tuple[int, int, int, int]] = []

    def after_step(self, *_: Any) -> None:
        """The hook that torch calls, alike for both loops."""
        self.wall.append(CLOCKS["wall"]())
        self.cpu.append(CLOCKS["cpu"]())

    def note_batch(self, mask_BT: Any) -> None:
        """Count sentences, positions, word pieces, and squared lengths, which attention costs."""
        lengths = mask_BT.sum(1)
        self.batches.append((len(mask_BT), mask_BT.numel(), int(lengths.sum()), int((lengths**2).sum())))

    def last_epoch(self) -> dict[str, float]:
        """Sum up the last epoch: from the last step of the epoch before it to its own last step."""
        steps = len(self.wall) // EPOCHS_TIMED
        assert len(self.batches) == len(self.wall), "a batch was collated that no step was taken on"
        counts = np.array(self.batches[-steps:]).sum(0).tolist()
        names = ("sentences", "positions", "pieces", "squared_lengths")
        seconds = {"wall": self.wall[-1] - self.wall[-1 - steps], "cpu": self.cpu[-1] - self.cpu[-1 - steps]}
        return dict(zip(names, counts, strict=True)) | seconds | {"steps": steps}


def work(spec: Spec) -> dict[str, Any]:
    """Carry out one process's task and return what it measured."""
    import torch

    from kebench.runtime import device_description, peak_memory_mib, seed_everything

    machine = {"device": device_description("cpu"), "threads": torch.get_num_threads()}
    if spec.kind == "floor":
        return machine | measure_machine(spec.model, pieces=spec.rows, clock=spec.variant)
    seed_everything(spec.seed)
    loaded, watch = load(spec), Watch()
    with watched_steps(watch):
        model = TRAINERS[spec.variant](spec, loaded, watch)
    measured = machine | {"peak_mib": peak_memory_mib("cpu"), "settings": loaded.settings.model_dump()}
    if spec.kind == "train":
        return measured | watch.last_epoch()
    return measured | {"score_percent": test_percent(spec, loaded, model)}


@contextmanager
def watched_steps(watch: Watch) -> Iterator[None]:
    """Call the watch after every step of every optimiser."""
    from torch.optim.optimizer import register_optimizer_step_post_hook

    handle = register_optimizer_step_post_hook(watch.after_step)
    yield
    handle.remove()


def load(spec: Spec) -> Loaded:
    """Tokenise the chosen training rows, and no others, so that memory is training's."""
    from kebench.model.checkpoint import load_tokenizer

    resolved, card = resolve_model(spec.model), read_task_card(spec.task)
    tokenizer = load_tokenizer(resolved.folder, family=resolved.card.family, casing=resolved.card.casing)
    examples = read_examples(spec, "train")
    rows = choose_rows(len(examples), spec.rows, seed=SUBSET_SEED)
    chosen = [examples[row] for row in rows]
    encoded = KINDS[card.kind].encode(tokenizer, chosen, card, card.max_length)
    return Loaded(resolved.folder, tokenizer, encoded, settings_of(spec, card.max_length))


def read_examples(spec: Spec, split: str) -> Sequence[Any]:
    """Read one split of the task."""
    card = read_task_card(spec.task)
    return read_split(card, card.find_split(Path(spec.data), split))


def settings_of(spec: Spec, max_length: int) -> Settings:
    """The quick budget's settings, which are the Trainer's defaults but for rate, epochs and warm-up."""
    return Settings(
        learning_rate=spec.learning_rate,
        epochs=spec.epochs,
        batch_size=16,
        patience=0,
        warmup_fraction=0.1,
        weight_decay=0.0,
        max_grad_norm=1.0,
        order="shuffled" if spec.variant == PADDED else "length-pools",
        max_length=max_length,
    )


def train_ours(spec: Spec, loaded: Loaded, watch: Watch) -> Any:
    """Train with kebench's loop to the last epoch, and return a model for kebench's `predict`."""
    from accelerate import Accelerator

    from kebench.finetune import loop
    from kebench.finetune.classifier import Classifier
    from kebench.model.checkpoint import load_encoder

    card = read_task_card(spec.task)
    kind = KINDS[card.kind]
    model = Classifier(
        load_encoder(loaded.folder),
        num_outputs=kind.num_outputs(card),
        states_per_decision=kind.states_per_decision,
        head=kind.head,
    )
    loop.collate = watched_collate(loop.collate, watch, to_length=PADDED_LENGTH * (spec.variant == PADDED))
    loop.train(
        model,
        loaded.encoded,
        settings=loaded.settings,
        seed=spec.seed,
        pad_id=loaded.tokenizer.pad_token_id,
        accelerator=Accelerator(cpu=True),
        score_dev=map(float, itertools.count()).__next__,  # every epoch is the best so far: the last is kept
    )
    return model


def watched_collate(collate: Callable[..., Any], watch: Watch, *, to_length: int) -> Callable[..., Any]:
    """Wrap kebench's collate: pad further to a fixed length (0: do not), and note the batch."""
    from torch.nn.functional import pad

    def wrapped(encoded: Encoded, rows: Any, *, pad_id: int, label_type: Any) -> Any:
        batch = collate(encoded, rows, pad_id=pad_id, label_type=label_type)
        missing = max(0, to_length - batch.pieces_BT.shape[1])
        if missing:
            pieces_BT = pad(batch.pieces_BT, (0, missing), value=pad_id)
            segments_BT = batch.segments_BT
            batch = batch._replace(
                pieces_BT=pieces_BT,
                mask_BT=pad(batch.mask_BT, (0, missing)),
                segments_BT=None if segments_BT is None else pad(segments_BT, (0, missing)),
            )
        watch.note_batch(batch.mask_BT)
        return batch

    return wrapped


def train_theirs(spec: Spec, loaded: Loaded, watch: Watch) -> Any:
    """Train with transformers' Trainer, and return its model in a form for kebench's `predict`.

    Its model is that of transformers for such tasks: a linear layer on every state for words, on the first
    one for texts. BERT's pooler before that is taken out, so that both train the same layers.
    """
    import transformers
    from torch import nn

    class FirstState(nn.Module):
        """Stands where the pooler stood."""

        def forward(self, hidden_BTD: Any) -> Any:
            return hidden_BTD[:, 0]

    card = read_task_card(spec.task)
    kind = KINDS[card.kind]
    arguments: dict[str, Any] = {"num_labels": kind.num_outputs(card), "local_files_only": True}
    auto = transformers.AutoModelForTokenClassification
    if kind.reads_text:
        auto = transformers.AutoModelForSequenceClassification
        arguments["problem_type"] = PROBLEMS[kind.head]
    model = auto.from_pretrained(loaded.folder, **arguments)
    if kind.reads_text:
        model.bert.pooler = FirstState()
    with tempfile.TemporaryDirectory() as folder:
        transformers.Trainer(
            model,
            training_arguments(spec, loaded.settings, folder),
            train_dataset=features_of(loaded.encoded, kind),
            data_collator=watched_collator(loaded.tokenizer, watch, reads_text=kind.reads_text),
        ).train()
    return as_classifier(model, reads_text=kind.reads_text)


def training_arguments(spec: Spec, settings: Settings, folder: str) -> Any:
    """The Trainer's settings: the same as ours; no evaluation, saving, logging or bars in its way."""
    import transformers

    return transformers.TrainingArguments(
        folder,
        learning_rate=settings.learning_rate,
        num_train_epochs=settings.epochs,
        per_device_train_batch_size=settings.batch_size,
        warmup_steps=settings.warmup_fraction,  # below 1 it is a share of all steps
        lr_scheduler_type="linear",
        weight_decay=settings.weight_decay,
        max_grad_norm=settings.max_grad_norm,
        train_sampling_strategy="group_by_length" if spec.variant == GROUPED else "random",
        seed=spec.seed,
        use_cpu=True,
        dataloader_pin_memory=False,
        dataloader_num_workers=0,
        save_strategy="no",
        eval_strategy="no",
        logging_strategy="no",
        report_to="none",
        disable_tqdm=True,
    )


def features_of(encoded: Encoded, kind: Kind) -> list[dict[str, Any]]:
    """Return the same examples as the Trainer takes them: of words a label at each first piece, else -100."""
    features = []
    for row in range(encoded.num_examples):
        pieces = encoded.pieces.row(row)
        feature: dict[str, Any] = {"input_ids": pieces.tolist()}
        if len(encoded.segments.row(row)):
            feature["token_type_ids"] = encoded.segments.row(row).tolist()
        if kind.reads_text:
            label = encoded.labels.row(row)[0]
            feature["labels"] = int(label) if kind.head == "softmax" else np.asarray(label, float).tolist()
        else:
            labels = np.full(len(pieces), IGNORED)
            labels[encoded.places.row(row).reshape(-1)] = encoded.labels.row(row)
            feature["labels"] = labels.tolist()
        features.append(feature)
    return features


def watched_collator(tokenizer: Any, watch: Watch, *, reads_text: bool) -> Callable[[Any], Any]:
    """The Trainer's own collator for such tasks, which pads to the longest of a batch; batches are noted."""
    from transformers import DataCollatorForTokenClassification, DataCollatorWithPadding

    collator = (DataCollatorWithPadding if reads_text else DataCollatorForTokenClassification)(tokenizer)

    def wrapped(features: Any) -> Any:
        batch = collator(features)
        watch.note_batch(batch["attention_mask"])
        return batch

    return wrapped


TRAINERS: dict[str, Callable[[Spec, Loaded, Watch], Any]] = {
    OURS: train_ours,
    PADDED: train_ours,
    PLAIN: train_theirs,
    GROUPED: train_theirs,
}


def as_classifier(model: Any, *, reads_text: bool) -> Any:
    """Give one of transformers' models the form of kebench's Classifier: the outputs of every decision."""
    from torch import nn

    class Reader(nn.Module):
        """Reads the outputs of each text, or at each decision's place."""

        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, batch: Any) -> Any:
            logits = self.model(
                input_ids=batch.pieces_BT,
                attention_mask=batch.mask_BT,
                token_type_ids=batch.segments_BT,
            ).logits
            return logits[batch.rows_P] if reads_text else logits[batch.rows_P, batch.places_PS[:, 0]]

    return Reader()


def test_percent(spec: Spec, loaded: Loaded, model: Any) -> float:
    """Score a trained model on the whole test set by the task's metric in kebench, whoever trained it."""
    from accelerate import Accelerator

    from kebench.finetune.classifier import HEADS
    from kebench.finetune.loop import predict

    card, examples = read_task_card(spec.task), read_examples(spec, "test")
    kind = KINDS[card.kind]
    encoded = kind.encode(loaded.tokenizer, examples, card, loaded.settings.max_length)
    pad_id = loaded.tokenizer.pad_token_id
    answers = predict(model, encoded, pad_id=pad_id, accelerator=Accelerator(cpu=True), head=HEADS[kind.head])
    split = kind.predicted(card, examples, encoded, answers)
    percent = METRICS[card.metric].score({**kind.header(card), "test": split}, "test")
    assert percent is not None, "a test set with gold has a score"
    return percent
