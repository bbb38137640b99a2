"""Leases: a run in progress holds `<stem>.running`, so that two grids on one folder share the work.

The file is created exclusively and holds host, pid, the process's start and a token. Its owner
touches it every minute; it is stale after ten minutes without a touch, or at once if its process
is gone from this host. A stale lease is taken by renaming it away first: of two takers one wins.
"""

import logging
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

import psutil
from pydantic import BaseModel, ValidationError

from kebench.files import crash_point, link_new

_log = logging.getLogger(__name__)

STALE_AFTER_SECONDS = 600
HEARTBEAT_SECONDS = 60
TASK = "KEBENCH_TASK"  # the variable that names the task of a cluster for which a process works
TASK_HEARTBEAT_SECONDS = 10  # of such a process: whoever started it will hear when it is gone
TASK_SILENT_SECONDS = 30
TORN_AFTER_SECONDS = 5
WAIT_SECONDS = 2.0  # between looks at what another process has in hand

Piece = TypeVar("Piece")


class Owner(BaseModel):
    """What a lease says of its holder. `started` tells a process from a later one with the same number.

    task: of a cluster, that the process works for; "" if for none.
    """

    host: str
    pid: int
    started: str
    token: str
    task: str = ""


@contextmanager
def lease(path: Path) -> Iterator[bool]:
    """Yield whether this process now holds the lease; it is kept alive and removed at the end."""
    path.parent.mkdir(parents=True, exist_ok=True)
    token = uuid.uuid4().hex
    is_ours = _create(path, token)
    if not is_ours and (judged := stale_token(path)) is not None:
        is_ours = _move_away(path, judged) and _create(path, token)
    if not is_ours:
        yield False
        return
    stop = threading.Event()
    beat_seconds = TASK_HEARTBEAT_SECONDS if os.environ.get(TASK) else HEARTBEAT_SECONDS

    def beat() -> None:
        while not stop.wait(beat_seconds):
            try:
                os.utime(path)
            except FileNotFoundError:
                return
            except OSError as error:  # a network file system may be away for a moment
                _log.warning("%s: not touched (%s)", path, error.strerror)

    threading.Thread(target=beat, daemon=True).start()
    try:
        yield True
    finally:
        stop.set()
        if _token_in(path) == token:
            path.unlink(missing_ok=True)


def _create(path: Path, token: str) -> bool:
    """Create the lease with its content in one step: a link of a complete file fails if it exists.

    It need not outlast a power cut, as its owner does not: nothing waits for the disk.
    """
    temporary = path.parent / f".{path.name}.{token}.tmp"
    owner = Owner(
        host=_machine(),
        pid=os.getpid(),
        started=_started(os.getpid()),
        token=token,
        task=os.environ.get(TASK, ""),
    )
    temporary.write_text(owner.model_dump_json())
    crash_point("lease.written")
    try:
        link_new(temporary, path)
    except FileExistsError:
        return False
    finally:
        temporary.unlink(missing_ok=True)
    crash_point("lease.renamed")
    return True


def _move_away(path: Path, judged: str) -> bool:
    """Take the lease that was judged stale out of the way. False if another taker was faster."""
    aside = path.parent / f".{path.name}.{uuid.uuid4().hex}.stale"
    try:
        path.rename(aside)
    except FileNotFoundError:
        return False
    if _token_in(aside) != judged:  # after our look another taker had put its own lease here: back with it
        with suppress(FileExistsError):
            link_new(aside, path)
        aside.unlink(missing_ok=True)
        return False
    aside.unlink(missing_ok=True)
    return True


def sweep_stale(folder: Path) -> None:
    """Remove the leases of a folder of records whose owners are gone: a kill leaves them behind.

    Only files that are leases of ours, where leases of ours can be.
    """
    for path in folder.glob("*/*/seed*.running"):
        if (judged := stale_token(path)) is not None:
            _move_away(path, judged)


