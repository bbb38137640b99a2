"""The Ray engine on a cluster of two nodes: the records of this machine, wherever the files are."""

import json
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import redirect_stdout
from pathlib import Path
from types import SimpleNamespace

import pytest

from kebench.engine import cluster as module
from kebench.engine import copies
from kebench.engine.cluster import Cluster, ask_node, connected, slots
from kebench.engine.copies import run_copies
from kebench.engine.drive import drive
from kebench.engine.local import Outcome
from kebench.engine.ray import RayPool
from kebench.engine.work import RunOptions
from kebench.errors import UserError
from kebench.records import ending
from tests.engine.conftest import CPU, jobs_in, scores_here
from tests.grids import leftovers, scores


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Yield a cluster of two nodes that this process is connected to."""
    pytest.importorskip("ray")
    from tests.engine.clusters import two_nodes

    folder = tmp_path_factory.mktemp("nodes")
    with two_nodes(folder) as nodes, connected(Cluster(nodes.address)) as decided:
        yield decided._replace(address=str(folder))  # where its caches are


@pytest.mark.slow
def test_a_cluster_gives_the_records_of_this_machine(cluster: Cluster, place: Path, tmp_path: Path) -> None:
    """Of a model and data that only this process sees, by a descriptor that it alone has."""
    jobs = jobs_in(place)
    descriptor = os.open(place, os.O_RDONLY | os.O_DIRECTORY)
    seen_here = Path(f"/proc/self/fd/{descriptor}")
    unseen = [job._replace(folder=seen_here / "tiny") for job in jobs]
    unseen = [
        job._replace(
            task=job.task._replace(
                paths={split: seen_here / path.relative_to(place) for split, path in job.task.paths.items()}
            )
        )
        for job in unseen
    ]
    assert drive(unseen, tmp_path / "ray", RayPool(cluster, CPU, RunOptions())) == (4, 0, 0)
    os.close(descriptor)
    assert scores(tmp_path / "ray") == scores_here(jobs, tmp_path / "here")
    assert leftovers(tmp_path / "ray") == []
    kept = [sorted(path.name for path in cache.glob("shipped/*/*")) for cache in _caches(cluster)]
    assert any("model.safetensors" in names for names in kept)
    assert all(names.count("model.safetensors") <= 1 for names in kept)


def _caches(cluster: Cluster) -> list[Path]:
    return sorted(Path(cluster.address).glob("cache-*"))


@pytest.mark.slow
def test_a_job_that_fails_on_a_node_is_written_down_here(
    cluster: Cluster, place: Path, tmp_path: Path
) -> None:
    broken = shutil.copytree(place / "tiny", tmp_path / "broken")
    config = json.loads((broken / "config.json").read_text()) | {"num_hidden_layers": 3}
    (broken / "config.json").write_text(json.dumps(config))
    job = jobs_in(place)[0]._replace(folder=broken, model_hash="0" * 64)
    told: list[Outcome] = []
    pool = RayPool(cluster, CPU, RunOptions())
    tally = drive([job], tmp_path / "out", pool, report=lambda job, outcome: told.append(outcome))
    assert tally == (0, 1, 0)
    assert "config.json describes another model" in told[0].error
    assert leftovers(tmp_path / "out") == [ending(job.stem(tmp_path), ".failed.json").name]


@pytest.mark.slow
def test_a_job_whose_checkpoint_went_away_fails_and_the_others_go_on(
    cluster: Cluster, place: Path, tmp_path: Path
) -> None:
    jobs = jobs_in(place)
    gone = jobs[0]._replace(folder=tmp_path / "gone", model_hash="0" * 64)
    told: dict[str, str] = {}
    tally = drive(
        [gone, jobs[1]],
        tmp_path / "out",
        RayPool(cluster, CPU, RunOptions()),
        report=lambda job, outcome: told.update({job.identity: outcome.error}),
    )
    assert tally == (1, 1, 0)
    assert "gone" in told[gone.identity]
    assert told[jobs[1].identity] == ""


@pytest.mark.slow
def test_a_node_is_asked_for_its_device(cluster: Cluster) -> None:
    asked = ask_node(cluster, device="auto", precision="auto")
    assert asked.device == ("cpu", "fp32", "jobs ask for no GPU")
    assert asked.flops_per_second > 1e8
    with pytest.raises(UserError, match="torch sees no CUDA device"):
        ask_node(cluster, device="cuda", precision="auto")


@pytest.mark.slow
def test_as_many_jobs_run_as_fit_onto_the_nodes(cluster: Cluster) -> None:
    assert slots(cluster) == 2
    assert slots(cluster._replace(cpus=0.5)) == 4
    assert slots(cluster._replace(cpus=2)) == 0
    assert slots(cluster._replace(gpus=1)) == 0
    assert slots(cluster._replace(memory_gib=1e6)) == 0


@pytest.mark.slow
def test_a_copy_of_a_command_brings_back_what_it_prints(cluster: Cluster, tmp_path: Path) -> None:
    out = tmp_path / "out"
    printed = run_copies(["task", "list"], cluster, copies=2, shared=out, leases=[out])
    assert "ncbi-disease" in printed
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_command_that_no_copy_can_do_is_refused_in_its_own_words(cluster: Cluster, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"^no task 'gadd'; did you mean 'gad'"):
        run_copies(["task", "show", "gadd"], cluster, copies=2, shared=tmp_path, leases=[])


def test_a_folder_that_a_node_does_not_see_is_named(tmp_path: Path) -> None:
    ended = copies._run_command(["task", "list"], "/", str(tmp_path / "marker"), "t", 1, module.ours())
    assert ended.code == 2
    assert ended.said.startswith(f"{tmp_path}: not seen by node ")


def test_what_ray_tells_of_lost_nodes_is_a_line_and_not_on_stdout(
    caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level("INFO", logger="kebench")
    with redirect_stdout(module._RayTells()):
        print("\x1b[33m(raylet)\x1b[0m Raylet is terminated. Possible reasons: many.\n    [state-dump] 1")
    assert caplog.messages == ["Ray: Raylet is terminated"]
    assert capsys.readouterr().out == ""


def test_a_node_of_another_version_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module.socket, "gethostname", lambda: "node7")
    with pytest.raises(
        UserError, match=r"^node node7 has kebench .*, and the command 0\.0; install the same"
    ):
        module.prepare(["0.0", 1], 1)


def test_without_ray_one_line_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UserError) as told, connected(Cluster()):
        pass
    assert str(told.value) == "--engine ray: Ray is not installed; pip install 'kebench[cluster]'"


@pytest.mark.parametrize("address", ["ray://10.0.0.1:10001", "head", ":6379", "head:port"])
def test_an_address_that_is_none_is_refused(address: str) -> None:
    with pytest.raises(UserError, match=r"expected HOST:PORT of the head node, such as 10\.0\.0\.1:6379"):
        module._check_address(address)


def test_an_address_where_nobody_answers_is_told_at_once() -> None:
    with pytest.raises(
        UserError, match=r"^--address 127\.0\.0\.1:1: no Ray cluster there .*'ray start --head'"
    ):
        module._check_address("127.0.0.1:1")


def test_jobs_that_ask_for_more_than_there_is_are_refused_here_and_wait_elsewhere(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    node = {"Alive": True, "Resources": {"CPU": 4.0}}
    monkeypatch.setitem(sys.modules, "ray", SimpleNamespace(nodes=lambda: [node]))
    asked = Cluster(gpus=1.0, cpus=2, memory_gib=8)
    with pytest.raises(UserError) as told:
        module._check_fits(asked, made_here=True)
    assert str(told.value) == (
        "--gpus-per-job 1 --cpus-per-job 2 --memory-per-job 8: more than this machine has; ask for less, or "
        "name a cluster by --address"
    )
    module._check_fits(asked, made_here=False)
    assert "no node has as much; waiting until one joins" in caplog.text
