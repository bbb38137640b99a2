"""One command several times on a Ray cluster: for work whose pieces are shared by leases in one folder.

Probes, annotations and pretrainings share their work already among any number of processes that see the
folder, so a copy is the same command, started as a Ray task with the resources of a job. A copy that Ray has
lost is started again once its leases are gone (`kebench.leases`), which other copies would wait ten minutes
for. We do that, not Ray: it would start the next copy while the last one's leases are there.
"""

import io
import logging
import os
import runpy
import socket
import sys
import time
import uuid
from collections.abc import Sequence
from contextlib import ExitStack, redirect_stderr, redirect_stdout, suppress
from pathlib import Path
from typing import Any, NamedTuple

from kebench.engine.cluster import RETRIES, Cluster, first_line, ours, prepare, remote
from kebench.errors import UserError
from kebench.leases import TASK, remove_leases_of_dead

_LOOK_SECONDS = 2.0

_log = logging.getLogger(__name__)


class Ended(NamedTuple):
    """How a copy ended: its exit code, what it printed, and its last line on stderr."""

    code: int
    printed: str
    said: str


def run_copies(
    arguments: Sequence[str], cluster: Cluster, *, copies: int, shared: Path, leases: Sequence[Path]
) -> str:
    """Run `kebench ARGUMENTS` as so many tasks; return what the first that ended well has printed.

    shared: the folder that all write to, which every node must see at the same place.
    leases: the folders in which lost copies may have left leases.
    Raises UserError with what a copy said if none ended well.
    """
    import ray

    running: dict[Any, tuple[str, int]] = {}  # the task of each copy, and how often it was started
    # A file beside the folder, by which a node tells that it sees the same place.
    marker = shared.absolute().parent / f".{shared.name}.{uuid.uuid4().hex[:8]}.seen"
    marker.parent.mkdir(parents=True, exist_ok=True)
    marker.touch()
    with ExitStack() as stack:
        stack.callback(marker.unlink, missing_ok=True)

        def start(tries: int) -> None:
            task = uuid.uuid4().hex
            given = (list(arguments), str(Path.cwd()), str(marker), task, cluster.cpus, ours())
            running[remote(cluster, _run_command, retries=0).remote(*given)] = task, tries

        for _ in range(copies):
            start(1)
        printed, faults, lost = None, [], list[tuple[str, int]]()
        while running or lost:
            if not running:
                time.sleep(_LOOK_SECONDS)
            done = ray.wait(list(running), timeout=_LOOK_SECONDS)[0] if running else []
            for reference in done:
                copy = running.pop(reference)
                try:
                    ended: Ended = ray.get(reference)
                except ray.exceptions.RayTaskError as error:
                    ended = Ended(1, "", f"Ray could not run it: {first_line(error)}")
                except ray.exceptions.RayError as error:
                    _log.warning("a copy was lost (%s)", first_line(error))
                    lost += [copy]
                    continue
                if ended.code:
                    faults.append(ended.said)
                elif printed is None:
                    printed = ended.printed
            for task, tries in [copy for copy in lost if remove_leases_of_dead(copy[0], leases)]:
                lost.remove((task, tries))
                if printed is None and tries > RETRIES:
                    faults.append(f"lost {tries} times; ask for more by --memory-per-job, or see Ray's logs")
                elif printed is None:
                    start(tries + 1)
    if printed is None:
        raise UserError(faults[0] if faults else "no copy of the command ended; see Ray's logs")
    for fault in faults:
        _log.warning("a copy ended with: %s", fault)
    return printed


def _run_command(
    arguments: list[str], folder: str, marker: str, task: str, cpus: float, theirs: list[Any]
) -> Ended:
    """Run a command in this process, which ends with it if the node is lost."""
    printed, said = io.StringIO(), io.StringIO()
    try:
        prepare(theirs, cpus)
    except UserError as error:
        return Ended(2, "", str(error))
    if not Path(marker).exists():
        why = "this command shares its work in a folder that every node must see at the same place"
        return Ended(2, "", f"{Path(marker).parent}: not seen by node {socket.gethostname()}; {why}")
    os.environ[TASK] = task
    os.chdir(folder)
    sys.argv = ["kebench", *arguments]
    code: Any = 0
    with redirect_stdout(printed), redirect_stderr(said):
        try:
            runpy.run_module("kebench", run_name="__main__", alter_sys=True)
        except SystemExit as stop:
            code = stop.code
        finally:
            del os.environ[TASK]
            for handler in logging.getLogger().handlers[:]:  # it writes to our text, and the next to its own
                with suppress(ValueError):
                    logging.getLogger().removeHandler(handler)
    lines = [line for line in said.getvalue().splitlines() if line.strip()]
    return Ended(int(code or 0), printed.getvalue(), lines[-1].removeprefix("kebench: ") if lines else "")
