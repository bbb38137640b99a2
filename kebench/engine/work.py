"""One job in another process: carried out there, its results brought back as values.

Nothing here touches the folder of records: the process that holds the lease writes them.
"""

import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from kebench.errors import UserError
from kebench.finetune.plan import Job
from kebench.records import Record
from kebench.runtime import Device, software

KEPT = "weights"


class Settled(NamedTuple):
    """What became of a job: record and predictions, or why it failed. weights: the kept files, by name."""

    record: Record | None = None
    predictions: dict[str, Any] | None = None
    weights: dict[str, bytes] | None = None
    error: str = ""


class Manner(NamedTuple):
    """How a job is carried out, as `engine.local.Options` says it, on a device."""

    device: Device
    micro_batch: int | None
    allow_remote_code: bool
    keep_weights: bool


def carry_out(job: Job, manner: Manner) -> Settled:
    """Carry out a job in this process. Whatever stops it is told, and never raised."""
    import torch

    from kebench.engine.local import new_accelerator
    from kebench.finetune.job import fine_tune

    accelerator = new_accelerator(manner.device)
    try:
        with tempfile.TemporaryDirectory(prefix="kebench-") as folder:
            kept = Path(folder) / KEPT if manner.keep_weights else None
            finished = fine_tune(
                job,
                accelerator=accelerator,
                software=software(),
                micro_batch=manner.micro_batch,
                allow_remote_code=manner.allow_remote_code,
                keep_weights=kept,
            )
            weights = read_files(files_of(kept)) if kept else None
        return Settled(finished.record, finished.predictions, weights)
    # A job that stops must not stop the grid; the one who gave it writes down why.
    except Exception as error:
        return Settled(error=told(error))
    finally:
        accelerator.free_memory()  # it holds every model it has prepared
        if manner.device.name != "cpu":
            torch.cuda.empty_cache()  # another process may share the GPU


def told(error: BaseException) -> str:
    """Return an error as a failure's file states it: ours as it is, others with their type."""
    return str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"


def files_of(folder: Path) -> dict[str, Path]:
    """Return all files under a folder by their names within it."""
    return {str(path.relative_to(folder)): path for path in sorted(folder.rglob("*")) if path.is_file()}


def read_files(paths: Mapping[str, Path]) -> dict[str, bytes]:
    """Return the content of files, by name."""
    return {name: path.read_bytes() for name, path in paths.items()}


def write_files(folder: Path, contents: Iterable[tuple[str, bytes]]) -> None:
    """Write files into a folder."""
    for name, content in contents:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
