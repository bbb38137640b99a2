"""A leaderboard for programs: what its JSON holds, and a row a number.

Every measured number comes with its deviation, n, seeds, learning rate and dev mean; every published
one with its source; that of a baseline with its column alone. Nothing is rounded. What is missing is null
(JSON) or empty (CSV).
"""

from collections.abc import Iterator
from typing import Any

from kebench.report.costs import Asked, cost_fields
from kebench.report.overall import overall_notes, overall_of
from kebench.report.table import Block, Leaderboard, Table
from kebench.report.words import captions, summary_fields
from kebench.scoring.metrics import METRICS

SCHEMA = 1
# The fields of a number, in the order of the CSV's columns.
FIELDS = (
    "suite",
    "protocol",
    "metric",
    "kind",
    "task",  # `average` for the average of a kind, `overall` for the one score of a suite
    "column",  # two numbers may be compared only if this is the same
    "origin",  # measured, baseline or published
    "model",
    "label",
    "model_hash",
    "fidelity",
    "mean_percent",
    "sd_percent",
    "n",
    "is_best",  # among the measured rows
    "learning_rate",
    "dev_mean_percent",
    "dev_sd_percent",
    "seeds",
    "source",
    "is_comparable",  # with the other rows of its column
    "num_seen",  # test examples whose text stands in train or dev too, where the records keep it
    "test_examples",
    "note",  # why there is no mean
    "metric_name",  # of this number; `metric` is what was asked for
)


NO_COSTS = Asked(())
OVERALL = "overall"
UNDEFINED = "no {lacks} in the test set: the score is undefined"
UNDEFINED_AVERAGE = "the score of a task is undefined, and so is the average"


def board_content(board: Leaderboard, asked: Asked = NO_COSTS) -> dict[str, Any]:
    """Return the tables for JSON. asked: for fields of what the runs took."""
    tables = [
        {
            "suite": table.suite,
            "caption": captions(table),
            "protocol": dict(table.protocol),
            "notes": [*table.notes, *overall_notes(table)],
            "numbers": list(_numbers(table, board, asked)),
        }
        for table in board.tables
    ]
    return {"schema": SCHEMA, "metric": board.metric, "tables": tables}


def board_rows(board: Leaderboard, asked: Asked = NO_COSTS) -> Iterator[dict[str, Any]]:
    """Yield a row a number, measured and published. asked: for columns of what the runs took."""
    for table in board.tables:
        yield from _numbers(table, board, asked)


def board_fields(asked: Asked = NO_COSTS) -> tuple[str, ...]:
    """Return the fields of a number."""
    return (*FIELDS, *cost_fields((), asked))


def _numbers(table: Table, leaderboard: Leaderboard, asked: Asked) -> Iterator[dict[str, Any]]:
    fields = board_fields(asked)
    shared = {"suite": table.suite, "protocol": table.caption, "metric": leaderboard.metric}
    for block in table.blocks:
        numbers = [one for place in range(len(block.rows)) for one in _measured_numbers(block, place, asked)]
        numbers += _baseline_numbers(block)
        names = (*dict.fromkeys(column.task for column in block.columns), block.kind)
        numbers += [
            {
                "origin": "published",
                "protocol": printed.table.protocol,
                "metric": printed.table.unit,
                "task": "average" if name == block.kind else name,
                "model": printed.row.model,
                "label": printed.row.label,
                "mean_percent": percent,
                "sd_percent": printed.row.sd.get(name),
                "n": printed.row.n,
                "is_best": False,
                "source": f"{printed.table.source}; {printed.row.source}",
                "is_comparable": printed.row.comparable,
            }
            for printed in block.published
            for name in names
            if (percent := printed.row.percent_of(name)) is not None
        ]
        for number in numbers:
            number = {**shared, "kind": block.kind, **number}
            yield {field: number.get(field) for field in fields}
    scored = [(one, one.score) for one in overall_of(table) if one.score]  # the best first
    for one, score in scored:
        number = {
            **shared,
            "task": OVERALL,
            "origin": "measured",
            "label": one.label,
            **one.key._asdict(),
            "is_comparable": True,
            **summary_fields(score),
            "is_best": len(scored) > 1 and score.mean == scored[0][1].mean,
            "metric_name": table.score,
        }
        yield {field: number.get(field) for field in fields}


def _baseline_numbers(block: Block) -> Iterator[dict[str, Any]]:
    for one in block.baselines:
        who = {"origin": "baseline", "model": one.name, "label": one.label, "is_best": False}
        for column, score in zip(block.columns, one.scores, strict=True):
            if score:
                yield {
                    **who,
                    "task": column.task,
                    "column": column.hash,
                    "metric_name": column.metric,
                    "mean_percent": score.percent,
                    "is_comparable": True,
                    "num_seen": column.test.num_seen if column.test else None,
                    "test_examples": column.test.num_examples if column.test else None,
                    "note": UNDEFINED.format(lacks=METRICS[column.metric].lacks)
                    if score.percent is None
                    else None,
                }
        if one.average:
            note = UNDEFINED_AVERAGE if one.average.percent is None else None
            average = {"task": "average", "mean_percent": one.average.percent, "is_comparable": True}
            yield {**who, **average, "note": note}


def _measured_numbers(block: Block, place: int, asked: Asked) -> Iterator[dict[str, Any]]:
    row = block.rows[place]
    who = {"origin": "measured", "label": row.label, **row.key._asdict(), "is_comparable": True}
    for index, (column, cell) in enumerate(zip(block.columns, row.cells, strict=True)):
        if cell:
            yield {
                **who,
                "task": column.task,
                "column": column.hash,
                "metric_name": column.metric,
                **(summary_fields(cell.test) if cell.test else {}),
                "n": len(cell.runs),
                "is_best": (place, index) in block.best,
                "learning_rate": cell.learning_rate,
                "dev_mean_percent": cell.dev.mean if cell.dev else None,
                "dev_sd_percent": cell.dev.sd if cell.dev else None,
                "seeds": sorted(run.seed for run in cell.runs),
                "num_seen": column.test.num_seen if column.test else None,
                "test_examples": column.test.num_examples if column.test else None,
                "note": None if cell.test else UNDEFINED.format(lacks=METRICS[column.metric].lacks),
                **cost_fields(cell.tried, asked),
            }
    if row.average or row.has_undefined:
        yield {
            **who,
            "task": "average",
            **(summary_fields(row.average) if row.average else {}),
            "is_best": (place, len(block.columns)) in block.best,
            "note": None if row.average else UNDEFINED_AVERAGE,
            **cost_fields(row.tried, asked),
        }
