"""Chooses the learning rate of a model by its mean dev score over seeds. The test score never enters."""

import statistics
from collections import defaultdict
from collections.abc import Iterable, Sequence
from math import inf
from typing import NamedTuple

from kebench.records import Record

Runs = dict[int, Record]  # by seed


class Selection(NamedTuple):
    """The chosen rate, its runs in the order of their seeds, and what had to be left out of the choice."""

    learning_rate: float
    runs: tuple[Record, ...]
    note: str


def choose_rate(records: Iterable[Record]) -> Selection:
    """Choose among the rates of one model on one task under one protocol.

    Rates are compared over the seeds that all of them have, by mean dev score, whichever metric of
    the test set is reported later. Of equal rates the smaller wins. A rate that shares no seed
    with better covered ones cannot be compared and is left out, with a note.
    """
    by_rate = _group_by_rate(records)
    assert by_rate, "choose_rate needs records"
    kept, shared = _comparable_rates(by_rate)
    means = {rate: _mean_dev_percent(by_rate[rate], shared) for rate in kept}
    best = min(kept, key=lambda rate: (_undefined_last(means[rate]), rate))
    runs, note = by_rate[best], _note(by_rate, kept, shared)
    if len(kept) > 1 and means[best] is None:
        note = "; ".join(filter(None, (note, "no score in dev, so that of these rates the least is shown")))
    return Selection(best, tuple(runs[seed] for seed in sorted(runs)), note)


def _undefined_last(mean: float | None) -> float:
    return inf if mean is None else -mean


def _group_by_rate(records: Iterable[Record]) -> dict[float, Runs]:
    by_rate: dict[float, Runs] = defaultdict(dict)
    for record in records:
        runs = by_rate[record.settings.learning_rate]
        assert record.seed not in runs, f"two records of one seed: {record.identity}"
        runs[record.seed] = record
    return dict(by_rate)


def _comparable_rates(by_rate: dict[float, Runs]) -> tuple[list[float], set[int]]:
    """Return the rates that share seeds, and those seeds; the best covered rates come first."""
    most_seeds_first = sorted(by_rate, key=lambda rate: (-len(by_rate[rate]), rate))
    kept, shared = [most_seeds_first[0]], set(by_rate[most_seeds_first[0]])
    for rate in most_seeds_first[1:]:
        if common := shared & set(by_rate[rate]):
            kept.append(rate)
            shared = common
    return kept, shared


def _mean_dev_percent(runs: Runs, seeds: set[int]) -> float | None:
    """Return the mean over seeds; None where dev has no gold, which is refused now but older runs have."""
    percents = [runs[seed].dev.score_percent for seed in sorted(seeds)]
    known = [percent for percent in percents if percent is not None]
    return statistics.fmean(known) if len(known) == len(percents) else None


def _note(by_rate: dict[float, Runs], kept: Sequence[float], shared: set[int]) -> str:
    notes = []
    if refused := sorted(set(by_rate) - set(kept)):
        notes.append(f"rate {_listed(refused)} left out of the choice: no seed shared with the other rates")
    if any(set(by_rate[rate]) != shared for rate in kept) and len(kept) > 1:
        notes.append(f"rates compared over seed {_listed(sorted(shared))} only, which all of them have")
    return "; ".join(notes)


def _listed(numbers: Iterable[float]) -> str:
    return ", ".join(f"{number:g}" for number in numbers)
