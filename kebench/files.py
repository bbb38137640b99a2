"""Writes that survive a crash, content hashes, and the cache folder.

Every write that matters goes through `write_atomically` or `atomic_folder`: temp name beside
the target, fsync, rename. Each names its crash point, so that a test can stop the process
there: `KEBENCH_CRASH_AT=record.renamed:2` kills it the second time it has renamed a record.
"""

import glob
import hashlib
import json
import logging
import os
import re
import shutil
import signal
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from kebench.errors import UserError

# What is written atomically. A crash point is NAME.written (the temporary file is complete, the
# target untouched) or NAME.renamed (the target is there, nothing after it has happened).
WRITES = {
    "record": "a finished run",
    "predictions": "the predictions beside a record",
    "failure": "a run that failed",
    "lease": "a run in progress",
    "weights": "the kept weights of a run",
    "features": "tokenised data in the cache",
    "model": "fetched weights in the cache",
    "world": "the miniature in the cache",
    "data": "a downloaded or converted data set",
    "page": "a page: of results, or of errors",
    "merged": "a probe that 'kebench merge' copied",
    "card": "a card written by 'kebench model add'",
    "embeddings": "entity embeddings with their card",
    "embedding-state": "an unfinished training of embeddings in the cache",
    "kb": "a knowledge base",
    "probe-part": "some queries of an unfinished probe",
    "probe": "the predictions of a probe, with its record",
    "rrf": "RRF files written by 'kebench kb export'",
    "index": "the index of a knowledge base's names",
    "index-graph": "the graph of such an index, and that it is there",
    "corpus": "what a linked corpus is made of, or holds",
    "shard": "passages of a linked corpus",
    "sequences": "a corpus as word pieces in the cache",
    "pretraining-state": "an unfinished pretraining in the cache",
    "pretrained": "a pretrained checkpoint",
    "not-finite": "the documents of a batch whose loss was not finite",
    "step": "a step of 'kebench reproduce': that it is done, what it printed, what it read",
    "shipped": "a model or data that came to a node of a cluster, in its cache",
    "query-set": "a set of cloze queries, or the identifiers of one",
}
SEAL = "seal.json"  # the hashes of a folder's files
TEMPORARY_STALE_SECONDS = 24 * 3600
TEMPORARY_IDLE_SECONDS = 600  # as a lease: longer than any pause of a process that writes
# What `temporary_beside` and `kebench.leases` call their files, and nobody else his own.
TEMPORARY_NAME = re.compile(r"\.(\d+-[0-9a-f]{8}\.tmp|running\.[0-9a-f]{32}\.(tmp|stale))$")
_HASHED_AT_ONCE = 1 << 20  # bytes
CRASH_POINTS = tuple(f"{name}.{moment}" for name in WRITES for moment in ("written", "renamed"))
_log = logging.getLogger(__name__)
_passed: Counter[str] = Counter()


def crash_point(name: str) -> None:
    """Kill this process with SIGKILL if KEBENCH_CRASH_AT=name:n names this point's n-th passing."""
    assert name in CRASH_POINTS, f"{name} is not listed in files.WRITES"
    wanted = os.environ.get("KEBENCH_CRASH_AT")
    if not wanted:
        return
    wanted_name, _, count = wanted.partition(":")
    assert wanted_name in CRASH_POINTS, f"KEBENCH_CRASH_AT={wanted}: there is no such point"
    _passed[name] += 1
    if wanted_name == name and _passed[name] == int(count or 1):
        os.kill(os.getpid(), signal.SIGKILL)


def write_atomically(
    path: Path, content: bytes | str, *, point: str, move: Callable[[Path, Path], object] = os.replace
) -> None:
    """Write a file so that it is either wholly there or not there at all.

    point: the entry of `WRITES` that this write belongs to. move: what gives the finished file its name.
    """
    temporary = temporary_beside(path)
    try:
        temporary.write_bytes(content.encode() if isinstance(content, str) else content)
        move_whole(temporary, path, point=point, move=move)
    finally:
        temporary.unlink(missing_ok=True)


