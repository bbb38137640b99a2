"""What a Ray cluster loses while a grid runs on it: nodes, workers, memory, the driver. No record is lost."""

import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import psutil
import pyarrow.parquet
import pytest
from safetensors.torch import load_file

from kebench.engine.cluster import Cluster, connected
from kebench.engine.drive import drive
from kebench.engine.local import Outcome
from kebench.engine.ray import RayPool
from kebench.engine.work import RunOptions
from kebench.finetune.plan import Job
from kebench.records import record_paths
from tests.engine.clusters import command, environment, two_nodes
from tests.engine.conftest import CPU, jobs_in, scores_here
from tests.grids import leftovers, scores

pytest.importorskip("ray")
pytestmark = pytest.mark.slow

LONG_EPOCHS = 150  # a few seconds


def until(is_so: Callable[[], bool]) -> None:
    """Wait until something is so; pytest's own limit ends what never is."""
    while not is_so():
        time.sleep(0.05)


def workers_at(folder: Path) -> list[psutil.Process]:
    """Return the processes that carry out jobs on nodes whose caches are under a folder."""
    found = []
    for process in psutil.process_iter():
        try:
            if "ray::_fine_tune" in " ".join(process.cmdline()):
                cache = process.environ().get("KEBENCH_CACHE", "")
                found += [process] if cache.startswith(str(folder)) else []
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return found


@contextmanager
def meanwhile(disturb: Callable[[], None]) -> Iterator[None]:
    """Disturb what the block does from another thread; fails if that fails."""
    with ThreadPoolExecutor(1) as thread:
        disturbed = thread.submit(disturb)
        yield
        disturbed.result()


def test_a_node_that_is_lost_loses_no_run(place: Path, tmp_path: Path) -> None:
    jobs = jobs_in(place, seeds=3, epochs=LONG_EPOCHS)
    with two_nodes(tmp_path) as nodes, connected(Cluster(nodes.address)) as cluster:

        def kill() -> None:
            until(lambda: len(workers_at(tmp_path)) == 2)
            nodes.kill(nodes.nodes[0])
            assert len(scores(tmp_path / "ray")) < 6, "some are still to be made"

        with meanwhile(kill):
            assert drive(jobs, tmp_path / "ray", RayPool(cluster, CPU, RunOptions())) == (6, 0, 0)
    assert scores(tmp_path / "ray") == scores_here(jobs, tmp_path / "here")
    assert leftovers(tmp_path / "ray") == []


def test_a_worker_that_is_killed_is_begun_again(place: Path, tmp_path: Path) -> None:
    jobs = jobs_in(place, seeds=1, epochs=LONG_EPOCHS)
    with two_nodes(tmp_path) as nodes, connected(Cluster(nodes.address)) as cluster:

        def kill() -> None:
            until(lambda: len(workers_at(tmp_path)) == 2)
            workers_at(tmp_path)[0].kill()
            assert scores(tmp_path / "ray") == {}, "it had not done its job yet"

        with meanwhile(kill):
            assert drive(jobs, tmp_path / "ray", RayPool(cluster, CPU, RunOptions())) == (2, 0, 0)
    assert scores(tmp_path / "ray") == scores_here(jobs, tmp_path / "here")


