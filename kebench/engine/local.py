"""Carries out fine-tuning jobs in this process, one after another, safe against crash and company.

Each job is leased while it runs, so that several grids on one folder share the work; a record is
written last; a failure is written down and the next job goes on. Under `accelerate launch` all
processes train one job together, and the main one alone touches the folder.
"""

import logging
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, NamedTuple

from kebench.energy import Metering
from kebench.engine.work import fine_tune_watched, told
from kebench.errors import UserError
from kebench.finetune.plan import Job
from kebench.leases import lease
from kebench.loggers import NO_LOGGING, Logging
from kebench.records import Record, ending, write_failure, write_record
from kebench.runtime import Device, agreed, software, utc_now

WAIT_SECONDS = 5.0

_log = logging.getLogger(__name__)


class Options(NamedTuple):
    """How jobs are carried out: not part of a run's identity, though a micro-batch changes dropout's draws.

    micro_batch: examples in memory at once; None halves the batch whenever CUDA runs out of memory.
    wait: stay until runs in progress elsewhere are recorded, and take them over if they die.
    logging: the loggers that are told how training goes. metering: how energy is measured; None: it is not.
    """

    micro_batch: int | None = None
    allow_remote_code: bool = False
    keep_weights: bool = False
    wait: bool = True
    logging: Logging = NO_LOGGING
    metering: Metering | None = None


class Outcome(NamedTuple):
    """What became of a job: its record, or why it failed; neither if another grid has it in hand."""

    record: Record | None = None
    error: str = ""


class Tally(NamedTuple):
    """How many jobs are recorded now, have failed, and are in hand elsewhere."""

    num_recorded: int
    num_failed: int
    num_elsewhere: int


def run_jobs(
    jobs: Sequence[Job],
    out: Path,
    *,
    device: Device,
    options: Options,
    report: Callable[[Job, Outcome], None] = lambda job, outcome: None,
) -> Tally:
    """Carry out every job that is not recorded; count what became of them.

    report: called once for each job, when it is recorded (here or elsewhere) or has failed.
    """
    accelerator = new_accelerator(device)
    made_with = software()
    left = list(jobs)
    num_recorded = num_failed = 0
    while left:
        in_hand_elsewhere = []
        for job in left:
            outcome = _run_job(job, out, accelerator=accelerator, made_with=made_with, options=options)
            if outcome is None:
                in_hand_elsewhere.append(job)
                continue
            num_failed += bool(outcome.error)
            num_recorded += not outcome.error
            report(job, outcome)
        if len(in_hand_elsewhere) == len(left):
            if not options.wait:
                break
            time.sleep(WAIT_SECONDS)
        left = in_hand_elsewhere
    return Tally(num_recorded, num_failed, len(left))


def new_accelerator(device: Device) -> Any:
    """Return accelerate's view of a device, and of the processes that a launcher started."""
    from accelerate import Accelerator

    return Accelerator(
        cpu=device.name == "cpu", mixed_precision="bf16" if device.precision == "bf16" else "no"
    )


def _run_job(
    job: Job, out: Path, *, accelerator: Any, made_with: dict[str, Any], options: Options
) -> Outcome | None:
    """Run one job unless it is recorded; None if another grid holds its lease."""
    stem = job.stem(out)
    holding: AbstractContextManager[bool] = (
        lease(ending(stem, ".running")) if accelerator.is_main_process else nullcontext(False)
    )
    with holding as is_ours:
        is_recorded, is_ours = agreed((ending(stem, ".json").exists(), is_ours), accelerator)
        if is_recorded:
            return Outcome()
        if not is_ours:
            return None
        return _carry_out(job, stem, accelerator=accelerator, made_with=made_with, options=options)


def _carry_out(
    job: Job, stem: Path, *, accelerator: Any, made_with: dict[str, Any], options: Options
) -> Outcome:
    try:
        finished = fine_tune_watched(
            job,
            logging=options.logging,
            metering=options.metering,
            accelerator=accelerator,
            software=made_with,
            micro_batch=options.micro_batch,
            allow_remote_code=options.allow_remote_code,
            keep_weights=ending(stem, ".weights") if options.keep_weights else None,
        )
        if accelerator.is_main_process:
            write_record(stem, finished.record, finished.predictions)
    # Whatever stops one run must not stop the grid: it is written down, shown, and the exit code tells.
    except Exception as error:
        return _failed(job, stem, error, accelerator=accelerator)
    finally:
        accelerator.free_memory()  # it holds every model it has prepared
    return Outcome(record=finished.record)


def _failed(job: Job, stem: Path, error: Exception, *, accelerator: Any) -> Outcome:
    if accelerator.num_processes > 1:
        raise error  # the other processes may be waiting for this one in a collective call
    if not isinstance(error, UserError):
        _log.debug("run failed", exc_info=error)
    text = told(error)
    record_failure(job, stem, text)
    return Outcome(error=" ".join(text.split()))


def record_failure(job: Job, stem: Path, text: str) -> None:
    """Write down that a job failed, and why."""
    job_is = {"identity": job.identity, "model": job.card.name, "task": job.task.card.name, "seed": job.seed}
    write_failure(stem, error=text, job={**job_is, "failed_utc": utc_now()})
