"""Metrics: statistics of each unit of a test set, and a score as a function of their sums.

F1 is a function of (gold, predicted, correct), accuracy of (examples, correct), Pearson's r of six sums. So
one resampling, one summing by document and one leaderboard serve every metric. Spearman's rank correlation is
no function of sums, since ranks depend on all units at once: it says so (`is_additive`), and is computed from
the units of every resample.

A score that does not exist (F1 without gold, a correlation with a constant) is NaN here and None in a record,
never 0. A new metric is what gives its units, what makes a score of them, and an entry of METRICS.
"""

# U units, K statistics of a unit, C classes; ... stands for resamples and seeds

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kebench.scoring.counts import Counts, count_relations
from kebench.scoring.entities import count_entities, entity_spans, lenient_counts, lenient_f1_percent

Floats = NDArray[np.float64]
Predictions = Mapping[str, Any]  # as they are stored: docs/FORMATS.md
_OF_ROUNDING = 1e-12  # a variance below this fraction of its sum of squares is rounding, and none


@dataclass(frozen=True)
class Metric:
    """How well predictions agree with the gold, in percent; a correlation runs from -100 to 100.

    title: over columns and on axes ("F1"). words: in captions ("micro F1 over the positive labels").
    units: returns the statistics of each sentence, instance or pair of a split, (U, K), in the order of the
        file.
    percent: returns scores of sums (..., K), or of units (..., U, K) if not additive; NaN where none exists.
    details: returns what a record keeps beside a score, of the same sums or units.
    by_label: returns the counts of each entity type or label of a split, in the order of the task's card.
    lacks: what a split without a score is without.
    untrained_percent: the score of a model that has not begun to learn, whose epochs early stopping does not
        count; None where any score may be one of learning.
    exact: gives the score of a split where another's arithmetic rounds otherwise, in the last bit.
    """

    name: str
    title: str
    words: str
    units: Callable[[Predictions, str], Floats]
    percent: Callable[[Floats], Floats]
    details: Callable[[Floats], dict[str, int | float | None]] = lambda sums: {}
    by_label: Callable[[Predictions, str], dict[str, Counts]] = lambda predictions, split: {}
    lacks: str = "gold"
    is_additive: bool = True
    untrained_percent: float | None = None
    exact: Callable[[Predictions, str], float | None] | None = None

    def score(self, predictions: Predictions, split: str) -> float | None:
        """Return the score of a split, None where there is none."""
        if self.exact:
            return self.exact(predictions, split)
        percent = float(self.percent(self.total(self.units(predictions, split))))
        return None if np.isnan(percent) else percent

    def total(self, units: Floats) -> Floats:
        """Return what `percent` takes of units: their sums, or themselves."""
        return units.sum(axis=0) if self.is_additive else units


def _pairs(predictions: Predictions, split: str) -> list[tuple[Any, Any]]:
    """Return gold and prediction of each example."""
    return list(zip(predictions[split]["gold"], predictions[split]["predicted"], strict=True))


# F1 of counts: gold, predicted, correct


def f1_percent(counts: Floats) -> Floats:
    """Return 2 x correct / (gold + predicted) of counts (..., 3); NaN without gold."""
    gold, predicted, correct = np.moveaxis(counts, -1, 0)
    f1: Floats = np.divide(200 * correct, gold + predicted, out=np.full(gold.shape, np.nan), where=gold > 0)
    return f1


def _count_details(counts: Floats) -> dict[str, int | float | None]:
    found = Counts(*map(int, counts))
    return {
        "precision_percent": found.precision_percent,
        "recall_percent": found.recall_percent,
        **found._asdict(),
    }


def _as_units(counts: Sequence[Counts]) -> Floats:
    return np.array(counts, dtype=np.float64).reshape(-1, 3)


def _strict_entities(predictions: Predictions, split: str) -> Floats:
    return _as_units([count_entities([gold], [found]) for gold, found in _pairs(predictions, split)])


def _lenient_entities(predictions: Predictions, split: str) -> Floats:
    lines = zip(_pairs(predictions, split), predictions[split]["num_kept"], strict=True)
    return _as_units([lenient_counts(gold, found, num_kept=kept) for (gold, found), kept in lines])


def _lenient_score(predictions: Predictions, split: str) -> float | None:
    part = predictions[split]
    return lenient_f1_percent(part["gold"], part["predicted"], part["num_kept"])


def _positive_labels(predictions: Predictions, split: str) -> Floats:
    negative = predictions["negative"]
    pairs = _pairs(predictions, split)
    return _as_units([count_relations([gold], [found], negative=negative) for gold, found in pairs])


def _label_sets(predictions: Predictions, split: str) -> Floats:
    sets = ((set(gold), set(found)) for gold, found in _pairs(predictions, split))
    return _as_units([Counts(len(gold), len(found), len(gold & found)) for gold, found in sets])


