"""The miniature as a knowledge base, for all tests here."""

from pathlib import Path

import pytest

from kebench.mini.release import write_release
from kebench.mini.world import World, load_world
from kebench.umls.knowledge_base import KnowledgeBase
from tests.umls.releases import imported


@pytest.fixture(scope="session")
def world() -> World:
    return load_world()


@pytest.fixture(scope="session")
def mini_release(world: World, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the miniature's RRF files."""
    folder = tmp_path_factory.mktemp("release")
    write_release(world, folder)
    return folder


@pytest.fixture(scope="session")
def mini_kb(mini_release: Path, tmp_path_factory: pytest.TempPathFactory) -> KnowledgeBase:
    return imported(mini_release, tmp_path_factory.mktemp("kb") / "mini")
