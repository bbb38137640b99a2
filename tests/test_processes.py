"""Processes beside this one: they work in silence, and what they fail of is told in a line."""

import os
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from kebench.errors import UserError
from kebench.leases import _started
from kebench.processes import beside, plan_places
from tests.engine.dying import die


def write_down(path: Path) -> None:
    """Say where this is done, in a file and aloud."""
    path.with_name(f"{path.name}-{os.getpid()}").write_text(os.environ.get("CUDA_VISIBLE_DEVICES", "none"))
    print("aloud")


def refuse() -> None:
    raise UserError("no mask token; it is no masked language model")


def break_down() -> None:
    raise RuntimeError("out of memory\nand more")


def stay(path: Path) -> None:
    """Stay until somebody ends it."""
    path.write_text(str(os.getpid()))
    threading.Event().wait()


def test_workers_but_one_are_further_processes_each_with_its_gpu_and_in_silence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,5")
    with beside(3, partial(write_down, tmp_path / "did"), uses_gpus=True):
        pass
    assert str(os.getpid()) not in {path.name.partition("-")[2] for path in tmp_path.iterdir()}
    assert sorted(path.read_text() for path in tmp_path.iterdir()) == ["3", "5"]  # this one has the first
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "3,5"
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("work", "why"),
    [
        (refuse, "no mask token; it is no masked language model"),
        (break_down, "RuntimeError: out of memory"),
        (die, "killed by SIGKILL"),
    ],
)
def test_what_a_worker_fails_of_is_told_in_a_line(
    work: Callable[[], object], why: str, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    with beside(2, work, uses_gpus=False):
        pass
    assert caplog.messages == [f"one of the workers ended ({why}); the others do its share"]
    assert capfd.readouterr() == ("", "")


def test_whatever_ends_the_block_ends_the_workers(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    noted = tmp_path / "pid"

    def fail_meanwhile() -> None:
        while not (noted.exists() and noted.read_text()):
            time.sleep(0.01)
        raise UserError("here")

    with pytest.raises(UserError, match="here"), beside(2, partial(stay, noted), uses_gpus=False):
        fail_meanwhile()
    assert _started(int(noted.read_text())) == ""
    assert caplog.messages == []


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
