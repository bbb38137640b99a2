"""What `kebench errors` asks of a kind of task, and what kinds share in answering."""

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

from kebench.grid import Cell, Grid, GridRows, Sheet, share_cell
from kebench.scoring.counts import Counts

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


def scores_grid(heading: str, counts: Mapping[str, Counts], num_runs: int) -> Grid:
    """Return precision, recall and F1 of each label or type, from counts over all seeds; a dash for 0 / 0."""
    rows: GridRows = []
    for label, found in counts.items():
        percents = (found.precision_percent, found.recall_percent, found.f1_percent)
        rows.append((label, Cell(found.num_gold / num_runs, ",.0f"), *map(Cell, percents)))
    return Grid((heading, "gold", "precision", "recall", "F1"), rows)


def both_grid(
    headings: tuple[str, ...],
    both: Both,
    asked: Sequence[Found],
    found_by: Callable[[Run], Iterable[Found]],
) -> Grid:
    """Return how many of what is asked both models find, each by most of its seeds, only one, and neither."""
    a, b = (_by_most(map(found_by, runs), len(runs)) for runs in (both.runs_a, both.runs_b))
    counts = Counter((one in a, one in b) for one in asked)
    names = {
        (True, True): "both",
        (True, False): f"only {both.a}",
        (False, True): f"only {both.b}",
        (False, False): "neither",
    }
    rows = [(said, counts[key], share_cell(counts[key], len(asked))) for key, said in names.items()]
    return Grid(headings, rows)


def _by_most(found_by_run: Iterable[Iterable[Found]], num_runs: int) -> set[Found]:
    found = Counter(one for of_run in found_by_run for one in of_run)
    return {one for one, number in found.items() if 2 * number > num_runs}
