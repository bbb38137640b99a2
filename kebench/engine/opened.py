"""Opens the engine that a command names, with the device of its jobs and how many run at a time."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from kebench.engine.cluster import Cluster
from kebench.engine.local import Options, Outcome, Tally, run_jobs
from kebench.engine.work import Manner
from kebench.finetune.plan import Job
from kebench.runtime import Device, choose_device, matrix_flops_per_second

Report = Callable[[Job, Outcome], None]
RunJobs = Callable[[Sequence[Job], Path, Report], Tally]


class Engine(NamedTuple):
    """What carries out jobs.

    is_shared: several jobs run at a time, so that the longest are to begin first. at_once: by how many the
    time of all jobs is to be divided. flops_per_second: of a matrix product of a job.
    """

    device: Device
    is_shared: bool
    at_once: int
    flops_per_second: Callable[[], float]
    run_jobs: RunJobs
    summary: str = ""


@contextmanager
def opened(
    cluster: Cluster | None, *, workers: int, device: str, precision: str, options: Options
) -> Iterator[Engine]:
    """Yield an engine: tasks of a cluster, or `workers` processes of this machine, or this process.

    Raises UserError if the device or the cluster is not there.
    """
    if cluster is not None:
        with _on_cluster(cluster, device, precision, options) as engine:
            yield engine
        return
    chosen = choose_device(device, precision)
    yield _in_processes(chosen, workers, options) if workers > 1 else _here(chosen, options)


def _here(device: Device, options: Options) -> Engine:
    def run(jobs: Sequence[Job], out: Path, report: Report) -> Tally:
        return run_jobs(jobs, out, device=device, options=options, report=report)

    return Engine(device, False, 1, _speed_of(device), run)


def _in_processes(device: Device, workers: int, options: Options) -> Engine:
    from kebench.engine.drive import drive
    from kebench.engine.processes import plan_places, processes

    places = plan_places(workers, uses_gpus=device.name != "cpu")

    def run(jobs: Sequence[Job], out: Path, report: Report) -> Tally:
        with processes(places, _manner(device, options)) as pool:
            return drive(jobs, out, pool, options=options, report=report)

    # Processes on the CPU share the cores by which a matrix product is measured.
    gpus = {place.gpu for place in places if place.gpu is not None}
    shares = f" on {len(gpus)} GPUs" if gpus else f", {places[0].threads} threads each"
    return Engine(device, True, max(1, len(gpus)), _speed_of(device), run, f"{workers} processes{shares}")


@contextmanager
def _on_cluster(cluster: Cluster, device: str, precision: str, options: Options) -> Iterator[Engine]:
    from kebench.engine.cluster import ask_node, connected, say_nodes, slots
    from kebench.engine.drive import drive
    from kebench.engine.ray import RayPool

    with connected(cluster, on_gpus=device != "cpu") as decided:
        asked = ask_node(decided, device=device, precision=precision)

        def run(jobs: Sequence[Job], out: Path, report: Report) -> Tally:
            pool = RayPool(decided, _manner(asked.device, options))
            return drive(jobs, out, pool, options=options, report=report)

        at_once = max(1, slots(decided))
        yield Engine(asked.device, True, at_once, lambda: asked.flops_per_second, run, say_nodes(decided))


def _manner(device: Device, options: Options) -> Manner:
    return Manner(
        device, options.micro_batch, options.allow_remote_code, options.keep_weights, options.logging
    )


def _speed_of(device: Device) -> Callable[[], float]:
    def measure() -> float:
        return matrix_flops_per_second(device.name)

    return measure
