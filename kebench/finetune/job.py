"""Carries out one fine-tuning job, from files to a record and its predictions."""

import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from kebench.files import atomic_folder
from kebench.finetune.classifier import Classifier
from kebench.finetune.encode import cached, choose_rows, count_unknown, tokenizer_hash
from kebench.finetune.loop import Epoch, Trained, predict, train
from kebench.finetune.plan import Job
from kebench.kinds.card import SPLITS
from kebench.kinds.encoded import Encoded
from kebench.kinds.registry import KINDS
from kebench.kinds.stored import score_split
from kebench.model.checkpoint import load_encoder, load_tokenizer
from kebench.model.families import quiet_transformers
from kebench.model.source import write_suggested
from kebench.records import PREDICTIONS_SCHEMA, RECORD_SCHEMA, Energy, Provenance, Record, SplitFacts
from kebench.runtime import device_description, peak_memory_mib, reset_peak_memory, seed_everything, utc_now
from kebench.scoring.metrics import METRICS
from kebench.tasks.facts import seen_rows, split_facts


class Finished(NamedTuple):
    """What a run leaves: its record, and its predictions as they are stored."""

    record: Record
    predictions: dict[str, Any]


class Examples(NamedTuple):
    """One split, as read and as encoded, the same rows in both."""

    read: Sequence[Any]
    encoded: Encoded


class Prepared(NamedTuple):
    """A job with its data tokenised and its model built, ready to train.

    seen: rows of the test set that stand in train or dev too.
    """

    job: Job
    tokenizer: Any
    splits: dict[str, Examples]
    facts: dict[str, SplitFacts]
    seen: tuple[int, ...]
    model: Classifier
    accelerator: Any

    def predict(self, split: str) -> dict[str, Any]:
        """Return the model's predictions for a split as they are stored."""
        examples, pad_id = self.splits[split], self.tokenizer.pad_token_id
        answers = predict(
            self.model, examples.encoded, pad_id=pad_id, accelerator=self.accelerator, head=self.model.head
        )
        card = self.job.task.card
        return KINDS[card.kind].predicted(card, examples.read, examples.encoded, answers)


def fine_tune(
    job: Job,
    *,
    accelerator: Any,
    software: dict[str, Any],
    micro_batch: int | None = None,
    allow_remote_code: bool = False,
    keep_weights: Path | None = None,
    watch: Callable[[Epoch, float | None], None] = lambda epoch, dev_percent: None,
    read_meter: Callable[[], Energy | None] = lambda: None,
) -> Finished:
    """Carry out one job. Raises UserError if the model or the data cannot be read.

    software: versions and commit for the record (`kebench.runtime.software`).
    keep_weights: the folder to save the best epoch's model to; None drops it.
    watch: is told what each epoch did, and the dev score after it.
    read_meter: returns the energy taken so far, if it is measured.
    """
    started, clock = utc_now(), time.monotonic()
    reset_peak_memory(str(accelerator.device))
    prepared = prepare(job, accelerator=accelerator, allow_remote_code=allow_remote_code)
    card, kind, metric = job.task.card, KINDS[job.task.card.kind], METRICS[job.task.card.metric]
    header = {"schema": PREDICTIONS_SCHEMA, "kind": kind.name, **kind.header(card)}
    trained = train(
        prepared.model,
        prepared.splits["train"].encoded,
        settings=job.settings,
        seed=job.seed,
        pad_id=prepared.tokenizer.pad_token_id,
        accelerator=accelerator,
        score_dev=lambda: metric.score({**header, "dev": prepared.predict("dev")}, "dev"),
        untrained_percent=metric.untrained_percent,
        micro_batch=micro_batch,
        watch=watch,
    )
    predictions: dict[str, Any] = header | {split: prepared.predict(split) for split in ("dev", "test")}
    predictions["test"]["seen"] = list(prepared.seen)
    if keep_weights is not None and accelerator.is_main_process:
        # Encoder and tokenizer as a checkpoint directory, and the linear layer beside them.
        from safetensors.torch import save_file

        head = {name: tensor.cpu() for name, tensor in prepared.model.linear.state_dict().items()}
        with atomic_folder(keep_weights, point="weights") as temporary, quiet_transformers():
            prepared.model.encoder.save_pretrained(temporary)
            prepared.tokenizer.save_pretrained(temporary)
            write_suggested(job.card.suggested, temporary, origin=job.card.name)
            save_file(head, temporary / "head.safetensors")
    seconds, energy = round(time.monotonic() - clock, 3), read_meter()
    provenance = Provenance(
        **software,
        device=device_description(str(accelerator.device)),
        num_processes=accelerator.num_processes,
        micro_batch=trained.micro_batch,
        started_utc=started,
        seconds=seconds,
        peak_mib=round(peak_memory_mib(str(accelerator.device)), 1),
        energy_kwh=energy.kwh if energy else None,
        energy=energy,
        learning_rate_from=job.learning_rate_from,
    )
    return Finished(_record(prepared, trained, predictions, provenance), predictions)


