"""Runs whole grids in processes of their own, so that tests can kill them."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from kebench.records import read_record, record_paths
from tests import forks
from tests.forks import KILLED, Running

__all__ = ["KILLED", "Place", "finish", "leftovers", "scores", "start"]


class Place(NamedTuple):
    """Where a grid runs: its working folder, records, cache and log."""

    folder: Path

    @property
    def out(self) -> Path:
        """The folder of its records."""
        return self.folder / "out"

    @property
    def cache(self) -> Path:
        """Its cache."""
        return self.folder / "cache"

    @property
    def log(self) -> str:
        """What it has said so far."""
        return (self.folder / "log").read_text()


def start(
    place: Place, command: list[str], crash_at: str = "", disturb: Callable[[], None] | None = None
) -> Running:
    """Start `kebench COMMAND` in a process of its own, which kills itself at the crash point named.

    disturb: is called there before the command.
    """
    place.folder.mkdir(parents=True, exist_ok=True)
    return forks.start(
        *command,
        crash_at=crash_at,
        folder=place.folder,
        log=place.folder / "log",
        before=disturb,
        KEBENCH_CACHE=str(place.cache),
    )


def finish(
    place: Place, command: list[str], crash_at: str = "", disturb: Callable[[], None] | None = None
) -> int | None:
    """Run `kebench COMMAND` to its end; return its exit code, -9 if it was killed."""
    return start(place, command, crash_at, disturb).wait()


def scores(out: Path) -> dict[str, Any]:
    """Return all that a grid found, by identity: records without their provenance, predictions as hashes.

    Fails if a record is torn or if one run is recorded twice.
    """
    found: dict[str, Any] = {}
    for path in record_paths(out):
        record = read_record(path)
        assert record.identity not in found, f"{path}: recorded twice"
        predictions = path.with_name(path.name.replace(".json", ".predictions.json.gz")).read_bytes()
        result = json.loads(record.model_dump_json(exclude={"provenance"}))
        found[record.identity] = [result, hashlib.sha256(predictions).hexdigest()]
    return found


def leftovers(out: Path) -> list[str]:
    """Return the names of leases and failures that are left under a folder."""
    return [path.name for path in out.rglob("*") if path.name.endswith((".running", ".failed.json"))]