def _entities_by_type(predictions: Predictions, split: str) -> dict[str, Counts]:
    """Return the counts of each type; {} where mentions have none."""
    counts = {name: [0, 0, 0] for name in predictions.get("types", ())}
    for gold, found in _pairs(predictions, split) if counts else ():
        spans = [set(entity_spans(tags)) for tags in (gold, found)]
        for place, some in enumerate((*spans, spans[0] & spans[1])):
            for *_, name in some:
                counts[name][place] += 1
    return {name: Counts(*three) for name, three in counts.items()}


def _label_sets_by_label(predictions: Predictions, split: str) -> dict[str, Counts]:
    pairs = _pairs(predictions, split)
    counts = {}
    for label in predictions.get("labels") or ():
        held = [(label in gold, label in found) for gold, found in pairs]
        num_gold, num_found = (sum(one[side] for one in held) for side in (0, 1))
        counts[label] = Counts(num_gold, num_found, held.count((True, True)))
    return counts


# Macro F1: the mean of the F1 of each class


def _classes(predictions: Predictions, split: str) -> list[str]:
    """Return the classes that a macro average may run over, in an order that no file decides.

    Labels that stand in no gold of dev and test, and are not predicted, would be in no mean.
    """
    golds = (predictions.get(part, {}).get("gold", ()) for part in ("dev", "test"))
    return sorted({label for labels in (*golds, predictions[split]["predicted"]) for label in labels})


def _counts_of_classes(units: Sequence[Iterable[tuple[int | None, int | None]]], num_classes: int) -> Floats:
    """Return gold, predicted, correct of each unit for each class, (U, 3 C). units: pairs of classes."""
    counts_UC3 = np.zeros((len(units), num_classes, 3))
    for row, pairs in enumerate(units):
        for gold, found in pairs:
            if gold is not None:
                counts_UC3[row, gold, 0] += 1
            if found is not None:
                counts_UC3[row, found, 1] += 1
                counts_UC3[row, found, 2] += gold == found
    return counts_UC3.reshape(len(units), 3 * num_classes)


def _classes_of_examples(predictions: Predictions, split: str) -> Floats:
    place = {label: number for number, label in enumerate(_classes(predictions, split))}
    units = [[(place[gold], place[found])] for gold, found in _pairs(predictions, split)]
    return _counts_of_classes(units, len(place))


def _types_of_words(predictions: Predictions, split: str) -> Floats:
    """Return the counts of the words of each sentence; B and I are alike."""
    place = {name: number for number, name in enumerate(predictions.get("types") or ("",))}
    units = [
        zip(*([None if tag == "O" else place[tag[2:]] for tag in tags] for tags in both), strict=True)
        for both in _pairs(predictions, split)
    ]
    return _counts_of_classes(units, len(place))


def _macro_f1_percent(counts: Floats) -> Floats:
    """Return the mean F1 over classes of counts (..., 3 C); NaN without any gold.

    A class with neither gold nor prediction is in no mean, one that is only predicted counts 0: the rule of
    scikit-learn.
    """
    gold, predicted, correct = np.moveaxis(counts.reshape(*counts.shape[:-1], -1, 3), -1, 0)
    is_there = gold + predicted > 0
    f1 = np.divide(200 * correct, gold + predicted, out=np.zeros(gold.shape), where=is_there)
    total, num_there = f1.sum(axis=-1), is_there.sum(axis=-1)
    has_gold = gold.sum(axis=-1) > 0
    macro: Floats = np.divide(total, num_there, out=np.full(total.shape, np.nan), where=has_gold)
    return macro


def _by_class(predictions: Predictions, split: str) -> dict[str, Counts]:
    counts_C3 = _classes_of_examples(predictions, split).sum(axis=0).reshape(-1, 3)
    by_class = dict(zip(_classes(predictions, split), counts_C3.astype(int).tolist(), strict=True))
    in_order = dict.fromkeys((*(predictions.get("labels") or ()), *by_class))
    return {label: Counts(*by_class.get(label, (0, 0, 0))) for label in in_order}


def _words_by_type(predictions: Predictions, split: str) -> dict[str, Counts]:
    counts_C3 = _types_of_words(predictions, split).sum(axis=0).reshape(-1, 3)
    types = predictions.get("types", ())
    return {name: Counts(*map(int, row)) for name, row in zip(types, counts_C3, strict=False)}


# Accuracy, and correlations of values


def _is_right(predictions: Predictions, split: str) -> Floats:
    right = np.array([gold == found for gold, found in _pairs(predictions, split)], dtype=np.float64)
    return np.stack([np.ones(len(right)), right], axis=-1)


