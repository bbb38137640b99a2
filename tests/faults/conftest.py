"""The whole pipeline, run once and undisturbed, for all tests here."""

from typing import Any

import pytest

from tests.faults.pipeline import prepare, results, run_all
from tests.grids import Place


@pytest.fixture(scope="session")
def quiet(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """Return a place where every stage ran to its end at once."""
    place = prepare(tmp_path_factory.mktemp("pipeline") / "quiet")
    run_all(place)
    return place


@pytest.fixture(scope="session")
def expected(quiet: Place) -> dict[str, Any]:
    """Return what every stage made there."""
    return results(quiet)
