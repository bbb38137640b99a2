"""`make faults`: kill the whole pipeline at random moments, go on each time, and compare with a quiet run.

Not a test of pytest's: it takes minutes and its moments are random (the seed is printed). One pass goes
through all stages from an empty folder and an empty cache; passes follow until enough were killed. Half as
many kills again hit `kebench reproduce` on the same stages.

    python -m tests.faults [KILLS] [SEED]
"""

import random
import shutil
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from kebench.records import record_paths
from tests.faults import whole
from tests.faults.pipeline import STAGES, Stage, prepare, results, run_all
from tests.grids import KILLED, Place, start

KILLS = 200
LONGEST_LIFE_SECONDS = 0.6  # longer than a start, shorter than most stages
GROWTH = 1.25  # of a life after a kill, so that a stage that keeps nothing comes to its end, too
# What appears at its name whole or not at all; the other stages make several such things in one folder.
WHOLE = ("kb", "index", "rrf", "embed", "pretrain", "probe-build", "probe-export", "errors", "add")


def main(kills: int = KILLS, seed: int = 0) -> int:
    """Return 0 if nothing was lost by any kill."""
    draw = random.Random(seed)
    folder = Path(tempfile.mkdtemp(prefix="kebench-faults-"))
    quiet = prepare(folder / "undisturbed")
    run_all(quiet)
    expected = results(quiet)
    killed_in: Counter[str] = Counter()
    lost: list[str] = []
    passes = 0
    while killed_in.total() < kills:
        passes += 1
        place = prepare(folder / f"pass-{passes}")
        lost += disturbed_pass(place, expected, draw, killed_in, kills=kills)
        print(f"pass {passes}: {killed_in.total()} killed so far, {len(lost)} lost", flush=True)
        if not lost:
            shutil.rmtree(place.folder)
    for name in STAGES:
        print(f"{name:13} {killed_in[name]:4} killed")
    print(f"{killed_in.total()} killed in {passes} passes, {len(lost)} lost; seed {seed}; in {folder}")
    killed, more = whole.disturbed(folder, expected, draw, kills=kills // 2)
    lost += more
    print(", ".join(f"{name} {number} times" for name, number in sorted(killed.items())))
    print(f"{killed.total()} killed while reproducing, {len(more)} lost")
    print("\n".join(lost))
    return 1 if lost else 0


def disturbed_pass(
    place: Place,
    expected: dict[str, Any],
    draw: random.Random,
    killed_in: Counter[str],
    *,
    kills: int,
) -> list[str]:
    """Go through all stages, killing each again and again; return what was lost."""
    lost: list[str] = []
    finished: dict[Path, int] = {}  # records, and when they were written: no kill may have a run made twice
    for name, stage in STAGES.items():
        longest = LONGEST_LIFE_SECONDS
        while not _is_there(place, name, stage):
            process = start(place, stage.command.split())
            if killed_in.total() < kills:
                process.wait(draw.uniform(0.02, longest))
                process.kill()
            code = process.wait()
            if code == 0:
                break
            if code != KILLED:
                return [*lost, f"{place.folder}: {name} ended with {code}: {place.log[-1000:]}"]
            killed_in[name] += 1
            longest *= GROWTH
            lost += _torn(place, name, expected)
            finished |= {path: path.stat().st_mtime_ns for path in record_paths(place.out)}
    try:
        made = results(place)
    except Exception as error:  # whatever a torn file makes its reader say
        return [*lost, f"{place.folder}: {error!r}"]
    lost += [f"{place.folder}: {name} differs" for name in STAGES if made[name] != expected[name]]
    lost += [f"{path}: made twice" for path, when in finished.items() if path.stat().st_mtime_ns != when]
    return lost


def _is_there(place: Place, name: str, stage: Stage) -> bool:
    """Whether a stage is done that refuses what is there already."""
    return stage.refuses_what_is_there and stage.is_made(place)


def _torn(place: Place, name: str, expected: dict[str, Any]) -> list[str]:
    """Return what a kill left half written under its own name."""
    stage = STAGES[name]
    if name not in WHOLE or not stage.is_made(place):
        return []
    is_whole = stage.result(place.folder / stage.makes) == expected[name]
    return [] if is_whole else [f"{place.folder}: {name} was torn by a kill"]


if __name__ == "__main__":
    sys.exit(main(*(int(number) for number in sys.argv[1:])))