def test_a_job_that_a_node_has_no_memory_for_is_written_down(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_memory_usage_threshold", "0.01")  # the machine has always used more
    monkeypatch.setenv("RAY_memory_monitor_refresh_ms", "100")
    monkeypatch.setenv("RAY_task_oom_retry_delay_base_ms", "100")
    told: list[Outcome] = []

    def report(job: Job, outcome: Outcome) -> None:
        told.append(outcome)

    (job, *_) = jobs_in(place, epochs=LONG_EPOCHS)
    with two_nodes(tmp_path) as nodes, connected(Cluster(nodes.address)) as cluster:
        tally = drive([job], tmp_path / "ray", RayPool(cluster, CPU, RunOptions()), report=report)
    assert tally == (0, 1, 0)
    assert "killed for want of memory on its node" in told[0].error
    assert "--memory-per-job" in told[0].error


GRID = ("run", "--model", "bert-mini-random", "--tasks", "mini-gad,mini-ncbi-disease", "--seeds", 3)
SMALL = ("--epochs", 2, "--train-rows", 100)
LONG = ("--epochs", 40, "--train-rows", 100)  # another grid starts in less, so that both have a share


def test_a_driver_that_is_killed_loses_what_was_in_flight_alone(tmp_path: Path) -> None:
    given = environment(tmp_path)
    here = subprocess.run(command(*GRID, *SMALL, "--out", tmp_path / "here"), env=given, check=False)
    assert here.returncode == 0
    with two_nodes(tmp_path) as nodes:
        grid = command(
            *GRID, *SMALL, "--out", tmp_path / "ray", "--engine", "ray", "--address", nodes.address
        )
        driver = subprocess.Popen(grid, env=given)
        until(lambda: bool(scores(tmp_path / "ray")))
        driver.send_signal(signal.SIGKILL)
        driver.wait()
        before = {path: path.stat().st_mtime_ns for path in (tmp_path / "ray").glob("*/*/*.json*")}
        assert 0 < len(scores(tmp_path / "ray")) < 6
        until(lambda: not workers_at(tmp_path))  # Ray ends the tasks of a driver that is gone
        assert subprocess.run(grid, env=given, check=False).returncode == 0
    assert {path: path.stat().st_mtime_ns for path in before} == before, "nothing is made twice"
    assert scores(tmp_path / "ray") == scores(tmp_path / "here")
    assert leftovers(tmp_path / "ray") == []


def test_a_local_and_a_ray_grid_share_one_folder(tmp_path: Path) -> None:
    given = environment(tmp_path)
    here = command(*GRID, *LONG, "--out", tmp_path / "here")
    assert subprocess.run(here, env=given, check=False).returncode == 0
    grid = command(*GRID, *LONG, "--out", tmp_path / "shared")
    with two_nodes(tmp_path) as nodes:
        logs = [(tmp_path / name).open("w+") for name in ("ray.log", "local.log")]
        # The local grid stands still within its first run until the other has made one: both have a share.
        local = subprocess.Popen(grid, env=given, stderr=logs[1])
        until(lambda: bool(list((tmp_path / "shared").rglob("*.running"))))
        local.send_signal(signal.SIGSTOP)
        on_ray = subprocess.Popen(
            [*grid, "--engine", "ray", "--address", nodes.address], env=given, stderr=logs[0]
        )
        until(lambda: bool(record_paths(tmp_path / "shared")) or on_ray.poll() is not None)
        local.send_signal(signal.SIGCONT)
        assert [on_ray.wait(), local.wait()] == [0, 0]
    assert scores(tmp_path / "shared") == scores(tmp_path / "here")
    assert leftovers(tmp_path / "shared") == []
    trained = []
    for log in logs:
        log.seek(0)
        trained.append(len(re.findall(r"^mini-.*\(\d+ s\)", log.read(), re.M)))
    assert min(trained) > 0, "both had a share"
    assert sum(trained) == 6, "each run is made once"


def test_a_probe_in_copies_on_two_nodes_of_which_one_is_lost_ends_as_one_here(tmp_path: Path) -> None:
    given = environment(tmp_path)

    def do(*arguments: object) -> str:
        return subprocess.run(
            command(*arguments), env=given, check=True, cwd=tmp_path, stdout=subprocess.PIPE, text=True
        ).stdout

    do("kb", "import", "embedded:mini", "--out", "kb")
    do("probe", "build", "kb", "--recipe", "mini", "--out", "set")
    probe = ("probe", "run", "--model", "bert-mini-random", "--set", "set", "--queries", 200, "--beam", 2)
    here = do(*probe, "--out", "here")
    with two_nodes(tmp_path) as nodes:
        on_ray = command(*probe, "--out", "ray", "--engine", "ray", "--address", nodes.address)
        driver = subprocess.Popen(on_ray, env=given, cwd=tmp_path, stdout=subprocess.PIPE, text=True)
        until(lambda: len(list((tmp_path / "ray").rglob("part-*.running"))) == 2)
        nodes.kill(nodes.nodes[0])
        printed, _ = driver.communicate()
        assert driver.returncode == 0
    assert printed == here.replace("here/", "ray/")
    (one,), (other,) = ((tmp_path / name).rglob("predictions.parquet") for name in ("here", "ray"))
    assert pyarrow.parquet.read_table(one) == pyarrow.parquet.read_table(other)
    assert leftovers(tmp_path / "ray") == []


def test_a_corpus_and_a_pretraining_made_on_a_cluster_are_those_made_here(tmp_path: Path) -> None:
    given = environment(tmp_path)

    def do(*arguments: object) -> None:
        subprocess.run(command(*arguments), env=given, check=True, cwd=tmp_path, stdout=subprocess.DEVNULL)

    do("kb", "import", "embedded:mini", "--out", "kb")
    do("embed", "kb", "--recipe", "transe-mini", "--epochs", 1, "--out", "vectors")
    on_ray = ("--engine", "ray")  # a cluster that is made of this machine and ends with the command
    annotate = ("annotate", "embedded:mini", "--kb", "kb", "--linker", "gold", "--shard-documents", 400)
    pretrain = ("pretrain", "kebiolm-mini", "--entities", "vectors", "--backbone", "bert-mini-random")
    for place, engine in (("here", ()), ("ray", on_ray)):
        do(*annotate, "--out", f"{place}-corpus", *engine, *(("--copies", 2) if engine else ()))
        do(*pretrain, "--steps", 2, "--corpus", f"{place}-corpus", "--out", f"{place}-model", *engine)
    shards = [sorted((tmp_path / f"{place}-corpus").glob("shards/*.parquet")) for place in ("here", "ray")]
    assert len(shards[0]) > 1
    assert [path.read_bytes() for path in shards[0]] == [path.read_bytes() for path in shards[1]]
    weights = [tmp_path / f"{place}-model" / "model.safetensors" for place in ("here", "ray")]
    one, other = (load_file(path) for path in weights)
    assert one.keys() == other.keys()
    assert all((one[name] - other[name]).abs().max() < 1e-6 for name in one)
