"""Figures of probes as cells: percentages, and intervals in columns of their own."""

from collections.abc import Iterator, Mapping, Sequence

from kebench.grid import Cell
from kebench.scoring.ranked_figures import MacroFigure


def figure_cell(figure: MacroFigure | None, form: str = "") -> Cell:
    """Return a figure, a dash where there is none."""
    return Cell(figure.percent if figure else None, form)


def best_over(overs: Sequence[tuple[float | None, int]]) -> set[int]:
    """Return the places of the greatest difference to a baseline, as printed; none if nothing is above it.

    overs: of each row the points, and over how many facts; rows of fewer facts than the most do not compete.
    """
    most = max((facts for points, facts in overs if points is not None), default=0)
    shown = {
        place: round(points, 1)
        for place, (points, facts) in enumerate(overs)
        if points is not None and facts == most
    }
    greatest = max(shown.values(), default=0.0)
    return {place for place, points in shown.items() if len(shown) > 1 and points == greatest > 0}


def facts_cell(figure: MacroFigure, form: str = "") -> Cell:
    """Return the interval over facts."""
    return interval_cell(figure.facts_low_percent, figure.facts_high_percent, form)


def notes_of_intervals(figures: Mapping[str, MacroFigure]) -> Iterator[str]:
    """Say of which rows, by label, the interval over facts is not known, and why."""
    lacking = [
        label for label, of in figures.items() if of.percent is not None and of.facts_low_percent is None
    ]
    if lacking:
        yield (
            f"No interval of {' and '.join(lacking)}: a relation has one fact alone, whose spread nobody "
            "knows."
        )


def relations_cell(figure: MacroFigure) -> Cell:
    """Return the interval of a difference over relations, too."""
    return interval_cell(figure.relations_low_percent, figure.relations_high_percent, "+.1f")


def interval_cell(low: float | None, high: float | None, form: str = "") -> Cell:
    """Return an interval, a dash where an end is not known."""
    return Cell(form=form, interval=None if low is None or high is None else (low, high))
