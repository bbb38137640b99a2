"""A pool of processes on this machine, each on a GPU of its own where there are GPUs.

A process that is killed, perhaps for want of memory, is started again, and its job with it, a few times.
"""

import contextlib
import multiprocessing
import os
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import NamedTuple

from kebench.engine.work import Manner, Settled, carry_out
from kebench.finetune.plan import Job
from kebench.runtime import end_with_parent

TRIES = 3  # of a job whose process was killed
_MOMENT = 1.0  # that a process which has closed its pipe takes to end


class Place(NamedTuple):
    """What a process may use. gpu: what CUDA_VISIBLE_DEVICES is set to; None leaves it as it is."""

    gpu: str | None
    threads: int


class _Worker:
    """A process that carries out one job after another."""

    def __init__(self, place: Place, manner: Manner) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, others = context.Pipe()
        self.process: SpawnProcess = context.Process(target=_serve, args=(others, place, manner), daemon=True)
        self.process.start()
        others.close()  # so that our end tells when the process is gone
        self.job: Job | None = None
        self.tries = 0

    def give(self, job: Job, tries: int) -> None:
        self.job, self.tries = job, tries
        with contextlib.suppress(OSError):  # it is gone: `settled` will see that
            self.pipe.send(job)


class ProcessPool:
    """So many processes as there are places, each with one job at a time."""

    def __init__(self, places: list[Place], manner: Manner) -> None:
        self._places, self._manner = places, manner
        self._workers = [_Worker(place, manner) for place in places]

    def room(self) -> int:
        """Return how many processes have no job."""
        return sum(worker.job is None for worker in self._workers)

    def submit(self, job: Job) -> None:
        """Give a job to a process that has none."""
        next(worker for worker in self._workers if worker.job is None).give(job, 1)

    def settled(self, seconds: float) -> list[tuple[Job, Settled]]:
        """Return jobs that have ended; wait for one at most so long."""
        busy = {worker.pipe: number for number, worker in enumerate(self._workers) if worker.job}
        ended = []
        for pipe in wait(list(busy), timeout=seconds):
            assert isinstance(pipe, Connection), "only pipes were waited for"
            number = busy[pipe]
            worker = self._workers[number]
            job = worker.job
            assert job is not None, "only processes with a job were waited for"
            try:
                settled: Settled = pipe.recv()
                worker.job = None
            except (EOFError, OSError):
                again = self._start_again(number)
                if again:
                    continue
                settled = Settled(error=again_and_again(self._manner))
            ended.append((job, settled))
        return ended

    def _start_again(self, number: int) -> bool:
        """Start a process anew, and its job unless that has been tried often enough: then False."""
        gone = self._workers[number]
        job, tries = gone.job, gone.tries
        gone.pipe.close()
        gone.process.join(timeout=_MOMENT)
        self._workers[number] = _Worker(self._places[number], self._manner)
        if job is None or tries >= TRIES:
            return False
        self._workers[number].give(job, tries + 1)
        return True

    def close(self) -> None:
        """End all processes, whatever they are at."""
        for worker in self._workers:
            worker.pipe.close()
            worker.process.kill()
        for worker in self._workers:
            worker.process.join()


def again_and_again(manner: Manner) -> str:
    """Return what is written down of a job whose process was killed each time."""
    smaller = "" if manner.micro_batch == 1 else ", or a smaller --micro-batch"
    return f"its process was killed {TRIES} times, perhaps for want of memory; take fewer --workers{smaller}"


@contextmanager
def processes(places: list[Place], manner: Manner) -> Iterator[ProcessPool]:
    """Yield a pool, and end its processes with the block."""
    pool = ProcessPool(places, manner)
    try:
        yield pool
    finally:
        pool.close()


def plan_places(workers: int, *, uses_gpus: bool) -> list[Place]:
    """Share this machine's GPUs out in turn, and its cores equally."""
    threads = stated_threads() or max(1, (os.cpu_count() or 1) // workers)
    gpus = visible_gpus() if uses_gpus else []
    return [Place(gpus[number % len(gpus)] if gpus else None, threads) for number in range(workers)]


def stated_threads() -> int | None:
    """Return how many threads the user wants, by OMP_NUM_THREADS; None if it does not say.

    As OpenMP reads it: a list is of nested levels, of which ours is the first; what is no positive number
    counts for nothing.
    """
    first = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
    number = (
        int(first) if first.isdecimal() and len(first) < 10 else 0
    )  # more digits are no number of threads
    return number or None


def visible_gpus() -> list[str]:
    """Return the GPUs that this process may use, as CUDA_VISIBLE_DEVICES names them."""
    if named := os.environ.get("CUDA_VISIBLE_DEVICES"):
        return [name.strip() for name in named.split(",")]
    import torch

    return [str(number) for number in range(torch.cuda.device_count())]


def _serve(pipe: Connection, place: Place, manner: Manner) -> None:
    """Carry out what comes through the pipe until the other end is closed."""
    if place.gpu is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = place.gpu  # before torch looks
    end_with_parent()
    import torch

    torch.set_num_threads(place.threads)
    with contextlib.suppress(EOFError, KeyboardInterrupt, OSError):
        while True:
            pipe.send(carry_out(pipe.recv(), manner))
