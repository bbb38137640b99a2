"""Gives the jobs of a grid to a pool of other processes, and writes what comes back.

This process holds the lease of every job that the pool has, and it alone writes: a record exists as soon as
its job has come back, whatever becomes of the others, and no folder need be shared with the pool. Jobs that
another grid has in hand are left to it, and taken over if it dies, as `engine.local` does.
"""

import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Protocol

from kebench.engine.local import WAIT_SECONDS, Options, Outcome, Tally, record_failure
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


class _InHand:
    """The jobs that the pool has, and their leases."""

    def __init__(self) -> None:
        self._leases: dict[str, ExitStack] = {}

    def __len__(self) -> int:
        return len(self._leases)

    def take(self, job: Job, out: Path) -> bool:
        """Lease a job. False if another grid holds it."""
        stack = ExitStack()
        if not stack.enter_context(lease(ending(job.stem(out), ".running"))):
            return False
        self._leases[job.identity] = stack
        return True

    def give_back(self, job: Job) -> None:
        """End the lease of a job."""
        self._leases.pop(job.identity).close()

    def give_all_back(self) -> None:
        """End all leases: the pool has been told to stop, or is gone."""
        for stack in self._leases.values():
            stack.close()
        self._leases.clear()


def drive(
    jobs: Sequence[Job],
    out: Path,
    pool: Pool,
    *,
    options: Options,
    report: Callable[[Job, Outcome], None] = lambda job, outcome: None,
) -> Tally:
    """Have every job that is not recorded carried out by the pool; count what became of them.

    jobs: the first is begun first. report: called once for each, when it is recorded or has failed.
    """
    waiting, elsewhere = deque(jobs), deque[Job]()
    in_hand = _InHand()
    num_recorded = num_failed = 0
    looked = time.monotonic()

    def count(job: Job, outcome: Outcome) -> None:
        nonlocal num_recorded, num_failed
        num_failed += bool(outcome.error)
        num_recorded += not outcome.error
        report(job, outcome)

    try:
        while waiting or in_hand or elsewhere:
            room = pool.room()
            while waiting and room > 0:
                job = waiting.popleft()
                if _is_recorded(job, out):
                    count(job, Outcome())
                elif not in_hand.take(job, out):
                    elsewhere.append(job)
                elif _is_recorded(job, out):  # another grid finished it between our two looks
                    in_hand.give_back(job)
                    count(job, Outcome())
                else:
                    pool.submit(job)
                    room -= 1
            if not waiting and not in_hand and not options.wait:
                break
            if in_hand:
                for job, settled in pool.settled(WAIT_SECONDS):
                    outcome = keep(job, settled, out)
                    in_hand.give_back(job)
                    count(job, outcome)
            elif elsewhere:
                time.sleep(WAIT_SECONDS)
            if not waiting and elsewhere and time.monotonic() - looked >= WAIT_SECONDS:
                waiting, elsewhere, looked = elsewhere, deque(), time.monotonic()
    finally:
        in_hand.give_all_back()
    return Tally(num_recorded, num_failed, len(elsewhere))


def _is_recorded(job: Job, out: Path) -> bool:
    return ending(job.stem(out), ".json").exists()


def keep(job: Job, settled: Settled, out: Path) -> Outcome:
    """Write what a pool brought back of a job: weights, predictions, record; or why it failed."""
    stem = job.stem(out)
    if settled.record is None or settled.predictions is None:
        record_failure(job, stem, settled.error)
        return Outcome(error=" ".join(settled.error.split()))
    assert settled.record.identity == job.identity, "a pool brings back the job that it was given"
    if settled.weights is not None:
        with atomic_folder(ending(stem, ".weights"), point="weights") as temporary:
            write_files(temporary, settled.weights.items())
    write_record(stem, settled.record, settled.predictions)
    return Outcome(record=settled.record)
