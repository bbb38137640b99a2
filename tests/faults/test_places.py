"""Full disks, and places that cannot be written: one line, exit code 2, nothing torn, the same end later."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.faults.pipeline import STAGES, copy_place
from tests.faults.places import NOT_ALLOWED, no_file_above, read_only, small_disk_at
from tests.grids import Place, finish

# Bytes that a file may have: too few for the largest that the stage writes. Imports, sets and exports have
# such tests in tests/umls and tests/probe.
LIMITS = {
    "index": 3_000, "embed": 3_000, "annotate": 3_000, "pretrain": 20_000, "probe-run": 2_000, "run": 8_000,
    "merge": 900, "page": 3_000, "errors": 3_000,
}  # fmt: skip
# Where a small file system stands for the whole disk of a stage, and its command.
SMALL_DISKS = {
    "kb": STAGES["kb"].command.replace("--out ", "--out small/"),
    "annotate": STAGES["annotate"].command.replace("--out ", "--out small/"),
    "pretrain": STAGES["pretrain"].command.replace("--out ", "--out small/"),
    "run": STAGES["run"].command.replace("--out ", "--out small/"),
}
FROZEN = {
    "kb": "kb", "index": "kb", "embed": "vectors", "annotate": "corpus", "pretrain": "checkpoint",
    "probe-build": "set", "probe-export": "ids.csv", "probe-run": "out", "run": "out", "merge": "merged",
    "page": "site", "errors": "errors.html",
}  # fmt: skip


def without(name: str, quiet: Place, folder: Path) -> Place:
    """Return a copy of a place in which a stage has not been run yet."""
    place = copy_place(quiet, folder)
    made = place.folder / STAGES[name].makes
    shutil.rmtree(made) if made.is_dir() else made.unlink()
    shutil.rmtree(place.cache / "sequences")
    shutil.rmtree(place.cache / "features")
    (place.folder / "log").unlink()
    return place


def last_line(place: Place, command: str, disturb: Callable[[], None]) -> str:
    """Run a command in a bad place; return the line that it ends with."""
    code = finish(place, command.split(), disturb=disturb)
    if code == NOT_ALLOWED:
        pytest.skip("this process may not mount")
    assert "Traceback" not in place.log, place.log
    assert code == 2, (code, place.log)
    return place.log.strip().splitlines()[-1]


@pytest.mark.slow
@pytest.mark.parametrize("name", LIMITS)
def test_a_stage_on_a_full_disk_ends_in_one_line_and_later_as_an_undisturbed_one(
    name: str, quiet: Place, expected: dict[str, Any], tmp_path: Path
) -> None:
    stage, place = STAGES[name], without(name, quiet, tmp_path / "place")
    line = last_line(place, stage.command, partial(no_file_above, LIMITS[name]))
    assert line.startswith("kebench: ") or "failed" in place.log
    assert not (place.folder / stage.makes).is_file()
    assert finish(place, stage.command.split()) == 0, place.log[-2000:]
    assert stage.result(place.folder / stage.makes) == expected[name]


@pytest.mark.slow
@pytest.mark.parametrize("name", SMALL_DISKS)
def test_a_small_file_system_that_fills_up_is_one_line(name: str, quiet: Place, tmp_path: Path) -> None:
    place = without(name, quiet, tmp_path / "place")
    last_line(place, SMALL_DISKS[name], partial(small_disk_at, place.folder / "small", "16k"))
    assert "No space left" in place.log or "the disk is full" in place.log


@pytest.mark.slow
@pytest.mark.parametrize("name", FROZEN)
def test_a_place_that_cannot_be_written_is_one_line(name: str, quiet: Place, tmp_path: Path) -> None:
    place = without(name, quiet, tmp_path / "place")
    command, frozen = STAGES[name].command, place.folder / "frozen"
    if name == "index":
        frozen = place.folder / "kb"
    else:
        before, _, after = command.rpartition(f" {FROZEN[name]}")
        command = f"{before} frozen/{FROZEN[name]}{after}"
    line = last_line(place, command, partial(read_only, frozen))
    assert line.startswith("kebench: ")
    assert any(why in line for why in ("Read-only file system", "cannot be", "refuses to be written"))


def test_a_full_disk_behind_the_output_is_one_line() -> None:
    with Path("/dev/full").open("w") as full:
        code = "from kebench.cli import main; main(['task', 'list'])"
        run = subprocess.run(
            [sys.executable, "-c", code],
            stdout=full, stderr=subprocess.PIPE, text=True, check=False, env=os.environ,
        )  # fmt: skip
    assert run.returncode == 2
    assert (
        run.stderr == "kebench: a write: No space left on device; mend that and run the same command again\n"
    )
