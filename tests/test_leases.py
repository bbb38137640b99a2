"""Leases: one holder at a time, and none for ever."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from kebench import leases
from kebench.leases import STALE_AFTER_SECONDS, TASK, lease, remove_leases_of_dead, stale_token, sweep_stale


def test_a_lease_is_held_once_and_given_back(tmp_path: Path) -> None:
    path = tmp_path / "x.running"
    with lease(path) as first, lease(path) as second:
        assert (first, second) == (True, False)
    assert not path.exists()
    assert list(tmp_path.iterdir()) == []


def test_a_lease_of_a_dead_process_is_taken_at_once(tmp_path: Path) -> None:
    path = tmp_path / "x.running"
    code = "import sys, os, pathlib; from kebench.leases import lease; "
    code += "held = lease(pathlib.Path(sys.argv[1])); held.__enter__(); os._exit(1)"
    subprocess.run([sys.executable, "-c", code, path], check=False)
    assert path.exists()
    with lease(path) as is_ours:
        assert is_ours


def test_a_lease_from_another_machine_is_stale_after_ten_minutes_without_a_touch(tmp_path: Path) -> None:
    path = tmp_path / "x.running"
    path.write_text(json.dumps({"host": "elsewhere", "pid": 1, "started": "0", "token": "t"}))
    assert stale_token(path) is None
    long_ago = time.time() - STALE_AFTER_SECONDS - 1
    os.utime(path, (long_ago, long_ago))
    assert stale_token(path) == "t"


@pytest.mark.parametrize("content", ['{"host": "a', "{}", "[1]", ""])
def test_a_torn_lease_is_stale_after_a_moment(tmp_path: Path, content: str) -> None:
    path = tmp_path / "x.running"
    path.write_text(content)
    assert stale_token(path) is None
    os.utime(path, (0, 0))
    assert stale_token(path) == ""
    with lease(path) as is_ours:
        assert is_ours


def test_of_many_takers_of_a_stale_lease_one_wins(tmp_path: Path) -> None:
    path = tmp_path / "x.running"
    path.write_text("torn")
    os.utime(path, (0, 0))
    code = "import sys, pathlib; from kebench.leases import lease; held = lease(pathlib.Path(sys.argv[1])); "
    code += "print(int(held.__enter__()), flush=True); sys.stdin.read()"  # hold it until all have tried
    takers = [_start(code, path) for _ in range(4)]
    answers = [taker.stdout.readline().strip() for taker in takers if taker.stdout]
    for taker in takers:
        taker.communicate()
    assert sorted(answers) == ["0", "0", "0", "1"]


def _start(code: str, path: Path) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", code, str(path)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def test_a_lease_that_was_taken_since_it_was_judged_is_left_to_its_taker(tmp_path: Path) -> None:
    path = tmp_path / "x.running"
    path.write_text(json.dumps({"host": "elsewhere", "pid": 1, "started": "0", "token": "dead"}))
    os.utime(path, (0, 0))
    judged = stale_token(path)
    with lease(path) as taken_by_another:
        assert taken_by_another
        assert not leases._move_away(path, judged or "")
        assert stale_token(path) is None
        assert path.exists()


def test_a_sweep_touches_nothing_but_leases_of_runs(tmp_path: Path) -> None:
    ours, others = tmp_path / "gad" / "bert" / "seed0-lr1-ab.running", tmp_path / "sub" / "server.running"
    for path in (ours, others):
        path.parent.mkdir(parents=True)
        path.write_text("torn")
        os.utime(path, (0, 0))
    sweep_stale(tmp_path)
    assert (ours.exists(), others.exists()) == (False, True)


def test_a_lease_needs_no_hard_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_links(source: Path, path: Path) -> None:
        raise PermissionError("no links on this file system")

    monkeypatch.setattr(os, "link", no_links)
    with lease(tmp_path / "x.running") as first, lease(tmp_path / "x.running") as second:
        assert (first, second) == (True, False)


def test_a_lease_ends_with_an_exception_too(tmp_path: Path) -> None:
    path = tmp_path / "x.running"

    def fail() -> None:
        with lease(path):
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        fail()
    assert not path.exists()


def test_a_lease_of_a_task_that_died_elsewhere_goes_once_it_is_silent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "parts" / "x.running"
    path.parent.mkdir()
    path.write_text(json.dumps({"host": "elsewhere", "pid": 1, "started": "0", "token": "t", "task": "lost"}))
    now = [1000.0]
    monkeypatch.setattr(leases.time, "monotonic", lambda: now[0])
    folders = [tmp_path, tmp_path / "not there"]
    assert not remove_leases_of_dead("lost", folders)
    now[0] += 29
    os.utime(path, ns=(0, path.stat().st_mtime_ns + 1))  # the cluster was wrong: somebody lives
    assert not remove_leases_of_dead("lost", folders)
    now[0] += 29
    assert not remove_leases_of_dead("lost", folders)
    assert remove_leases_of_dead("another", folders)
    now[0] += 2
    assert remove_leases_of_dead("lost", folders)
    assert not path.exists()


def test_a_lease_names_the_task_of_a_cluster_that_its_process_works_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(TASK, "t7")
    with lease(tmp_path / "x.running"):
        assert json.loads((tmp_path / "x.running").read_text())["task"] == "t7"


class Clock:
    """Stands for the module `time` in kebench.leases: a clock that a test can set, and one that only runs."""

    def __init__(self) -> None:
        self.wall, self.running = time.time(), 1000.0

    def time(self) -> float:
        return self.wall

    def monotonic(self) -> float:
        return self.running

    def passes(self, seconds: float) -> None:
        self.wall += seconds
        self.running += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()
    monkeypatch.setattr(leases, "time", found)
    return found


def lease_of_another_machine(path: Path, touched: float) -> Path:
    path.write_text(json.dumps({"host": "elsewhere", "pid": 1, "started": "0", "token": "t"}))
    os.utime(path, (touched, touched))
    return path


@pytest.mark.parametrize("set_back", [3600.0, 400 * 86400.0])
def test_a_clock_that_was_set_back_keeps_no_dead_owner_s_lease_alive(
    set_back: float, clock: Clock, tmp_path: Path
) -> None:
    path = lease_of_another_machine(tmp_path / "x.running", touched=clock.wall)
    assert stale_token(path) is None
    clock.wall -= set_back
    clock.passes(STALE_AFTER_SECONDS - 1)
    assert stale_token(path) is None
    clock.passes(2)
    assert stale_token(path) == "t"


def test_a_lease_that_is_touched_lives_however_the_clocks_differ(clock: Clock, tmp_path: Path) -> None:
    ahead = clock.wall + 5000  # the owner's clock
    path = lease_of_another_machine(tmp_path / "x.running", touched=ahead)
    for _ in range(30):
        assert stale_token(path) is None
        clock.passes(60)
        ahead += 60
        os.utime(path, (ahead, ahead))


def test_our_own_lease_outlives_any_clock(clock: Clock, tmp_path: Path) -> None:
    with lease(tmp_path / "x.running") as is_ours:
        assert is_ours
        for jump in (-86400.0, 400 * 86400.0):
            clock.wall += jump
            clock.passes(3 * STALE_AFTER_SECONDS)
            assert stale_token(tmp_path / "x.running") is None


def test_a_torn_lease_of_the_future_is_taken_too(clock: Clock, tmp_path: Path) -> None:
    path = tmp_path / "x.running"
    path.write_text("torn")
    os.utime(path, (clock.wall + 5000, clock.wall + 5000))
    assert stale_token(path) is None
    clock.passes(6)
    assert stale_token(path) == ""
