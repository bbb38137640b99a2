"""Loggers of training: TensorBoard and Weights & Biases, told what each step and epoch did.

Nothing here is part of a run's identity, and nothing can move a score: the random generators are left
as they were found, and a logger that fails is dropped with one line of warning. Only numbers and
settings are logged: no text, no host, no code.
"""

import importlib.util
import logging
import os
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from kebench.errors import UserError, first_line

Numbers = Mapping[str, float]  # by name, such as train/loss
Write = Callable[[int, Numbers], None]  # logs those of a step; steps ascend, one may be told several times

_log = logging.getLogger(__name__)


class Logger(NamedTuple):
    """One run in one logger: what writes to it, and what ends it, told whether the run came to its end."""

    write: Write
    close: Callable[[bool], None]


class Logging(NamedTuple):
    """Which loggers are told, by their names in LOGGERS, and the folder of what they write."""

    names: tuple[str, ...] = ()
    folder: Path = Path()


NO_LOGGING = Logging()


def chosen_logging(names: Sequence[str], folder: Path | None, *, default: Path) -> Logging:
    """Return what --log and --log-dir ask for. Raises UserError if it cannot be had."""
    if folder and not names:
        raise UserError("--log-dir: nothing is logged; pass --log tensorboard or --log wandb too")
    for name in names:
        if importlib.util.find_spec(name) is None:
            raise UserError(
                f"--log {name}: the package {name} is not installed; pip install 'kebench[log]', "
                f"or leave out --log {name}"
            )
    return Logging(tuple(dict.fromkeys(names)), folder or default)


@contextmanager
def logged_run(chosen: Logging, name: str, *, settings: Mapping[str, Any]) -> Iterator[Write]:
    """Yield what logs a run under `name`, whose parts stand between slashes.

    A logger is opened when it is first told something. settings: shown beside the run.
    """
    opened: dict[str, Logger] = {}
    left = list(chosen.names)

    def write(step: int, numbers: Numbers) -> None:
        for kind in tuple(left):
            with _only_warning(kind, name, failed=left.remove):
                if kind not in opened:
                    opened[kind] = LOGGERS[kind](chosen.folder, name, step, settings)
                opened[kind].write(step, numbers)

    is_whole = False
    try:
        yield write
        is_whole = True
    finally:
        for kind, logger in opened.items():
            with _only_warning(kind, name):
                logger.close(is_whole)


@contextmanager
def _only_warning(
    kind: str, run: str, *, failed: Callable[[str], None] = lambda kind: None
) -> Iterator[None]:
    """Turn whatever goes wrong into one line; leave the random generators, which dropout needs, alone."""
    import numpy
    import torch

    states = random.getstate(), numpy.random.get_state(), torch.get_rng_state()
    try:
        yield
    # A full disk, a service that is down, a library's own fault: none of them may end a run.
    except Exception as error:
        failed(kind)
        _log.warning("%s: logging to %s failed (%s); the run goes on", run, kind, first_line(error))
    finally:
        random.setstate(states[0])
        numpy.random.set_state(states[1])
        torch.set_rng_state(states[2])


def _open_tensorboard(folder: Path, name: str, step: int, settings: Mapping[str, Any]) -> Logger:
    """Write event files to FOLDER/tensorboard/NAME; what an earlier try wrote from this step on is void."""
    from torch.utils.tensorboard import SummaryWriter

    writer = SummaryWriter(str(folder / "tensorboard" / name), purge_step=step)
    lines = (f"    {key} = {value}" for key, value in settings.items())
    writer.add_text("settings", "\n".join(lines), global_step=step)

    def write(step: int, numbers: Numbers) -> None:
        for key, value in numbers.items():
            writer.add_scalar(key, value, step)

    return Logger(write, lambda is_whole: writer.close())


def _open_wandb(folder: Path, name: str, step: int, settings: Mapping[str, Any]) -> Logger:
    """Log to Weights & Biases: offline, into FOLDER/wandb, unless WANDB_MODE says otherwise."""
    os.environ.setdefault("WANDB_ERROR_REPORTING", "false")  # read when wandb is imported
    import wandb

    # wandb gathers neither code, nor host, nor load; of these settings it has some.
    wanted = {"disable_git": True, "disable_code": True, "x_save_requirements": False}
    wanted |= dict.fromkeys(("x_disable_stats", "x_disable_meta", "x_disable_machine_info"), True)
    known = {name: value for name, value in wanted.items() if name in wandb.Settings.model_fields}
    folder.mkdir(parents=True, exist_ok=True)
    run = wandb.init(
        dir=str(folder),
        mode=None if os.environ.get("WANDB_MODE") else "offline",
        project=os.environ.get("WANDB_PROJECT") or "kebench",
        name=name.replace("/", " "),
        group=name.rpartition("/")[0] or None,
        config=dict(settings),
        reinit="create_new",
        save_code=False,
        settings=wandb.Settings(silent=True, console="off", **known),
    )

    def write(step: int, numbers: Numbers) -> None:
        run.log(dict(numbers), step=step)

    return Logger(write, lambda is_whole: run.finish(exit_code=0 if is_whole else 1))


# The name of each is that of the package it needs.
LOGGERS: dict[str, Callable[[Path, str, int, Mapping[str, Any]], Logger]] = {
    "tensorboard": _open_tensorboard,
    "wandb": _open_wandb,
}