def _accuracy_percent(sums: Floats) -> Floats:
    total, right = np.moveaxis(sums, -1, 0)
    accuracy: Floats = np.divide(100 * right, total, out=np.full(total.shape, np.nan), where=total > 0)
    return accuracy


def _values(predictions: Predictions, split: str) -> Floats:
    """Return gold and predicted values, (U, 2)."""
    part = predictions[split]
    return np.array([part["gold"], part["predicted"]], dtype=np.float64).reshape(2, -1).T


def _powers(predictions: Predictions, split: str) -> Floats:
    """Return (1, x, y, xx, yy, xy) of gold x and prediction y, less the gold's mean.

    A shift moves no correlation, but large values would lose their digits; the models that are compared
    share the gold, and so the shift.
    """
    values_U2 = _values(predictions, split)
    x, y = (values_U2 - (values_U2[:, 0].mean() if len(values_U2) else 0.0)).T
    return np.stack([np.ones(len(x)), x, y, x * x, y * y, x * y], axis=-1)


def _pearson_score(predictions: Predictions, split: str) -> float | None:
    """Return r of values less their own means: no digits are lost, however far they are from the gold."""
    both = []
    for values in _values(predictions, split).T:
        if not len(values) or np.ptp(values) == 0:
            return None
        centred = values - values.mean()
        centred /= np.abs(centred).max()
        both.append(centred / np.sqrt(np.square(centred).sum()))
    return float(np.clip(100 * (both[0] * both[1]).sum(), -100, 100))


def _pearson_percent(sums: Floats) -> Floats:
    n, x, y, xx, yy, xy = np.moveaxis(sums, -1, 0)
    # n times the sums of squares and of products about the means
    squares_x, squares_y, products = n * xx - x * x, n * yy - y * y, n * xy - x * y
    exists = (squares_x > _OF_ROUNDING * n * xx) & (squares_y > _OF_ROUNDING * n * yy)
    norm = np.sqrt(np.where(exists, squares_x, 1)) * np.sqrt(np.where(exists, squares_y, 1))
    r: Floats = np.where(exists, np.clip(100 * products / norm, -100, 100), np.nan)
    return r


def _spearman_percent(values: Floats) -> Floats:
    """Return Pearson's r of the ranks of values (..., U, 2); equal values share the mean of their ranks."""
    from scipy.stats import rankdata

    if not values.shape[-2]:
        return np.full(values.shape[:-2], np.nan)
    ranks = rankdata(values, axis=-2)
    x, y = np.moveaxis(ranks - ranks.mean(axis=-2, keepdims=True), -1, 0)
    norm = np.sqrt((x * x).sum(axis=-1) * (y * y).sum(axis=-1))
    products = 100 * (x * y).sum(axis=-1)
    rho: Floats = np.divide(products, norm, out=np.full(norm.shape, np.nan), where=norm > 0)
    return np.clip(rho, -100, 100)


_F1 = partial(Metric, title="F1", percent=f1_percent, details=_count_details, untrained_percent=0.0)
_MACRO_F1 = partial(Metric, title="macro F1", percent=_macro_f1_percent, untrained_percent=0.0)
_CORRELATION = partial(Metric, lacks="variance of gold or predictions")
_ALL = (
    _F1(
        name="entity_f1",
        words="strict entity F1 against the full gold",
        units=_strict_entities,
        by_label=_entities_by_type,
    ),
    _F1(
        name="entity_f1_lenient",
        words="entity F1 as published, lenient seqeval without gold beyond the maximum length",
        units=_lenient_entities,
        exact=_lenient_score,
    ),
    _F1(
        name="micro_f1",
        words="micro F1 over the positive labels",
        units=_positive_labels,
        by_label=_by_class,
    ),
    _F1(
        name="label_set_f1",
        words="micro F1 over the labels of all examples",
        units=_label_sets,
        by_label=_label_sets_by_label,
    ),
    _MACRO_F1(
        name="macro_f1", words="macro F1 over all labels", units=_classes_of_examples, by_label=_by_class
    ),
    _MACRO_F1(
        name="word_macro_f1",
        words="macro F1 over entity types, word by word",
        units=_types_of_words,
        by_label=_words_by_type,
    ),
    Metric(
        "accuracy", "accuracy", "accuracy", _is_right, _accuracy_percent, by_label=_by_class, lacks="examples"
    ),
    _CORRELATION("pearson", "r", "Pearson's r", _powers, _pearson_percent, exact=_pearson_score),
    _CORRELATION("spearman", "rho", "Spearman's rho", _values, _spearman_percent, is_additive=False),
)
METRICS: dict[str, Metric] = {metric.name: metric for metric in _ALL}

OWN, AS_PUBLISHED = "strict", "as-published"  # what may be chosen beside a metric's name
