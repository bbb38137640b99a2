"""The miniature in both modes, and a set of each, for all tests here."""

from collections.abc import Iterator

import pytest

from kebench.mini.release import write_release
from kebench.mini.world import load_world
from kebench.probe.query_set import QuerySet
from kebench.umls.filters import PRESETS
from kebench.umls.importing import import_release
from kebench.umls.knowledge_base import KnowledgeBase
from kebench.umls.rrf import find_release
from tests.probe.sets import built


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Commands remember there where sets are."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KEBENCH_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def mini_kbs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, KnowledgeBase]:
    """The miniature's knowledge base in mode fixed and in mode released."""
    folder = tmp_path_factory.mktemp("mini")
    (folder / "release").mkdir()
    write_release(load_world(), folder / "release")
    for mode, filters in PRESETS.items():
        import_release(find_release(folder / "release"), folder / mode, filters=filters)
    return {mode: KnowledgeBase.open(folder / mode) for mode in PRESETS}


@pytest.fixture(scope="session")
def mini_sets(
    mini_kbs: dict[str, KnowledgeBase], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, QuerySet]:
    """A set of the miniature, of 20 queries a relation, in either mode."""
    folder = tmp_path_factory.mktemp("sets")
    return {mode: built(kb, folder / mode) for mode, kb in mini_kbs.items()}
