"""Kills `kebench reproduce` at random moments: all its processes, the parent alone, or the command in hand.

The stages are those of the pipeline, in one profile. A parent killed alone leaves a command behind that goes
on beside the next one of its kind.
"""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import psutil

from kebench.records import record_paths
from tests.faults.pipeline import STAGES, prepare
from tests.grids import Place

# A stage is one command, but for the index, which goes into the folder of the import. Left out are the two
# that refuse what is there: no profile gives such a command.
INDEXED = "kb"
APART = ("rrf", "add", "index")
GO_ON = ("probe-run", "run")  # both fill one folder of results
SHORTEST_LIFE_SECONDS, LONGEST_LIFE_SECONDS = 0.3, 8.0
GROWTH = 1.15  # of a life after a kill, so that a stage that keeps nothing comes to its end, too
WHOM = ("all", "parent", "command")


def profile() -> str:
    """Return the pipeline as a profile, each stage after the one before it."""
    text, before = 'title = "faults"\nmachine = "any"\n', ""
    for name, stage in STAGES.items():
        if name in APART:
            continue
        commands = [stage.command, *([STAGES["index"].command] if name == INDEXED else [])]
        makes = "out" if name in GO_ON else stage.makes
        text += f'''
[[stages]]
name = "{name}"
title = "{name}"
commands = {json.dumps(commands)}
after = {json.dumps([before] if before else [])}
makes = ["{makes}"]
goes_on = {json.dumps(name in GO_ON)}
estimate = {{basis = "none"}}
'''
        before = name
    return text


def results(place: Place) -> dict[str, Any]:
    """Return what every stage of the profile made, to be compared."""
    return {
        name: stage.result(place.folder / stage.makes) for name, stage in STAGES.items() if name not in APART
    }


def disturbed(
    folder: Path, expected: dict[str, Any], draw: random.Random, *, kills: int
) -> tuple[Counter[str], list[str]]:
    """Reproduce into new folders until enough was killed; return how often each, and what was lost."""
    killed: Counter[str] = Counter()
    lost: list[str] = []
    passes = 0
    while killed.total() < kills:
        passes += 1
        place = prepare(folder / f"whole-{passes}")
        (place.folder / "whole.toml").write_text(profile())
        lost += disturbed_pass(place, expected, draw, killed, kills=kills)
        print(f"reproduction {passes}: {killed.total()} killed so far, {len(lost)} lost", flush=True)
        if not lost:
            shutil.rmtree(place.folder)
    return killed, lost


def disturbed_pass(
    place: Place, expected: dict[str, Any], draw: random.Random, killed: Counter[str], *, kills: int
) -> list[str]:
    """Reproduce once, killing again and again; return what was lost."""
    longest = LONGEST_LIFE_SECONDS
    finished: dict[Path, int] = {}  # records, and when they were written: no kill may have a run made twice
    sessions: list[int] = []
    while True:
        process = _start(place)
        sessions.append(process.pid)
        whom = ""
        if killed.total() < kills:
            try:
                process.wait(draw.uniform(SHORTEST_LIFE_SECONDS, longest))
            except subprocess.TimeoutExpired:
                whom = _kill(process, draw.choice(WHOM))
        code = process.wait()
        finished |= {path: path.stat().st_mtime_ns for path in record_paths(place.out)}
        if not whom and code:
            return [f"{place.folder}: ended with {code}: {place.log[-2000:]}"]
        if not whom:
            break
        killed[whom] += 1
        longest *= GROWTH
    _wait_for(sessions)
    try:
        made = results(place)
    except Exception as error:  # whatever a torn file makes its reader say
        return [f"{place.folder}: {error!r}"]
    lost = [f"{place.folder}: {name} differs" for name in made if made[name] != expected[name]]
    lost += [f"{path}: set aside" for path in place.folder.glob("*.outdated-*")]
    return lost + [
        f"{path}: made twice" for path, when in finished.items() if path.stat().st_mtime_ns != when
    ]


def _start(place: Place) -> subprocess.Popen[bytes]:
    with (place.folder / "log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "kebench", "reproduce", "--profile", "whole.toml", "--out", "."],
            cwd=place.folder,
            env=os.environ | {"KEBENCH_CACHE": str(place.cache), "OMP_NUM_THREADS": "1"},
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


def _kill(process: subprocess.Popen[bytes], whom: str) -> str:
    """Kill; return who was: a command only if there was one."""
    if whom == "all":
        os.killpg(process.pid, signal.SIGKILL)
        return whom
    if whom == "parent":
        process.kill()
        return whom
    commands = psutil.Process(process.pid).children()
    for command in commands:
        command.kill()
    return whom if commands and process.wait() else ""


def _wait_for(sessions: list[int]) -> None:
    """Wait for commands that were left behind."""
    while any(_session(pid) in sessions for pid in psutil.pids()):
        time.sleep(0.2)


def _session(pid: int) -> int:
    try:
        return os.getsid(pid) if psutil.Process(pid).status() != psutil.STATUS_ZOMBIE else 0
    except (ProcessLookupError, psutil.NoSuchProcess):
        return 0
