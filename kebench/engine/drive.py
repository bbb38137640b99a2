"""Gives the jobs of a grid to a pool of other processes, and writes what comes back.

This process holds the lease of every job that the pool has, and it alone writes: a record exists as soon as
its job has come back, whatever becomes of the others, and no folder need be shared with the pool. Jobs that
another grid has in hand are left to it, and taken over if it dies, as `engine.local` does.
"""

import time
from collections import Counter, deque
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Protocol

from kebench.engine.local import WAIT_SECONDS, Outcome, Report, Tally, record_failure
from kebench.engine.work import Settled, write_files
from kebench.files import atomic_folder
from kebench.finetune.plan import Job
from kebench.leases import lease
from kebench.records import ending, write_record


class Pool(Protocol):
    """What carries out jobs elsewhere."""

    def room(self) -> int:
        """Return how many more jobs it takes now."""

    def submit(self, job: Job) -> None:
        """Take a job."""

    def settled(self, seconds: float) -> list[tuple[Job, Settled]]:
        """Return jobs that have ended since the last call; wait for one at most so long."""


def drive(
    jobs: Sequence[Job],
    out: Path,
    pool: Pool,
    report: Report = lambda job, outcome: None,
    *,
    wait: bool = True,
) -> Tally:
    """Have every job that is not recorded carried out by the pool; count what became of them.

    jobs: the first is begun first. report: called once for each, when it is recorded or has failed.
    wait: stay until runs in progress elsewhere are recorded, and take them over if they die.
    """
    waiting, elsewhere = deque(jobs), deque[Job]()
    leases: dict[str, ExitStack] = {}  # of the jobs that the pool has
    counted = Counter[bool]()  # by whether they failed
    looked = time.monotonic()

    def count(job: Job, outcome: Outcome) -> None:
        counted[bool(outcome.error)] += 1
        report(job, outcome)

    try:
        while waiting or leases or elsewhere:
            room = pool.room()
            while waiting and room > 0:
                job = waiting.popleft()
                if _is_recorded(job, out):
                    count(job, Outcome())
                    continue
                holding = ExitStack()
                if not holding.enter_context(lease(ending(job.stem(out), ".running"))):
                    elsewhere.append(job)
                elif _is_recorded(job, out):  # another grid finished it between our two looks
                    holding.close()
                    count(job, Outcome())
                else:
                    leases[job.identity] = holding
                    pool.submit(job)
                    room -= 1
            if not waiting and not leases and not wait:
                break
            if leases:
                for job, settled in pool.settled(WAIT_SECONDS):
                    outcome = _keep(job, settled, out)
                    leases.pop(job.identity).close()
                    count(job, outcome)
            elif elsewhere:
                time.sleep(WAIT_SECONDS)
            if not waiting and elsewhere and time.monotonic() - looked >= WAIT_SECONDS:
                waiting, elsewhere, looked = elsewhere, deque(), time.monotonic()
    finally:
        for holding in leases.values():  # the pool has been told to stop, or is gone
            holding.close()
    return Tally(counted[False], counted[True], len(elsewhere))


def _is_recorded(job: Job, out: Path) -> bool:
    return ending(job.stem(out), ".json").exists()


def _keep(job: Job, settled: Settled, out: Path) -> Outcome:
    """Write what a pool brought back of a job: weights, predictions, record; or why it failed."""
    stem = job.stem(out)
    if settled.record is None or settled.predictions is None:
        return record_failure(job, stem, settled.error)
    assert settled.record.identity == job.identity, "a pool brings back the job that it was given"
    if settled.weights is not None:
        with atomic_folder(ending(stem, ".weights"), point="weights") as temporary:
            write_files(temporary, settled.weights.items())
    write_record(stem, settled.record, settled.predictions)
    return Outcome(record=settled.record)
