"""The simulation of benchmarks/scale.py, on grids that can be laid out by hand."""

import runpy
from pathlib import Path
from typing import Any

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def scale(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Return what the benchmark defines."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return runpy.run_path(str(BENCHMARKS / "scale.py"))


def tasks(scale: dict[str, Any], *seconds: float, after: str = "") -> list[Any]:
    return [scale["Task"](f"t{place}", one, one, 1, after) for place, one in enumerate(seconds)]


def test_the_longest_first_end_together(scale: dict[str, Any]) -> None:
    # Two GPUs. Shortest first: 1 2 | 3 after them on each side ... 1+3, 2+4 = 6; longest first: 4+1, 3+2 = 5.
    work = tasks(scale, 1, 2, 3, 4)
    spans = {name: scale["simulate"](work, 2, order) for name, order in scale["ORDERS"].items()}
    assert spans["shortest first"].makespan == 6
    assert spans["longest first"] == (5, 0)
    assert spans["shortest first"].idle_share == pytest.approx(1 - 10 / 12)


def test_what_waits_for_a_pretraining_begins_when_it_ends(scale: dict[str, Any]) -> None:
    pretraining = scale["Task"]("kebiolm", 5.0, 5.0, 2)
    work = [pretraining, *tasks(scale, 3, after="kebiolm"), *tasks(scale, 1, 1)]
    ran = scale["simulate"](work, 3, scale["ORDERS"]["as planned"])
    assert ran.makespan == 8  # the third GPU does the two short ones meanwhile
    assert ran.idle_share == pytest.approx(1 - (10 + 3 + 2) / 24)
    assert scale["longest_chain"](work) == 8
    assert scale["floor_of"](work, 1) == 15


def test_the_paper_s_grid_is_counted_in_full(scale: dict[str, Any]) -> None:
    sizes = {name: {"seconds": 60.0} for name in "abcdefgh"}
    names = [task.name for task in scale["paper_tasks"](sizes, width=8, seed=0)]
    assert sum(name[0] in "abcdefgh" and name[1] == " " for name in names) == 1_680
    assert sum(name in scale["PRETRAINED"] for name in names) == 7
    assert sum(name.startswith("probe ") for name in names) == 14 * 36
