"""The three counts every F1 here comes from."""

from typing import NamedTuple


class Counts(NamedTuple):
    """How many gold units, predicted units, and predicted units that are right."""

    num_gold: int
    num_predicted: int
    num_correct: int

    @property
    def precision_percent(self) -> float:
        """Correct of the predicted; 0 if nothing was predicted, as scikit-learn and seqeval have it."""
        return 100 * self.num_correct / self.num_predicted if self.num_predicted else 0.0

    @property
    def recall_percent(self) -> float:
        """Correct of the gold; 0 if there is no gold unit."""
        return 100 * self.num_correct / self.num_gold if self.num_gold else 0.0

    @property
    def f1_percent(self) -> float:
        """2 x correct / (gold + predicted), the harmonic mean of precision and recall."""
        total = self.num_gold + self.num_predicted
        return 200 * self.num_correct / total if total else 0.0
