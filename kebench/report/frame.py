"""Records, and tests of models, as pandas frames, for people who would rather compute than read tables."""

import logging
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kebench.errors import UserError, counted
from kebench.kinds.registry import KINDS
from kebench.kinds.stored import read_predictions
from kebench.records import Record, read_records
from kebench.report.compare import Predictions, Settings, compare
from kebench.report.compare_export import FIELDS, comparison_rows, published_rows, significance_rows
from kebench.report.compare_published import compare_published, printed_rows_of
from kebench.report.significance import Test, significance
from kebench.report.table import Leaderboard, build_leaderboard
from kebench.scoring.metrics import AS_PUBLISHED
from kebench.tasks.card import all_task_cards

if TYPE_CHECKING:
    import pandas as pd

_log = logging.getLogger(__name__)


def records_frame(folder: Path | str) -> "pd.DataFrame":
    """Return one row a finished run, sorted by task, model, learning rate and seed.

    Columns: what identifies the run, `dev_percent`, `test_percent`, `test_as_published_percent` (missing
    where the published protocol is the same), counts (of what stands in train or dev too: missing in older
    records), cost, and `column`: scores may be averaged or compared only where it is equal. A score without
    gold is missing. Raises UserError if there are none.
    """
    import pandas as pd  # half a second: tables are printed without it

    rows = [row_of_record(record) for record in _read(folder).values()]
    by = ["task", "model", "learning_rate", "seed"]
    return pd.DataFrame(rows).sort_values(by, ignore_index=True)


def comparison_frame(
    folder: Path | str, a: str, b: str, *, tasks: Collection[str] = (), settings: Settings | None = None
) -> "pd.DataFrame":
    """Return one row a test of two models on a task, the rows of `kebench compare --format csv`.

    tasks: names of the tasks compared, which are the family of the correction; empty is all. settings: by
    default those of the command. Raises UserError as the command does.
    """
    settings = settings or Settings()
    board, predictions = _stored(folder, tasks=tasks, models=(), settings=settings)
    compared = compare(board, a, b, settings=settings, predictions=predictions)
    return _frame(row for one in compared for row in comparison_rows(one))


def published_frame(
    folder: Path | str, a: str, b: str, *, tasks: Collection[str] = (), settings: Settings | None = None
) -> "pd.DataFrame":
    """Return the same of a model against a published row: `kebench compare --published --format csv`.

    Scores are those computed as published numbers are, whatever the settings' metric.
    """
    settings = (settings or Settings())._replace(metric=AS_PUBLISHED)
    board = _stored(folder, tasks=tasks, models=(), settings=settings)[0]
    return _frame(
        row
        for printed in printed_rows_of(b)
        for one in compare_published(board, a, printed, sides=settings.sides, correction=settings.correction)
        for row in published_rows(one)
    )


def significance_frame(
    folder: Path | str,
    *,
    test: Test = "welch",
    tasks: Collection[str] = (),
    models: Collection[str] = (),
    settings: Settings | None = None,
) -> "pd.DataFrame":
    """Return one row a pair of models on a task, the rows of `kebench significance --format csv`.

    tasks, models: their names; empty is all. The family of the correction is all rows with a p-value that
    share suite and protocol.
    """
    settings = settings or Settings()
    board, predictions = _stored(folder, tasks=tasks, models=models, settings=settings)
    found = significance(board, test=test, settings=settings, predictions=predictions)
    return _frame(row for one in found for row in significance_rows(one))


def _stored(
    folder: Path | str, *, tasks: Collection[str], models: Collection[str], settings: Settings
) -> tuple[Leaderboard, Predictions]:
    """Return the leaderboard of a folder's records, and what reads the predictions beside one."""
    by_path = _read(folder)
    kept = {
        path: record
        for path, record in by_path.items()
        if (not tasks or record.task in tasks) and (not models or record.model in models)
    }
    if not kept:
        raise UserError(
            f"{folder}: {counted(len(by_path), 'record')}, none of these tasks and models; run some with "
            "'kebench run'"
        )
    paths = {(record.task, record.model, record.identity): path for path, record in kept.items()}

    def predictions(record: Record) -> dict[str, Any]:
        return read_predictions(paths[record.task, record.model, record.identity])

    board = build_leaderboard(list(kept.values()), cards=all_task_cards(), metric=settings.metric)
    return board, predictions


def _read(folder: Path | str) -> dict[Path, Record]:
    """Return the records of a folder by their paths; a file that is none is named in the log and left out.

    Raises UserError, as the commands do, if there are none.
    """
    if not Path(folder).is_dir():
        raise UserError(f"{folder}: no such folder of records; run some with 'kebench run'")
    found = dict(read_records(Path(folder), left_out=lambda error: _log.warning("left out: %s", error)))
    if not found:
        raise UserError(f"{folder}: no records; run some with 'kebench run'")
    return found


def _frame(rows: Iterable[dict[str, Any]]) -> "pd.DataFrame":
    import pandas as pd

    return pd.DataFrame(list(rows), columns=list(FIELDS))


def row_of_record(record: Record) -> dict[str, Any]:
    """Return a run as a row of the frame."""
    test = record.splits.get("test")
    published = KINDS[record.kind].published if record.kind in KINDS else ""
    return {
        "task": record.task,
        "model": record.model,
        "kind": record.kind,
        "metric": record.protocol.metric,
        "learning_rate": record.settings.learning_rate,
        "seed": record.seed,
        "dev_percent": record.dev.score_percent,
        "test_percent": record.test.score_percent,
        # by the metric of published numbers; None where that is the task's own
        "test_as_published_percent": record.test.further.get(published),
        "num_examples": record.test.num_examples,
        "num_cut": record.test.num_cut,
        "num_seen": test.num_seen if test else None,
        "num_contradicting": test.num_contradicting if test else None,
        "best_epoch": record.best_epoch,
        "seconds": record.provenance.seconds,
        "peak_mib": record.provenance.peak_mib,
        "energy_kwh": record.provenance.energy_kwh,
        "co2_kg": record.provenance.energy.co2_kg if record.provenance.energy else None,
        "device": record.provenance.device,
        "column": record.column[:12],
        "identity": record.identity,
    }
