"""Options of engines that do not go together are refused in one line, before anything is planned."""

import pytest

from kebench.cli import main
from kebench.cli.cluster import read_cluster
from kebench.engine.cluster import Cluster
from kebench.leases import TASK

RUN = ["run", "--model", "no-such-model", "--tasks", "mini"]


def refused(capsys: pytest.CaptureFixture[str], *options: str) -> str:
    with pytest.raises(SystemExit) as stop:
        main([*RUN, *options])
    assert stop.value.code == 2
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    return told


@pytest.mark.parametrize(
    ("option", "value"), [("--address", "h:1"), ("--gpus-per-job", "1"), ("--memory-per-job", "2")]
)
def test_an_option_of_ray_s_wants_ray(capsys: pytest.CaptureFixture[str], option: str, value: str) -> None:
    assert refused(capsys, option, value) == (
        f"kebench: {option}: only with --engine ray; add that, or leave it out\n"
    )


def test_workers_are_of_this_machine(capsys: pytest.CaptureFixture[str]) -> None:
    assert "--workers 2: only with --engine local" in refused(capsys, "--workers", "2", "--engine", "ray")


def test_a_launcher_s_processes_take_neither_ray_nor_workers(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert "--workers 2: only with --engine local, and not under a launcher" in refused(
        capsys, "--workers", "2"
    )
    assert "--engine ray: not under accelerate launch or torchrun" in refused(capsys, "--engine", "ray")


def test_a_copy_that_a_cluster_runs_starts_no_copies(monkeypatch: pytest.MonkeyPatch) -> None:
    given = ("ray", "head:1", None, 1.0, 0.0)
    assert read_cluster(*given) == Cluster("head:1", None, 1.0, 0.0)
    monkeypatch.setenv(TASK, "t")
    assert read_cluster(*given) is None


def test_energy_is_of_one_run_at_a_time(capsys: pytest.CaptureFixture[str]) -> None:
    assert "--energy: meters tell of a whole machine" in refused(capsys, "--energy", "--workers", "2")


def test_nodes_write_no_logs(capsys: pytest.CaptureFixture[str]) -> None:
    assert "--log: nodes write no logs yet" in refused(capsys, "--log", "tensorboard", "--engine", "ray")
