"""What predictors that read no text score: the majority, no label at all, a constant; as each kind has them.

Their rows stand under the measured ones of a block, marked and not ranked: they say what a score is worth.
The gold is that of the runs in a column; a majority or a mean is of the training examples that these had.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from kebench.errors import UserError
from kebench.kinds.card import TaskCard
from kebench.kinds.kind import Examples
from kebench.kinds.registry import KINDS
from kebench.records import Record
from kebench.report.compare import Predictions
from kebench.report.table import Baseline, BaselineScore, Block, Leaderboard
from kebench.scoring.metrics import METRICS
from kebench.stats.summary import summarise

NOTE = (
    "Baselines read no text and are not ranked: all-negative finds nothing, majority says of every example "
    "what most of the training set has, constant its mean"
)
# The training examples of a run, None where its very files are not at hand.
FindTrain = Callable[[Record], Examples | None]


class WithBaselines(NamedTuple):
    """A leaderboard with rows of baselines, and what could not be computed.

    without_train: headings of columns whose training set is not at hand, so that some rows lack them.
    refused: why columns have none at all, a line each.
    """

    board: Leaderboard
    without_train: list[str]
    refused: list[str]


def with_baselines(
    board: Leaderboard, *, cards: Sequence[TaskCard], predictions: Predictions, find_train: FindTrain
) -> WithBaselines:
    """Return the leaderboard with the rows of baselines under each block.

    cards: of all tasks. predictions: reads the stored ones of a record, of which the gold is taken.
    """
    by_name = {card.name: card for card in cards}
    without_train: dict[str, None] = {}
    refused: dict[str, None] = {}

    def scores_of(block: Block, place: int) -> Mapping[str, BaselineScore]:
        """Return what each baseline scores in a column, by its metric."""
        column = block.columns[place]
        runs = [run for row in block.rows if (cell := row.cells[place]) for run in cell.runs]
        card, stored, why = by_name.get(column.task), None, ""
        for run in runs:
            try:
                stored = predictions(run)
                break
            except UserError as error:
                why = str(error)
        if card is None or stored is None:
            refused[f"no baselines on {column.heading}: {why or 'there is no card of the task'}"] = None
            return {}
        trivial, gold = KINDS[card.kind].trivial, stored["test"]["gold"]
        predicted = trivial(card, None, gold)
        if None in predicted.values():  # most kinds need no training set for some
            train = find_train(runs[0])
            predicted = trivial(card, train, gold)
            if train is None:
                without_train[column.heading] = None
        metric = METRICS[column.metric]
        return {
            name: BaselineScore(
                metric.score({**stored, "test": {**stored["test"], "predicted": list(one)}}, "test")
            )
            for name, one in predicted.items()
            if one is not None
        }

    tables = []
    for table in board.tables:
        blocks = []
        for block in table.blocks:
            scores = [scores_of(block, place) for place in range(len(block.columns))]
            tasks = [card.name for card in cards if card.kind == block.kind and table.suite in card.suites]
            is_whole = sorted(column.task for column in block.columns) == sorted(tasks)
            names = dict.fromkeys(name for one in scores for name in one)
            rows = tuple(_row(name, [one.get(name) for one in scores], is_whole=is_whole) for name in names)
            blocks.append(replace(block, baselines=rows))
        has_rows = any(block.baselines for block in blocks)
        notes = (*table.notes, NOTE) if has_rows else table.notes
        tables.append(replace(table, blocks=tuple(blocks), notes=notes))
    return WithBaselines(replace(board, tables=tuple(tables)), list(without_train), list(refused))


def _row(name: str, scores: Sequence[BaselineScore | None], *, is_whole: bool) -> Baseline:
    """Return a row; as a model's, it has an average if every task of the suite and kind has a score."""
    known = [one.percent for one in scores if one and one.percent is not None]
    average = None
    if any(one and one.percent is None for one in scores):
        average = BaselineScore(None)
    elif is_whole and len(known) == len(scores):
        average = BaselineScore(summarise(known).mean)
    return Baseline(name, tuple(scores), average)