def prepare(job: Job, *, accelerator: Any, allow_remote_code: bool = False) -> Prepared:
    """Seed everything, tokenise the three splits, and build the model on its device."""
    seed_everything(job.seed)
    # Code from a checkpoint runs only if its card says so and the user allows it.
    trusted = job.card.trust_remote_code and allow_remote_code
    tokenizer = load_tokenizer(
        job.folder, family=job.card.family, casing=job.card.casing, trust_remote_code=trusted
    )
    card, kind = job.task.card, KINDS[job.task.card.kind]
    read = {split: kind.read(card, job.task.paths[split]).examples for split in SPLITS}
    facts = split_facts(card, read, schemes=job.task.schemes)
    for split in SPLITS:
        unknown = count_unknown(
            tokenizer, card, partial(read.__getitem__, split), data_sha256=job.task.sha256[split]
        )
        counts = {"num_words": unknown.num_words, "num_unknown_words": unknown.num_unknown}
        facts[split] = facts[split].model_copy(update=counts)
    kind.prepare(tokenizer, card)
    splits = {split: _examples(job, tokenizer, split, read[split]) for split in SPLITS}
    encoder: Any = load_encoder(job.folder, family=job.card.family, trust_remote_code=trusted)
    if len(tokenizer) > encoder.get_input_embeddings().num_embeddings:
        # Rows drawn like any new row (N(0, 0.02)); transformers' default would fit a Gaussian to 30,000 rows.
        encoder.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    outputs, states = kind.num_outputs(card), kind.states_per_decision
    model = Classifier(
        encoder,
        num_outputs=outputs,
        states_per_decision=states,
        head=kind.head,
        reads_mean=job.protocol.pooling == "mean",
    )
    model = model.to(accelerator.device)
    seen = seen_rows(card, read, "test").rows
    return Prepared(job, tokenizer, splits, facts, seen, model, accelerator)


def _record(
    prepared: Prepared, trained: Trained, predictions: dict[str, Any], provenance: Provenance
) -> Record:
    job = prepared.job
    return Record(
        schema=RECORD_SCHEMA,
        identity=job.identity,
        kind=job.task.card.kind,
        model=job.card.name,
        model_hash=job.model_hash,
        task=job.task.card.name,
        task_version=job.task.card.version,
        task_hash=job.task.hash,
        seed=job.seed,
        settings=job.settings,
        protocol=job.protocol,
        dev=score_split(predictions, "dev", metric=job.protocol.metric),
        test=score_split(predictions, "test", metric=job.protocol.metric),
        best_epoch=trained.best_epoch,
        dev_percent_by_epoch=trained.dev_percent_by_epoch,
        train_loss_by_epoch=trained.train_loss_by_epoch,
        provenance=provenance,
        splits=prepared.facts,
    )


def _examples(job: Job, tokenizer: Any, split: str, read: Sequence[Any]) -> Examples:
    """Tokenise a split, or take the tokenised form from the cache, then choose the subset."""
    card, kind, max_length = job.task.card, KINDS[job.task.card.kind], job.settings.max_length
    key = {
        "tokenizer": tokenizer_hash(tokenizer),
        "data": job.task.sha256[split],
        "form": [*kind.hashed(card), max_length],
    }
    if split in job.task.converted:
        key["scheme"] = job.task.converted[split]
    encoded = cached(key, lambda: kind.encode(tokenizer, read, card, max_length))
    subset = job.protocol.subset
    limit = {"train": subset.train_rows, "dev": subset.dev_rows, "test": None}[split]
    rows = choose_rows(len(read), limit, seed=subset.seed)
    return Examples([read[row] for row in rows], encoded.take(rows))
