"""The whole pipeline, run once and undisturbed, for all tests here."""

from multiprocessing.context import ForkServerContext
from typing import Any

import pytest

from tests.faults.pipeline import prepare, results, run_all
from tests.grids import Place, fork_server


@pytest.fixture(scope="session")
def forks() -> ForkServerContext:
    """Return the fork server that all commands here come from."""
    return fork_server()


@pytest.fixture(scope="session")
def quiet(forks: ForkServerContext, tmp_path_factory: pytest.TempPathFactory) -> Place:
    """Return a place where every stage ran to its end at once."""
    place = prepare(tmp_path_factory.mktemp("pipeline") / "quiet")
    run_all(forks, place)
    return place


@pytest.fixture(scope="session")
def expected(quiet: Place) -> dict[str, Any]:
    """Return what every stage made there."""
    return results(quiet)
