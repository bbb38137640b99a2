"""Stored predictions: read within bounds, checked by their kind's form, and scored by any metric of the kind.

They hold ids, gold and predictions, never text (docs/FORMATS.md), so a finished run can be scored again for
as long as the file lasts: the same function scores a fresh run.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from kebench.bounded import MOST_PREDICTIONS_BYTES, parse_json, read_within, unpack_gzip
from kebench.errors import UserError, first_fault
from kebench.kinds.registry import KINDS
from kebench.scoring.calibration import calibration_error_percent, has_confidence, reliability
from kebench.scoring.metrics import METRICS
from kebench.scoring.score import LabelScore, Score


def read_predictions(path: Path) -> dict[str, Any]:
    """Read the predictions beside a record: {"kind": ..., "dev": {...}, "test": {...}}, see docs/FORMATS.md.

    Raises UserError if they are missing, torn, or not of the form of their kind.
    """
    beside = path.parent / (path.name.removesuffix(".json") + ".predictions.json.gz")
    try:
        packed = read_within(beside, MOST_PREDICTIONS_BYTES)
        predictions: Any = parse_json(unpack_gzip(packed, MOST_PREDICTIONS_BYTES))
        kind = predictions.get("kind") if isinstance(predictions, dict) else None
        if isinstance(kind, str) and kind in KINDS:
            KINDS[kind].stored.model_validate(predictions)
            return dict(predictions)
        fault = f"kind {kind!r}, expected one of {', '.join(KINDS)}" if kind else "not predictions"
    except ValidationError as error:
        fault = first_fault(error, whole="the file")
    except OSError as error:
        fault = error.strerror or str(error)  # the whole of it names the file again
    except ValueError as error:
        fault = str(error)
    raise UserError(f"{beside}: cannot be read ({fault}); remove its record and run it again")


def score_split(predictions: Mapping[str, Any], split: str, *, metric: str = "") -> Score:
    """Return the score of one split of stored predictions. metric: the task's own; its kind's first if empty.

    `further` holds the other metrics of the kind.
    """
    kind, part = KINDS[predictions["kind"]], predictions[split]
    own = METRICS[metric or kind.metrics[0]]
    others = [name for name in kind.metrics if name != own.name]
    error = None
    if kind.calibrated and has_confidence(predictions, split):
        judgements = next(iter(kind.calibrated.values()))  # of the first decisions
        error = calibration_error_percent(reliability(judgements(part)))
    return Score(
        score_percent=own.score(predictions, split),
        details=own.details(own.total(own.units(predictions, split))),
        by_label={
            label: LabelScore(
                **counts._asdict(),
                precision_percent=counts.precision_percent,
                recall_percent=counts.recall_percent,
                f1_percent=counts.f1_percent,
            )
            for label, counts in own.by_label(predictions, split).items()
        },
        further={name: METRICS[name].score(predictions, split) for name in others},
        num_examples=len(part["gold"]),
        **kind.cut(part),
        calibration_error_percent=error,
    )
