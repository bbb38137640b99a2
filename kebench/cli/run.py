"""`kebench run`: plan the grid, show the plan, run what is missing."""

import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import click

from kebench import run as grids
from kebench.cli import WIDTH
from kebench.cli.cluster import cluster_options, refuse_workers
from kebench.cli.found import LOCAL
from kebench.cli.options import (
    added_by,
    changes_of,
    device_option,
    log_dir_option,
    log_option,
    option,
    precision_option,
    takes,
)
from kebench.cli.run_plan import duration, plan_lines, unequal_footing
from kebench.energy import chosen_metering
from kebench.engine.cluster import Cluster
from kebench.engine.local import Outcome
from kebench.engine.opened import Engine, opened
from kebench.engine.work import RunOptions
from kebench.errors import UserError, counted
from kebench.files import cache_folder, sweep_temporaries
from kebench.finetune.plan import Job, read_budget
from kebench.leases import sweep_stale
from kebench.loggers import chosen_logging
from kebench.progress import progress
from kebench.records import write_other_names
from kebench.runtime import launched_processes
from kebench.scoring.metrics import METRICS
from kebench.tasks.card import data_folder, select_tasks
from kebench.tasks.facts import is_seen_widely

ASK_ABOVE_SECONDS = 3600.0


@dataclass(frozen=True, kw_only=True)
class GridOptions:
    """The options of the command. Those that change the budget are None where they leave it."""

    models: tuple[str, ...] = option("--model", required=True, help="Card, directory or source; repeatable.")
    tasks: str = option(help="Tasks, suites or kinds: blurb, kebiolm, mini, ner, qa, gad,ddi ...")
    seeds: int | None = option(
        type=click.IntRange(1, 1000),
        help="Seeds 0 to N-1; default 5, in the budget paper 10 for similarity and QA.",
    )
    budget: str = option(default="quick", help="paper, quick or smoke (budgets.toml).")
    learning_rates: str = option(default="", help="Instead of the budget's or the card's: 1e-5,3e-5.")
    epochs: int | None = option(changes=True, help="Instead of the budget's.")
    batch_size: int | None = option(changes=True, help="Instead of the budget's.")
    patience: int | None = option(
        changes=True, help="Epochs without better dev score before a run ends; 0 never."
    )
    weight_decay: float | None = option(changes=True, help="Instead of the budget's.")
    warmup_fraction: float | None = option(changes=True, help="Instead of the budget's.")
    max_grad_norm: float | None = option(changes=True, help="Instead of the budget's.")
    order: Literal["shuffled", "length-pools"] | None = option(
        changes=True, help="Order of training examples."
    )
    train_rows: int | None = option(
        changes=True, help="Train on a subset of so many rows; part of the protocol."
    )
    dev_rows: int | None = option(changes=True, help="Choose epoch and rate on a subset of dev.")
    micro_batch: str = option(default="auto", help="Examples in memory at once.")
    data: Path | None = option(help="Data folder.  [default: KEBENCH_DATA, else the cache's]")
    out: Path = option(default=LOCAL, help="Folder of records.")
    device: str = device_option("Where to run.")
    precision: str = precision_option("bf16 only on CUDA; part of the protocol.")
    keep_weights: Literal["none", "best"] = option(
        default="none", help="Of new runs; recorded ones are not run again."
    )
    loggers: tuple[str, ...] = log_option("losses, rates, dev scores and speed")
    log_dir: Path | None = log_dir_option("OUT/logs")
    energy: bool = option(help="Measure energy; no part of a run's identity.")
    country: str = option(default="", help="ISO code (DEU): with --energy, reckon CO2 by its electricity.")
    workers: int = option(default=1, type=click.IntRange(1), help="Processes that run jobs.")
    cluster: Cluster | None = added_by(cluster_options)
    wait: bool = option("--wait/--no-wait", default=True, help="Stay for runs in progress elsewhere.")
    allow_remote_code: bool = option(help="Run a checkpoint's own code if its card says so.")
    allow_missing_markers: bool = option(help="Run on texts without the task's markers too.")
    skip_missing: bool = option(help="Leave out tasks whose data are not there, and run the others.")
    plan_only: bool = option("--plan", help="Show the plan and stop.")
    yes: bool = option(help="Start --budget paper however long the estimate.")


