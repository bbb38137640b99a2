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
from kebench.loggers import NO_LOGGING, Logging, logged_run
from kebench.records import Record
from kebench.runtime import Device, new_accelerator, software

if TYPE_CHECKING:
    from kebench.finetune.job import Finished
    from kebench.finetune.loop import Epoch

KEPT = "weights"


class RunOptions(NamedTuple):
    """How jobs are carried out: not part of a run's identity, though a micro-batch changes dropout's draws.

    micro_batch: examples in memory at once; None halves the batch whenever CUDA runs out of memory.
    wait: stay until runs in progress elsewhere are recorded, and take them over if they die.
    logging: the loggers that are told how training goes. metering: how energy is measured; None: it is not.
    """

    micro_batch: int | None = None
    allow_remote_code: bool = False
    keep_weights: bool = False
    wait: bool = True
    logging: Logging = NO_LOGGING
    metering: Metering | None = None


class Settled(NamedTuple):
    """What became of a job: record and predictions, or why it failed. weights: the kept files, by name."""

    record: Record | None = None
    predictions: dict[str, Any] | None = None
    weights: dict[str, bytes] | None = None
    error: str = ""


def carry_out(job: Job, device: Device, options: RunOptions) -> Settled:
    """Carry out a job in this process. Whatever stops it is told, and never raised."""
    import torch

    accelerator = new_accelerator(device)
    try:
        with tempfile.TemporaryDirectory(prefix="kebench-") as folder:
            kept = Path(folder) / KEPT if options.keep_weights else None
            finished = fine_tune_watched(
                job, options, accelerator=accelerator, software=software(), keep_weights=kept
            )
            weights = None
            if kept:
                files = sorted(path for path in kept.rglob("*") if path.is_file())
                weights = read_files({str(path.relative_to(kept)): path for path in files})
        return Settled(finished.record, finished.predictions, weights)
    # A job that stops must not stop the grid; the one who gave it writes down why.
    except Exception as error:
        return Settled(error=told(error))
    finally:
        accelerator.free_memory()  # it holds every model it has prepared
        if device.name != "cpu":
            torch.cuda.empty_cache()  # another process may share the GPU


def fine_tune_watched(
    job: Job, options: RunOptions, *, accelerator: Any, software: dict[str, Any], keep_weights: Path | None
) -> "Finished":
    """Fine-tune, with loggers told of every epoch and the energy measured, where that is asked for."""
    from kebench.finetune.job import fine_tune

    # Loggers call a run as its record's file is called: TASK/MODEL/seedN-lrRATE-IDENTITY16.
    name = "/".join(job.stem(Path()).parts[-3:])
    settings = {
        "task": job.task.card.name,
        "model": job.card.name,
        "seed": job.seed,
        "identity": job.identity,
        "budget": job.protocol.budget,
        "precision": job.protocol.precision,
        **job.settings.model_dump(),
    }

    def watch(epoch: "Epoch", dev_percent: float | None) -> None:
        """Log each step's loss and rate once the epoch is over: no step waits for a logger."""
        first = epoch.last_step - len(epoch.losses) + 1
        for place, (loss, rate) in enumerate(zip(epoch.losses, epoch.learning_rates, strict=True)):
            write(first + place, {"train/loss": loss, "train/learning_rate": rate})
        of_epoch = {
            "epoch": epoch.number,
            "train/loss_of_epoch": epoch.mean_loss,
            "train/examples_per_second": epoch.num_examples / max(epoch.seconds, 1e-9),
            **({} if dev_percent is None else {"dev/score_percent": dev_percent}),
        }
        write(epoch.last_step, of_epoch)

    chosen = options.logging if accelerator.is_main_process else NO_LOGGING
    with (
        logged_run(chosen, name, settings=settings) as write,
        energy_meter(options.metering, accelerator=accelerator) as read_meter,
    ):
        return fine_tune(
            job,
            accelerator=accelerator,
            software=software,
            micro_batch=options.micro_batch,
            allow_remote_code=options.allow_remote_code,
            keep_weights=keep_weights,
            watch=watch,
            read_meter=read_meter,
        )


def told(error: BaseException) -> str:
    """Return an error as a failure's file states it: ours as it is, others with their type."""
    return str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"


def read_files(paths: Mapping[str, Path]) -> dict[str, bytes]:
    """Return the content of files, by name."""
    return {name: path.read_bytes() for name, path in paths.items()}


def write_files(folder: Path, contents: Iterable[tuple[str, bytes]]) -> None:
    """Write files into a folder."""
    for name, content in contents:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
