"""Keeps an unfinished pretraining, so that the same command goes on after a kill, bit for bit on the CPU.

A folder a kept step, `step-0001000`, each whole or not there at all. Each is also a checkpoint like
any other: `kebench run --model .../step-0001000` looks at a model in the middle of its training.
"""

import logging
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_model

from kebench.errors import first_line
from kebench.files import atomic_folder, broken_file
from kebench.model.checkpoint_files import SAFETENSORS
from kebench.pretrain.curve import CURVES, Row, curve_text, read_curve
from kebench.pretrain.loop import Pretrainer

OPTIMIZER = "optimizer.pt"

_UNREADABLE = (OSError, ValueError, KeyError, RuntimeError, SafetensorError, pickle.PickleError)

_log = logging.getLogger(__name__)


class Kept(NamedTuple):
    """The states of one pretraining, in a folder of its own."""

    folder: Path
    keep: int

    def newest(self) -> tuple[int, list[Row]]:
        """Return the step of the newest state that is whole, and its curve; 0 and nothing if there is none.

        One that cannot be read is put aside.
        """
        for folder in reversed(self._steps()):
            try:
                if broken := broken_file(folder):
                    raise ValueError(f"{broken} is not as it was written")
                rows = read_curve(folder / CURVES)
                state = torch.load(folder / OPTIMIZER, map_location="cpu", weights_only=True, mmap=True)
                with safe_open(folder / SAFETENSORS, framework="pt") as weights:
                    weights.keys()
                return int(state["step"]), rows
            except _UNREADABLE as error:
                aside = folder.with_name(f"unreadable-{folder.name}")
                _log.warning("%s: unreadable (%s); it is now %s", folder, first_line(error), aside.name)
                shutil.rmtree(aside, ignore_errors=True)
                folder.rename(aside)
        return 0, []

    def restore(self, trainer: Pretrainer, step: int) -> None:
        """Put the state of a step into a trainer."""
        folder = self._place(step)
        missing, unexpected = load_model(trainer.objectives.model, folder / SAFETENSORS, strict=False)
        tied = set(trainer.objectives.model.all_tied_weights_keys)
        assert set(missing) <= tied, f"{folder}: the state of another model"
        assert not unexpected, f"{folder}: the state of another model"
        state = torch.load(folder / OPTIMIZER, map_location="cpu", weights_only=True)
        trainer.optimizer.load_state_dict(state["optimizer"])
        trainer.done = step

    def save(self, trainer: Pretrainer, rows: list[Row], write_model: Callable[[Path], None]) -> None:
        """Keep a trainer's state, and drop all but the last few.

        write_model: writes the model into a folder that exists.
        """
        place = self._place(trainer.done)
        if place.exists():
            return
        with atomic_folder(place, point="pretraining-state", sealed=True) as temporary:
            write_model(temporary)
            state = {"optimizer": trainer.optimizer.state_dict(), "step": trainer.done}
            torch.save(state, temporary / OPTIMIZER)
            (temporary / CURVES).write_text(curve_text(rows), encoding="utf-8")
        for folder in self._steps()[: -self.keep]:
            shutil.rmtree(folder, ignore_errors=True)

    def remove(self) -> None:
        """Remove everything, once what it was for exists."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _place(self, step: int) -> Path:
        return self.folder / f"step-{step:07}"

    def _steps(self) -> list[Path]:
        return sorted(self.folder.glob("step-*"))
