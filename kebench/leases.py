"""Leases: a run in progress holds `<stem>.running`, so that two grids on one folder share the work.

The file is created exclusively and holds host, pid, the process's start and a token. Its owner
touches it every minute; it is stale after ten minutes without a touch, or at once if its process
is gone from this host. A stale lease is taken by renaming it away first: of two takers one wins.
"""

import os
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
from pydantic import BaseModel, ValidationError

from kebench.files import crash_point

STALE_AFTER_SECONDS = 600
HEARTBEAT_SECONDS = 60
TORN_AFTER_SECONDS = 5


class Owner(BaseModel):
    """What a lease says of its holder. `started` tells a process from a later one with the same number."""

    host: str
    pid: int
    started: float | None
    token: str


@contextmanager
def lease(path: Path) -> Iterator[bool]:
    """Yield whether this process now holds the lease; it is kept alive and removed at the end."""
    token = _take(path)
    if token is None:
        yield False
        return
    stop = threading.Event()
    heart = threading.Thread(target=_beat, args=(path, stop), daemon=True)
    heart.start()
    try:
        yield True
    finally:
        stop.set()
        if _token_in(path) == token:
            path.unlink(missing_ok=True)


def _take(path: Path) -> str | None:
    path.parent.mkdir(parents=True, exist_ok=True)
    token = uuid.uuid4().hex
    if _create(path, token):
        return token
    if not is_stale(path):
        return None
    return token if _move_away(path) and _create(path, token) else None


def _create(path: Path, token: str) -> bool:
    """Create the lease with its content in one step: a link of a complete file fails if it exists."""
    temporary = path.parent / f".{path.name}.{token}.tmp"
    owner = Owner(host=_machine(), pid=os.getpid(), started=_started(os.getpid()), token=token)
    temporary.write_text(owner.model_dump_json())
    crash_point("lease.written")
    try:
        _link(temporary, path)
    except FileExistsError:
        return False
    finally:
        temporary.unlink(missing_ok=True)
    crash_point("lease.renamed")
    return True


def _link(source: Path, path: Path) -> None:
    """Give the file a second name; where the file system has no links, create it exclusively and fill it."""
    try:
        os.link(source, path)
    except FileExistsError:
        raise
    except OSError:
        with path.open("x") as file:
            file.write(source.read_text())


def _move_away(path: Path) -> bool:
    """Take a stale lease out of the way. False if another taker was faster."""
    token = _token_in(path)
    aside = path.parent / f".{path.name}.{uuid.uuid4().hex}.stale"
    try:
        path.rename(aside)
    except FileNotFoundError:
        return False
    if _token_in(aside) != token:  # between our look and our rename another taker had put its own lease here
        with suppress(FileExistsError):
            _link(aside, path)
        aside.unlink(missing_ok=True)
        return False
    aside.unlink(missing_ok=True)
    return True


def sweep_stale(folder: Path) -> None:
    """Remove the leases under a folder whose owners are gone: a kill leaves them behind."""
    for path in folder.rglob("*.running"):
        if is_stale(path):
            _move_away(path)


def is_stale(path: Path) -> bool:
    """Whether the lease's owner is gone: its process ended on this machine, or no touch for ten minutes."""
    try:
        age_seconds = time.time() - path.stat().st_mtime
        owner = Owner.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return False
    except ValidationError:  # not ours, or torn: a moment's grace for one that is just being written
        return age_seconds > TORN_AFTER_SECONDS
    if owner.host == _machine():
        return _started(owner.pid) != owner.started
    return age_seconds > STALE_AFTER_SECONDS


def _machine() -> str:
    """Name the place in which process numbers are unique: two hosts or containers may share a name."""
    parts = [socket.gethostname()]
    with suppress(OSError):
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text().strip())
        parts.append(os.readlink("/proc/self/ns/pid"))
    return " ".join(parts)


def _started(pid: int) -> float | None:
    """The start of a process, which tells it from a later one with the same number; None if it is gone."""
    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else float(process.create_time())
    except psutil.NoSuchProcess:
        return None


def _token_in(path: Path) -> str | None:
    try:
        return Owner.model_validate_json(path.read_bytes()).token
    except (OSError, ValidationError):
        return None


def _beat(path: Path, stop: threading.Event) -> None:
    while not stop.wait(HEARTBEAT_SECONDS):
        try:
            os.utime(path)
        except FileNotFoundError:
            return
