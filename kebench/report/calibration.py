"""Calibration of a model on a task: whether it is right as often as it is sure, over all its seeds."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from kebench.grid import Cell, Grid, Sheet, mean_cell
from kebench.kinds.registry import KINDS
from kebench.scoring.calibration import (
    NUM_BINS,
    Bin,
    calibration_error_percent,
    has_confidence,
    reliability,
)
from kebench.stats.summary import Summary, summarise


class Calibration(NamedTuple):
    """One kind of decision: what it is, the bins of all seeds together, the error in percent over seeds."""

    decisions: str
    bins: tuple[Bin, ...]
    error: Summary
    num_runs: int

    @property
    def words(self) -> str:
        """Return the error in words."""
        spread = "" if self.error.sd is None else f" ± {self.error.sd:.1f}"
        return f"expected calibration error of {self.decisions}: {self.error.mean:.1f}{spread}%"


def calibrations(predictions: Sequence[dict[str, Any]]) -> list[Calibration]:
    """Return the calibration of a cell's runs on the test set; none if a run's confidences were not kept."""
    if not all(has_confidence(one, "test") for one in predictions):
        return []
    found = []
    for decisions, judgements in KINDS[predictions[0]["kind"]].calibrated.items():
        runs = [list(judgements(one["test"])) for one in predictions]
        errors = [calibration_error_percent(reliability(run)) for run in runs]
        known = [error for error in errors if error is not None]
        if known:
            bins = tuple(reliability(one for run in runs for one in run))
            found.append(Calibration(decisions, bins, summarise(known), len(runs)))
    return found


def calibration_grid(found: Calibration) -> Grid:
    """Return the bins of a reliability plot as rows."""
    rows = []
    for one in found.bins:
        stretch = f"{one.place / NUM_BINS:.2f} to {(one.place + 1) / NUM_BINS:.2f}"
        number = mean_cell(one.number, found.num_runs)
        rows.append((stretch, number, Cell(100 * one.confidence), Cell(100 * one.accuracy)))
    return Grid((f"confidence ({found.decisions})", "a run", "confidence, %", "right, %"), rows)


def with_calibration(sheet: Sheet, found: Sequence[Calibration]) -> Sheet:
    """Return a sheet with the bins and the errors added; without confidences with a note that says so."""
    if not found:
        missing = "No calibration: these runs were made before confidences were kept; run them again."
        return replace(sheet, notes=(*sheet.notes, missing))
    said = "; ".join(one.words for one in found)
    mean = ", mean over seeds" if found[0].num_runs > 1 else ""
    note = f"{said[0].upper()}{said[1:]}: {NUM_BINS} bins of equal width{mean}."
    grids = (*sheet.grids, *map(calibration_grid, found))
    return replace(sheet, grids=grids, notes=(*sheet.notes, note))
