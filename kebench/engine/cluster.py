"""A Ray cluster: reaching it, what a job asks of its nodes, and what they say of themselves."""

import io
import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from typing import Any, NamedTuple

from kebench import __version__, errors
from kebench.errors import UserError
from kebench.records import PROTOCOL_VERSION
from kebench.runtime import Device, choose_device, matrix_flops_per_second

RETRIES = 3  # of a job whose node or worker was lost
OOM_RETRIES = 3  # of a job that Ray killed for want of memory; Ray's own default is for ever
_CONNECT_SECONDS = 5.0
_INSTALL = "pip install 'kebench[cluster]'"

_RAYLET = "(raylet)"  # how what Ray tells of its nodes begins

_log = logging.getLogger(__name__)


class Cluster(NamedTuple):
    """A Ray cluster, and what of it a job asks for.

    address: HOST:PORT, auto for the one that runs on this machine, "" for RAY_ADDRESS or else one made here.
    gpus: of a job, a share or 1; None: 1 if the cluster has GPUs. memory_gib: 0 asks for none.
    """

    address: str = ""
    gpus: float | None = None
    cpus: float = 1.0
    memory_gib: float = 0.0

    def resources(self) -> dict[str, float]:
        """Return what a job asks for, by Ray's names."""
        asked = {"CPU": self.cpus, "GPU": self.gpus or 0.0, "memory": self.memory_gib * 2**30}
        return {name: amount for name, amount in asked.items() if amount}


class Asked(NamedTuple):
    """What a node says of itself: the device of a job there, and the speed of a matrix product on it."""

    device: Device
    flops_per_second: float


@contextmanager
def connected(cluster: Cluster, *, on_gpus: bool = True) -> Iterator[Cluster]:
    """Connect to a cluster, or make one on this machine; yield it with the share of a GPU decided.

    on_gpus: whether jobs take GPUs if there are any. Raises UserError if ray is missing, or the cluster.
    """
    ray = _import_ray()
    address = cluster.address or os.environ.get("RAY_ADDRESS") or "local"
    _check_address(address)
    made_here: dict[str, Any] = {"include_dashboard": False} if address == "local" else {}
    try:
        ray.init(address=address, log_to_driver=False, logging_level="ERROR", **made_here)
    except (SystemExit, ConnectionError, RuntimeError, ValueError, OSError) as error:
        why = f"{first_line(error)}; is RAY_AUTH_MODE the same as there?"
        raise UserError(_unreachable(address, why)) from None
    with redirect_stdout(_RayTells()):
        try:
            gpus = cluster.gpus
            if gpus is None or not on_gpus:
                gpus = 1.0 if on_gpus and ray.cluster_resources().get("GPU") else 0.0
            decided = cluster._replace(gpus=gpus)
            _check_fits(decided, made_here=address == "local")
            yield decided
        finally:
            ray.shutdown()


class _RayTells(io.TextIOBase):
    """Stands for stdout, which is for results: Ray tells of lost nodes there, at length. We log the gist."""

    def write(self, text: str) -> int:
        """Log the beginning of each message of Ray's."""
        for line in text.splitlines():
            if _RAYLET in line:
                said = line.rpartition(_RAYLET)[2].removeprefix("\x1b[0m").strip()
                _log.info("Ray: %s", said.partition(". ")[0][:300])
        return len(text)


def _import_ray() -> Any:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is told to anybody
    os.environ.setdefault("RAY_task_oom_retries", str(OOM_RETRIES))
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # Ray announces it at length otherwise
    try:
        import ray
    except ImportError:
        raise UserError(f"--engine ray: Ray is not installed; {_INSTALL}") from None
    return ray


