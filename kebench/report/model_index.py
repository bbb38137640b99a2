"""The scores of a model as the model-index of a Hugging Face model card, YAML at the top of README.md."""

from collections.abc import Iterable, Mapping
from typing import Any

from kebench import __version__
from kebench.kinds.card import TaskCard
from kebench.kinds.registry import KINDS
from kebench.report.protocol import describe_protocol
from kebench.report.rows import find_key, row_of
from kebench.report.table import Cell, Column, Leaderboard, Table
from kebench.scoring.metrics import METRICS
from kebench.tasks.facts import is_seen_widely, seen_words


def model_index(board: Leaderboard, name: str, *, tasks: Iterable[TaskCard], licence: str = "") -> str:
    """Return the YAML between the dashes of a model card, with every measured score of a model.

    Each score is the mean of its seeds, with deviation, n and protocol beside it. Raises UserError if the
    leaderboard has no row of the model.
    """
    from huggingface_hub import EvalResult, ModelCardData

    cards, key = {card.name: card for card in tasks}, find_key(board, name)
    results = []
    for table, block in ((one, block) for one in board.tables for block in one.blocks):
        row = row_of(block.rows, key)
        for column, cell in zip(block.columns, row.cells if row else (), strict=bool(row)):
            if cell and cell.test:
                results.append(EvalResult(**_fields(table, block.kind, column, cell, cards)))
    known: dict[str, Any] = {"license": licence} if licence else {}
    data = ModelCardData(model_name=name, eval_results=results, library_name="transformers", **known)
    return f"---\n{data.to_yaml()}\n---\n"


def _fields(
    table: Table, kind: str, column: Column, cell: Cell, cards: Mapping[str, TaskCard]
) -> dict[str, Any]:
    metric = METRICS[column.metric]
    budget = sorted({run.protocol.budget for run in cell.runs})
    protocol = describe_protocol(table.protocol, budgets=budget, differing=set())
    seen = column.test  # said where much of the test set stands in train or dev
    seeds = "1 seed" if cell.score.n == 1 else f"{cell.score.n} seeds"
    sd = "unknown" if cell.score.sd is None else f"{cell.score.sd:.2f}"
    return {
        "task_type": KINDS[kind].task_type,
        "dataset_type": column.task,
        "dataset_name": cards[column.task].title if column.task in cards else column.task,
        "dataset_split": "test",
        "metric_type": metric.title.lower(),
        "metric_name": f"{metric.words}, mean of {seeds}, sd {sd}",
        "metric_value": round(cell.score.mean, 2),
        "metric_args": {
            "protocol": protocol,
            "learning_rate": cell.learning_rate,
            **({"test_set": seen_words(kind, "test", seen)} if seen and is_seen_widely(seen) else {}),
        },
        "source_name": f"kebench {__version__}",
        "source_url": "https://github.com/kebench/kebench",
    }
