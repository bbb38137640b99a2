"""The scores of a model as the model-index of a Hugging Face model card, YAML at the top of README.md."""

from collections.abc import Iterable

from kebench import __version__
from kebench.kinds.card import TaskCard
from kebench.kinds.registry import KINDS
from kebench.report.protocol import describe_protocol
from kebench.report.table import Leaderboard, find_key, row_of
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
            if not (cell and cell.test):
                continue
            metric, score, seen = METRICS[column.metric], cell.test, column.test
            budgets = sorted({run.protocol.budget for run in cell.runs})
            settings = {
                "protocol": describe_protocol(table.protocol, budgets=budgets, differing=set()),
                "learning_rate": cell.learning_rate,
            }
            if seen and is_seen_widely(seen):  # much of the test set stands in train or dev
                settings["test_set"] = seen_words(block.kind, "test", seen)
            seeds = "1 seed" if score.n == 1 else f"{score.n} seeds"
            sd = "unknown" if score.sd is None else f"{score.sd:.2f}"
            results.append(
                EvalResult(
                    task_type=KINDS[block.kind].task_type,
                    dataset_type=column.task,
                    dataset_name=cards[column.task].title if column.task in cards else column.task,
                    dataset_split="test",
                    metric_type=metric.title.lower(),
                    metric_name=f"{metric.words}, mean of {seeds}, sd {sd}",
                    metric_value=round(score.mean, 2),
                    metric_args=settings,
                    source_name=f"kebench {__version__}",
                    source_url="https://github.com/kebench/kebench",
                )
            )
    data = ModelCardData(
        model_name=name, eval_results=results, library_name="transformers", license=licence or None
    )
    return f"---\n{data.to_yaml()}\n---\n"