def _check_address(address: str) -> None:
    """See that somebody answers: Ray itself would try for two minutes and then end the process."""
    if address in ("local", "auto"):
        return
    host, _, port = address.rpartition(":")
    if "://" in address or not host or not port.isdecimal():
        raise UserError(f"--address {address}: expected HOST:PORT of the head node, such as 10.0.0.1:6379")
    try:
        socket.create_connection((host, int(port)), timeout=_CONNECT_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise UserError(_unreachable(address, str(error))) from None


def _unreachable(address: str, why: str) -> str:
    reason = next(iter(why.strip().splitlines()), "").strip() or "no answer"
    return (
        f"--address {address}: no Ray cluster there ({reason}); start one with 'ray start --head', join this "
        "machine with 'ray start --address HOST:PORT', or leave --address out"
    )


def slots(cluster: Cluster) -> int:
    """Return how many jobs fit onto the nodes that are alive."""
    import ray

    asked = cluster.resources()
    return sum(
        min(
            (int(node["Resources"].get(name, 0.0) / amount + 1e-9) for name, amount in asked.items()),
            default=1,
        )
        for node in ray.nodes()
        if node["Alive"]
    )


def _check_fits(cluster: Cluster, *, made_here: bool) -> None:
    if slots(cluster):
        return
    asked = f"--gpus-per-job {cluster.gpus:g} --cpus-per-job {cluster.cpus:g}"
    asked += f" --memory-per-job {cluster.memory_gib:g}" if cluster.memory_gib else ""
    if made_here:
        raise UserError(f"{asked}: more than this machine has; ask for less, or name a cluster by --address")
    _log.warning("%s: no node has as much; waiting until one joins", asked)


def ask_node(cluster: Cluster, *, device: str, precision: str) -> Asked:
    """Ask a node for the device of a job there: this machine may differ. UserError if it has none."""
    ray = _import_ray()
    answer = remote(cluster, _answer).remote(device, precision, cluster.gpus or 0.0, cluster.cpus, ours())
    try:
        answered = ray.get(answer)
    except ray.exceptions.RayError as error:
        raise UserError(f"--engine ray: a node cannot run kebench ({first_line(error)})") from None
    if isinstance(answered, str):
        raise UserError(answered)
    asked: Asked = answered
    return asked


def _answer(wanted: str, precision: str, gpus: float, cpus: float, theirs: list[Any]) -> "Asked | str":
    try:
        prepare(theirs, cpus)
        chosen = choose_device("cpu" if not gpus and wanted == "auto" else wanted, precision)
        if not gpus and wanted == "auto":
            chosen = chosen._replace(reason="jobs ask for no GPU")
        return Asked(chosen, matrix_flops_per_second(chosen.name))
    except UserError as error:
        return str(error)


def ours() -> list[Any]:
    """Return what a node's kebench must have in common with the command's."""
    return [__version__, PROTOCOL_VERSION]


def prepare(theirs: list[Any], cpus: float) -> None:
    """Let torch use the cores of a job. Raises UserError if the command that gives it has another version."""
    if theirs != ours():
        raise UserError(
            f"node {socket.gethostname()} has kebench {__version__}, and the command {theirs[0]}; "
            "install the same on all"
        )
    import torch

    torch.set_num_threads(max(1, int(cpus)))


def remote(cluster: Cluster, function: Any, *, retries: int = RETRIES) -> Any:
    """Return a function as a Ray task with the resources of a job."""
    import ray

    options: dict[str, Any] = {"num_cpus": cluster.cpus, "num_gpus": cluster.gpus or 0.0}
    if cluster.memory_gib:
        options["memory"] = int(cluster.memory_gib * 2**30)
    return ray.remote(function).options(max_retries=retries, retry_exceptions=False, **options)


def say_nodes(cluster: Cluster) -> str:
    """Return a line on what the jobs have: nodes, jobs at a time, what each asks for."""
    import ray

    alive = sum(node["Alive"] for node in ray.nodes())
    asked = ", ".join(
        f"{amount / 2**30:g} GiB" if name == "memory" else f"{amount:g} {name}"
        for name, amount in cluster.resources().items()
    )
    return f"Ray: {alive} node{'s' * (alive != 1)}, {slots(cluster)} jobs at a time; a job asks for {asked}"


def first_line(error: BaseException) -> str:
    """Return the first line of an error of Ray's, which may have hundreds, and be long itself."""
    return errors.first_line(error).rstrip()[:300]
