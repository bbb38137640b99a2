"""What tests of all parts share."""

import os
from collections.abc import Iterator
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # the models are tiny and the tests run in several processes

import pytest

from tests.file_server import FileServer, serving


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="rewrite tests/golden; review the diff")


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--update-golden"):
        os.environ["KEBENCH_UPDATE_GOLDEN"] = "1"


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Return the folder with blurb/ and raw/: KEBENCH_DATA, or ../shared/data beside the checkout."""
    chosen = os.environ.get("KEBENCH_DATA")
    folder = Path(chosen) if chosen else Path(__file__).parents[2] / "shared" / "data"
    if not (folder / "blurb").is_dir():
        pytest.skip(f"no real data in {folder}")
    return folder


@pytest.fixture
def file_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FileServer]:
    monkeypatch.setenv("no_proxy", "*")
    with serving() as server:
        yield server
