"""Tables before any format: cells that hold numbers, grids of them, and sheets of what is printed together.

What writes them stands in `kebench.report`, one file a format. A number is rounded there and nowhere before:
CSV and JSON hold it whole.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

DASH = "–"
NAME_WIDTH = 21  # names of a listing's rows up to here are never broken; ours
PUBLISHED_TITLE = "published"  # over the rows that are


@dataclass(frozen=True)
class Cell:
    """One place of a table: a number with what belongs to it, a word, or nothing.

    value: None is a missing one: a dash where people read, empty in CSV, null in JSON.
    form: how numbers are printed, as Python's `format` has it ("+.1f"), or "p" for p-values; by default
    fractions as ".1f" and whole numbers as ",d".
    deviation, n: of the runs that a mean is of. interval: is printed where there is no value.
    corrected: a p-value after correction, in brackets. mark: stands last, as † does. before: stands first, as
    ~ does.
    """

    value: float | int | str | None = None
    form: str = ""
    deviation: float | None = None
    n: int | None = None
    interval: tuple[float, float] | None = None
    corrected: float | None = None
    mark: str = ""
    before: str = ""

    @property
    def is_number(self) -> bool:
        """Whether it is, or would be, a number: nothing counts as one."""
        return not isinstance(self.value, str)

    def value_text(self, *, dash: str = DASH) -> str:
        """Return the value, or interval, alone; a dash for neither."""
        if self.value is not None:
            return number_text(self.value, self.form)
        return " to ".join(number_text(end, self.form) for end in self.interval) if self.interval else dash

    def deviation_text(self) -> str:
        """Return the deviation with as many decimals as the mean, "" for none."""
        return "" if self.deviation is None else number_text(self.deviation, self.form.removeprefix("+"))

    def text(self, *, space: str = "", dash: str = DASH) -> str:
        """Return all of it as people read it. space: around ±."""
        deviation = self.deviation_text()
        return "".join(
            (
                self.before,
                self.value_text(dash=dash),
                f"{space}±{space}{deviation}" if deviation else "",
                "" if self.n is None else f" ({self.n})",
                "" if self.corrected is None else f" ({number_text(self.corrected, self.form)})",
                self.mark,
            )
        )


def mean_cell(count: int, num_runs: int) -> Cell:
    """Return a count over all runs as a mean: of one run a whole number."""
    return Cell(count) if num_runs == 1 else Cell(count / num_runs, ",.1f")


def share_cell(count: float | None, total: float | None) -> Cell:
    """Return which part of a total a count is, in percent; missing where one of them is, or the total 0."""
    return Cell() if count is None or not total else Cell(100 * count / total)


def count_cell(number: float | str | None) -> Cell:
    """Return a count, or a mean of counts with two digits behind the point where it is no whole number."""
    if isinstance(number, float | int) and float(number).is_integer():
        return Cell(int(number))
    return Cell(number, ",.2f")


UNDEFINED = Cell(mark="°")  # measured, and 0 / 0; a note says why
Plain: TypeAlias = Cell | str | int | None
GridRows: TypeAlias = list[tuple[Plain, ...]]


def number_text(value: float | int | str, form: str = "") -> str:
    """Return a number as a cell of this form prints it; words stay as they are."""
    if isinstance(value, str):
        return value
    if form == "p":
        return p_text(value)
    if not form:
        form = ",d" if isinstance(value, int) else ".1f"
    if form.endswith("f"):  # never -0.0: a z behind the sign
        form = f"+z{form[1:]}" if form.startswith("+") else f"z{form}"
    return format(value, form)


def p_text(p: float | None) -> str:
    """Write a p-value with three digits, as papers do: .012, <.001, >.999; a dash where there is none.

    Only a p-value of 1, as a permutation or a correction gives, is 1.000.
    """
    if p is None:
        return DASH
    if p < 0.001:
        return "<.001"
    text = f"{p:.3f}".removeprefix("0")
    return ">.999" if text == "1.000" and p < 1 else text


@dataclass(frozen=True)
class Grid:
    """Headings and rows; the first column names the rows.

    rows: of cells; a bare word, whole number or None stands for the cell of it.
    best, second: (row, column) of the cells to emphasise. breaks: rows before which a rule is drawn.
    groups: what stands over runs of columns behind the first, and over how many. row_styles: colours of a
    listing's rows, in a terminal that has some.
    published: the row from which on they are as their sources print them: under a rule and a heading of their
    own, and left out where a block of columns has nothing of theirs.
    layout: `numbers` has names set left and all else right. `prose` holds texts, which are wrapped, the first
    column twice as wide. `board` is a leaderboard: set left; in LaTeX about the points; the second best is
    shown in LaTeX alone. `listing` has no rules, and lines longer than a terminal rather than broken numbers.
    """

    headings: tuple[str, ...]
    rows: Sequence[Sequence[Plain]]
    best: frozenset[tuple[int, int]] = frozenset()
    second: frozenset[tuple[int, int]] = frozenset()
    breaks: frozenset[int] = frozenset()
    layout: Literal["numbers", "prose", "board", "listing"] = "numbers"
    published: int | None = None
    groups: tuple[tuple[str, int], ...] = ()
    row_styles: Mapping[int, str] = field(default_factory=dict)

    @property
    def cells(self) -> tuple[tuple[Cell, ...], ...]:
        """The rows, each place a cell."""
        return tuple(tuple(one if isinstance(one, Cell) else Cell(one) for one in row) for row in self.rows)

    @property
    def texts(self) -> tuple[tuple[str, ...], ...]:
        """The rows as people read them."""
        return tuple(tuple(cell.text() for cell in row) for row in self.cells)

    def shown_rows(self, columns: Iterable[int]) -> list[int]:
        """Return the rows of a block of columns: all, but published ones only if they have some of it."""
        columns, first = list(columns), len(self.rows) if self.published is None else self.published
        rows = enumerate(self.cells)
        return [
            place
            for place, row in rows
            if place < first or any(row[column].value is not None for column in columns)
        ]


@dataclass(frozen=True)
class Sheet:
    """What is printed together: a title, captions under it, grids, and notes at the end.

    best, second: what the emphasised cells are, in words; the first note says so, and how they are shown. Or
    best is a sentence, with {how} in it.
    """

    title: str
    captions: tuple[str, ...]
    grids: tuple[Grid, ...]
    notes: tuple[str, ...] = ()
    best: str = ""
    second: str = ""

    def all_notes(self, *, best: str, second: str) -> list[str]:
        """Return the notes. best, second: how a format shows such cells ("bold"), "" if it does not."""
        if "{how}" in self.best:
            how = best if best.startswith("with ") else f"in {best}"
            return [self.best.format(how=how + (f", second {second}" if second else "")), *self.notes]
        shown = [f"{how}: {what}" for how, what in ((best, self.best), (second, self.second)) if how and what]
        if not shown:
            return list(self.notes)
        said = "; ".join(shown)
        return [f"{said[0].upper()}{said[1:]}.", *self.notes]
