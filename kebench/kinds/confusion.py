"""Which labels are taken for which, and where a run is right: for kinds of one label an example."""

from collections import Counter
from collections.abc import Iterable, Sequence

from kebench.grid import Grid, GridRows, mean_cell
from kebench.kinds.errors import Run


def confusion_grid(runs: Sequence[Run], labels: Sequence[str]) -> Grid:
    """Return gold against predicted labels, as means over seeds; gold in rows."""
    counts = Counter(
        (gold, predicted) for run in runs for gold, predicted in zip(run.gold, run.predicted, strict=True)
    )
    rows: GridRows = [
        (gold, *(mean_cell(counts[gold, predicted], len(runs)) for predicted in labels)) for gold in labels
    ]
    return Grid(("gold / predicted", *labels), rows)


def right_places(run: Run) -> Iterable[int]:
    """Yield the places of the examples that a run labels right."""
    pairs = zip(run.gold, run.predicted, strict=True)
    return (place for place, (gold, predicted) in enumerate(pairs) if gold == predicted)
