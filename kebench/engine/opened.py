"""Opens the engine that a command names, with the device of its jobs and how many run at a time."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple

from kebench.engine.cluster import Cluster
from kebench.engine.local import Report, Tally, run_jobs
from kebench.engine.work import RunOptions
from kebench.finetune.plan import Job
from kebench.runtime import Device, choose_device, matrix_flops_per_second


class Engine(NamedTuple):
    """What carries out jobs.

    is_shared: several jobs run at a time, so that the longest are to begin first. at_once: by how many the
    time of all jobs is to be divided. flops_per_second: of a matrix product of a job.
    """

    device: Device
    is_shared: bool
    at_once: int
    flops_per_second: Callable[[], float]
    run_jobs: Callable[[Sequence[Job], Path, Report], Tally]
    summary: str = ""


@contextmanager
def opened(
    cluster: Cluster | None, *, workers: int, device: str, precision: str, options: RunOptions
) -> Iterator[Engine]:
    """Yield an engine: tasks of a cluster, or `workers` processes of this machine, or this process.

    Raises UserError if the device or the cluster is not there.
    """
    if cluster is not None:
        from kebench.engine.cluster import ask_node, connected, say_nodes, slots
        from kebench.engine.drive import drive
        from kebench.engine.ray import RayPool

        with connected(cluster, on_gpus=device != "cpu") as decided:
            asked = ask_node(decided, device=device, precision=precision)

            def on_cluster(jobs: Sequence[Job], out: Path, report: Report) -> Tally:
                return drive(jobs, out, RayPool(decided, asked.device, options), report, wait=options.wait)

            at_once = max(1, slots(decided))
            measured = asked.flops_per_second
            yield Engine(asked.device, True, at_once, lambda: measured, on_cluster, say_nodes(decided))
        return
    chosen = choose_device(device, precision)
    measure = partial(matrix_flops_per_second, chosen.name)
    if workers == 1:
        yield Engine(chosen, False, 1, measure, partial(run_jobs, device=chosen, options=options))
        return
    from kebench.engine.drive import drive
    from kebench.engine.process_pool import ProcessPool
    from kebench.processes import plan_places

    places = plan_places(workers, uses_gpus=chosen.name != "cpu")

    def in_processes(jobs: Sequence[Job], out: Path, report: Report) -> Tally:
        with closing(ProcessPool(places, chosen, options)) as pool:
            return drive(jobs, out, pool, report, wait=options.wait)

    # Processes on the CPU share the cores by which a matrix product is measured.
    gpus = {place.gpu for place in places if place.gpu is not None}
    shares = f" on {len(gpus)} GPUs" if gpus else f", {places[0].threads} threads each"
    yield Engine(chosen, True, max(1, len(gpus)), measure, in_processes, f"{workers} processes{shares}")
