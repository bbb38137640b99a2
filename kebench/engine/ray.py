"""A pool of tasks on a Ray cluster: one task a job, begun anew by Ray when its node or its worker is lost.

This process holds the leases and writes the records (`engine.drive`); a task brings record and predictions
back through Ray's object store. Weights and data are read where they are if the node sees the same files,
unchanged, at the same place; otherwise they come through the object store, once a node, and are kept in its
cache.
"""

import socket
import time
from collections.abc import Sequence
from functools import partial
from typing import Any

from kebench.engine.cluster import (
    OOM_RETRIES,
    RETRIES,
    Cluster,
    check_version,
    first_line,
    ours,
    remote,
    slots,
    use_threads,
)
from kebench.engine.parcels import Lacking, Parcel, locate, pack, parcels_of, unpack
from kebench.engine.work import RunOptions, Settled, carry_out, told
from kebench.errors import UserError
from kebench.finetune.plan import Job
from kebench.runtime import Device

AHEAD = 4  # ours: jobs that wait at Ray, so that nothing idles while we write, and an autoscaler sees demand
_LOOK_SECONDS = 5.0  # between looks at the nodes


class RayPool:
    """Jobs as tasks: as many at a time as fit onto the cluster, and a few ahead."""

    def __init__(self, cluster: Cluster, device: Device, options: RunOptions) -> None:
        self._cluster, self._device, self._options = cluster, device, options
        self._task = remote(cluster, _fine_tune)
        self._running: dict[Any, Job] = {}
        self._put: dict[str, Any] = {}  # parcels in the object store, by key
        self._unsent: list[tuple[Job, Settled]] = []  # whose files went away after the plan was made
        self._slots, self._looked = 0, float("-inf")

    def room(self) -> int:
        """Return how many more jobs are given to Ray now; nodes may have come and gone."""
        if time.monotonic() - self._looked > _LOOK_SECONDS:
            self._slots, self._looked = slots(self._cluster), time.monotonic()
        return self._slots + AHEAD - len(self._running)

    def submit(self, job: Job) -> None:
        """Give a job to Ray, with what of its files is in the object store already."""
        try:
            parcels = parcels_of(job)
        except (UserError, OSError) as error:
            self._unsent.append((job, Settled(error=told(error))))
            return
        stored = {one.key: self._put[one.key] for one in parcels if one.key in self._put}
        given = (job, parcels, stored, self._device, self._options, self._cluster.cpus, ours())
        self._running[self._task.remote(*given)] = job

    def settled(self, seconds: float) -> list[tuple[Job, Settled]]:
        """Return jobs that have ended; wait for one at most so long."""
        import ray

        ended, self._unsent = self._unsent, []
        running = list(self._running)
        if ended or not ray.wait(running, num_returns=1, timeout=seconds)[0]:
            return ended
        for reference in ray.wait(running, num_returns=len(running), timeout=0)[0]:
            job = self._running.pop(reference)
            settled = self._get(reference)
            if not isinstance(settled, Lacking):
                ended.append((job, settled))
                continue
            try:  # the files that the node lacks go into the object store, and the job to Ray again
                for parcel in parcels_of(job):
                    if parcel.key in settled.keys and parcel.key not in self._put:
                        self._put[parcel.key] = ray.put(pack(parcel))
            except (UserError, OSError) as error:
                ended.append((job, Settled(error=told(error))))
            else:
                self.submit(job)
        return ended

    def _get(self, reference: Any) -> "Settled | Lacking":
        import ray

        try:
            settled: Settled | Lacking = ray.get(reference)
        except ray.exceptions.OutOfMemoryError:
            smaller = "" if self._options.micro_batch == 1 else ", or a smaller --micro-batch"
            return Settled(
                error=f"killed for want of memory on its node {OOM_RETRIES + 1} times; ask for more by "
                f"--memory-per-job{smaller}"
            )
        except (ray.exceptions.WorkerCrashedError, ray.exceptions.NodeDiedError) as error:
            return Settled(error=f"its worker or its node was lost {RETRIES + 1} times: {first_line(error)}")
        except ray.exceptions.RayError as error:
            return Settled(error=f"Ray could not run it: {first_line(error)}")
        return settled


def _fine_tune(
    job: Job,
    parcels: Sequence[Parcel],
    stored: dict[str, Any],
    device: Device,
    options: RunOptions,
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
    return carry_out(here, device, options)
