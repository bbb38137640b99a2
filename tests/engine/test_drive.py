"""The driver: what a pool brings back is written once, whoever else is at the folder."""

import os
from collections import deque
from collections.abc import Callable
from pathlib import Path

import pytest

from kebench.engine import drive as module
from kebench.engine.drive import drive
from kebench.engine.local import Outcome
from kebench.engine.work import RunOptions, Settled, carry_out
from kebench.finetune.plan import Job
from kebench.leases import lease
from kebench.records import ending
from kebench.run import longest_first
from tests.engine.conftest import CPU, jobs_in, scores_here
from tests.grids import leftovers, scores


class FakePool:
    """Takes two jobs at a time and carries the older one out when it is asked what has ended."""

    def __init__(
        self, work: Callable[[Job], Settled] = lambda job: carry_out(job, CPU, RunOptions())
    ) -> None:
        self.given: deque[Job] = deque()
        self.taken: list[Job] = []
        self.work = work

    def room(self) -> int:
        return 2 - len(self.given)

    def submit(self, job: Job) -> None:
        assert self.room() > 0
        self.given.append(job)
        self.taken.append(job)

    def settled(self, seconds: float) -> list[tuple[Job, Settled]]:
        job = self.given.popleft()
        return [(job, self.work(job))]


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look for the work of others without a pause."""
    monkeypatch.setattr(module, "WAIT_SECONDS", 0.0)


def test_a_pool_gives_the_records_of_this_process(place: Path, tmp_path: Path) -> None:
    jobs, pool = jobs_in(place), FakePool()
    assert drive(jobs, tmp_path / "pool", pool) == (4, 0, 0)
    assert scores(tmp_path / "pool") == scores_here(jobs, tmp_path / "here")
    assert leftovers(tmp_path / "pool") == []


def test_what_is_recorded_is_not_given_away(place: Path, tmp_path: Path) -> None:
    jobs = jobs_in(place)
    scores_here(jobs[:3], tmp_path)
    pool = FakePool()
    assert drive(jobs, tmp_path, pool) == (4, 0, 0)
    assert pool.taken == jobs[3:]


def test_kept_weights_come_back_as_a_checkpoint(place: Path, tmp_path: Path) -> None:
    (job, *_) = jobs_in(place)
    pool = FakePool(lambda job: carry_out(job, CPU, RunOptions(keep_weights=True)))
    drive([job], tmp_path, pool)
    names = {path.name for path in ending(job.stem(tmp_path), ".weights").iterdir()}
    assert names >= {"config.json", "model.safetensors", "head.safetensors", "tokenizer.json"}


def test_a_job_that_fails_is_written_down_and_the_others_go_on(place: Path, tmp_path: Path) -> None:
    jobs = jobs_in(place)
    told: list[Outcome] = []

    def work(job: Job) -> Settled:
        return Settled(error="lost\nfor ever") if job == jobs[0] else carry_out(job, CPU, RunOptions())

    tally = drive(jobs, tmp_path, FakePool(work), report=lambda job, what: told.append(what))
    assert tally == (3, 1, 0)
    assert told[0] == Outcome(error="lost for ever")
    assert "lost" in ending(jobs[0].stem(tmp_path), ".failed.json").read_text()


def test_a_job_in_hand_elsewhere_is_left_to_it(place: Path, tmp_path: Path) -> None:
    jobs, pool = jobs_in(place), FakePool()
    with lease(ending(jobs[0].stem(tmp_path), ".running")):
        assert drive(jobs, tmp_path, pool, wait=False) == (3, 0, 1)
    assert jobs[0] not in pool.taken


def test_a_job_whose_other_owner_gives_up_is_taken_over(place: Path, tmp_path: Path) -> None:
    jobs = jobs_in(place)
    other = lease(ending(jobs[0].stem(tmp_path), ".running"))
    other.__enter__()

    def work(job: Job) -> Settled:
        if job == jobs[3]:
            other.__exit__(None, None, None)
        return carry_out(job, CPU, RunOptions())

    assert drive(jobs, tmp_path, FakePool(work)) == (4, 0, 0)
    assert len(scores(tmp_path)) == 4


def test_a_driver_that_is_stopped_gives_its_leases_back(place: Path, tmp_path: Path) -> None:
    def stop(job: Job) -> Settled:
        assert len(list(tmp_path.rglob("*.running"))) == 2, "a lease a job that the pool has, and no more"
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        drive(jobs_in(place), tmp_path, FakePool(stop))
    assert leftovers(tmp_path) == []


def test_the_longest_are_begun_first(place: Path) -> None:
    short, long = jobs_in(place, seeds=1, epochs=2), jobs_in(place, seeds=1, epochs=9)
    ordered = longest_first([*short, *long])
    assert {job.settings.epochs for job in ordered[:2]} == {9}
    assert os.path.getsize(ordered[0].task.paths["train"]) >= os.path.getsize(ordered[1].task.paths["train"])