def stale_token(path: Path) -> str | None:
    """Return the token of a lease whose owner is gone, "" of a torn one; None if it is alive or not there.

    Gone: the process ended on this machine, or on another did not touch the lease for ten minutes.
    """
    try:
        touched_ns = path.stat().st_mtime_ns
        # A clock that was set back, here or on the owner's machine, must not keep a dead owner's lease alive.
        age_seconds = max(time.time() - touched_ns / 1e9, _silent_seconds(path, touched_ns=touched_ns))
        owner = Owner.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except ValidationError:  # a moment's grace for one that is just being written
        return "" if age_seconds > TORN_AFTER_SECONDS else None
    if owner.host == _machine():
        return owner.token if _started(owner.pid) != owner.started else None
    return owner.token if age_seconds > STALE_AFTER_SECONDS else None


_seen: dict[Path, tuple[int, float]] = {}  # when a lease was touched last, and since when we see it so


def _silent_seconds(path: Path, *, touched_ns: int) -> float:
    """Return for how long we have seen that a lease was touched last then, by our clock alone."""
    if path not in _seen or _seen[path][0] != touched_ns:
        _seen[path] = (touched_ns, time.monotonic())
    return time.monotonic() - _seen[path][1]


def _machine() -> str:
    """Name the place in which process numbers are unique: two hosts or containers may share a name."""
    parts = [socket.gethostname()]
    with suppress(OSError):
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text().strip())
        parts.append(os.readlink("/proc/self/ns/pid"))
    return " ".join(parts)


def _started(pid: int) -> str:
    """Tell a process from a later one with the same number; "" if it is gone.

    On Linux by its start in clock ticks since boot, which setting the clock does not move.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return "" if fields[0] == "Z" else fields[19]
    except OSError:
        pass
    try:
        process = psutil.Process(pid)
        return "" if process.status() == psutil.STATUS_ZOMBIE else f"{process.create_time():.0f}"
    except psutil.NoSuchProcess:
        return ""


def _token_in(path: Path) -> str:
    """Return the token in a lease, "" if it is torn or not there."""
    try:
        return Owner.model_validate_json(path.read_bytes()).token
    except (OSError, ValidationError):
        return ""


def remove_leases_of_dead(task: str, folders: Iterable[Path]) -> bool:
    """Remove the leases of a cluster's task that has died: others would wait. Say whether none is left.

    The cluster may be wrong: a node that it cannot reach may still reach the folder. So a lease is removed
    only once it has not been touched for three beats either, by our clock alone.
    """
    left = False
    for path in (found for folder in folders for found in folder.rglob("*.running")):
        try:
            owner = Owner.model_validate_json(path.read_bytes())  # opening it also refreshes NFS's memory
            silent_seconds = _silent_seconds(path, touched_ns=path.stat().st_mtime_ns)
        except (OSError, ValidationError):
            continue
        if owner.task != task:
            continue
        is_gone = stale_token(path) == owner.token or silent_seconds >= TASK_SILENT_SECONDS
        left = not (is_gone and _move_away(path, owner.token)) or left
    return not left


def share(
    pieces: Iterable[Piece],
    path_of: Callable[[Piece], Path],
    *,
    is_done: Callable[[Piece], bool],
    work: Callable[[Piece], None],
    after: Callable[[Piece], None] = lambda piece: None,
) -> None:
    """Have every piece of some work done, each by one process; wait for those that others have in hand.

    pieces: those that are not done yet.
    path_of: the lease of a piece. after: is told of each piece once it is done, here or elsewhere.
    """
    left = list(pieces)
    while left:
        elsewhere = []
        for piece in left:
            with lease(path_of(piece)) as is_ours:
                if is_ours and not is_done(piece):
                    work(piece)
            if is_done(piece):
                after(piece)
            else:
                elsewhere.append(piece)
        if len(elsewhere) == len(left):
            time.sleep(WAIT_SECONDS)
        left = elsewhere


def share_one(path: Path, *, is_done: Callable[[], bool], work: Callable[[], None]) -> None:
    """Have one piece of work done by one process, and wait for it."""
    if not is_done():
        share([path], lambda piece: piece, is_done=lambda piece: is_done(), work=lambda piece: work())
