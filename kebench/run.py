"""The grid: models x tasks x learning rates x seeds, planned before anything runs.

What is recorded (by identity, never by name) is not planned again. Planning hashes weights and
data, reads tags and needs no torch, so that a finished grid is recognised in seconds.
"""

import functools
import itertools
import logging
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from kebench.cards import HIGHEST_RATE, LOWEST_RATE, ModelCard
from kebench.errors import Refusals, UserError
from kebench.finetune.encode import choose_rows
from kebench.finetune.plan import Budget, Job, TaskFiles, find_task_files
from kebench.kinds.card import SPLITS, NoDataError, TaskCard
from kebench.kinds.registry import KINDS
from kebench.mini.build import miniature_data, miniature_model
from kebench.model.layout import describe_checkpoint, refuse_other_kinds
from kebench.model.source import ResolvedModel, model_hash, resolve_model
from kebench.records import PROTOCOL_VERSION, OtherName, Protocol, RateOrigin, Record, Subset, read_records
from kebench.scoring.metrics import METRICS
from kebench.tasks.check import check_files

_log = logging.getLogger(__name__)


class Rates(NamedTuple):
    """The learning rates tried for a model, and who chose them."""

    values: tuple[float, ...]
    origin: RateOrigin


class Grid(NamedTuple):
    """All jobs of a grid in the order they are run, and those of them that are not recorded yet.

    other_names: of models that are recorded under another name: one that was recorded or named before.
    skipped: of each task that was left out since its files are not there, how to get them.
    """

    jobs: list[Job]
    missing: list[Job]
    other_names: dict[str, OtherName] = {}
    skipped: dict[str, str] = {}


def plan_grid(
    models: Sequence[str],
    tasks: Sequence[TaskCard],
    *,
    seeds: int | None = None,
    budget: Budget,
    learning_rates: Sequence[float],
    precision: str,
    data: Path,
    out: Path,
    allow_remote_code: bool = False,
    skip_missing: bool = False,
) -> Grid:
    """Plan every run: one task after another, on each one model after another, then rates, then seeds.

    seeds: of each rate; None leaves it to the budget.
    learning_rates: the user's own; if empty, those that the model's card suggests, else the budget's.
    skip_missing: leave tasks out whose files are not there, if any is left.
    Raises UserError with all models and files that are missing or no such, before anything has run.
    """
    refusals = Refusals()
    found = refusals.of_each(models, functools.partial(_find_model, allow_remote_code=allow_remote_code))
    lacking = {card.name: lack for card in tasks if (lack := _lack_of(card, data))}
    skipped = lacking if skip_missing and len(lacking) < len(tasks) else {}
    tasks = [card for card in tasks if card.name not in skipped]
    files = refusals.of_each(
        tasks, lambda card: find_task_files(card, data_of(card, data)), name=lambda card: card.name
    )
    if not skip_missing and 0 < len(lacking) < len(tasks):
        refusals.messages.append(
            f"no data of {len(lacking)} of {len(tasks)} tasks; --skip-missing runs the others"
        )
    if refusals.messages:  # whoever mends these should know of all the others
        check = functools.partial(_check_model, tasks=(), allow_remote_code=allow_remote_code)
        refusals.of_each([model for model, _ in found], check, name=lambda model: model.card.name)
    refusals.raise_all()
    records = [record for _, record in read_records(out)]
    # Of one model under two names only the first is planned: the second might have other rates by its card.
    once, other_names = _under_one_name(found, records)
    planned = [(model, hashed, describe_checkpoint(model.folder)) for model, hashed in once]
    jobs: dict[str, Job] = {}  # by identity: a rate that was given twice is one
    for task, (model, hashed, facts) in itertools.product(files, planned):
        rates = rates_of(model.card, budget, learning_rates)
        max_length = min(task.card.max_length, facts.max_tokens or task.card.max_length)
        protocol = Protocol(
            version=PROTOCOL_VERSION,
            budget=budget.name,
            fidelity=model.card.fidelity,
            metric=task.card.metric,
            precision="bf16" if precision == "bf16" else "fp32",
            subset=Subset(train_rows=budget.train_rows, dev_rows=budget.dev_rows),
            pooling="mean" if KINDS[task.card.kind].reads_text and model.card.pooling == "mean" else "first",
        )
        num_seeds = budget.seeds_of(task.card.kind, seeds)
        for rate, seed in itertools.product(rates.values, range(num_seeds)):
            settings = budget.settings(learning_rate=rate, max_length=max_length)
            job = Job(model.card, model.folder, hashed, task, seed, settings, protocol, rates.origin)
            jobs[job.identity] = job
    recorded = {record.identity for record in records}
    missing = [job for identity, job in jobs.items() if identity not in recorded]
    return Grid(list(jobs.values()), missing, other_names, skipped)


