"""Keeps an unfinished pretraining, so that the same command goes on after a kill, bit for bit on the CPU.

A folder a kept step, `step-0001000`, each whole or not there at all. Each is also a checkpoint like
any other: `kebench run --model .../step-0001000` looks at a model in the middle of its training.
"""

import json
import logging
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError
from safetensors.torch import load_model

from kebench.files import atomic_folder
from kebench.pretrain.loop import Trainer

OPTIMIZER, CURVES = "optimizer.pt", "curves.jsonl"
Row = dict[str, Any]

_log = logging.getLogger(__name__)


class Kept(NamedTuple):
    """The states of one pretraining, in a folder of its own."""

    folder: Path
    keep: int

    def restore(self, trainer: Trainer) -> list[Row]:
        """Put the newest state that can be read into a trainer; return its curve, empty if there is none."""
        for folder in reversed(self._steps()):
            try:
                rows = read_curve(folder / CURVES)
                state = torch.load(folder / OPTIMIZER, map_location="cpu", weights_only=True)
                load_model(trainer.objectives.model, folder / "model.safetensors", strict=False)
                trainer.optimizer.load_state_dict(state["optimizer"])
            except (
                OSError,
                ValueError,
                KeyError,
                RuntimeError,
                SafetensorError,
                pickle.PickleError,
            ) as error:
                _log.warning("%s: unreadable (%s); it is removed", folder, error)
                shutil.rmtree(folder)
                continue
            trainer.done = int(state["step"])
            return rows
        return []

    def save(self, trainer: Trainer, rows: list[Row], write_model: Callable[[Path], None]) -> None:
        """Keep a trainer's state, and drop all but the last few.

        write_model: writes the model into a folder that exists.
        """
        place = self.folder / f"step-{trainer.done:07}"
        if place.exists():
            return
        with atomic_folder(place, point="pretraining-state") as temporary:
            write_model(temporary)
            state = {"optimizer": trainer.optimizer.state_dict(), "step": trainer.done}
            torch.save(state, temporary / OPTIMIZER)
            (temporary / CURVES).write_text(curve_text(rows), encoding="utf-8")
        for folder in self._steps()[: -self.keep]:
            shutil.rmtree(folder, ignore_errors=True)

    def remove(self) -> None:
        """Remove everything, once what it was for exists."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _steps(self) -> list[Path]:
        return sorted(self.folder.glob("step-*"))


def curve_text(rows: list[Row]) -> str:
    """Return the rows of a curve as JSON lines."""
    return "".join(f"{json.dumps(row)}\n" for row in rows)


def read_curve(path: Path) -> list[Row]:
    """Read the rows of a curve."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
