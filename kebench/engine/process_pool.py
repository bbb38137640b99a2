"""A pool of processes on this machine, each on a GPU of its own where there are GPUs.

A process that is killed, perhaps for want of memory, is started again, and its job with it, a few times.
"""

from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection, wait

from kebench.engine.work import RunOptions, Settled, carry_out
from kebench.finetune.plan import Job
from kebench.processes import Place, Worker
from kebench.runtime import Device

TRIES = 3  # of a job whose process was killed
_MOMENT = 1.0  # that a process which has closed its pipe takes to end


@dataclass
class _Busy:
    """A worker, the job that it has, if any, and how often that has been given to one."""

    worker: Worker
    job: Job | None = None
    tries: int = 0

    def give(self, job: Job, tries: int) -> None:
        self.job, self.tries = job, tries
        with suppress(OSError):  # it is gone: `settled` will see that
            self.worker.pipe.send(job)


class ProcessPool:
    """So many processes as there are places, each with one job at a time; `contextlib.closing` ends them."""

    def __init__(self, places: list[Place], device: Device, options: RunOptions) -> None:
        self._places, self._options = places, options
        self._serve = partial(_serve_jobs, device, options)
        self._workers = [_Busy(Worker(place, self._serve)) for place in places]

    def room(self) -> int:
        """Return how many processes have no job."""
        return sum(one.job is None for one in self._workers)

    def submit(self, job: Job) -> None:
        """Give a job to a process that has none."""
        next(one for one in self._workers if one.job is None).give(job, 1)

    def settled(self, seconds: float) -> list[tuple[Job, Settled]]:
        """Return jobs that have ended; wait for one at most so long."""
        busy = {one.worker.pipe: number for number, one in enumerate(self._workers) if one.job}
        ended = []
        for pipe in wait(list(busy), timeout=seconds):
            assert isinstance(pipe, Connection), "only pipes were waited for"
            number = busy[pipe]
            one = self._workers[number]
            job = one.job
            assert job is not None, "only processes with a job were waited for"
            try:
                settled: Settled = pipe.recv()
                one.job = None
            except (EOFError, OSError):  # its process is gone: another one takes its place, and its job
                pipe.close()
                one.worker.process.join(timeout=_MOMENT)
                self._workers[number] = _Busy(Worker(self._places[number], self._serve))
                if one.tries < TRIES:
                    self._workers[number].give(job, one.tries + 1)
                    continue
                smaller = "" if self._options.micro_batch == 1 else ", or a smaller --micro-batch"
                settled = Settled(
                    error=f"its process was killed {TRIES} times, perhaps for want of memory; "
                    f"take fewer --workers{smaller}"
                )
            ended.append((job, settled))
        return ended

    def close(self) -> None:
        """End all processes, whatever they are at."""
        for one in self._workers:
            one.worker.pipe.close()
            one.worker.process.kill()
        for one in self._workers:
            one.worker.process.join()


def _serve_jobs(device: Device, options: RunOptions, pipe: Connection) -> None:
    """Carry out what comes through the pipe until the other end is closed."""
    with suppress(EOFError, KeyboardInterrupt, OSError):
        while True:
            pipe.send(carry_out(pipe.recv(), device, options))
