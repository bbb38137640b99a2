"""Runs scored again, from predictions: by further metrics, beside their record; or without seen examples."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from kebench.errors import UserError
from kebench.kinds.registry import KINDS
from kebench.kinds.stored import read_predictions, score_split
from kebench.records import FurtherScores, Record, SplitFacts, read_records, write_further_scores
from kebench.report.compare import Predictions
from kebench.report.protocol import Fields, all_fields, differing_names, say_fields
from kebench.report.table import Leaderboard
from kebench.scoring.metrics import METRICS

# Of a record whose predictions do not say which test examples were seen: their rows, from 0.
FindSeen = Callable[[Record], Sequence[int]]


class Rescored(NamedTuple):
    """What was computed, and what could not be.

    computed: (task, model, metric, settings) and the test scores of its runs, None where undefined. Settings:
        those in which other runs of this model on this task differ, but for the seed, as words.
    num_written: files of further scores that are new or changed. num_runs: that were found.
    refused: reasons, each with its runs.
    """

    computed: dict[tuple[str, str, str, str], list[float | None]]
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
    computed: dict[tuple[str, str, str], dict[Fields, list[float | None]]] = defaultdict(dict)
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
                by_settings = computed[record.task, record.model, name]
                by_settings.setdefault(all_fields(record), []).append(found["test"][name])
            # What was computed before stays beside what is new.
            dev, test = record.dev.further | found["dev"], record.test.further | found["test"]
            if (dev, test) != (record.dev.further, record.test.further):
                write_further_scores(
                    path, FurtherScores(schema=1, identity=record.identity, dev=dev, test=test)
                )
                num_written += 1
    # Runs of other settings, weights or rates are scores of something else: they never share a mean.
    told = {
        (*key, say_fields(fields, differing_names(list(by_settings)))): percents
        for key, by_settings in computed.items()
        for fields, percents in by_settings.items()
    }
    return Rescored(told, num_written, num_runs, dict(refused))


class Unseen(NamedTuple):
    """Runs with the test score of what is left, what reads their predictions of it, how many each lost.

    left_out: by the column of the leaderboard, in words: "98 of 3,856".
    """

    records: list[Record]
    predictions: Predictions
    left_out: dict[str, str]


def without_seen(records: Iterable[Record], predictions: Predictions, *, find_seen: FindSeen) -> Unseen:
    """Score the test sets of runs again without the examples that were seen; dev, and so rates, stay."""
    kept, left_out = [], {}

    def of_the_rest(record: Record) -> dict[str, Any]:
        """Return predictions without the seen examples; counts over the whole test set stay as they are."""
        whole = predictions(record)
        test = dict(whole["test"])
        seen = set(test.pop("seen") if "seen" in test else find_seen(record))
        for name, column in test.items():
            if isinstance(column, list):
                test[name] = [one for row, one in enumerate(column) if row not in seen]
        return {**whole, "test": test}

    for record in records:
        rest = of_the_rest(record)
        num_left, before = len(rest["test"]["ids"]), record.test.num_examples
        left_out[record.column] = f"{before - num_left:,} of {before:,}"
        facts = {**record.splits, "test": SplitFacts(num_examples=num_left, num_seen=0)}
        score = score_split(rest, "test", metric=record.protocol.metric)
        kept.append(record.model_copy(update={"test": score, "splits": facts}))
    return Unseen(kept, of_the_rest, left_out)


def say_left_out(board: Leaderboard, unseen: Unseen) -> Leaderboard:
    """Return a leaderboard of such runs whose captions say what was left out."""
    tables = []
    for table in board.tables:
        columns = [column for block in table.blocks for column in block.columns]
        numbers = ", ".join(f"{column.heading} {unseen.left_out[column.hash]}" for column in columns)
        caption = f"{table.caption}; without test examples that stand in train or dev ({numbers})"
        tables.append(replace(table, caption=caption))
    return replace(board, tables=tuple(tables))
