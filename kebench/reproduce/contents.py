"""What files hold, known again by size and time: a file is read once, and anew only if it has changed."""

import json
import logging
import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from kebench.bounded import parse_json
from kebench.files import hash_of, sha256_of, write_atomically

STAMPS = "steps"  # the folder of stamps, leases and notes under {out}
PASSING = (".running", ".parts", ".tmp")  # how the names of what comes and goes end: leases, unfinished work
SAID_GIB = 1.0  # reading more than this to know it again is said
MOST_MANIFEST_BYTES = 16 << 20  # ours

# Of a manifest or a curve, what differs between two runs of one command: times, places, resources.
VARIES = frozenset({
    "seconds", "provenance", "started_utc", "created_utc", "resumed_after_step", "resumed_after_epoch",
    "peak_mib", "elapsed_seconds", "made_utc", "finished_utc", "energy_kwh", "tokens_per_second",
})  # fmt: skip

Files = dict[str, tuple[int, int, str]]  # by path: size in bytes, time of change in ns, SHA-256
_FILES = TypeAdapter(Files)

_log = logging.getLogger(__name__)


def hash_of_path(path: Path, out: Path) -> str:
    """Return a hash of a file, or of all files in a folder. out: where what was read is noted."""
    note = out / STAMPS / f"read-{hash_of(str(path.resolve()))[:16]}.json"
    try:
        seen = _FILES.validate_json(note.read_bytes())
    except (OSError, ValueError):  # none yet, or damaged: all is read
        seen = {}
    # Gone since: what was made of it stays good, and `needs` says if it is needed again.
    found = look(files_under(path), path.parent, seen) if path.exists() else seen
    if found != seen:
        write_atomically(note, json.dumps(found), point="step")
    return hash_of({name: sha256 for name, (_, _, sha256) in found.items()})


def files_under(path: Path) -> list[Path]:
    """Return the files in a folder, or the file itself, but for what is being written and leases."""
    if not path.is_dir():
        return [path] if path.is_file() else []
    return sorted(
        one
        for one in path.rglob("*")
        if not any(part.startswith(".") or part.endswith(PASSING) for part in one.relative_to(path).parts)
        and one.is_file()
    )


def look(files: Iterable[Path], root: Path, seen: Mapping[str, tuple[int, int, str]]) -> Files:
    """Return size, time and SHA-256 of files that are there.

    seen: what is known; a file that has the size and time that were seen is not read.
    """
    found = {}
    unread: dict[str, Path] = {}
    for path in files:
        with suppress(FileNotFoundError):  # another process may have had it in hand
            name, stat = os.path.relpath(path, root), path.stat()
            before = seen.get(name, (-1, 0, ""))
            found[name] = (stat.st_size, stat.st_mtime_ns, before[2])
            if before[:2] != found[name][:2]:
                unread[name] = path
    gib = sum(found[name][0] for name in unread) / (1 << 30)
    if gib > SAID_GIB:
        _log.info("%s: reading %.0f GiB once, to know them again", root, gib)
    for name, path in unread.items():
        size, changed_ns, _ = found.pop(name)
        with suppress(FileNotFoundError):
            found[name] = (size, changed_ns, sha256_of(path))
    return dict(sorted(found.items()))


def essence_of(files: Files, root: Path) -> str:
    """Return a hash of what files say, less what differs each time that they are made."""
    essences: dict[str, Any] = {}
    for name, (size, _, sha256) in files.items():
        path, essences[name] = root / name, sha256
        if path.suffix in (".json", ".jsonl") and size <= MOST_MANIFEST_BYTES:
            with suppress(ValueError, OSError):  # not JSON, or with NaN; gone since
                content = path.read_bytes()
                lines = content.splitlines() if path.suffix == ".jsonl" else [content]
                essences[name] = hash_of([steady(parse_json(line)) for line in lines])
    return hash_of(essences)


def steady(value: Any) -> Any:
    """Return a JSON value without what differs between two runs of one command."""
    if isinstance(value, dict):
        return {name: steady(one) for name, one in value.items() if name not in VARIES}
    return [steady(one) for one in value] if isinstance(value, list) else value
