"""One job in another process: carried out there, its results brought back as values.

Nothing here touches the folder of records: the process that holds the lease writes them.
"""

import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from kebench.energy import Metering, energy_meter
from kebench.errors import UserError
from kebench.finetune.plan import Job
from kebench.loggers import NO_LOGGING, Logging, Write, logged_run
from kebench.records import Record
from kebench.runtime import Device, software

if TYPE_CHECKING:
    from kebench.finetune.job import Finished
    from kebench.finetune.loop import Epoch

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
    logging: Logging = NO_LOGGING


def carry_out(job: Job, manner: Manner) -> Settled:
    """Carry out a job in this process. Whatever stops it is told, and never raised."""
    import torch

    from kebench.engine.local import new_accelerator

    accelerator = new_accelerator(manner.device)
    try:
        with tempfile.TemporaryDirectory(prefix="kebench-") as folder:
            kept = Path(folder) / KEPT if manner.keep_weights else None
            finished = fine_tune_watched(
                job,
                logging=manner.logging,
                metering=None,
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


def fine_tune_watched(
    job: Job, *, logging: Logging, metering: Metering | None, accelerator: Any, **how: Any
) -> "Finished":
    """Fine-tune, with loggers told of every epoch and the energy measured, where that is asked for."""
    from kebench.finetune.job import fine_tune

    chosen = logging if accelerator.is_main_process else NO_LOGGING
    with (
        logged_run(chosen, _name_of(job), settings=_logged_settings(job)) as write,
        energy_meter(metering, accelerator=accelerator) as read_meter,
    ):
        return fine_tune(
            job,
            accelerator=accelerator,
            watch=lambda epoch, dev_percent: _log_epoch(write, epoch, dev_percent),
            read_meter=read_meter,
            **how,
        )


def _name_of(job: Job) -> str:
    """Return what loggers call a run: TASK/MODEL/seedN-lrRATE-IDENTITY16, as its record's file."""
    return "/".join(job.stem(Path()).parts[-3:])


def _logged_settings(job: Job) -> dict[str, Any]:
    """Return what stands beside a run in a logger."""
    who = {"task": job.task.card.name, "model": job.card.name, "seed": job.seed, "identity": job.identity}
    protocol = {"budget": job.protocol.budget, "precision": job.protocol.precision}
    return who | protocol | job.settings.model_dump()


def _log_epoch(write: Write, epoch: "Epoch", dev_percent: float) -> None:
    """Log each step's loss and rate once the epoch is over, then the epoch: no step waits for a logger."""
    first = epoch.last_step - len(epoch.losses) + 1
    for place, (loss, rate) in enumerate(zip(epoch.losses, epoch.learning_rates, strict=True)):
        write(first + place, {"train/loss": loss, "train/learning_rate": rate})
    write(
        epoch.last_step,
        {
            "epoch": epoch.number,
            "train/loss_of_epoch": epoch.mean_loss,
            "train/examples_per_second": epoch.num_examples / max(epoch.seconds, 1e-9),
            "dev/score_percent": dev_percent,
        },
    )


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
