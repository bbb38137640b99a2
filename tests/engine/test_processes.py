"""Several processes on this machine: the records of one, and no job lost with a process."""

import multiprocessing
import os
import signal
from pathlib import Path

import pytest

from kebench.engine import processes as module
from kebench.engine.drive import drive
from kebench.engine.local import Options, Outcome
from kebench.engine.processes import TRIES, Place, plan_places, processes
from kebench.engine.work import Manner
from kebench.finetune.plan import Job
from tests.engine.conftest import CPU, jobs_in, scores_here
from tests.engine.dying import die
from tests.grids import leftovers, scores

MANNER = Manner(CPU, None, False, False)


def test_two_processes_give_the_records_of_one_though_one_is_killed(place: Path, tmp_path: Path) -> None:
    jobs = jobs_in(place)
    killed: list[int] = []
    with processes([Place(None, 1)] * 2, MANNER) as pool:

        def kill_once(job: Job, outcome: Outcome) -> None:
            if not killed:
                busy = next(worker for worker in pool._workers if worker.job)
                killed.append(busy.process.pid or 0)
                os.kill(killed[0], signal.SIGKILL)

        tally = drive(jobs, tmp_path / "pool", pool, options=Options(), report=kill_once)
    assert tally == (4, 0, 0)
    assert scores(tmp_path / "pool") == scores_here(jobs, tmp_path / "here")
    assert leftovers(tmp_path / "pool") == []
    assert multiprocessing.active_children() == []


def test_a_job_that_kills_its_process_each_time_is_written_down(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_serve", die)
    told: list[str] = []
    with processes([Place(None, 1)], MANNER) as pool:
        tally = drive(
            jobs_in(place, seeds=1)[:1], tmp_path, pool, options=Options(),
            report=lambda job, outcome: told.append(outcome.error),
        )  # fmt: skip
    assert tally == (0, 1, 0)
    assert told == [
        f"its process was killed {TRIES} times, perhaps for want of memory; take fewer --workers, or a "
        "smaller --micro-batch"
    ]


def test_gpus_are_shared_out_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3, 5")
    assert [place.gpu for place in plan_places(3, uses_gpus=True)] == ["3", "5", "3"]
    assert [place.gpu for place in plan_places(2, uses_gpus=False)] == [None, None]


def test_cores_are_shared_unless_the_user_says_how_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    monkeypatch.delenv("OMP_NUM_THREADS")
    assert plan_places(3, uses_gpus=False)[0].threads == 2
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert plan_places(3, uses_gpus=False)[0].threads == 1


@pytest.mark.parametrize(
    ("stated", "threads"),
    [("4,2", 4), (" 4 , 2", 4), ("0", 2), ("-1", 2), ("", 2), ("many", 2), (",4", 2), ("9" * 30, 2)],
)
def test_omp_num_threads_is_read_as_openmp_reads_it(
    stated: str, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    monkeypatch.setenv("OMP_NUM_THREADS", stated)
    assert [place.threads for place in plan_places(3, uses_gpus=False)] == [threads] * 3
