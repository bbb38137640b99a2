"""Runs scored again, from their predictions, without the test examples that stand in train or dev too."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from kebench.kinds.stored import score_split
from kebench.records import Record, SplitFacts
from kebench.report.compare import Predictions
from kebench.report.table import Leaderboard

# Of a record whose predictions do not say which test examples were seen: their rows, from 0.
FindSeen = Callable[[Record], Sequence[int]]


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
