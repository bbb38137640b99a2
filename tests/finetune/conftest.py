"""Tiny checkpoints of every family, the two small tasks, and a cache of their own."""

from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import Accelerator

from tests import tiny_checkpoints
from tests.finetune.small_tasks import write_small_tasks

WRITERS = {
    "bert": tiny_checkpoints.write_tiny_bert,
    "roberta": tiny_checkpoints.write_tiny_roberta,
    "electra": tiny_checkpoints.write_tiny_electra,
    "modernbert": tiny_checkpoints.write_tiny_modernbert,
}


@pytest.fixture(scope="session")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return a tiny random checkpoint of each family."""
    folder = tmp_path_factory.mktemp("checkpoints")
    return {family: write(folder / f"tiny-{family}") for family, write in WRITERS.items()}


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a data folder with the two small tasks."""
    return write_small_tasks(tmp_path_factory.mktemp("data"))


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEBENCH_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="session")
def accelerator() -> Any:
    """Return an accelerator on the CPU; one thread, so that sums are always added in one order."""
    torch.set_num_threads(1)
    return Accelerator(cpu=True)
