"""Carries out fine-tuning jobs in this process, one after another, safe against crash and company.

Each job is leased while it runs, so that several grids on one folder share the work; a record is
written last; a failure is written down and the next job goes on. Under `accelerate launch` all
processes train one job together, and the main one alone touches the folder.
"""

import logging
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, NamedTuple

from kebench.engine.work import RunOptions, fine_tune_watched, told
from kebench.errors import UserError
from kebench.finetune.plan import Job
from kebench.leases import lease
from kebench.records import Record, ending, write_failure, write_record
from kebench.runtime import Device, agreed, new_accelerator, software, utc_now

WAIT_SECONDS = 5.0

_log = logging.getLogger(__name__)


class Outcome(NamedTuple):
    """What became of a job: its record, or why it failed; neither if another grid has it in hand."""

    record: Record | None = None
    error: str = ""


class Tally(NamedTuple):
    """How many jobs are recorded now, have failed, and are in hand elsewhere."""

    num_recorded: int
    num_failed: int
    num_elsewhere: int


Report = Callable[[Job, Outcome], None]


def run_jobs(
    jobs: Sequence[Job],
    out: Path,
    report: Report = lambda job, outcome: None,
    *,
    device: Device,
    options: RunOptions,
) -> Tally:
    """Carry out every job that is not recorded; count what became of them.

    report: called once for each job, when it is recorded (here or elsewhere) or has failed.
    """
    accelerator = new_accelerator(device)
    made_with = software()
    left = list(jobs)
    counted = Counter[bool]()  # by whether they failed
    while left:
        in_hand_elsewhere = []
        for job in left:
            outcome = _run_job(job, out, accelerator=accelerator, made_with=made_with, options=options)
            if outcome is None:
                in_hand_elsewhere.append(job)
                continue
            counted[bool(outcome.error)] += 1
            report(job, outcome)
        if len(in_hand_elsewhere) == len(left):
            if not options.wait:
                break
            time.sleep(WAIT_SECONDS)
        left = in_hand_elsewhere
    return Tally(counted[False], counted[True], len(left))


def _run_job(
    job: Job, out: Path, *, accelerator: Any, made_with: dict[str, Any], options: RunOptions
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
        kept = ending(stem, ".weights") if options.keep_weights else None
        try:
            finished = fine_tune_watched(
                job, options, accelerator=accelerator, software=made_with, keep_weights=kept
            )
            if accelerator.is_main_process:
                write_record(stem, finished.record, finished.predictions)
        # Whatever stops one run must not stop the grid: it is written down, shown, and the exit code tells.
        except Exception as error:
            if accelerator.num_processes > 1:
                raise  # the other processes may be waiting for this one in a collective call
            if not isinstance(error, UserError):
                _log.debug("run failed", exc_info=error)
            return record_failure(job, stem, told(error))
        finally:
            accelerator.free_memory()  # it holds every model it has prepared
        return Outcome(record=finished.record)


def record_failure(job: Job, stem: Path, text: str) -> Outcome:
    """Write down that a job failed, and why; return that in one line."""
    job_is = {"identity": job.identity, "model": job.card.name, "task": job.task.card.name, "seed": job.seed}
    write_failure(stem, error=text, job={**job_is, "failed_utc": utc_now()})
    return Outcome(error=" ".join(text.split()))
