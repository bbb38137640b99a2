"""Scores stored runs by further metrics of their kind: from predictions, beside the record, never in it."""

from collections import defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

from kebench.errors import UserError
from kebench.kinds.registry import KINDS
from kebench.kinds.stored import read_predictions
from kebench.records import FurtherScores, read_records, write_further_scores
from kebench.scoring.metrics import METRICS


class Rescored(NamedTuple):
    """What was computed, and what could not be.

    computed: (task, model, metric) and the test scores of its runs, None where undefined.
    num_written: files of further scores that are new or changed. num_runs: that were found.
    refused: reasons, each with its runs.
    """

    computed: dict[tuple[str, str, str], list[float | None]]
    num_written: int
    num_runs: int
    refused: dict[str, list[Path]]


def rescore(
    folders: Iterable[Path], *, metric: str | None, left_out: Callable[[UserError], object]
) -> Rescored:
    """Compute a metric, or all of each run's kind, for every run that has predictions.

    A run's own metric stands in its record. Written is what the record does not hold yet. left_out: told of
    files that are no records.
    """
    computed: dict[tuple[str, str, str], list[float | None]] = defaultdict(list)
    refused: dict[str, list[Path]] = defaultdict(list)
    num_written = num_runs = 0
    for folder in folders:
        for path, record in read_records(folder, left_out=left_out):
            num_runs += 1
            if record.kind not in KINDS:
                refused[f"the kind '{record.kind}' is none of {', '.join(KINDS)}"].append(path)
                continue
            own, kind = record.protocol.metric, KINDS[record.kind]
            asked = [metric] if metric else [name for name in kind.metrics if name != own]
            found: dict[str, dict[str, float | None]] = {"dev": {}, "test": {}}
            try:
                predictions = read_predictions(path)
            except UserError as error:
                refused[str(error)].append(path)
                continue
            if metric == own:
                reason = f"{metric} is the own metric of {record.task}, and stands in its records"
                refused[reason].append(path)
                continue
            if metric and metric not in kind.metrics:
                has = ", ".join(kind.metrics)
                refused[f"{metric} is no metric of {record.task}; {kind.title} has {has}"].append(path)
                continue
            for name in asked:
                for split, scores in found.items():
                    scores[name] = METRICS[name].score(predictions, split)
                computed[record.task, record.model, name].append(found["test"][name])
            # What was computed before stays beside what is new.
            dev, test = record.dev.further | found["dev"], record.test.further | found["test"]
            if (dev, test) != (record.dev.further, record.test.further):
                write_further_scores(
                    path, FurtherScores(schema=1, identity=record.identity, dev=dev, test=test)
                )
                num_written += 1
    return Rescored(dict(computed), num_written, num_runs, dict(refused))
