"""Several processes on this machine: the records of one, and no job lost with a process."""

import multiprocessing
import os
import signal
from contextlib import closing
from pathlib import Path

import pytest

from kebench.engine import process_pool as module
from kebench.engine.drive import drive
from kebench.engine.local import Outcome
from kebench.engine.process_pool import TRIES, ProcessPool
from kebench.engine.work import RunOptions
from kebench.finetune.plan import Job
from kebench.processes import Place
from tests.engine.conftest import CPU, jobs_in, scores_here
from tests.engine.dying import die
from tests.grids import leftovers, scores


@pytest.mark.slow
def test_two_processes_give_the_records_of_one_though_one_is_killed(place: Path, tmp_path: Path) -> None:
    jobs = jobs_in(place)
    killed: list[int] = []
    with closing(ProcessPool([Place(None, 1)] * 2, CPU, RunOptions())) as pool:

        def kill_once(job: Job, outcome: Outcome) -> None:
            if not killed:
                busy = next(one for one in pool._workers if one.job)
                killed.append(busy.worker.process.pid or 0)
                os.kill(killed[0], signal.SIGKILL)

        tally = drive(jobs, tmp_path / "pool", pool, report=kill_once)
    assert tally == (4, 0, 0)
    assert scores(tmp_path / "pool") == scores_here(jobs, tmp_path / "here")
    assert leftovers(tmp_path / "pool") == []
    assert multiprocessing.active_children() == []


def test_a_job_that_kills_its_process_each_time_is_written_down(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_serve_jobs", die)
    told: list[str] = []
    with closing(ProcessPool([Place(None, 1)], CPU, RunOptions())) as pool:
        tally = drive(
            jobs_in(place, seeds=1)[:1], tmp_path, pool,
            report=lambda job, outcome: told.append(outcome.error),
        )  # fmt: skip
    assert tally == (0, 1, 0)
    assert told == [
        f"its process was killed {TRIES} times, perhaps for want of memory; take fewer --workers, or a "
        "smaller --micro-batch"
    ]
