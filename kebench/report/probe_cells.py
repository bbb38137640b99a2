"""Figures of probes as cells: percentages, and intervals in columns of their own."""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple, Protocol

from kebench.grid import Cell
from kebench.probe.record import AnyProbe
from kebench.scoring.macro import MIN_QUERIES
from kebench.scoring.ranked_figures import MacroFigure


def figure_cell(figure: MacroFigure | None, form: str = "") -> Cell:
    """Return a figure, a dash where there is none."""
    return Cell(figure.percent if figure else None, form)


ROW_FIELDS = ("set", "set_hash", "identity", "model", "name", "family")  # of every row for programs


class Row(Protocol):
    """A probe, or one of its scores. name: of the model, with how it was asked where rows differ in that."""

    @property
    def model(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def family(self) -> str: ...
    @property
    def label(self) -> str: ...
    @property
    def record(self) -> AnyProbe | None: ...


def row_fields(row: Row) -> dict[str, str | None]:
    """Return ROW_FIELDS of a row."""
    record = row.record
    of_record = {name: getattr(record, name, None) for name in ROW_FIELDS[:3]}
    return {**of_record, "model": row.model, "name": row.name, "family": row.family}


class Over(NamedTuple):
    """How far a row is above a baseline, in points.

    name: of the probe. low: the lower end of the interval over facts, None if not known.
    """

    name: str
    percent: float | None
    low: float | None
    facts: int


def over_of(name: str, figure: MacroFigure) -> Over:
    """Return how far a probe of this name is above other subjects."""
    return Over(name, figure.percent, figure.facts_low_percent, figure.queries)


def best_over(rows: Sequence[Over]) -> set[int]:
    """Return the places of the greatest difference to a baseline, as printed.

    Rows of fewer facts than the most do not compete. None is the best of a single probe, nor one whose
    interval is not known or holds 0.
    """
    most = max((row.facts for row in rows if row.percent is not None), default=0)
    shown = {
        place: (round(row.percent, 1), row.low)
        for place, row in enumerate(rows)
        if row.percent is not None and row.facts == most
    }
    greatest = max((points for points, _ in shown.values()), default=0.0)
    if len({rows[place].name for place in shown}) < 2:
        return set()
    return {
        place for place, (points, low) in shown.items() if points == greatest and low is not None and low > 0
    }


def facts_cell(figure: MacroFigure, form: str = "") -> Cell:
    """Return the interval over facts."""
    return interval_cell(figure.facts_low_percent, figure.facts_high_percent, form)


def notes_of_intervals(figures: Mapping[str, MacroFigure]) -> Iterator[str]:
    """Say of which rows, by label, the interval over facts is not known, and why."""
    lacking = [
        label for label, of in figures.items() if of.percent is not None and of.facts_low_percent is None
    ]
    if lacking:
        of_some = f" of {'; '.join(lacking)}" if len(lacking) < len(figures) else ""
        yield (f"No interval{of_some}: fewer than {MIN_QUERIES} facts, or one alone of each relation.")


def relations_cell(figure: MacroFigure) -> Cell:
    """Return the interval of a difference over relations, too."""
    return interval_cell(figure.relations_low_percent, figure.relations_high_percent, "+.1f")


def interval_cell(low: float | None, high: float | None, form: str = "") -> Cell:
    """Return an interval, a dash where an end is not known."""
    return Cell(form=form, interval=None if low is None or high is None else (low, high))
