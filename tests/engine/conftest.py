"""Two small jobs a seed, and what this process makes of them."""

from pathlib import Path
from typing import Any

import pytest

from kebench.engine.local import run_jobs
from kebench.engine.work import RunOptions
from kebench.finetune.plan import Job
from kebench.runtime import Device
from tests.finetune.small_tasks import NER, RELATION, job_on, write_small_tasks
from tests.grids import scores
from tests.tiny_checkpoints import write_tiny_bert

CPU = Device("cpu", "fp32", "as asked")


@pytest.fixture(scope="session")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a checkpoint, `tiny`, and the data of the two small tasks, `data`."""
    folder = tmp_path_factory.mktemp("engines")
    write_tiny_bert(folder / "tiny")
    write_small_tasks(folder / "data")
    return folder


def jobs_in(place: Path, *, seeds: int = 2, **changes: Any) -> list[Job]:
    """Return the jobs of both tasks, by seed."""
    return [
        job_on(card, place / "data", place / "tiny", seed=seed, **changes)
        for seed in range(seeds)
        for card in (NER, RELATION)
    ]


def scores_here(jobs: list[Job], out: Path) -> dict[str, Any]:
    """Return what this process finds for jobs."""
    assert run_jobs(jobs, out, device=CPU, options=RunOptions()) == (len(jobs), 0, 0)
    return scores(out)
