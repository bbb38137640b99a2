"""Chooses the learning rate of a model by its mean dev score over seeds. The test score never enters."""

import statistics
from collections import Counter, defaultdict
from collections.abc import Iterable
from math import inf
from typing import NamedTuple

from kebench.records import Record


class Selection(NamedTuple):
    """The chosen rate, its runs in the order of their seeds, and what had to be left out of the choice."""

    learning_rate: float
    runs: tuple[Record, ...]
    note: str


def choose_rate(records: Iterable[Record]) -> Selection:
    """Choose among the rates of one model on one task under one protocol.

    Rates are compared over the seeds that all of them have, by mean dev score, whichever metric of
    the test set is reported later. Of equal rates the smaller wins. A rate that shares no seed
    with better covered ones cannot be compared and is left out, with a note. So are runs of another pooling
    than most have: a model's card may have said otherwise before.
    """
    records, notes = list(records), []
    by_pooling = Counter(record.protocol.pooling for record in records)
    if len(by_pooling) > 1:
        usual = max(sorted(by_pooling), key=by_pooling.__getitem__)
        unusual = [f"{name} ({number})" for name, number in sorted(by_pooling.items()) if name != usual]
        notes.append(f"runs of pooling {', '.join(unusual)} left out, beside those of {usual}")
        records = [record for record in records if record.protocol.pooling == usual]
    by_rate: dict[float, dict[int, Record]] = defaultdict(dict)
    for record in records:
        runs = by_rate[record.settings.learning_rate]
        assert record.seed not in runs, f"two records of one seed: {record.identity}"
        runs[record.seed] = record
    assert by_rate, "choose_rate needs records"
    first, *others = sorted(by_rate, key=lambda rate: (-len(by_rate[rate]), rate))  # best covered first
    kept, shared = [first], set(by_rate[first])
    for rate in others:
        if common := shared & set(by_rate[rate]):
            kept.append(rate)
            shared = common
    means: dict[float, float] = {}
    for rate in kept:
        percents = [by_rate[rate][seed].dev.score_percent for seed in sorted(shared)]
        known = [percent for percent in percents if percent is not None]
        # undefined where dev has no gold, which is refused now but older runs have
        means[rate] = statistics.fmean(known) if len(known) == len(percents) else -inf
    best = min(kept, key=lambda rate: (-means[rate], rate))
    if refused := sorted(set(by_rate) - set(kept)):
        notes.append(f"rate {_listed(refused)} left out of the choice: no seed shared with the other rates")
    if len(kept) > 1 and any(set(by_rate[rate]) != shared for rate in kept):
        notes.append(f"rates compared over seed {_listed(sorted(shared))} only, which all of them have")
    if len(kept) > 1 and means[best] == -inf:
        notes.append("no score in dev, so that of these rates the least is shown")
    return Selection(best, tuple(by_rate[best][seed] for seed in sorted(by_rate[best])), "; ".join(notes))


def _listed(numbers: Iterable[float]) -> str:
    return ", ".join(f"{number:g}" for number in numbers)
