"""Starts every other process of ours: workers that call a function, and commands of kebench.

All end with the process that started them, however that ends. A worker has a GPU of its own where there are
GPUs, or its share of the cores. Only git and pip, which are waited for, are started elsewhere.
"""

import ctypes
import logging
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import NamedTuple

from kebench.errors import UserError

STOPPED = 130  # a command's exit code after Ctrl-C
_PARENT = "KEBENCH_PARENT"  # the variable that names the process with which this one shall end
_PR_SET_PDEATHSIG = 1  # of Linux's prctl
_LINGER_SECONDS = 60.0  # ours: that workers have to see that all is done
_MOMENT = 5.0  # ours: that a worker which is told to end has to give back its leases
_GRACE_SECONDS = 2.0  # ours: for a command that was told to stop

_log = logging.getLogger(__name__)


class Place(NamedTuple):
    """What a worker may use. gpu: what CUDA_VISIBLE_DEVICES is set to; None leaves it as it is."""

    gpu: str | None
    threads: int


def plan_places(workers: int, *, uses_gpus: bool) -> list[Place]:
    """Share this machine's GPUs out in turn, and its cores equally, unless OMP_NUM_THREADS says how many.

    OpenMP reads it so: of a list, which is of nested levels, ours is the first; what is no positive number
    counts for nothing.
    """
    first = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
    is_number = first.isdecimal() and len(first) < 10  # more digits are no number of threads
    threads = (is_number and int(first)) or max(1, (os.cpu_count() or 1) // workers)
    gpus: list[str] = []
    if uses_gpus and (named := os.environ.get("CUDA_VISIBLE_DEVICES")):
        gpus = [name.strip() for name in named.split(",")]
    elif uses_gpus:
        import torch

        gpus = [str(number) for number in range(torch.cuda.device_count())]
    return [Place(gpus[number % len(gpus)] if gpus else None, threads) for number in range(workers)]


class Worker:
    """A process that calls `serve` with one end of a pipe; `pipe`, the other, tells when it is gone."""

    def __init__(self, place: Place, serve: Callable[[Connection], object]) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, others = context.Pipe()
        self.process: SpawnProcess = context.Process(target=_serve, args=(others, place, serve), daemon=True)
        self.process.start()
        others.close()


def _serve(pipe: Connection, place: Place, serve: Callable[[Connection], object]) -> None:
    if place.gpu is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = place.gpu  # before torch looks
    _end_with_parent()
    import torch

    torch.set_num_threads(place.threads)
    serve(pipe)


def _end_with_parent() -> None:
    """End this worker when the process that started it ends, however it does: work takes hours."""
    parent = multiprocessing.parent_process()
    assert parent is not None, "a worker has been started by somebody"

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def executor(workers: int, begin: Callable[[], object]) -> ProcessPoolExecutor:
    """Return an executor of so many workers, each of which calls `begin` first."""
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(workers, mp_context=context, initializer=_begin, initargs=(begin,))


def _begin(begin: Callable[[], object]) -> None:
    # A worker waits for work on a pipe that it holds open itself, so it would not notice.
    _end_with_parent()
    begin()


@contextmanager
def beside(workers: int, work: Callable[[], object], *, uses_gpus: bool) -> Iterator[None]:
    """Have `workers - 1` processes do some work while the block does the same here, as one of `workers`.

    work: can be pickled, and shares by leases in a folder, so that it ends, here and there, once all is done.

    Whatever ends the block, or this process, ends the others. One that fails is told of in a line and not
    started again: its lease is stale at once (`kebench.leases`), and the others take over what it had.
    """
    import torch

    here, *there = plan_places(workers, uses_gpus=uses_gpus)
    is_over = threading.Event()
    before = signal.getsignal(signal.SIGINT)
    is_main = threading.current_thread() is threading.main_thread()
    if is_main:  # workers inherit it: Ctrl-C does not reach them, and they end in silence by our word alone
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        others = [Worker(place, partial(_work_in_silence, work)) for place in there]
    finally:
        if is_main:
            signal.signal(signal.SIGINT, before)
    watch = threading.Thread(target=_tell_faults, args=(others, is_over), daemon=True)
    watch.start()
    threads = torch.get_num_threads()
    torch.set_num_threads(here.threads)
    try:
        yield
        watch.join(_LINGER_SECONDS)
    finally:
        torch.set_num_threads(threads)
        is_over.set()
        for end in (SpawnProcess.terminate, SpawnProcess.kill):
            for worker in others:
                end(worker.process)
            watch.join(_MOMENT)
        for worker in others:
            worker.pipe.close()


def _tell_faults(workers: Sequence[Worker], is_over: threading.Event) -> None:
    """Say of each worker that fails why, as soon as it does; return when all have ended."""
    left = {worker.pipe: worker for worker in workers}
    while left:
        for pipe in wait(list(left)):
            assert isinstance(pipe, Connection), "only pipes were waited for"
            fault = ""
            with suppress(EOFError, OSError):
                fault = pipe.recv()  # or the end of the pipe, that is, of the process
            process = left.pop(pipe).process
            process.join()
            code = process.exitcode or 0
            if code and not fault:
                fault = f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit {code}"
            if fault and not is_over.is_set():
                _log.warning("one of the workers ended (%s); the others do its share", fault)


def _work_in_silence(work: Callable[[], object], pipe: Connection) -> None:
    """Do the work; whoever started this process speaks for it."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # leases are given back on the way out
    silence = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(silence, stream)
    try:
        work()
    except Exception as error:
        said = str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
        with suppress(OSError):
            pipe.send(next(iter(said.splitlines()), ""))
        sys.exit(2)


def end_when_told() -> None:
    """Let SIGTERM and SIGHUP end this process as Ctrl-C does, with the command that it runs."""

    def end(*_: object) -> None:
        raise _TerminatedError

    for sent in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(sent) is not signal.SIG_IGN:  # as under nohup
            signal.signal(sent, end)


class _TerminatedError(KeyboardInterrupt):
    """This process was told to end, and its command was not."""


def run_command(
    words: Sequence[str], *, launcher: Sequence[str] = (), keeps_output: bool = False
) -> tuple[int, bytes]:
    """Run a command of kebench; return its exit code and, if that is kept, what it has printed.

    launcher: the words before `kebench`, such as `accelerate launch -m`. What ends this process (Ctrl-C,
    `end_when_told`) ends the command, by force if it lingers. The code is then STOPPED if the command has
    said so; else KeyboardInterrupt is raised.
    """
    process = subprocess.Popen(
        [*(launcher or (sys.executable, "-m")), "kebench", *words],
        stdout=subprocess.PIPE if keeps_output else None,
        env=os.environ | {_PARENT: str(os.getpid())},
    )
    try:
        printed, _ = process.communicate()
    except KeyboardInterrupt as stop:
        for sent in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(sent, signal.SIG_IGN)  # a second one must not leave the command behind
        # Ctrl-C at a terminal has reached the command too; give it time before it is sent another.
        if isinstance(stop, _TerminatedError) or not _has_ended(process, seconds=_GRACE_SECONDS):
            process.send_signal(signal.SIGINT)
            if not _has_ended(process, seconds=5 * _GRACE_SECONDS):
                process.kill()
                process.wait()
        if process.returncode == STOPPED:
            return STOPPED, b""
        raise
    return process.returncode, printed or b""


def _has_ended(process: subprocess.Popen[bytes], *, seconds: float) -> bool:
    with suppress(subprocess.TimeoutExpired):
        process.wait(seconds)
    return process.returncode is not None


def end_with_starter() -> None:
    """End this command when the process that `run_command` named ends, however that dies; on Linux only."""
    named = os.environ.pop(_PARENT, "")
    if sys.platform != "linux" or named != str(os.getppid()):
        return
    with suppress(OSError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if named != str(os.getppid()):  # it died before we said so
        sys.exit(128 + signal.SIGTERM)
