"""A cache of its own for every test, and one tiny checkpoint of each layout for all of them."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.tiny_checkpoints import (
    write_tiny_bert,
    write_tiny_electra,
    write_tiny_modernbert,
    write_tiny_old_bert,
    write_tiny_roberta,
)

LAYOUTS: dict[str, Callable[[Path], Path]] = {
    "bert": write_tiny_bert,
    "old-bert": write_tiny_old_bert,
    "roberta": write_tiny_roberta,
    "electra": write_tiny_electra,
    "modernbert": write_tiny_modernbert,
}


@pytest.fixture(scope="session")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One tiny random checkpoint of each layout, not to be written to."""
    base = tmp_path_factory.mktemp("checkpoints")
    return {name: write(base / name) for name, write in LAYOUTS.items()}


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache folder."""
    monkeypatch.setenv("KEBENCH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"
