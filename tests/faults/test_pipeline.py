"""Every stage killed at each of its atomic writes, and given again, ends as an undisturbed one."""

import importlib
import shutil
from pathlib import Path
from typing import Any

import pytest

from kebench.files import CRASH_POINTS, WRITES
from tests.faults.pipeline import STAGES, copy_place
from tests.faults.test_crashes import GRID_POINTS
from tests.grids import KILLED, Place, finish

# Killed by tests of their own, since no stage of the pipeline passes them: module and test.
ELSEWHERE = {
    "data": ("tasks.test_data_get", "test_a_crash_leaves_the_file_whole_or_absent"),
    "index-graph": ("corpus.test_nearest", "test_the_index_stays_where_the_making_of_its_graph_is_killed"),
    "not-finite": ("pretrain.test_loop", "test_a_kill_leaves_the_list_of_documents_whole_or_not_at_all"),
    "shipped": (
        "engine.test_parcels",
        "test_a_node_killed_while_it_keeps_files_keeps_them_whole_or_not_at_all",
    ),
    "step": ("reproduce.test_command", "test_killed_at_a_write_the_same_command_finishes"),
}
POINTS = [
    (name, f"{write}.{moment}")
    for name, stage in STAGES.items()
    for write in stage.writes
    for moment in ("written", "renamed")
    if f"{write}.{moment}" not in GRID_POINTS or name == "merge"
]


def test_every_crash_point_of_kebench_is_that_of_some_test() -> None:
    elsewhere = {point for module, test in ELSEWHERE.values() for point in points_of(module, test)}
    of_stages = {point for _, point in POINTS}
    assert set(CRASH_POINTS) == of_stages | set(GRID_POINTS) | elsewhere
    assert set(WRITES) == {point.partition(".")[0] for point in CRASH_POINTS}


def points_of(module: str, test: str) -> set[str]:
    """Return the crash points that a test is called with, whose first parameter they are."""
    marks = getattr(importlib.import_module(f"tests.{module}"), test).pytestmark
    cases = [case for mark in marks if mark.name == "parametrize" for case in mark.args[1]]
    return {(case if isinstance(case, str) else case[0]).partition(":")[0] for case in cases}


@pytest.mark.slow
@pytest.mark.parametrize(("name", "point"), POINTS)
def test_a_stage_killed_at_a_write_ends_as_an_undisturbed_one(
    name: str,
    point: str,
    quiet: Place,
    expected: dict[str, Any],
    tmp_path: Path,
) -> None:
    stage, place = STAGES[name], copy_place(quiet, tmp_path / "place")
    _remove(place.folder / stage.makes)
    _remove(place.cache / "sequences")
    command = stage.command.split()
    assert finish(place, command, crash_at=f"{point}:1") == KILLED, place.log[-2000:]
    if not (stage.refuses_what_is_there and stage.is_made(place)):
        assert finish(place, command) == 0, place.log[-2000:]
    assert stage.result(place.folder / stage.makes) == expected[name]


def _remove(path: Path) -> None:
    shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
