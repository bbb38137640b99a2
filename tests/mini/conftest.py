"""One world and one build of its data for all tests of the miniature."""

from pathlib import Path

import pytest

from kebench.mini.build import SEED, write_world
from kebench.mini.tasks import Tasks, make_tasks
from kebench.mini.world import World, load_world


@pytest.fixture(scope="session")
def world() -> World:
    return load_world()


@pytest.fixture(scope="session")
def tasks(world: World) -> Tasks:
    return make_tasks(world, seed=SEED)


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with release/, tasks/ and corpus.jsonl."""
    folder = tmp_path_factory.mktemp("miniature")
    write_world(folder, seed=SEED)
    return folder
