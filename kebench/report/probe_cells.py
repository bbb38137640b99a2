"""Figures of probes as cells: percentages, and intervals in columns of their own."""

from kebench.grid import Cell
from kebench.scoring.ranked_figures import MacroFigure


def figure_cell(figure: MacroFigure | None, form: str = "") -> Cell:
    """Return a figure, a dash where there is none."""
    return Cell(figure.percent if figure else None, form)


def facts_cell(figure: MacroFigure, form: str = "") -> Cell:
    """Return the interval over facts."""
    return interval_cell(figure.facts_low_percent, figure.facts_high_percent, form)


def relations_cell(figure: MacroFigure) -> Cell:
    """Return the interval of a difference over relations, too."""
    return interval_cell(figure.relations_low_percent, figure.relations_high_percent, "+.1f")


def interval_cell(low: float | None, high: float | None, form: str = "") -> Cell:
    """Return an interval, a dash where an end is not known."""
    return Cell(form=form, interval=None if low is None or high is None else (low, high))