def _lack_of(card: TaskCard, data: Path) -> str:
    """Say what of a task's files is not there, and how to get it; "" if all are."""
    try:
        for split in SPLITS:
            card.find_split(data_of(card, data), split)
    except NoDataError as error:
        return str(error)
    return ""


def _find_model(name: str, *, allow_remote_code: bool) -> tuple[ResolvedModel, str]:
    """Return a model and the hash of what can move its scores; UserError for what is no encoder of text."""
    model = resolve(name, allow_remote_code=allow_remote_code)
    refuse_other_kinds(model.folder, kind=model.card.kind)
    return model, model_hash(model.folder, casing=model.card.casing)


def _under_one_name(
    models: Iterable[tuple[ResolvedModel, str]], records: Iterable[Record]
) -> tuple[list[tuple[ResolvedModel, str]], dict[str, OtherName]]:
    """Return models with their hashes, each once and under one name, and their other names; say which.

    The name is that of its records, if there are any: a table would tear a model with two names apart.
    """
    recorded: dict[tuple[str, str], dict[str, None]] = {}
    for record in records:
        recorded.setdefault((record.model_hash, record.protocol.fidelity), {})[record.model] = None
    once: dict[tuple[str, str], tuple[ResolvedModel, str]] = {}
    others: dict[str, OtherName] = {}
    for model, hashed in models:
        key, asked = (hashed, model.card.fidelity), model.card.name
        known = list(recorded.get(key, {}))
        name = asked if asked in known or not known else known[0]
        how = "recorded"
        if key in once:
            name, how = once[key][0].card.name, "counted once,"
        else:
            once[key] = (model._replace(card=model.card.model_copy(update={"name": name})), hashed)
        if name != asked:
            _log.warning("%s: the same weights as %s; %s as %s", asked, name, how, name)
            others[asked] = OtherName(recorded_as=name, model_hash=hashed, fidelity=model.card.fidelity)
    return list(once.values()), others


def resolve(name: str, *, allow_remote_code: bool = False) -> ResolvedModel:
    """Return a model's card and folder, fetching or making it if need be."""
    return resolve_model(name, allow_remote_code=allow_remote_code, embedded=make_embedded)


def make_embedded(name: str) -> Path:
    """Return the folder of a model that is part of kebench, making it on first use."""
    return miniature_model(name)


def data_of(card: TaskCard, data: Path) -> Path:
    """Return the data folder of a task: the embedded miniature's, or the user's."""
    if card.access.kind != "embedded":
        return data
    return miniature_data()


def rates_of(card: ModelCard, budget: Budget, asked: Sequence[float]) -> Rates:
    """Return the rates tried for a model, `asked` by the user or its own; the best mean dev score decides."""
    if asked:
        return Rates(tuple(asked), "option")
    if card.suggested and budget.takes_suggested_rates:
        return Rates(card.suggested.learning_rates, "card")
    return Rates(budget.learning_rates, "budget")


def rates_by_model(jobs: Sequence[Job]) -> dict[ModelCard, Rates]:
    """Return the rates that jobs try of each model."""
    tried: dict[ModelCard, dict[float, None]] = {}
    for job in jobs:
        tried.setdefault(job.card, {})[job.settings.learning_rate] = None
    origins = {job.card: job.learning_rate_from for job in jobs}
    return {card: Rates(tuple(values), origins[card] or "budget") for card, values in tried.items()}


def check_jobs(
    jobs: Sequence[Job], *, allow_missing_markers: bool = False, allow_remote_code: bool = False
) -> list[str]:
    """Check every file and model that the jobs need, so that a bad one is refused before anything has run.

    Files as `kebench data check` does: a score on a test set that was cut off looks like any other.
    Returns what is out of the common where nothing is refused. Raises UserError with all that is.
    """
    by_task = {job.task.card.name: job for job in jobs}
    models = {job.model_hash: ResolvedModel(job.card, job.folder) for job in jobs}
    check_data = functools.partial(_check_data, allow_missing_markers=allow_missing_markers)
    tasks = [job.task for job in by_task.values()]
    check_model = functools.partial(_check_model, tasks=tasks, allow_remote_code=allow_remote_code)
    refusals = Refusals()
    said = refusals.of_each(by_task.values(), check_data, name=lambda job: job.task.card.name)
    said += refusals.of_each(models.values(), check_model, name=lambda model: model.card.name)
    refusals.raise_all()
    return [remark for remarks in said for remark in remarks]


