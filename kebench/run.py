"""The grid: models x tasks x learning rates x seeds, planned before anything runs.

What is recorded (by identity, never by name) is not planned again. Planning hashes weights and
data and needs no torch, so that a finished grid is recognised in a second.
"""

import functools
import logging
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from kebench.errors import UserError
from kebench.finetune.budgets import Budget
from kebench.finetune.plan import Job, TaskFiles, find_task_files
from kebench.model.layout import CheckpointFacts, describe_checkpoint
from kebench.model.source import ResolvedModel, model_hash, resolve_model
from kebench.records import PROTOCOL_VERSION, Protocol, Subset, read_records
from kebench.tasks.card import TaskCard
from kebench.tasks.check import check_files

_log = logging.getLogger(__name__)


class Grid(NamedTuple):
    """All jobs of a grid in the order they are run, and those of them that are not recorded yet."""

    jobs: list[Job]
    missing: list[Job]


def plan_grid(
    models: Sequence[str],
    tasks: Sequence[TaskCard],
    *,
    seeds: int,
    budget: Budget,
    learning_rates: Sequence[float],
    precision: str,
    data: Path,
    out: Path,
    allow_remote_code: bool = False,
) -> Grid:
    """Plan every run: one task after another, on each one model after another, then rates, then seeds.

    learning_rates: the user's own; if empty, those that the model's card suggests, else the budget's.
    Raises UserError if a model or a file is missing, before anything has run.
    """
    resolved = [resolve(name, allow_remote_code=allow_remote_code) for name in models]
    files = [find_task_files(card, data_of(card, data)) for card in tasks]
    hashes = [model_hash(model.folder, casing=model.card.casing) for model in resolved]
    facts = [describe_checkpoint(model.folder) for model in resolved]
    jobs = [
        _job(model, hashed, fact, task, rate, seed, budget=budget, precision=precision)
        for task in files
        for model, hashed, fact in zip(resolved, hashes, facts, strict=True)
        for rate in rates_of(model, budget, learning_rates)
        for seed in range(seeds)
    ]
    jobs = list({job.identity: job for job in jobs}.values())  # one model under two names is one
    for name, first in _twins(resolved, hashes):
        _log.warning("%s: the same weights as %s; counted once, as %s", name, first, first)
    recorded = {record.identity for record in read_records(out)}
    return Grid(jobs, [job for job in jobs if job.identity not in recorded])


def _twins(models: Sequence[ResolvedModel], hashes: Sequence[str]) -> list[tuple[str, str]]:
    """Return each model of another name that has the weights of one before it, and that one's name."""
    first: dict[str, str] = {}
    twins = []
    for model, hashed in zip(models, hashes, strict=True):
        name = first.setdefault(hashed, model.card.name)
        if name != model.card.name:
            twins.append((model.card.name, name))
    return twins


def resolve(name: str, *, allow_remote_code: bool = False) -> ResolvedModel:
    """Return a model's card and folder, fetching or making it if need be."""
    return resolve_model(name, allow_remote_code=allow_remote_code, embedded=make_embedded)


def make_embedded(name: str) -> Path:
    """Return the folder of a model that is part of kebench, making it on first use."""
    from kebench.mini.build import miniature_model  # only the miniature needs it, and it is slow to import

    return miniature_model(name)


def data_of(card: TaskCard, data: Path) -> Path:
    """Return the data folder of a task: the embedded miniature's, or the user's."""
    if card.access.kind != "embedded":
        return data
    from kebench.mini.build import miniature_data

    return miniature_data()


def rates_of(model: ResolvedModel, budget: Budget, asked: Sequence[float]) -> tuple[float, ...]:
    """Return the learning rates tried for a model; the one with the best mean dev score counts."""
    if asked:
        return tuple(asked)
    if model.card.suggested and budget.takes_suggested_rates:
        return model.card.suggested.learning_rates
    return budget.learning_rates