@click.command()
@takes(GridOptions)
def run(options: GridOptions) -> None:
    """Fine-tune models on tasks over seeds and write one record a run.

    What is recorded is not run again; stopped at any moment, the same command goes on from there.
    The learning rate of a table is the one with the best mean dev score; test scores never enter.
    """
    refuse_workers(options.workers, options.cluster)
    if options.energy and (options.workers > 1 or options.cluster):
        raise UserError("--energy: meters tell of a whole machine, so one run at a time; leave out --workers")
    if options.loggers and options.cluster:
        raise UserError("--log: nodes write no logs yet; leave it out with --engine ray")
    micro_batch = options.micro_batch
    if micro_batch != "auto" and (not micro_batch.isdecimal() or int(micro_batch) < 1):
        raise UserError(f"--micro-batch {micro_batch}: expected auto or a number of examples, such as 4")
    how = RunOptions(
        micro_batch=None if micro_batch == "auto" else int(micro_batch),
        allow_remote_code=options.allow_remote_code,
        keep_weights=options.keep_weights == "best",
        wait=options.wait,
        logging=chosen_logging(options.loggers, options.log_dir, default=options.out / "logs"),
        metering=chosen_metering(options.energy, options.country),
    )
    with opened(
        options.cluster,
        workers=options.workers,
        device=options.device,
        precision=options.precision,
        options=how,
    ) as engine:
        num_failed = _run_grid(options, engine)
    if num_failed:
        raise UserError(f"{counted(num_failed, 'run')} failed (see above); the same command tries them again")


def _run_grid(options: GridOptions, engine: Engine) -> int:
    """Plan a grid, show it, run what is missing; return how many runs failed."""
    rank, num_processes = launched_processes()
    out, changes, allowed = options.out, changes_of(options), options.allow_remote_code
    budget = read_budget(options.budget, changes)
    grid = grids.plan_grid(
        options.models,
        select_tasks(options.tasks),
        seeds=options.seeds,
        budget=budget,
        learning_rates=grids.parse_learning_rates(options.learning_rates),
        precision=engine.device.precision,
        data=data_folder(options.data),
        out=out,
        allow_remote_code=allowed,
        skip_missing=options.skip_missing,
    )
    for name, lack in grid.skipped.items():
        _say(f"skipped: {'' if name in lack else f'{name}: '}{lack}")
    if rank == 0 and not options.plan_only:
        out.mkdir(parents=True, exist_ok=True)
        sweep_stale(out)  # what runs that were killed have left
        for folder in (out, cache_folder()):
            sweep_temporaries(folder)
        write_other_names(out, grid.other_names)
    _say(f"plan: {counted(len(grid.jobs), 'run')}, {len(grid.jobs) - len(grid.missing)} recorded in {out}")
    for line in textwrap.wrap(unequal_footing(grid.jobs, budget), WIDTH, subsequent_indent="  "):
        _say(line)
    if not grid.missing and num_processes == 1:
        _say(f"nothing to do; 'kebench leaderboard --results {out}' shows the scores")
        return 0
    remarks = grids.check_jobs(
        grid.missing, allow_missing_markers=options.allow_missing_markers, allow_remote_code=allowed
    )
    at_once = min(engine.at_once, len(grid.missing))
    seconds = grids.estimate_seconds(grid.missing, engine.flops_per_second()) / at_once
    asked = {name for name, value in changes.items() if value is not None}
    asked |= {"precision"} if options.precision != "auto" else set()
    asked |= {"seeds"} if options.seeds else set()
    for line in plan_lines(grid, budget, engine, seconds, asked=asked):
        _say(line)
    for remark in remarks:
        _say(remark if "WARNING: " in remark else f"note: {remark}")
    if options.plan_only:
        return 0
    if seconds > ASK_ABOVE_SECONDS and options.budget == "paper" and not options.yes:
        raise UserError(f"the estimate is {duration(seconds)}; pass --yes to start, or --budget quick")
    # Several processes must go through the same jobs, whatever another grid records between their looks.
    todo = grid.missing if num_processes == 1 else grid.jobs
    todo = grids.longest_first(todo) if engine.is_shared else todo
    with progress("fine-tuning", total=len(todo), unit="runs") as advance:

        def report(job: Job, outcome: Outcome) -> None:
            _say(_line_of(job, outcome))
            advance(1)

        tally = engine.run_jobs(todo, out, report)
    _say(f"{counted(tally.num_recorded, 'run')} recorded in {out}; see 'kebench leaderboard --results {out}'")
    if tally.num_elsewhere:
        _say(f"{counted(tally.num_elsewhere, 'run')} in hand elsewhere; the same command looks again")
    return tally.num_failed


def _line_of(job: Job, outcome: Outcome) -> str:
    which = f"{job.task.card.name} {job.card.name} seed {job.seed} rate {job.settings.learning_rate:g}"
    if outcome.error:
        return f"{which}: FAILED: {outcome.error}"
    if outcome.record is None:
        return f"{which}: recorded already"
    record, lacks = outcome.record, METRICS[outcome.record.protocol.metric].lacks
    scores = (
        f"{name} {f'undefined (no {lacks})' if one.score_percent is None else f'{one.score_percent:.1f}'}"
        for name, one in (("dev", record.dev), ("test", record.test))
    )
    test = record.splits.get("test")
    warning = ""
    if test and is_seen_widely(test):
        warning = f"; {test.num_seen:,} of {test.num_examples:,} test examples stand in train or dev"
    return f"{which}: {' '.join(scores)} ({record.provenance.seconds:.0f} s){warning}"


def _say(line: str) -> None:
    """Speak on stderr; of several processes the main one alone."""
    if launched_processes()[0] == 0:
        click.echo(line, err=True)
