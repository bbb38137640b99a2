"""Records as a pandas frame, for people who would rather compute than read tables."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from kebench.records import Record, read_records

if TYPE_CHECKING:
    import pandas as pd


def records_frame(folder: Path | str) -> "pd.DataFrame":
    """Return one row a finished run, sorted by task, model, learning rate and seed.

    Columns: what identifies the run, `dev_percent`, `test_percent`, `test_as_published_percent` (missing
    where the published protocol is the same), counts, cost, and `column`: scores may be averaged or
    compared only where it is equal.
    """
    import pandas as pd  # half a second: tables are printed without it

    rows = [row_of_record(record) for record in read_records(Path(folder))]
    by = ["task", "model", "learning_rate", "seed"]
    return pd.DataFrame(rows, columns=list(_COLUMNS)).sort_values(by, ignore_index=True)


_COLUMNS = (
    "task", "model", "learning_rate", "seed", "dev_percent", "test_percent", "test_as_published_percent",
    "num_examples", "num_cut", "best_epoch", "seconds", "peak_mib", "energy_kwh", "co2_kg",
    "device", "column", "identity",
)  # fmt: skip


def row_of_record(record: Record) -> dict[str, Any]:
    """Return a run as a row of the frame."""
    return {
        "task": record.task,
        "model": record.model,
        "learning_rate": record.settings.learning_rate,
        "seed": record.seed,
        "dev_percent": record.dev.score_percent,
        "test_percent": record.test.score_percent,
        "test_as_published_percent": record.test.score_as_published_percent,
        "num_examples": record.test.num_examples,
        "num_cut": record.test.num_cut,
        "best_epoch": record.best_epoch,
        "seconds": record.provenance.seconds,
        "peak_mib": record.provenance.peak_mib,
        "energy_kwh": record.provenance.energy_kwh,
        "co2_kg": record.provenance.energy.co2_kg if record.provenance.energy else None,
        "device": record.provenance.device,
        "column": record.column[:12],
        "identity": record.identity,
    }
