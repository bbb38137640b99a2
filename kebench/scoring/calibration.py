"""Whether a model is right as often as it says: calibration error, and the bins of a reliability plot.

Confidence is the probability of the predicted label; what the decisions are, the kind of task says.
Guo et al., "On Calibration of Modern Neural Networks" (ICML 2017), equations 2 and 3, with their 15 bins of
equal width.
"""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

NUM_BINS = 15
WHOLE = 1000  # confidences are stored in thousandths


class Judgement(NamedTuple):
    """One decision: its confidence from 0 to 1, and whether it is right; of several that tie, their share."""

    confidence: float
    is_right: float


class Bin(NamedTuple):
    """The decisions whose confidence lies in one stretch: how many, mean confidence, share that is right.

    place: of the stretch, 0 the least confident; the mean itself may be rounded over its edge.
    """

    place: int
    number: int
    confidence: float
    accuracy: float


def has_confidence(predictions: Mapping[str, Any], split: str) -> bool:
    """Return whether the confidences of a split were stored; runs from before they were have none."""
    return predictions[split].get("confidence_permille") is not None


def reliability(found: Iterable[Judgement], num_bins: int = NUM_BINS) -> list[Bin]:
    """Return the bins that are not empty, from the least to the most confident; 1 falls into the last."""
    held: list[list[Judgement]] = [[] for _ in range(num_bins)]
    for one in found:
        held[min(int(one.confidence * num_bins), num_bins - 1)].append(one)
    return [
        Bin(
            place,
            len(some),
            sum(one.confidence for one in some) / len(some),
            sum(one.is_right for one in some) / len(some),
        )
        for place, some in enumerate(held)
        if some
    ]


def calibration_error_percent(bins: Iterable[Bin]) -> float | None:
    """Return the expected calibration error, 0 to 100: the mean gap over decisions; None without any."""
    held = list(bins)
    total = sum(one.number for one in held)
    if not total:
        return None
    return 100 * sum(one.number * abs(one.accuracy - one.confidence) for one in held) / total
