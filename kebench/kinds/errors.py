"""What `kebench errors` asks of a kind of task, and what kinds share in answering."""

from collections import Counter
from collections.abc import Callable, Collection, Hashable, Iterable, Sequence
from itertools import combinations
from typing import Any, NamedTuple, TypeVar

from kebench.grid import Cell, Grid, GridRows, Plain, Sheet, share_cell
from kebench.scoring.counts import Counts
from kebench.scoring.metrics import METRICS

Found = TypeVar("Found", bound=Hashable)


class Run(NamedTuple):
    """The predictions of one seed on the test set, as they are stored."""

    seed: int
    gold: Sequence[Any]
    predicted: Sequence[Any]


class Both(NamedTuple):
    """Two models that are held against each other: names, and the runs of each."""

    a: str
    runs_a: Sequence[Run]
    b: str
    runs_b: Sequence[Run]


class Known(NamedTuple):
    """Says of a mention's words whether a knowledge base has them as a name; and how to read that."""

    has: Callable[[Sequence[str]], bool]
    note: str


class Asked(NamedTuple):
    """What is known of a model's errors on a task.

    examples, train: of the test and training set; None where the data are not there. both: with the model
    that it is held against. known: with a knowledge base. most: sentences to show.
    """

    title: str
    card: Any
    runs: Sequence[Run]
    examples: Sequence[Any] | None
    train: Sequence[Any] | None
    both: Both | None
    known: Known | None
    most: int


class Shown(NamedTuple):
    """A sentence to look at: its place in the test set, its errors a run, its stretches of text.

    A stretch is (text, kind): kind is "" outside of spans, or one that the kind of task tells apart; of the
    run that stands in the middle by its number of errors.
    """

    place: int
    errors: float
    stretches: tuple[tuple[str, str], ...]


class Errors(NamedTuple):
    """Tables of errors, and sentences with many."""

    sheet: Sheet
    shown: list[Shown]


def mean_percent(percents: Sequence[float | None]) -> Cell:
    """Return a mean as a cell; a missing one if one of the numbers is undefined."""
    known = [percent for percent in percents if percent is not None]
    return Cell(sum(known) / len(known) if len(known) == len(percents) else None)


def scores_grid(heading: str, metric: str, runs: Sequence[Run], names: Sequence[str]) -> Grid:
    """Return precision, recall and F1 by label or type, of a metric's counts over seeds; a dash for 0 / 0."""
    gold = [one for run in runs for one in run.gold]
    predicted = [one for run in runs for one in run.predicted]
    stored = {"labels": names, "types": names, "test": {"gold": gold, "predicted": predicted}}
    counts = METRICS[metric].by_label(stored, "test")
    rows: GridRows = []
    for name in names:
        found = counts[name]
        percents = (found.precision_percent, found.recall_percent, found.f1_percent)
        rows.append((name, Cell(found.num_gold / len(runs), ",.0f"), *map(Cell, percents)))
    return Grid((heading, "gold", "precision", "recall", "F1"), rows)


def agreement_grid(
    headings: tuple[str, ...],
    found: str,
    runs: Sequence[Run],
    found_by: Callable[[Run], Iterable[Found]],
    *,
    groups: Sequence[Collection[Found]],
    overlap: Callable[[Sequence[Any], Sequence[Any]], Counts],
) -> Grid:
    """Return how many of each group are found by how many seeds, and how alike seeds are.

    found: the word for it. groups: the first has all. overlap: counts one seed against another.
    """
    times = Counter(one for run in runs for one in found_by(run))
    counts = [Counter(times[one] for one in group) for group in groups]
    rows: GridRows = []
    for number in range(len(runs), -1, -1) if groups[0] else ():
        row: list[Plain] = [f"{found} by {number} of {len(runs)} seeds"]
        for count in counts:
            row += [count[number], share_cell(count[number], count.total())]
        rows.append(tuple(row))
    alike = [overlap(one.predicted, other.predicted).overlap_percent for one, other in combinations(runs, 2)]
    if alike:
        of_others = [""] * (2 * len(groups) - 2)
        rows.append(("F1 of one seed against another, mean", *of_others, mean_percent(alike), ""))
    return Grid(headings, rows)


def both_grid(
    headings: tuple[str, ...],
    both: Both,
    asked: Sequence[Found],
    found_by: Callable[[Run], Iterable[Found]],
) -> Grid:
    """Return how many of what is asked both models find, each by most of its seeds, only one, and neither."""
    by_most = []
    for runs in (both.runs_a, both.runs_b):
        times = Counter(one for run in runs for one in found_by(run))
        by_most.append({one for one, number in times.items() if 2 * number > len(runs)})
    a, b = by_most
    counts = Counter((one in a, one in b) for one in asked)
    names = {
        (True, True): "both",
        (True, False): f"only {both.a}",
        (False, True): f"only {both.b}",
        (False, False): "neither",
    }
    rows = [(said, counts[key], share_cell(counts[key], len(asked))) for key, said in names.items()]
    return Grid(headings, rows)
