"""Makes the places bad that a process writes to, full or not to be written; called in one of its own."""

import ctypes
import os
import resource
from pathlib import Path

_libc = ctypes.CDLL(None, use_errno=True)
CLONE_NEWNS, MS_RDONLY, MS_REMOUNT, MS_BIND, MS_REC, MS_PRIVATE = 0x20000, 1, 32, 4096, 16384, 1 << 18
NOT_ALLOWED = 77  # what the process ends with where it may not mount


def no_file_above(most_bytes: int) -> None:
    """Let this process write no file that is larger."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, most_bytes))


def small_disk_at(folder: Path, size: str) -> None:
    """Put an empty file system of a size ("200k") at a folder; only this process sees it."""
    folder.mkdir(parents=True, exist_ok=True)
    _own_mounts()
    _mount("tmpfs", folder, "tmpfs", 0, f"size={size}")


def read_only(folder: Path) -> None:
    """Let this process, root or not, write nothing into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    _own_mounts()
    _mount(str(folder), folder, "", MS_BIND)
    _mount(str(folder), folder, "", MS_BIND | MS_REMOUNT | MS_RDONLY)


def _own_mounts() -> None:
    if _libc.unshare(CLONE_NEWNS) != 0:
        os._exit(NOT_ALLOWED)
    _mount("none", Path("/"), "", MS_REC | MS_PRIVATE)


def _mount(source: str, target: Path, kind: str, flags: int, options: str = "") -> None:
    if _libc.mount(source.encode(), str(target).encode(), kind.encode(), flags, options.encode()) != 0:
        os._exit(NOT_ALLOWED)