def _check_data(job: Job, *, allow_missing_markers: bool) -> list[str]:
    """Check a task's files. Raises UserError, also if the subset of dev that is used holds no gold."""
    task, said, wrong = job.task, [], []
    found = check_files(task.card, task.paths, allow_missing_markers=allow_missing_markers)
    for split, finding in found.items():
        wrong += [finding.message] if finding.level == "error" else []
        said += [f"{task.card.name} {split}: {remark}" for remark in finding.remarks]
    if wrong:
        raise UserError(*wrong)
    card, subset, kind = task.card, job.protocol.subset, KINDS[task.card.kind]
    if subset.dev_rows is not None:  # else check_files has looked at the whole of it
        examples = kind.read(card, task.paths["dev"]).examples
        rows = choose_rows(len(examples), subset.dev_rows, seed=subset.seed)
        if not kind.count_gold(card, [examples[row] for row in rows]):
            raise UserError(
                f"{card.name}: no {kind.words.gold} in the {len(rows)} rows of dev that are used, so neither "
                f"epoch nor learning rate can be chosen by its {METRICS[card.metric].title}; raise --dev-rows"
            )
    return said


def _check_model(model: ResolvedModel, *, tasks: Iterable[TaskFiles], allow_remote_code: bool) -> list[str]:
    """Check a model; return what is out of the common, and the words of tasks that it does not know."""
    from kebench.finetune.encode import count_unknown
    from kebench.model.checkpoint import check_checkpoint

    card, tasks = model.card, list(tasks)
    trusted = card.trust_remote_code and allow_remote_code
    checked = check_checkpoint(
        model.folder, family=card.family, casing=card.casing, trust_remote_code=trusted
    )
    reading = [task.card.name for task in tasks if KINDS[task.card.kind].reads_text]
    first = next(iter(checked.tokenizer("a")["input_ids"]), None)
    if reading and not card.pooling and first not in checked.tokenizer.all_special_ids:
        raise UserError(
            f"{card.name}: its tokenizer puts no token before a text, of which {', '.join(reading)} could be "
            'decided; say pooling = "mean" (or "first") in its card'
        )
    said = [f"{card.name}: WARNING: {remark}" for remark in checked.remarks]
    if checked.left_out:
        said.append(f"{card.name}: left out of its weights, as no part of the encoder: {checked.left_out}")
    shares: dict[str, str] = {}
    for task in tasks:
        found = {}
        for split, path in task.paths.items():
            try:
                found[split] = count_unknown(
                    checked.tokenizer,
                    task.card,
                    lambda card=task.card, path=path: KINDS[card.kind].read(card, path).examples,  # type: ignore[misc]
                    data_sha256=task.sha256[split],
                )
            except UserError:  # `_check_data` tells of it
                continue
            if found[split].warning:
                said.append(f"{card.name} on {task.card.name} {split}: WARNING: {found[split].warning}")
        if any(unknown.num_unknown for unknown in found.values()):
            shares[task.card.name] = ", ".join(f"{unknown.percent:.2f}%" for unknown in found.values())
    if not shares:
        return [*said, f"{card.name}: its tokenizer knows every word"]
    of_tasks = "; ".join(f"{name} {text}" for name, text in shares.items())
    return [*said, f"{card.name}: words unknown to its tokenizer in {', '.join(SPLITS)}: {of_tasks}"]


def training_flops(job: Job) -> float:
    """Estimate a run's floating-point operations; word pieces are taken as 4 bytes of text."""
    facts, subset = _facts(job.folder), job.protocol.subset
    pieces = {}
    for split, rows in (("train", subset.train_rows), ("dev", subset.dev_rows), ("test", None)):
        whole = job.task.card.expected.get(split)
        share = min(1.0, rows / whole.rows) if rows and whole else 1.0
        pieces[split] = job.task.paths[split].stat().st_size / 4 * share
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


def estimate_seconds(jobs: Sequence[Job], matrix_speed: float) -> float:
    """Estimate how long jobs take, within a factor of three: at half a matrix product's FLOP/s."""
    return sum(training_flops(job) / (matrix_speed / 2) + 1.0 for job in jobs)


def parse_learning_rates(words: str) -> tuple[float, ...]:
    """Read "1e-5,3e-5". Raises UserError if a part is no number, or none that a learning rate can be."""
    rates = []
    for word in filter(None, map(str.strip, words.split(","))):
        try:
            rate = float(word)
        except ValueError:
            rate = 0.0
        if not 0 < rate < float("inf"):
            raise UserError(f"--learning-rates {words}: expected positive numbers, such as 1e-5,3e-5")
        if not LOWEST_RATE <= rate <= HIGHEST_RATE:
            meant = f"is {rate:g}e-5 meant?" if rate == int(rate) < 10 else "mind the exponent, as in 5e-5"
            raise UserError(
                f"--learning-rates {words}: {word} is no rate of AdamW's, which lie between {LOWEST_RATE:g} "
                f"and {HIGHEST_RATE:g}; {meant}"
            )
        rates.append(rate)
    if words and not rates:
        raise UserError(f"--learning-rates {words}: expected positive numbers, such as 1e-5,3e-5")
    return tuple(rates)
