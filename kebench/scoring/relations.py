"""Micro F1 of relation labels over all labels but the negative one (KeBioLM, section 4.2; BLURB)."""

from collections.abc import Iterable

from kebench.scoring.counts import Counts


def count_relations(gold: Iterable[str], predicted: Iterable[str], *, negative: str) -> Counts:
    """Count instances whose gold label, predicted label, and both alike are not the negative one.

    With one positive label (GAD) the F1 of these counts is that label's own F1.
    """
    num_gold = num_predicted = num_correct = 0
    for gold_label, predicted_label in zip(gold, predicted, strict=True):
        num_gold += gold_label != negative
        num_predicted += predicted_label != negative
        num_correct += gold_label == predicted_label != negative
    return Counts(num_gold, num_predicted, num_correct)
