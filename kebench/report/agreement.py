"""Whether the seeds of a model agree on a relation task: instances labelled right, and labels alike."""

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import combinations

from kebench.grid import Cell, Grid, GridRows, share_cell
from kebench.report.errors import Run, mean_percent
from kebench.scoring.relations import count_relations


def agreement_instances_grid(runs: Sequence[Run], *, negative: str) -> Grid:
    """Return by how many seeds instances are labelled right, all and positive ones, and how alike seeds are.

    The last row is the F1 over the positive labels of one seed against another, which is the same both ways.
    """
    gold = runs[0].gold
    right = Counter(place for run in runs for place in _right(run))
    everywhere = Counter(right[place] for place in range(len(gold)))
    positive = Counter(right[place] for place, label in enumerate(gold) if label != negative)
    rows: GridRows = [
        (
            f"right by {number} of {len(runs)} seeds",
            *_counted(everywhere, number),
            *_counted(positive, number),
        )
        for number in range(len(runs), -1, -1)
        if gold
    ]
    alike = [
        count_relations(one.predicted, other.predicted, negative=negative).overlap_percent
        for one, other in combinations(runs, 2)
    ]
    if alike:
        rows.append(("F1 of one seed against another, mean", "", "", mean_percent(alike), ""))
    return Grid(("agreement of seeds", "instances", "%", "positive", "% of these"), rows)


def _right(run: Run) -> Iterable[int]:
    pairs = zip(run.gold, run.predicted, strict=True)
    return (place for place, (gold, predicted) in enumerate(pairs) if gold == predicted)


def _counted(by_number: Counter[int], number: int) -> tuple[int, Cell]:
    return by_number[number], share_cell(by_number[number], by_number.total())