def create_atomically(path: Path, content: str, *, point: str) -> bool:
    """Write a file as `write_atomically` does, unless it is there: False if so. Of two writers one wins."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        write_atomically(path, content, point=point, move=link_new)
    except FileExistsError:
        return False
    return True


def link_new(source: Path, path: Path) -> None:
    """Give a file a second name. Raises FileExistsError if it is taken."""
    try:
        os.link(source, path)
    except FileExistsError:
        raise
    except OSError:  # a file system without links: the second file is created exclusively and filled
        with path.open("x") as file:
            file.write(source.read_text())


def move_whole(
    temporary: Path, path: Path, *, point: str, move: Callable[[Path, Path], object] = os.replace
) -> None:
    """Give a finished temporary file its name, on the disk and not in memory alone."""
    _fsync(temporary)
    crash_point(f"{point}.written")
    move(temporary, path)
    _fsync_folder(path.parent)
    crash_point(f"{point}.renamed")


def write_parquet_atomically(path: Path, table: Any, *, point: str) -> None:
    """Write an Arrow table as Parquet so that the file is either wholly there or not at all."""
    import pyarrow
    import pyarrow.parquet

    sink = pyarrow.BufferOutputStream()
    pyarrow.parquet.write_table(table, sink, compression="zstd")
    write_atomically(path, sink.getvalue().to_pybytes(), point=point)


@contextmanager
def atomic_folder(path: Path, *, point: str, sealed: bool = False) -> Iterator[Path]:
    """Yield a temporary folder beside `path`; when the block ends well, it becomes `path`.

    sealed: with the hashes of its files, so that `broken_file` tells later what was damaged.

    If another process has finished the same folder first, its folder stays and ours is dropped.
    """
    temporary = temporary_beside(path)
    temporary.mkdir(parents=True)
    try:
        yield temporary
        files = [file for file in sorted(temporary.rglob("*")) if file.is_file()]
        if sealed:
            hashes = {str(file.relative_to(temporary)): sha256_of(file) for file in files}
            files.append(temporary / SEAL)
            files[-1].write_text(json.dumps(hashes, indent=1) + "\n", encoding="utf-8")
        for file in files:
            _fsync(file)
        crash_point(f"{point}.written")
        try:
            temporary.rename(path)
        except OSError:
            if not path.is_dir():
                raise
        _fsync_folder(path.parent)
        crash_point(f"{point}.renamed")
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def broken_file(folder: Path) -> str:
    """Return the first file of a sealed folder that is not as it was written, or is missing; "" if none is.

    A folder without a seal, as older versions wrote them, tells nothing: "".
    """
    try:
        hashes = json.loads((folder / SEAL).read_bytes())
    except FileNotFoundError:
        return ""
    except (ValueError, RecursionError):
        return SEAL
    if not isinstance(hashes, dict):
        return SEAL
    for name, stated in hashes.items():
        path = folder / name
        if not path.is_file() or sha256_of(path) != stated:
            return str(name)
    return ""


def remove_if_broken(folder: Path) -> None:
    """Remove a sealed folder of the cache of which a file is damaged, and say so: it is made again."""
    if broken := broken_file(folder):
        _log.warning("%s: damaged; %s is made again", folder / broken, folder)
        shutil.rmtree(folder, ignore_errors=True)


def check_can_be_made(path: Path) -> None:
    """Raise UserError if a folder cannot be made at `path`: before hours of work, not after."""
    try:
        temporary = temporary_beside(path)
        temporary.mkdir()
        temporary.rmdir()
    except OSError as error:
        raise UserError(f"{path}: cannot be made ({error.strerror}); choose another --out") from None


def temporary_beside(path: Path) -> Path:
    """Return a name beside a path for what is being written, in a folder that exists; swept when stale."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.parent / f".{path.name}.{os.getpid()}-{uuid.uuid4().hex[:8]}.tmp"


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _fsync_folder(folder: Path) -> None:
    with suppress(OSError):  # some network file systems refuse to sync a folder
        _fsync(folder)


def sha256_of(path: Path, *, on_read: Callable[[int], None] | None = None) -> str:
    """Return the hex SHA-256 of a file's bytes. on_read: is told how many more have been read."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while part := file.read(_HASHED_AT_ONCE):
            digest.update(part)
            if on_read is not None:
                on_read(len(part))
    return digest.hexdigest()


def hash_of(value: Any) -> str:
    """Return the hex SHA-256 of a JSON value, keys sorted: equal values, equal hashes."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def cache_folder() -> Path:
    """Return the cache: KEBENCH_CACHE, else $XDG_CACHE_HOME/kebench, else ~/.cache/kebench."""
    if chosen := os.environ.get("KEBENCH_CACHE"):
        return expand_home(chosen)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "kebench"


def expand_home(path: str) -> Path:
    """Return a path with ~ and ~user replaced. Raises UserError if there is no such user."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise UserError(f"{path}: no such home folder; write the path out") from None


def sweep_temporaries(folder: Path) -> None:
    """Remove what writes that were killed have left behind, once nobody can still be writing it."""
    for path in folder.rglob(".*"):
        if not TEMPORARY_NAME.search(path.name):
            continue
        with suppress(OSError):
            if time.time() - path.stat().st_mtime > TEMPORARY_STALE_SECONDS:
                _remove(path)


def sweep_temporaries_of(path: Path) -> None:
    """Remove what killed writes of this very file or folder have left beside it, which may be gigabytes.

    What nothing has been written to for ten minutes, and whose process is not there any more, is nobody's.
    """
    for left in path.parent.glob(f".{glob.escape(path.name)}.*.tmp"):
        owner = TEMPORARY_NAME.search(left.name)
        if not owner:
            continue
        process = owner[1].partition("-")[0]
        if process.isdecimal() and Path("/proc").is_dir() and Path(f"/proc/{process}").exists():
            continue
        times = [left.stat().st_mtime]
        for inside in left.rglob("*"):
            with suppress(OSError):
                times.append(inside.stat().st_mtime)
        if time.time() - max(times) > TEMPORARY_IDLE_SECONDS:
            _remove(left)


def _remove(path: Path) -> None:
    with suppress(OSError):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
