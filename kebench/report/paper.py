"""Tables 2, 3 and 4 of the KeBioLM paper beside our numbers: difference, and whether it lies within noise.

Ours are scored as published numbers are. A difference is within noise if a two-sided t-test at .05 does not
see it: Welch's with the printed deviation where one is printed, else a one-sample test that takes the printed
score as exact.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from kebench.grid import UNDEFINED, Cell, Grid, GridRows, Sheet, p_text
from kebench.report.published import AVERAGES, PublishedRow, PublishedTable, paper_headings
from kebench.report.rows import find_key, row_of
from kebench.report.table import Leaderboard, Row, RowKey, Table
from kebench.report.words import (
    KIND_TITLES,
    column_notes,
    printed_cell,
    summary_cell,
    undefined_columns,
)
from kebench.stats.families import Correction, correct
from kebench.stats.printed import Printed, Range, printed_p
from kebench.stats.pvalue import Sides
from kebench.stats.seeds import welch_from_summaries
from kebench.stats.summary import Summary

ALPHA = 0.05
BASELINE = "pubmedbert"  # whom the stars of Table 2 are against


class Beside(NamedTuple):
    """Our number beside a printed one. is_within_noise: None where no test can say.

    ours: as a cell; undefined, or missing where we have no number.
    """

    name: str
    ours: Cell
    printed: float
    is_within_noise: bool | None


def paper_sheets(
    board: Leaderboard, published: PublishedTable, *, measured_as: Mapping[str, str]
) -> list[Sheet]:
    """Return one sheet for each protocol of ours that has a model of the table; one without ours if none has.

    measured_as: which of our models stands for a published row, by the row's model; one of the same name does
    where none is named.
    """
    tables = [table for table in board.tables if table.suite == published.suite]
    models = {row.key.model for table in tables for block in table.blocks for row in block.rows}
    keys = {
        row.model: find_key(board, measured_as.get(row.model, row.model))
        for row in published.rows
        if row.model in measured_as or row.model in models
    }
    sheets = [_sheet(table, published, keys) for table in tables]
    found = [sheet for sheet in sheets if sheet]
    return found or [_sheet_of_printed(published)]


def _sheet(table: Table, published: PublishedTable, keys: Mapping[str, RowKey]) -> Sheet | None:
    grids, shown = [], []
    for printed in published.rows:
        key = keys.get(printed.model)
        if key and any(row_of(block.rows, key) for block in table.blocks):
            grids.append(_grid(printed, key.model, _beside(table, printed, key), published.decimals))
            shown.append(printed)
    if not grids:
        return None
    return Sheet(
        title=f"{published.source}, and ours: {table.caption}",
        captions=("F1 in percent, mean ± sd (number of seeds); ours scored as published numbers are",),
        grids=tuple(grids),
        notes=(
            f"Published: {published.protocol}.",
            "Within noise: a two-sided t-test at .05 of our seeds does not see the difference (Welch's with "
            "the printed deviation and n, where they are printed; else against the printed score, taken as "
            "exact), uncorrected: of twenty lines that are noise, one says no. A dash: fewer than two seeds, "
            "no variance, or other seeds for each task of an average.",
            *(f"{row.label} {row.reason}: not compared." for row in shown if not row.comparable),
            *(f"{note}" for note in published.notes),
            *column_notes(
                [(block.kind, column) for block in table.blocks for column in block.columns],
                undefined_columns(table),
            ),
        ),
    )


def _beside(table: Table, printed: PublishedRow, key: RowKey) -> list[Beside]:
    """Return what the row prints, task by task and then the averages, with our numbers where we have them."""
    measured: dict[str, Summary | None] = {}
    for block in table.blocks:
        row: Row | None = row_of(block.rows, key)
        if row is None:
            continue
        for column, cell in zip(block.columns, row.cells, strict=True):
            if cell and column.letter in ("", "a"):
                measured[column.task] = cell.test
        if row.average or row.has_undefined:
            measured[block.kind] = row.average
    names = [*printed.scores, *printed.averages]
    pairs = []
    for name in (name for name in (*paper_headings(), *AVERAGES) if name in names):
        score, sd, ours = printed.percent_of(name), printed.sd.get(name), measured.get(name)
        assert score is not None, "only what is printed is asked for"
        is_noise = None
        if printed.comparable and ours and ours.sd is not None and ours.n is not None:
            theirs = (score, sd, printed.n) if sd is not None and printed.n else (score, 0.0, None)
            p = welch_from_summaries((ours.mean, ours.sd, ours.n), theirs)
            is_noise = None if p is None else p > ALPHA
        missing = UNDEFINED if name in measured else Cell()
        pairs.append(Beside(name, summary_cell(ours, show_n=True) if ours else missing, score, is_noise))
    return pairs


def _grid(printed: PublishedRow, ours: str, pairs: Sequence[Beside], decimals: int) -> Grid:
    label = printed.label if ours == printed.model else f"{printed.label} ({ours})"
    rows = [
        (
            _heading(pair.name),
            pair.ours,
            _printed_cell(printed, pair.name, decimals),
            Cell(pair.ours.value - pair.printed if isinstance(pair.ours.value, float) else None, "+.1f"),
            {True: "yes", False: "no", None: None}[pair.is_within_noise],
        )
        for pair in pairs
    ]
    breaks = frozenset(place for place, pair in enumerate(pairs) if pair.name == AVERAGES[0])
    return Grid((label, "ours", "published", "difference", "within noise"), rows, breaks=breaks)


def _sheet_of_printed(published: PublishedTable) -> Sheet:
    names = [
        name
        for name in (*paper_headings(), *AVERAGES)
        if any(row.percent_of(name) is not None for row in published.rows)
    ]
    rows: GridRows = [
        (_heading(name), *(_printed_cell(row, name, published.decimals) for row in published.rows))
        for name in names
    ]
    headings = ("published", *(row.label for row in published.rows))
    return Sheet(
        title=f"{published.source}, as printed; no record of ours is of these models (see --as)",
        captions=(f"{published.unit}; {published.protocol}",),
        grids=(Grid(headings, rows),),
        notes=published.notes,
    )


def _heading(name: str) -> str:
    return f"{KIND_TITLES[name]} average" if name in AVERAGES else paper_headings()[name]


def _printed_cell(row: PublishedRow, name: str, decimals: int) -> Cell:
    """Return a score as it is printed: with its deviation, and the mark of significance."""
    return replace(printed_cell(row, name, decimals), mark="*" if name in row.significant else "")


def stars_sheet(published: PublishedTable) -> Sheet:
    """Return the stars of Table 2, computed again as far as the printed means and deviations decide."""
    rows = {row.model: row for row in published.rows}
    ours, baseline = rows["kebiolm"], rows[BASELINE]
    names = [
        name
        for name in (*paper_headings(), *AVERAGES)
        if name in ours.sd and baseline.percent_of(name) is not None
    ]
    family = [name for name in names if name in paper_headings()]
    points, columns = (
        [
            _ranges(ours, baseline, names, family, *assumption, published.decimals, is_exact=is_exact)
            for assumption in _ASSUMPTIONS
        ]
        for is_exact in (True, False)
    )
    breaks = frozenset({len(family)})
    grids = []
    for said, found in (("p", points), ("range of p", columns)):
        cells = [
            (
                _heading(name),
                "*" if name in ours.significant else "",
                *(_range_cell(column.get(name)) for column in found),
            )
            for name in names
        ]
        headings = (said, "printed", *(_assumption_text(*assumption) for assumption in _ASSUMPTIONS))
        grids.append(Grid(headings, cells, breaks=breaks))
    n = ours.n
    return Sheet(
        title=f"The stars of {published.source}: {ours.label} against {baseline.label}",
        captions=(
            f"One-sample t-test of n = {n} seeds against the printed score: p of the printed numbers as they "
            "stand, then the smallest and largest p of numbers that round to them",
        ),
        grids=tuple(grids),
        notes=(
            "* is the paper's mark for p ≤ .05. Of a range, yes: p is at most .05 whatever was rounded away; "
            "no: it is above; ?: the printed digits do not decide.",
            f"Holm and Benjamini-Hochberg (BH): over the family of the {len(family)} tasks; the averages are "
            "not in it.",
            "The printed score of the other model is taken as exact. It is the mean of runs too, so every p "
            "here is too small. The printed deviation is taken to be that of a sample (n - 1), which the "
            "paper does not say; were it that of a population (n), every p would be larger.",
            *_verdict_notes(ours, family, columns),
        ),
    )


_ASSUMPTIONS: tuple[tuple[Sides, Correction], ...] = (
    ("greater", "none"),
    ("greater", "holm"),
    ("two-sided", "none"),
    ("two-sided", "holm"),
    ("two-sided", "bh"),
)


def _assumption_text(sides: Sides, correction: Correction) -> str:
    said = "one-sided" if sides == "greater" else sides
    return said if correction == "none" else f"{said}, {'Holm' if correction == 'holm' else 'BH'}"


def _ranges(
    ours: PublishedRow,
    baseline: PublishedRow,
    names: Sequence[str],
    family: Sequence[str],
    sides: Sides,
    correction: Correction,
    decimals: int,
    *,
    is_exact: bool,
) -> dict[str, Range]:
    """Return the range of p of each name; corrected, of those in the family only.

    A corrected p rises with each p of the family, so the smallest ones give the smallest.
    """
    assert ours.n is not None, "the paper states n"
    ranges = {}
    for name in names:
        mean, constant = ours.percent_of(name), baseline.percent_of(name)
        assert mean is not None
        assert constant is not None
        printed = Printed(mean, ours.sd[name], ours.n, constant, decimals)
        ranges[name] = printed_p(printed, sides=sides, is_exact=is_exact)
    if correction == "none":
        return ranges
    lows = correct([ranges[name].low for name in family], correction)
    highs = correct([ranges[name].high for name in family], correction)
    return {
        name: Range(low, high)
        for name, low, high in zip(family, lows, highs, strict=True)
        if low is not None and high is not None
    }


def _range_cell(found: Range | None) -> Cell:
    """Return a range of p-values, one where both ends print the same, with what it says of significance."""
    if found is None:
        return Cell()
    said = {True: " yes", False: " no", None: " ?"}[found.verdict(ALPHA)]
    if p_text(found.low) == p_text(found.high):
        return Cell(found.low, "p", mark=said)
    return Cell(form="p", interval=(found.low, found.high), mark=said)


def _verdict_notes(
    ours: PublishedRow, family: Sequence[str], columns: Sequence[dict[str, Range]]
) -> list[str]:
    """Say in words how many of the printed stars hold under each assumption."""
    starred = [name for name in family if name in ours.significant]
    notes = []
    for assumption, column in zip(_ASSUMPTIONS, columns, strict=True):
        verdicts = {paper_headings()[name]: column[name].verdict(ALPHA) for name in starred}
        parts = [
            f"{said} {', '.join(name for name, verdict in verdicts.items() if verdict is value)}"
            for value, said in ((True, "hold:"), (None, "undecided:"), (False, "fall:"))
            if value in verdicts.values()
        ]
        notes.append(
            f"Of the {len(starred)} stars on tasks, {_assumption_text(*assumption)}: {'; '.join(parts)}."
        )
    return notes
