"""A pool of tasks on a Ray cluster: one task a job, begun anew by Ray when its node or its worker is lost.

This process holds the leases and writes the records (`engine.drive`); a task brings record and predictions
back through Ray's object store. Weights and data are read where they are if the node sees the same files,
unchanged, at the same place; otherwise they come through the object store, once a node, and are kept in its
cache.
"""

import io
import logging
import os
import socket
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from functools import partial
from typing import Any, NamedTuple

from kebench import __version__, errors
from kebench.engine.parcels import Lacking, Parcel, locate, pack, parcels_of, unpack
from kebench.engine.work import Manner, Settled, carry_out, told
from kebench.errors import UserError
from kebench.finetune.plan import Job
from kebench.records import PROTOCOL_VERSION
from kebench.runtime import Device, choose_device, matrix_flops_per_second

AHEAD = 4  # ours: jobs that wait at Ray, so that nothing idles while we write, and an autoscaler sees demand
RETRIES = 3  # of a job whose node or worker was lost
OOM_RETRIES = 3  # of a job that Ray killed for want of memory; Ray's own default is for ever
_CONNECT_SECONDS = 5.0
_LOOK_SECONDS = 5.0  # between looks at the nodes
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
        check_version(theirs)
        use_threads(cpus)
        chosen = choose_device("cpu" if not gpus and wanted == "auto" else wanted, precision)
        if not gpus and wanted == "auto":
            chosen = chosen._replace(reason="jobs ask for no GPU")
        return Asked(chosen, matrix_flops_per_second(chosen.name))
    except UserError as error:
        return str(error)


def ours() -> list[Any]:
    """Return what a node's kebench must have in common with the command's."""
    return [__version__, PROTOCOL_VERSION]


def check_version(theirs: list[Any]) -> None:
    """Raise UserError if the command that gives the job is of another version."""
    if theirs != ours():
        raise UserError(
            f"node {socket.gethostname()} has kebench {__version__}, and the command {theirs[0]}; "
            "install the same on all"
        )


def use_threads(cpus: float) -> None:
    """Let torch use the cores of a job."""
    import torch

    torch.set_num_threads(max(1, int(cpus)))


def remote(cluster: Cluster, function: Any, *, retries: int = RETRIES) -> Any:
    """Return a function as a Ray task with the resources of a job."""
    import ray

    options: dict[str, Any] = {"num_cpus": cluster.cpus, "num_gpus": cluster.gpus or 0.0}
    if cluster.memory_gib:
        options["memory"] = int(cluster.memory_gib * 2**30)
    return ray.remote(function).options(max_retries=retries, retry_exceptions=False, **options)


class RayPool:
    """Jobs as tasks: as many at a time as fit onto the cluster, and a few ahead."""

    def __init__(self, cluster: Cluster, manner: Manner) -> None:
        self._cluster, self._manner = cluster, manner
        self._task = remote(cluster, _fine_tune)
        self._running: dict[Any, Job] = {}
        self._put: dict[str, Any] = {}  # parcels in the object store, by key
        self._slots, self._looked = 0, float("-inf")

    def room(self) -> int:
        """Return how many more jobs are given to Ray now; nodes may have come and gone."""
        if time.monotonic() - self._looked > _LOOK_SECONDS:
            self._slots, self._looked = slots(self._cluster), time.monotonic()
        return self._slots + AHEAD - len(self._running)

    def submit(self, job: Job) -> None:
        """Give a job to Ray, with what of its files is in the object store already."""
        parcels = parcels_of(job)
        stored = {one.key: self._put[one.key] for one in parcels if one.key in self._put}
        given = (job, parcels, stored, self._manner, self._cluster.cpus, ours())
        self._running[self._task.remote(*given)] = job

    def settled(self, seconds: float) -> list[tuple[Job, Settled]]:
        """Return jobs that have ended; wait for one at most so long."""
        import ray

        running = list(self._running)
        if not ray.wait(running, num_returns=1, timeout=seconds)[0]:
            return []
        ended = []
        for reference in ray.wait(running, num_returns=len(running), timeout=0)[0]:
            job = self._running.pop(reference)
            settled = self._get(reference)
            if isinstance(settled, Lacking):
                self._send(job, settled)
            else:
                ended.append((job, settled))
        return ended

    def _get(self, reference: Any) -> "Settled | Lacking":
        import ray

        try:
            settled: Settled | Lacking = ray.get(reference)
        except ray.exceptions.OutOfMemoryError:
            return Settled(error=_out_of_memory(self._manner))
        except (ray.exceptions.WorkerCrashedError, ray.exceptions.NodeDiedError) as error:
            return Settled(error=f"its worker or its node was lost {RETRIES + 1} times: {first_line(error)}")
        except ray.exceptions.RayError as error:
            return Settled(error=f"Ray could not run it: {first_line(error)}")
        return settled

    def _send(self, job: Job, lacking: Lacking) -> None:
        """Put the files that a node lacks into the object store, and give the job to Ray again."""
        import ray

        for parcel in parcels_of(job):
            if parcel.key in lacking.keys and parcel.key not in self._put:
                self._put[parcel.key] = ray.put(pack(parcel))
        self.submit(job)


def _out_of_memory(manner: Manner) -> str:
    smaller = "" if manner.micro_batch == 1 else ", or a smaller --micro-batch"
    return (
        f"killed for want of memory on its node {OOM_RETRIES + 1} times; ask for more by "
        f"--memory-per-job{smaller}"
    )


def first_line(error: BaseException) -> str:
    """Return the first line of an error of Ray's, which may have hundreds, and be long itself."""
    return errors.first_line(error).rstrip()[:300]


def _fine_tune(
    job: Job,
    parcels: Sequence[Parcel],
    stored: dict[str, Any],
    manner: Manner,
    cpus: float,
    theirs: list[Any],
) -> "Settled | Lacking":
    """Carry out a job on a node, or say which of its files are not there."""
    import ray

    try:
        check_version(theirs)
        use_threads(cpus)
        found = {}
        for parcel in parcels:
            content = partial(ray.get, stored[parcel.key]) if parcel.key in stored else None
            found[parcel.key] = locate(parcel, content)
        lacking = tuple(key for key, place in found.items() if place is None)
        if lacking:
            return Lacking(lacking)
        here = unpack(job, parcels, {key: place for key, place in found.items() if place is not None})
    # A full disk or a cache that cannot be written: the one who gave the job writes it down.
    except (UserError, OSError) as error:
        return Settled(error=f"node {socket.gethostname()}: {told(error)}")
    return carry_out(here, manner)


def say_nodes(cluster: Cluster) -> str:
    """Return a line on what the jobs have: nodes, jobs at a time, what each asks for."""
    import ray

    alive = Counter(node["Alive"] for node in ray.nodes())[True]
    asked = ", ".join(
        f"{amount / 2**30:g} GiB" if name == "memory" else f"{amount:g} {name}"
        for name, amount in cluster.resources().items()
    )
    return f"Ray: {alive} node{'s' * (alive != 1)}, {slots(cluster)} jobs at a time; a job asks for {asked}"
