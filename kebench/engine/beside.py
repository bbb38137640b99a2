"""Further processes of this machine that do what this one does: work that is shared by leases in a folder.

Each has a GPU of its own where there are GPUs, or its share of the cores. None is started again: the lease of
one that died is stale at once (`kebench.leases`), and the others take over what it had in hand.
"""

import logging
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from pathlib import Path

from kebench.engine.processes import Place, plan_places
from kebench.errors import UserError
from kebench.runtime import end_with_parent

_LINGER_SECONDS = 60.0  # ours: that the others have to see that all is done
_MOMENT = 5.0  # ours: that one which is told to end has to give back its leases

_log = logging.getLogger(__name__)


class _Helper:
    """A process that calls a function once, in silence."""

    def __init__(self, place: Place, work: Callable[[], object]) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, others = context.Pipe(duplex=False)
        self.process: SpawnProcess = context.Process(
            target=_serve, args=(others, place, Path.cwd(), work), daemon=True
        )
        self.process.start()
        others.close()

    def fault(self) -> str:
        """Wait for its end; return in a line why it was none, or ""."""
        said = ""
        with suppress(EOFError, OSError):
            said = self.pipe.recv()  # or the end of the pipe, that is, of the process
        self.process.join()
        code = self.process.exitcode or 0
        return said or (
            f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit {code}" if code else ""
        )


@contextmanager
def beside(workers: int, work: Callable[[], object], *, uses_gpus: bool) -> Iterator[None]:
    """Have `workers - 1` processes do some work while the block does the same here, as one of `workers`.

    work: can be pickled, and shares by leases, so that it ends, here and there, once all is done.

    Whatever ends the block, or this process, ends the others. One that fails is told of in a line.
    """
    here, *there = plan_places(workers, uses_gpus=uses_gpus)
    is_over = threading.Event()
    with _sigint_ignored():
        helpers = [_Helper(place, work) for place in there]
    watch = threading.Thread(target=_tell_faults, args=(helpers, is_over), daemon=True)
    watch.start()
    try:
        with _threads(here.threads):
            yield
        watch.join(_LINGER_SECONDS)
    finally:
        is_over.set()
        for end in (SpawnProcess.terminate, SpawnProcess.kill):
            for helper in helpers:
                end(helper.process)
            watch.join(_MOMENT)
        for helper in helpers:
            helper.pipe.close()


def _tell_faults(helpers: Sequence[_Helper], is_over: threading.Event) -> None:
    """Say of each process that fails why, as soon as it does; return when all have ended."""
    left = {helper.pipe: helper for helper in helpers}
    while left:
        for pipe in wait(list(left)):
            assert isinstance(pipe, Connection), "only pipes were waited for"
            if (fault := left.pop(pipe).fault()) and not is_over.is_set():
                _log.warning("one of the workers ended (%s); the others do its share", fault)


@contextmanager
def _sigint_ignored() -> Iterator[None]:
    """Start processes that Ctrl-C does not reach, so that they end in silence by our word alone."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def _threads(number: int) -> Iterator[None]:
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _serve(pipe: Connection, place: Place, folder: Path, work: Callable[[], object]) -> None:
    """Do the work; whoever started this process speaks for it."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # leases are given back on the way out
    silence = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(silence, stream)
    os.chdir(folder)
    if place.gpu is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = place.gpu  # before torch looks
    end_with_parent()
    import torch

    torch.set_num_threads(place.threads)
    try:
        work()
    except Exception as error:
        said = str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
        with suppress(OSError):
            pipe.send(next(iter(said.splitlines()), ""))
        sys.exit(2)
