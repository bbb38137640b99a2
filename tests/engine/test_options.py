"""Options of engines that do not go together are refused in one line, before anything is planned."""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from types import SimpleNamespace

import pytest

from kebench.cli import cluster as cluster_module
from kebench.cli import main
from kebench.cli.cluster import ClusterOptions, read_cluster
from kebench.engine.cluster import Cluster
from kebench.leases import TASK
from kebench.runtime import Device

RUN = ["run", "--model", "no-such-model", "--tasks", "mini"]


def refused(capsys: pytest.CaptureFixture[str], *options: str, command: Sequence[str] = RUN) -> str:
    with pytest.raises(SystemExit) as stop:
        main([*command, *options])
    assert stop.value.code == 2
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    return told


OF_RAY = [
    ("--address", "h:1"), ("--gpus-per-job", "1"), ("--gpus-per-job", "0"), ("--cpus-per-job", "4"),
    ("--cpus-per-job", "1"), ("--memory-per-job", "2"), ("--memory-per-job", "0"),
]  # fmt: skip
ONLY_WITH_RAY = "only with --engine ray; add that, or leave it out"


@pytest.mark.parametrize(("option", "value"), OF_RAY)
def test_an_option_of_ray_s_wants_ray_whatever_its_value(
    capsys: pytest.CaptureFixture[str], option: str, value: str
) -> None:
    assert refused(capsys, option, value) == f"kebench: {option}: {ONLY_WITH_RAY}\n"


PROBE = ["probe", "run", "--model", "m", "--set", "s"]
ANNOTATE = ["annotate", __file__, "--kb", "k", "--out", "o"]
PRETRAIN = ["pretrain", "r", "--corpus", "c", "--backbone", "b", "--out", "o"]


@pytest.mark.parametrize(
    ("command", "option", "value"),
    [
        *((command, *given) for command in (PROBE, ANNOTATE, PRETRAIN) for given in OF_RAY),
        *((command, "--copies", number) for command in (PROBE, ANNOTATE) for number in ("1", "4")),
    ],
    ids=lambda one: one[0] if isinstance(one, list) else one,
)
def test_so_it_is_in_every_command_that_has_it(
    capsys: pytest.CaptureFixture[str], command: list[str], option: str, value: str
) -> None:
    assert refused(capsys, option, value, command=command) == f"kebench: {option}: {ONLY_WITH_RAY}\n"


def test_with_ray_they_are_taken(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[tuple[Cluster, int | None]] = []
    node = SimpleNamespace(device=Device("cpu", "fp32", ""))
    of_ray: dict[str, Callable[..., object]] = {
        "connected": lambda cluster, on_gpus: nullcontext(cluster),
        "ask_node": lambda cluster, **asked: node,
        "say_nodes": lambda cluster: "",
        "run_copies": lambda arguments, cluster, copies, **shared: taken.append((cluster, copies)),
    }
    for name, function in of_ray.items():
        monkeypatch.setattr(cluster_module, name, function)
    main([*PROBE, "--engine", "ray", "--copies", "4", "--cpus-per-job", "2", "--gpus-per-job", "0"])
    assert taken == [(Cluster("", 0.0, 2.0, 0.0), 4)]


@pytest.mark.parametrize("command", [RUN, PROBE], ids=lambda command: command[0])
def test_workers_are_of_this_machine(capsys: pytest.CaptureFixture[str], command: list[str]) -> None:
    given = ("--workers", "2", "--engine", "ray")
    assert "--workers 2: only with --engine local" in refused(capsys, *given, command=command)


@pytest.mark.parametrize("command", [RUN, PROBE], ids=lambda command: command[0])
def test_a_launcher_s_processes_take_neither_ray_nor_workers(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, command: list[str]
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert "--workers 2: only with --engine local, and not under a launcher" in refused(
        capsys, "--workers", "2", command=command
    )
    assert "--engine ray: not under accelerate launch or torchrun" in refused(capsys, "--engine", "ray")


def test_a_copy_that_a_cluster_runs_starts_no_copies(monkeypatch: pytest.MonkeyPatch) -> None:
    given = ClusterOptions("ray", "head:1", None, 1.0, 0.0)
    assert read_cluster(given) == Cluster("head:1", None, 1.0, 0.0)
    monkeypatch.setenv(TASK, "t")
    assert read_cluster(given) is None


def test_energy_is_of_one_run_at_a_time(capsys: pytest.CaptureFixture[str]) -> None:
    assert "--energy: meters tell of a whole machine" in refused(capsys, "--energy", "--workers", "2")


def test_nodes_write_no_logs(capsys: pytest.CaptureFixture[str]) -> None:
    assert "--log: nodes write no logs yet" in refused(capsys, "--log", "tensorboard", "--engine", "ray")
