"""A pool of tasks on a Ray cluster: one task a job, begun anew by Ray when its node or its worker is lost.

This process holds the leases and writes the records (`engine.drive`); a task brings record and predictions
back through Ray's object store. The files that a job reads travel in parcels. A node that finds the same
files at the same place, of the same size and time to the nanosecond, reads them there: a shared folder, or
the same machine. Otherwise they come through the object store, once a node, and are kept in its cache, named
by their content and sealed with their hashes: what is damaged there is asked for again.
"""

import socket
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from kebench.engine.cluster import OOM_RETRIES, RETRIES, Cluster, first_line, ours, prepare, remote, slots
from kebench.engine.work import RunOptions, Settled, carry_out, read_files, told, write_files
from kebench.errors import UserError
from kebench.files import atomic_folder, cache_folder, hash_of, remove_if_broken
from kebench.finetune.plan import Job
from kebench.model.checkpoint_files import DESCRIPTION_FILES, weight_files
from kebench.runtime import Device

AHEAD = 4  # ours: jobs that wait at Ray, so that nothing idles while we write, and an autoscaler sees demand
_LOOK_SECONDS = 5.0  # between looks at the nodes
SHIPPED = "shipped"


class Parcel(NamedTuple):
    """Files that belong together. key: of their content; stamps: size and time of change of each."""

    key: str
    paths: dict[str, Path]
    stamps: dict[str, tuple[int, int]]


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
            try:
                came: Settled | list[str] = ray.get(reference)
            except ray.exceptions.OutOfMemoryError:
                smaller = "" if self._options.micro_batch == 1 else ", or a smaller --micro-batch"
                times = f"killed for want of memory on its node {OOM_RETRIES + 1} times"
                came = Settled(error=f"{times}; ask for more by --memory-per-job{smaller}")
            except (ray.exceptions.WorkerCrashedError, ray.exceptions.NodeDiedError) as error:
                lost = f"its worker or its node was lost {RETRIES + 1} times"
                came = Settled(error=f"{lost}: {first_line(error)}")
            except ray.exceptions.RayError as error:
                came = Settled(error=f"Ray could not run it: {first_line(error)}")
            if isinstance(came, Settled):
                ended.append((job, came))
                continue
            try:  # the files that the node lacks go into the object store, and the job to Ray again
                for parcel in parcels_of(job):
                    if parcel.key in came and parcel.key not in self._put:
                        self._put[parcel.key] = ray.put(read_files(parcel.paths))
            except (UserError, OSError) as error:
                ended.append((job, Settled(error=told(error))))
            else:
                self.submit(job)
        return ended


def _fine_tune(
    job: Job,
    parcels: Sequence[Parcel],
    stored: dict[str, Any],
    device: Device,
    options: RunOptions,
    cpus: float,
    theirs: list[Any],
) -> Settled | list[str]:
    """Carry out a job on a node, or return the keys of those of its parcels that are not there."""
    import ray

    try:
        prepare(theirs, cpus)
        places, lacking = {}, []
        for parcel in parcels:
            content = partial(ray.get, stored[parcel.key]) if parcel.key in stored else None
            place = locate(parcel, content)
            if place is None:
                lacking.append(parcel.key)
            else:
                places[parcel.key] = place
        if lacking:
            return lacking
        here = unpack(job, parcels, places)
    # A full disk or a cache that cannot be written: the one who gave the job writes it down.
    except (UserError, OSError) as error:
        return Settled(error=f"node {socket.gethostname()}: {told(error)}")
    return carry_out(here, device, options)


def parcels_of(job: Job) -> list[Parcel]:
    """Return the checkpoint and the data of a job."""
    named = (job.folder / name for name in DESCRIPTION_FILES)
    code = sorted(job.folder.glob("*.py"))
    indexes = job.folder.glob("*.index.json")
    checkpoint = [*(path for path in named if path.is_file()), *weight_files(job.folder), *code, *indexes]
    data = {f"{split}-{path.name}": path for split, path in job.task.paths.items()}
    found = []
    for key, paths in (
        (job.model_hash, {path.name: path for path in checkpoint}),
        (hash_of(job.task.sha256), data),
    ):
        paths = {name: path.absolute() for name, path in paths.items()}
        found.append(Parcel(key, paths, {name: _stamp(path) for name, path in paths.items()}))
    return found


def _stamp(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_size, found.st_mtime_ns


def locate(parcel: Parcel, content: Callable[[], dict[str, bytes]] | None) -> dict[str, Path] | None:
    """Return where a parcel's files are on this machine; None if they are not, and there is no content."""
    with suppress(OSError):  # of a file that is not there
        if all(_stamp(path) == parcel.stamps[name] for name, path in parcel.paths.items()):
            return parcel.paths
    kept = cache_folder() / SHIPPED / parcel.key[:32]
    remove_if_broken(kept)
    if not kept.is_dir():
        if content is None:
            return None
        with atomic_folder(kept, point=SHIPPED, sealed=True) as temporary:
            write_files(temporary, content().items())
    return {name: kept / name for name in parcel.paths}


def unpack(job: Job, parcels: Sequence[Parcel], places: Mapping[str, Mapping[str, Path]]) -> Job:
    """Return a job that reads its files where they are on this machine. Its identity stays."""
    checkpoint, data = (places[parcel.key] for parcel in parcels)
    paths = {split: data[f"{split}-{path.name}"] for split, path in job.task.paths.items()}
    return job._replace(folder=checkpoint["config.json"].parent, task=job.task._replace(paths=paths))
