"""Whether a model is right as often as it says: calibration error, and the bins of a reliability plot.

Confidence is the probability of the predicted label. A predicted entity has the product of its words'
confidences, since each word is a decision of its own. Guo et al., "On Calibration of Modern Neural Networks"
(ICML 2017), equations 2 and 3, with their 15 bins of equal width.
"""

from collections.abc import Iterable, Iterator
from math import prod
from typing import Any, NamedTuple

from kebench.scoring.entities import strict_spans

NUM_BINS = 15
WHOLE = 1000  # confidences are stored in thousandths


class Judgement(NamedTuple):
    """One decision: its confidence from 0 to 1, and whether it is right."""

    confidence: float
    is_right: bool


class Bin(NamedTuple):
    """The decisions whose confidence lies in one stretch: how many, mean confidence, share that is right.

    place: of the stretch, 0 the least confident; the mean itself may be rounded over its edge.
    """

    place: int
    number: int
    confidence: float
    accuracy: float


def has_confidence(predictions: dict[str, Any], split: str) -> bool:
    """Return whether the confidences of a split were stored; runs from before they were have none."""
    return predictions[split].get("confidence_permille") is not None


def judgements(predictions: dict[str, Any], split: str) -> list[Judgement]:
    """Return what calibration is counted over: predicted entities (ner), or all instances (relation)."""
    part = predictions[split]
    if predictions["kind"] == "ner":
        return list(_of_entities(part))
    lines = zip(part["gold"], part["predicted"], part["confidence_permille"], strict=True)
    return [Judgement(permille / WHOLE, gold == predicted) for gold, predicted, permille in lines]


def word_judgements(part: dict[str, Any]) -> list[Judgement]:
    """Return every tag that was decided (ner), O among them; words that were cut off are not."""
    lines = zip(part["gold"], part["predicted"], part["confidence_permille"], strict=True)
    return [
        Judgement(permille / WHOLE, gold == predicted)
        for golds, predicteds, of_words in lines
        for gold, predicted, permille in zip(golds, predicteds, of_words, strict=True)
        if permille is not None
    ]


def _of_entities(part: dict[str, Any]) -> Iterator[Judgement]:
    lines = zip(part["gold"], part["predicted"], part["confidence_permille"], strict=True)
    for gold, predicted, of_words in lines:
        golds = set(strict_spans(gold))
        for start, end in strict_spans(predicted):
            yield Judgement(prod(one / WHOLE for one in of_words[start:end]), (start, end) in golds)


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
