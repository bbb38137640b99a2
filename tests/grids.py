"""Runs whole grids in processes of their own, so that tests can kill them.

A fork server that has imported everything starts each process in milliseconds instead of seconds.
"""

import hashlib
import json
import multiprocessing
import os
import sys
from collections.abc import Callable
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path
from typing import Any, NamedTuple

from kebench.records import read_record, record_paths

PRELOADED = [
    "torch",
    "seqeval.metrics",
    "kebench.cli.run",
    "kebench.engine.local",
    "kebench.finetune.job",
    "kebench.umls.importing",
    "kebench.transe.embed",
    "tests.grids",
]
KILLED = -9


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


def fork_server() -> ForkServerContext:
    """Return a context whose server has imported what a grid needs."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    return context


def start(
    context: ForkServerContext,
    place: Place,
    command: list[str],
    crash_at: str = "",
    disturb: Callable[[], None] | None = None,
) -> ForkServerProcess:
    """Start `kebench COMMAND` in a process of its own, which kills itself at the crash point named.

    disturb: is called there before the command.
    """
    process = context.Process(target=_main, args=(place, command, crash_at, disturb), daemon=True)
    process.start()
    return process


def finish(
    context: ForkServerContext,
    place: Place,
    command: list[str],
    crash_at: str = "",
    disturb: Callable[[], None] | None = None,
) -> int | None:
    """Run `kebench COMMAND` to its end; return its exit code, -9 if it was killed."""
    process = start(context, place, command, crash_at, disturb)
    process.join()
    return process.exitcode


def _main(place: Place, command: list[str], crash_at: str, disturb: Callable[[], None] | None) -> None:
    place.folder.mkdir(parents=True, exist_ok=True)
    os.chdir(place.folder)
    os.environ |= {"KEBENCH_CACHE": str(place.cache), "KEBENCH_CRASH_AT": crash_at}
    log = os.open("log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)
    import torch

    from kebench.cli import main

    torch.set_num_threads(1)
    if disturb is not None:
        disturb()
    try:
        main(command)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()


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
