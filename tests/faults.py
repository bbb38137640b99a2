"""`make faults`: kill a grid at twenty random moments, then let it finish and compare.

Not a test of pytest's: it takes minutes and its moments are random (the seed is printed).
"""

import os
import random
import sys
import tempfile
import time
from pathlib import Path

from tests.grids import KILLED, Place, finish, fork_server, leftovers, scores, start

KILLS = 20
GRID = "--model bert-mini-random --tasks mini --seeds 2 --epochs 2 --train-rows 150"
COMMAND = ["run", *GRID.split(), "--out", "out"]


def main(seed: int) -> int:
    """Return 0 if the killed grid ends with the scores of an undisturbed one."""
    draw = random.Random(seed)
    context = fork_server()
    folder = Path(tempfile.mkdtemp(prefix="kebench-faults-"))
    quiet, killed = Place(folder / "undisturbed"), Place(folder / "killed")
    started = time.monotonic()
    assert finish(context, quiet, COMMAND) == 0, quiet.log
    whole_seconds = time.monotonic() - started
    killed.folder.mkdir()
    os.symlink(quiet.cache / "mini", _made(killed.cache) / "mini")
    for number in range(1, KILLS + 1):
        wait = draw.uniform(0.05, 2 * whole_seconds / KILLS)
        process = start(context, killed, COMMAND)
        process.join(timeout=wait)
        process.kill()
        process.join()
        how = "killed" if process.exitcode == KILLED else f"had ended with {process.exitcode}"
        print(f"{number:2}: {how} after {wait:.2f} s, {len(scores(killed.out))} records", flush=True)
    assert finish(context, killed, COMMAND) == 0, killed.log
    is_same = scores(killed.out) == scores(quiet.out) and not leftovers(killed.out)
    verdict = "the same scores as an undisturbed grid" if is_same else "DIFFERENT from an undisturbed grid"
    print(f"{KILLS} kills (seed {seed}): {len(scores(killed.out))} records, {verdict}; in {folder}")
    return 0 if is_same else 1


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True)
    return folder


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 0))