def _job(
    model: ResolvedModel,
    hashed: str,
    facts: CheckpointFacts,
    task: TaskFiles,
    rate: float,
    seed: int,
    *,
    budget: Budget,
    precision: str,
) -> Job:
    max_length = min(task.card.max_length, facts.max_tokens or task.card.max_length)
    protocol = Protocol(
        version=PROTOCOL_VERSION,
        budget=budget.name,
        fidelity=model.card.fidelity,
        metric=task.card.metric,
        precision="bf16" if precision == "bf16" else "fp32",
        subset=Subset(train_rows=budget.train_rows, dev_rows=budget.dev_rows),
    )
    settings = budget.settings(learning_rate=rate, max_length=max_length)
    return Job(model.card, model.folder, hashed, task, seed, settings, protocol)


def check_data(jobs: Sequence[Job], *, allow_missing_markers: bool = False) -> list[str]:
    """Check every file that the jobs need, so that a bad one is refused before anything has run.

    As `kebench data check` does: a score on a test set that was cut off looks like any other. Returns what
    is out of the common in files that are not refused.
    """
    said = []
    for task in {job.task.card.name: job.task for job in jobs}.values():
        found = check_files(task.card, task.paths, allow_missing_markers=allow_missing_markers)
        for split, finding in found.items():
            if finding.level == "error":
                raise UserError(finding.message)
            said += [f"{task.card.name} {split}: {remark}" for remark in finding.remarks]
    return said


def training_flops(job: Job) -> float:
    """Estimate a run's floating-point operations; word pieces are taken as 4 bytes of text."""
    facts, subset = _facts(job.folder), job.protocol.subset
    pieces = {
        "train": _num_pieces(job, "train", subset.train_rows),
        "dev": _num_pieces(job, "dev", subset.dev_rows),
        "test": _num_pieces(job, "test", None),
    }
    return flops_of(layers=facts.layers, hidden=facts.hidden, pieces=pieces, epochs=job.settings.epochs)


_facts = functools.cache(describe_checkpoint)  # of one model many jobs ask


def flops_of(*, layers: int, hidden: int, pieces: Mapping[str, float], epochs: int) -> float:
    """Estimate the operations of a run: 6 a weight and word piece in training, 2 in evaluation.

    Weights are those of the layers, 12 x layers x hidden^2. pieces: word pieces of train, dev and test.
    """
    evaluated = pieces["dev"] * (epochs + 1) + pieces["test"]
    return 12 * layers * hidden**2 * (6.0 * pieces["train"] * epochs + 2.0 * evaluated)


def longest_first(jobs: Sequence[Job]) -> list[Job]:
    """Order jobs by their expected length: many at a time then end together (benchmarks/results/scale.md)."""
    return sorted(jobs, key=training_flops, reverse=True)


def _num_pieces(job: Job, split: str, rows: int | None) -> float:
    card = job.task.card
    num_bytes = job.task.paths[split].stat().st_size
    share = min(1.0, rows / card.expected[split].rows) if rows and split in card.expected else 1.0
    return num_bytes / 4 * share


def estimate_seconds(jobs: Sequence[Job], matrix_speed: float) -> float:
    """Estimate how long the jobs take, within a factor of three: half the speed of a matrix product.

    matrix_speed: FLOP/s of such a product (`runtime.matrix_flops_per_second`).
    """
    return sum(training_flops(job) / (matrix_speed / 2) + 1.0 for job in jobs)


def parse_learning_rates(words: str) -> tuple[float, ...]:
    """Read "1e-5,3e-5". Raises UserError if a part is not a positive number."""
    try:
        rates = tuple(float(word) for word in words.split(",") if word.strip())
    except ValueError:
        rates = ()
    if words and not all(math.isfinite(rate) and rate > 0 for rate in rates or [0.0]):
        raise UserError(f"--learning-rates {words}: expected positive numbers, such as 1e-5,3e-5")
    return rates
