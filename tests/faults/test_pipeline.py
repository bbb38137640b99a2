"""Every stage killed at each of its atomic writes, and given again, ends as an undisturbed one."""

import shutil
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import Any

import pytest

from kebench.files import CRASH_POINTS, WRITES
from tests.faults.pipeline import STAGES, copy_place
from tests.faults.test_crashes import GRID_POINTS
from tests.grids import KILLED, Place, finish

# Killed by tests of their own, since no stage of the pipeline passes them.
ELSEWHERE = {
    "data": "tests/tasks/test_data_get.py",
    "index-graph": "tests/corpus/test_nearest.py",
    "not-finite": "tests/pretrain/test_loop.py",
    "shipped": "tests/engine/test_parcels.py",
    "step": "tests/reproduce/test_command.py",
}
POINTS = [
    (name, f"{write}.{moment}")
    for name, stage in STAGES.items()
    for write in stage.writes
    for moment in ("written", "renamed")
    if f"{write}.{moment}" not in GRID_POINTS or name == "merge"
]


def test_every_write_of_kebench_is_killed_by_some_test() -> None:
    of_stages = {write for stage in STAGES.values() for write in stage.writes}
    of_grids = {point.split(".")[0] for point in GRID_POINTS}
    assert set(WRITES) == of_stages | of_grids | set(ELSEWHERE)
    for write, path in ELSEWHERE.items():
        text = (Path(__file__).parents[2] / path).read_text()
        assert f"{write}.written" in text or f"{write}.{{moment}}" in text
    assert {point.split(".")[0] for point in CRASH_POINTS} == set(WRITES)


@pytest.mark.parametrize(("name", "point"), POINTS)
def test_a_stage_killed_at_a_write_ends_as_an_undisturbed_one(
    name: str,
    point: str,
    quiet: Place,
    expected: dict[str, Any],
    forks: ForkServerContext,
    tmp_path: Path,
) -> None:
    stage, place = STAGES[name], copy_place(quiet, tmp_path / "place")
    _remove(place.folder / stage.makes)
    _remove(place.cache / "sequences")
    command = stage.command.split()
    assert finish(forks, place, command, crash_at=f"{point}:1") == KILLED, place.log[-2000:]
    if not (stage.refuses_what_is_there and stage.is_made(place)):
        assert finish(forks, place, command) == 0, place.log[-2000:]
    assert stage.result(place.folder / stage.makes) == expected[name]


def _remove(path: Path) -> None:
    shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
