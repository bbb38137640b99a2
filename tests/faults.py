"""`make faults`: kill a grid, an import and an embedding at random moments, let them finish, and compare.

Not a test of pytest's: it takes minutes and its moments are random (the seed is printed).
"""

import hashlib
import os
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import Any, NamedTuple

from tests.grids import KILLED, Place, finish, fork_server, leftovers, scores, start

MINIATURE = "embedded:mini"


class Work(NamedTuple):
    """A command that is killed, and what has to be equal in the end.

    result: what it made in its folder `out`, comparable. before: commands that make what it needs.
    is_whole: `out` is there whole or not at all, at any moment.
    """

    command: str
    kills: int
    result: Callable[[Path], Any]
    before: tuple[str, ...] = ()
    is_whole: bool = True


def grid_scores(out: Path) -> dict[str, Any]:
    """Return the scores of a grid; fails if a lease or the note of a failure is left."""
    assert not (left := leftovers(out)), left
    return scores(out)


def file_hashes(out: Path) -> dict[str, str]:
    """Return the SHA-256 of all files but the manifests, which hold times."""
    return {
        str(path.relative_to(out)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(out.rglob("*"))
        if path.is_file() and path.suffix != ".json"
    }


GRID = "run --model bert-mini-random --tasks mini --seeds 2 --epochs 2 --train-rows 150 --out out"
WORKS = {
    "grid": Work(GRID, 20, grid_scores, is_whole=False),
    "import": Work(
        f"kb import {MINIATURE} --out out",
        20,
        file_hashes,
        before=(f"kb import {MINIATURE} --out first",),
    ),
    "embed": Work(
        "embed kb --recipe transe-mini --evaluate --out out",
        20,
        file_hashes,
        before=(f"kb import {MINIATURE} --out kb",),
    ),
}


def main(seed: int) -> int:
    """Return 0 if everything that was killed ends as if it had not been."""
    context, folder = fork_server(), Path(tempfile.mkdtemp(prefix="kebench-faults-"))
    draw = random.Random(seed)
    is_same = [survives(name, work, folder / name, draw, context) for name, work in WORKS.items()]
    print(f"seed {seed}; in {folder}")
    return 0 if all(is_same) else 1


def survives(name: str, work: Work, folder: Path, draw: random.Random, context: ForkServerContext) -> bool:
    """Kill a command again and again, then let it finish; return if its result is that of a quiet run."""
    quiet, timed, killed = (Place(folder / name) for name in ("undisturbed", "timed", "killed"))
    command = work.command.split()
    for place in (quiet, timed, killed):
        place.cache.mkdir(parents=True)
        for step in work.before:
            assert finish(context, place, step.split()) == 0, place.log
    if (quiet.cache / "mini").exists() and not (killed.cache / "mini").exists():
        os.symlink(quiet.cache / "mini", killed.cache / "mini")
    assert finish(context, quiet, command) == 0, quiet.log
    started = time.monotonic()
    assert finish(context, timed, command) == 0, timed.log
    whole_seconds = time.monotonic() - started
    num_killed = 0
    for number in range(1, work.kills + 1):
        wait = draw.uniform(0.05, whole_seconds if work.is_whole else 2 * whole_seconds / work.kills)
        process = start(context, killed, command)
        process.join(timeout=wait)
        process.kill()
        process.join()
        was_killed = process.exitcode == KILLED
        num_killed += was_killed
        there = "there" if killed.out.exists() else "not there"
        print(f"{name} {number:2}: {'killed' if was_killed else 'had ended'} after {wait:.2f} s, out {there}")
        if work.is_whole and killed.out.exists():
            assert work.result(killed.out) == work.result(quiet.out), f"{killed.out} is not whole"
            shutil.rmtree(killed.out)
    assert finish(context, killed, command) == 0, killed.log
    is_same = bool(work.result(killed.out) == work.result(quiet.out))
    print(
        f"{name}: {num_killed} killed of {work.kills}: {'the same' if is_same else 'DIFFERENT'}", flush=True
    )
    return is_same


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 0))
