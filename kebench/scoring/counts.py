"""The three counts every F1 here comes from, and those of relation labels."""

from collections.abc import Iterable
from typing import NamedTuple


class Counts(NamedTuple):
    """How many gold units, predicted units, and predicted units that are right.

    What would be 0 / 0 is None: undefined, and not a measured 0.
    """

    num_gold: int
    num_predicted: int
    num_correct: int

    @property
    def precision_percent(self) -> float | None:
        """Correct of the predicted; None if nothing was predicted (scikit-learn and seqeval have 0)."""
        return 100 * self.num_correct / self.num_predicted if self.num_predicted else None

    @property
    def recall_percent(self) -> float | None:
        """Correct of the gold; None if there is no gold unit."""
        return 100 * self.num_correct / self.num_gold if self.num_gold else None

    @property
    def f1_percent(self) -> float | None:
        """2 x correct / (gold + predicted): with recall the harmonic mean, None where recall is.

        Of gold and no prediction it is 0, although precision is None: what was asked for was not found.
        """
        return self.overlap_percent if self.num_gold else None

    @property
    def overlap_percent(self) -> float | None:
        """The same of two sides of which neither is gold, such as two seeds; None where both are empty."""
        total = self.num_gold + self.num_predicted
        return 200 * self.num_correct / total if total else None


def count_relations(gold: Iterable[str], predicted: Iterable[str], *, negative: str) -> Counts:
    """Count instances whose gold label, predicted label, and both alike are not the negative one.

    So their F1 is over all labels but that (KeBioLM, section 4.2; BLURB); with one positive label (GAD) it is
    that label's own F1.
    """
    num_gold = num_predicted = num_correct = 0
    for gold_label, predicted_label in zip(gold, predicted, strict=True):
        num_gold += gold_label != negative
        num_predicted += predicted_label != negative
        num_correct += gold_label == predicted_label != negative
    return Counts(num_gold, num_predicted, num_correct)
