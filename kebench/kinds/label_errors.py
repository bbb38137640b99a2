"""Where a model goes wrong in labelling: labels it confuses, by entity indicators; whether seeds agree."""

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import combinations

from kebench.grid import Cell, Grid, GridRows, Sheet, mean_cell, share_cell
from kebench.kinds.errors import Asked, Errors, Run, both_grid, mean_percent, scores_grid
from kebench.scoring.counts import Counts, count_relations


def labelling_errors(asked: Asked) -> Errors:
    """Return the tables of a model's errors."""
    runs, card = asked.runs, asked.card
    grids = [confusion_grid(runs, card.labels), label_grid(runs, card.labels)]
    if asked.examples:
        texts = [example.text for example in asked.examples]
        grids.append(marker_grid(runs, texts, card.markers, card.merged_markers, negative=card.negative))
    if len(runs) > 1:
        grids.append(agreement_instances_grid(runs, negative=card.negative))
    if asked.both:
        headings, places = ("right by most seeds of", "instances", "%"), range(len(runs[0].gold))
        grids.append(both_grid(headings, asked.both, places, _right))
    several = (
        "Counts are means over seeds, gold in rows; precision, recall and F1 are of the counts of all seeds."
    )
    counts = several if len(runs) > 1 else "Gold in rows."
    notes = (f"The score counts all labels but '{card.negative}'.", counts)
    return Errors(Sheet(asked.title, (), tuple(grids), notes), [])


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


def confusion_grid(runs: Sequence[Run], labels: Sequence[str]) -> Grid:
    """Return gold against predicted relation labels, as means over seeds; gold in rows."""
    counts = Counter(
        (gold, predicted) for run in runs for gold, predicted in zip(run.gold, run.predicted, strict=True)
    )
    rows: GridRows = [
        (gold, *(mean_cell(counts[gold, predicted], len(runs)) for predicted in labels)) for gold in labels
    ]
    return Grid(("gold / predicted", *labels), rows)


def label_grid(runs: Sequence[Run], labels: Sequence[str]) -> Grid:
    """Return precision, recall and F1 of each relation label, from counts over all seeds; a dash for none."""
    pairs = Counter(pair for run in runs for pair in zip(run.gold, run.predicted, strict=True))
    counts = {}
    for label in labels:
        gold = sum(number for (one, _), number in pairs.items() if one == label)
        predicted = sum(number for (_, other), number in pairs.items() if other == label)
        counts[label] = Counts(gold, predicted, pairs[label, label])
    return scores_grid("label", counts, len(runs))


def marker_grid(
    runs: Sequence[Run], texts: Sequence[str], markers: Sequence[str], merged: Sequence[str], *, negative: str
) -> Grid:
    """Return F1 over the positive labels by the entity indicators that a text holds, merged ones apart.

    A dash where no such text has a positive gold label.
    """
    groups: dict[str, list[int]] = {}
    for place, text in enumerate(texts):
        held = [marker for marker in dict.fromkeys((*merged, *markers)) if marker in text]
        groups.setdefault(" and ".join(held) or "none", []).append(place)
    rows = []
    for name, places in sorted(groups.items(), key=lambda group: (-len(group[1]), group[0])):
        gold = predicted = right = 0
        for run in runs:
            for place in places:
                one, other = run.gold[place], run.predicted[place]
                gold, predicted = gold + (one != negative), predicted + (other != negative)
                right += one == other != negative
        f1 = Cell(200 * right / (gold + predicted) if gold else None)
        rows.append((name, len(places), Cell(gold / len(runs), ",.0f"), f1))
    return Grid(("indicators in the text", "instances", "positive", "F1"), rows)
