"""Known and unknown names on the page: the file that `kebench overlap` writes, and its tables."""

import json
from pathlib import Path
from typing import Any

import pytest

from kebench.errors import UserError
from kebench.report.strata import Strata, overlap_grid, read_strata, strata_grids

OVERLAP = [
    {"task": "ncbi-disease", "mentions": 6881, "in_kb": 5203, "in_corpus": None},
    {"task": "gad", "mentions": None, "in_kb": None, "in_corpus": None},
]


def score(model: str, mentions: str, mean: float, deviation: float | None) -> dict[str, Any]:
    return {
        "task": "ncbi-disease", "model": model, "mentions": mentions, "gold": 700,
        "mean": mean, "deviation": deviation, "seeds": 3,
    }  # fmt: skip


SCORES = [
    score("a", "known", 80.04, 0.51),
    score("b", "known", 70.0, None),
    score("a", "unknown", 40.0, 1.0),
]


def written(folder: Path, **changes: Any) -> Path:
    path = folder / "overlap.json"
    content = {
        "schema": 1,
        "kb": "open",
        "kb_hash": "ab" * 32,
        "overlap": OVERLAP,
        "scores": SCORES,
    } | changes
    path.write_text(json.dumps(content))
    return path


@pytest.fixture
def strata(tmp_path: Path) -> Strata:
    return read_strata(written(tmp_path))


def test_shares_are_of_the_mentions_and_blinded_tasks_have_dashes(strata: Strata) -> None:
    grid = overlap_grid(strata)
    assert grid.headings == ("task", "mentions", "in KB", "%")
    assert grid.texts == (("ncbi-disease", "6,881", "5,203", "75.6"), ("gad", "–", "–", "–"))


def test_models_stand_side_by_side_and_what_is_not_there_is_a_dash(strata: Strata) -> None:
    ((task, grid),) = strata_grids(strata)
    assert task == "ncbi-disease"
    assert grid.headings == ("mentions", "gold", "a", "b")
    assert grid.texts == (("known", "700", "80.0±0.5", "70.0"), ("unknown", "700", "40.0±1.0", "–"))


def test_each_protocol_of_a_task_has_a_grid_of_its_own_and_one_alone_needs_no_name(tmp_path: Path) -> None:
    scores = [score("a", "known", 80.0, 0.5) | {"protocol": f"quick: {epochs} epochs"} for epochs in (3, 60)]
    (first, grid), (second, _) = strata_grids(read_strata(written(tmp_path, scores=scores)))
    assert first == "ncbi-disease (quick: 3 epochs)"
    assert second == "ncbi-disease (quick: 60 epochs)"
    assert grid.headings == ("mentions", "gold", "a")
    ((title, _),) = strata_grids(read_strata(written(tmp_path, scores=scores[:1])))
    assert title == "ncbi-disease"


@pytest.mark.parametrize("changes", [{"schema": 2}, {"scores": [{"task": "gad"}]}, {"more": 1}])
def test_another_file_is_refused_with_its_name(tmp_path: Path, changes: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=r"overlap\.json: no output of 'kebench overlap --format json'"):
        read_strata(written(tmp_path, **changes))


def test_a_missing_file_is_refused_with_its_name(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"none\.json: cannot be read"):
        read_strata(tmp_path / "none.json")
