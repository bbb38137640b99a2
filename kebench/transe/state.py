"""Keeps an unfinished training in the cache, so that the same command goes on after a kill.

One folder an epoch, `epoch-00012`, each whole or not there at all; the newest counts and the older ones are
removed once it is written. Together with the seed a state decides all that follows: on the CPU, with the same
number of threads, a resumed training gives the same vectors bit for bit.
"""

import json
import logging
import shutil
import time
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from kebench.files import atomic_folder, broken_file
from kebench.transe.row_adam import Table
from kebench.transe.train import State

TRAINING_PER_SAVING = 20  # ours: saving takes at most a twentieth of the time, however large the tables
TABLES, LOSSES = "tables.safetensors", "losses.json"
NAMES, PARTS = ("entity", "relation"), ("vector", "mean", "square", "touched")

_log = logging.getLogger(__name__)


class KeptState:
    """The newest state of one training, in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._saved_at = self._saving_seconds = 0.0

    def load(self, *, device: str) -> State | None:
        """Return the newest state, or None if there is none that can be read."""
        folders = self._epochs()
        if not folders:
            return None
        if broken := broken_file(folders[-1]):
            _log.warning("%s: damaged; training from the start", folders[-1] / broken)
            shutil.rmtree(self.folder)
            return None
        try:
            parts = load_file(folders[-1] / TABLES, device=device)
            losses = json.loads((folders[-1] / LOSSES).read_text())
        except (SafetensorError, OSError, ValueError) as error:
            _log.warning("%s: unreadable (%s); training from the start", folders[-1], error)
            shutil.rmtree(self.folder)  # or its epochs would stand in the way of new ones
            return None
        entity, relation = (
            Table(*(parts[f"{name}.{part}"] for part in PARTS), is_unit=name == "entity") for name in NAMES
        )
        return State(entity, relation, tuple(losses))

    def save_if_due(self, state: State) -> None:
        """Save a state if training since the last time has taken long enough; the first is always saved."""
        started = time.monotonic()
        if self._saving_seconds and started - self._saved_at < TRAINING_PER_SAVING * self._saving_seconds:
            return
        older = self._epochs()
        place = self.folder / f"epoch-{len(state.loss_by_epoch):05d}"
        with atomic_folder(place, point="embedding-state", sealed=True) as temporary:
            parts = {
                f"{name}.{part}": tensor
                for name, table in zip(NAMES, (state.entity, state.relation), strict=True)
                for part, tensor in zip(PARTS, table[:4], strict=True)
            }
            save_file(parts, temporary / TABLES)
            (temporary / LOSSES).write_text(json.dumps(state.loss_by_epoch))
        for folder in older:
            shutil.rmtree(folder, ignore_errors=True)
        self._saved_at = time.monotonic()
        self._saving_seconds = self._saved_at - started

    def remove(self) -> None:
        """Remove the state, once what it was for exists."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _epochs(self) -> list[Path]:
        return sorted(self.folder.glob("epoch-*"))
