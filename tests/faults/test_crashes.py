"""A grid killed at any atomic write, and then run again, ends as an undisturbed one."""

import os
import shutil
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from kebench.files import CRASH_POINTS
from tests.grids import KILLED, Place, finish, leftovers, scores, start
from tests.tiny_checkpoints import write_tiny_bert

pytestmark = pytest.mark.slow
# Not written by a grid. `data`: tests/tasks, `card`: below, `kb`, `rrf`: tests/umls, `query-set`,
# `probe`: tests/probe, embeddings: tests/transe, `index`, `corpus`, `shard`: tests/corpus,
# `sequences`, `pretraining-state`, `pretrained`: tests/pretrain, `shipped`: tests/engine,
# `step`: tests/reproduce
OTHER_COMMANDS = (
    "data",
    "card",
    "kb",
    "rrf",
    "embeddings",
    "embedding-state",
    "query-set",
    "probe-part",
    "probe",
    "index",
    "index-graph",
    "corpus",
    "shard",
    "sequences",
    "pretraining-state",
    "pretrained",
    "not-finite",
    "merged",
    "page",
    "shipped",
    "step",
)
GRID_POINTS = [point for point in CRASH_POINTS if point.split(".")[0] not in OTHER_COMMANDS]


@pytest.fixture(scope="session")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a checkpoint, a broken one, and a cache that holds the miniature."""
    folder = tmp_path_factory.mktemp("once")
    write_tiny_bert(folder / "tiny-bert")
    shutil.copytree(folder / "tiny-bert", folder / "tiny-broken")
    weights = load_file(folder / "tiny-broken" / "model.safetensors")
    spoilt = {name: tensor * float("nan") for name, tensor in weights.items()}  # no plan can tell
    save_file(spoilt, folder / "tiny-broken" / "model.safetensors", metadata={"format": "pt"})
    place = Place(folder)
    assert finish(place, [*grid(folder, "bert-mini-random"), "--plan"]) == 0, place.log
    return folder


def grid(once: Path, *models: str) -> list[str]:
    """Return a command for two tasks, one of each kind, and one seed; the last model's runs fail."""
    named = [option for model in models for option in ("--model", model)]
    tasks = ["--tasks", "mini-ncbi-disease,mini-gad", "--seeds", "1", "--budget", "smoke"]
    return ["run", *named, *tasks, "--keep-weights", "best", "--out", "out"]


@pytest.fixture(scope="session")
def undisturbed(made_once: Path, tmp_path_factory: pytest.TempPathFactory) -> Place:
    """Return a grid that ran to its end at once."""
    place = Place(tmp_path_factory.mktemp("undisturbed"))
    os.symlink(made_once / "cache", place.cache)
    assert finish(place, command_for("record.written", made_once)) == 2, place.log
    assert len(scores(place.out)) == 2
    assert "2 runs failed" in place.log
    return place


@pytest.fixture(scope="session")
def undisturbed_mini(made_once: Path, tmp_path_factory: pytest.TempPathFactory) -> Place:
    """Return the same for the grid of the miniature's own model."""
    place = Place(tmp_path_factory.mktemp("undisturbed-mini"))
    os.symlink(made_once / "cache", place.cache)
    assert finish(place, command_for("model.written", made_once)) == 0, place.log
    return place


def command_for(point: str, once: Path) -> list[str]:
    """Making the miniature and its models is slow, so only its own crash points start without it."""
    if point.split(".")[0] in ("world", "model"):
        return grid(once, "bert-mini-random")
    return grid(once, str(once / "tiny-bert"), str(once / "tiny-broken"))


@pytest.mark.parametrize("point", GRID_POINTS)
def test_a_grid_killed_at_a_write_ends_as_an_undisturbed_one(
    point: str,
    made_once: Path,
    undisturbed: Place,
    undisturbed_mini: Place,
    tmp_path: Path,
) -> None:
    place, command = Place(tmp_path), command_for(point, made_once)
    makes_miniature = point.split(".")[0] in ("world", "model")
    if not makes_miniature:
        place.cache.mkdir()
        os.symlink(made_once / "cache" / "mini", place.cache / "mini")
    assert finish(place, command, crash_at=f"{point}:1") == KILLED, place.log
    scores(place.out)  # nothing torn, whenever it was killed
    assert finish(place, command) == (0 if makes_miniature else 2), place.log
    assert len(scores(place.out)) == 2
    assert scores(place.out) == scores((undisturbed_mini if makes_miniature else undisturbed).out)
    assert [name for name in leftovers(place.out) if name.endswith(".running")] == []


@pytest.mark.parametrize("moment", ["written", "renamed"])
def test_a_card_is_there_whole_or_not_at_all(moment: str, made_once: Path, tmp_path: Path) -> None:
    place, command = Place(tmp_path), ["model", "add", "mine", "--from", str(made_once / "tiny-bert")]
    card = place.folder / "baselines" / "mine.toml"
    assert finish(place, command, crash_at=f"card.{moment}:1") == KILLED, place.log
    assert card.exists() == (moment == "renamed")
    if moment == "written":
        assert finish(place, command) == 0, place.log
    assert finish(place, ["model", "show", "mine"]) == 0, place.log


def test_a_finished_grid_does_nothing_and_says_so(made_once: Path, tmp_path: Path) -> None:
    place = Place(tmp_path)
    os.symlink(made_once / "cache", place.cache)
    command = grid(made_once, str(made_once / "tiny-bert"))
    assert finish(place, command) == 0, place.log
    before = {path: path.stat().st_mtime_ns for path in place.out.rglob("*")}
    assert finish(place, command) == 0
    assert "plan: 2 runs, 2 recorded in out\nnothing to do" in place.log
    assert {path: path.stat().st_mtime_ns for path in place.out.rglob("*")} == before


def test_two_grids_on_one_folder_share_the_work(made_once: Path, undisturbed: Place, tmp_path: Path) -> None:
    places = [Place(tmp_path / name) for name in ("one", "two")]
    out = tmp_path / "shared"
    command = [*grid(made_once, str(made_once / "tiny-bert"))[:-1], str(out)]
    for place in places:
        place.folder.mkdir()
        os.symlink(made_once / "cache", place.cache)
    grids = [start(place, command) for place in places]
    assert [process.wait() for process in grids] == [0, 0], [place.log for place in places]
    assert scores(out) == scores(undisturbed.out)
    trained = [place.log.count(" s)") for place in places]  # "... dev 12.3 test 45.6 (2 s)"
    assert sum(trained) == 2
