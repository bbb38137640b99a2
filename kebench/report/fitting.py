"""Which columns of a table stand beside each other where the page or the terminal is too narrow for all."""

from collections.abc import Iterator, Sequence
from math import ceil
from typing import NamedTuple

TEXT_WIDTH_PT = 345.0  # of LaTeX's article at 10 pt
USUAL_TABCOLSEP_PT, NARROW_TABCOLSEP_PT = 6.0, 2.5
_SCRIPT_SHARE = 0.9  # of \scriptsize to \footnotesize
# Widths in Computer Modern at 8 pt (\footnotesize), rounded up.
_DIGIT_PT, _CAPITAL_PT = 4.3, 6.2
_SIGNS_PT = {
    **dict.fromkeys("MWmw—%@&#<>^~{}\\|=+", 7.6),
    **dict.fromkeys("ijlI.,:;'!()[]f t", 2.8),
    "±": 11.0,  # with the space around it
}


class Fit(NamedTuple):
    """How a table is set so that it fits: its font size, half the gap between columns, its blocks."""

    size: str
    tabcolsep_pt: float
    runs: tuple[tuple[int, ...], ...]

    @property
    def commands(self) -> str:
        """The commands for what differs from footnote size and the usual gaps."""
        size = "" if self.size == "footnotesize" else f"\\{self.size}"
        is_usual = self.tabcolsep_pt == USUAL_TABCOLSEP_PT
        return size + ("" if is_usual else f"\\setlength{{\\tabcolsep}}{{{self.tabcolsep_pt:g}pt}}")


def fit_latex(widths_pt: Sequence[float]) -> Fit:
    """Return the first that fits: as usual, with narrower gaps, also with smaller letters, in blocks.

    widths_pt: of all columns in footnote size, that of the rows' names first.
    """
    num_gaps = len(widths_pt) - 1
    whole = (tuple(range(1, len(widths_pt))),)
    for size, share, tabcolsep in (
        ("footnotesize", 1.0, USUAL_TABCOLSEP_PT),
        ("footnotesize", 1.0, NARROW_TABCOLSEP_PT),
        ("scriptsize", _SCRIPT_SHARE, NARROW_TABCOLSEP_PT),
    ):
        if share * sum(widths_pt) + 2 * tabcolsep * num_gaps <= TEXT_WIDTH_PT:
            return Fit(size, tabcolsep, whole)
    # as few blocks as fit, of equally many columns if these fit too: no column stands alone
    gap, places = 2 * NARROW_TABCOLSEP_PT, range(1, len(widths_pt))
    runs = list(column_runs(widths_pt, room=TEXT_WIDTH_PT, gap=gap))
    each = ceil(len(places) / len(runs))
    even = [list(places[start : start + each]) for start in range(0, len(places), each)]
    if all(widths_pt[0] + sum(gap + widths_pt[place] for place in run) <= TEXT_WIDTH_PT for run in even):
        runs = even
    return Fit("footnotesize", NARROW_TABCOLSEP_PT, tuple(map(tuple, runs)))


def column_runs(widths: Sequence[float], *, room: float, gap: float) -> Iterator[list[int]]:
    """Yield runs of columns that fit beside the first, which each run repeats; at least one at a time.

    widths: of all columns, the first included.
    """
    used, columns = widths[0], list[int]()
    for place in range(1, len(widths)):
        if columns and used + gap + widths[place] > room:
            yield columns
            used, columns = widths[0], []
        used += gap + widths[place]
        columns.append(place)
    yield columns


def latex_width_pt(text: str) -> float:
    """Return about how wide a text is in a footnote-sized LaTeX table, rather too wide than too narrow."""
    return sum(_SIGNS_PT.get(sign, _CAPITAL_PT if sign.isupper() else _DIGIT_PT) for sign in text)
