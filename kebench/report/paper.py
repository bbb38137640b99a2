"""Tables 2, 3 and 4 of the KeBioLM paper beside our numbers: difference, and whether it lies within noise.

Or their layout, with our numbers on another suite, such as the miniature.

Ours are scored as published numbers are. A difference is within noise if a two-sided t-test at .05 does not
see it: Welch's with the printed deviation where one is printed, else a one-sample test that takes the printed
score as exact.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from kebench.errors import UserError
from kebench.grid import UNDEFINED, Cell, Grid, GridRows, Sheet, p_text
from kebench.kinds.registry import KINDS
from kebench.report import words
from kebench.report.published import AVERAGES, PublishedRow, PublishedTable, paper_headings
from kebench.report.table import Leaderboard, RowKey, Table, find_key, row_of
from kebench.stats.printed import Printed, Range, printed_p
from kebench.stats.pvalue import Correction, Sides, correct
from kebench.stats.seeds import welch_from_summaries

ALPHA = 0.05
BASELINE = "pubmedbert"  # whom the stars of Table 2 are against


def paper_sheets(
    board: Leaderboard, published: PublishedTable, *, measured_as: Mapping[str, str]
) -> list[Sheet]:
    """Return one sheet for each protocol of ours that has a model of the table; one without ours if none has.

    measured_as: which of our models stands for a published row, by the row's model; one of the same name does
    where none is named.
    """
    tables = [table for table in board.tables if table.suite == published.suite]
    keys = _our_rows(board, tables, published, measured_as)
    sheets = []
    for table in tables:
        ours = {row.key for block in table.blocks for row in block.rows}
        shown = [row for row in published.rows if keys.get(row.model) in ours]
        if not shown:
            continue
        sheets.append(
            Sheet(
                title=f"{published.source}, and ours: {table.caption}",
                captions=(
                    f"{words.score_title(words.columns_of(table))} in percent, mean ± sd (number of seeds); "
                    "ours scored as published numbers are",
                ),
                grids=tuple(_grid(table, row, keys[row.model], published.decimals) for row in shown),
                notes=(
                    f"Published: {published.protocol}.",
                    "Within noise: a two-sided t-test at .05 of our seeds does not see the difference "
                    "(Welch's with the printed deviation and n, where they are printed; else against the "
                    "printed score, taken as exact), uncorrected: of twenty lines that are noise, one says "
                    "no. A dash: fewer than two seeds, no variance, or other seeds for each task of an "
                    "average.",
                    *(f"{row.label} {row.reason}: not compared." for row in shown if not row.comparable),
                    *published.notes,
                    *words.table_notes(table),
                ),
            )
        )
    return sheets or [_sheet_of_printed(published)]


def _our_rows(
    board: Leaderboard, tables: Sequence[Table], published: PublishedTable, measured_as: Mapping[str, str]
) -> dict[str, RowKey]:
    """Return which row of ours stands beside which published one, by the model of that."""
    models = {row.key.model for table in tables for block in table.blocks for row in block.rows}
    return {
        row.model: find_key(board, measured_as.get(row.model, row.model))
        for row in published.rows
        if row.model in measured_as or row.model in models
    }


def _grid(table: Table, printed: PublishedRow, key: RowKey, decimals: int) -> Grid:
    """Return what a row prints, task by task and then the averages, with our numbers where we have them."""
    measured = {
        column.task: cell.test
        for _, row, column, cell in table.measured
        if row.key == key and column.letter in ("", "a")
    }
    for block in table.blocks:
        if (row := row_of(block.rows, key)) and (row.average or row.has_undefined):
            measured[block.kind] = row.average
    rows: GridRows = []
    names = _printed_names([printed])
    for name in names:
        theirs, ours = _printed_cell(printed, name, decimals), measured.get(name)
        assert isinstance(theirs.value, float), "only what is printed is shown"
        within_noise = None
        if printed.comparable and ours and ours.sd is not None and ours.n is not None:
            spread = (
                (theirs.deviation, printed.n) if theirs.deviation is not None and printed.n else (0.0, None)
            )
            p = welch_from_summaries((ours.mean, ours.sd, ours.n), (theirs.value, *spread))
            within_noise = None if p is None else "yes" if p > ALPHA else "no"
        missing = UNDEFINED if name in measured else Cell()
        difference = Cell(ours.mean - theirs.value if ours else None, "+.1f")
        shown = words.summary_cell(ours, show_n=True) if ours else missing
        rows.append((_heading(name), shown, theirs, difference, within_noise))
    label = printed.label if key.model == printed.model else f"{printed.label} ({key.model})"
    breaks = frozenset(place for place, name in enumerate(names) if name == AVERAGES[0])
    return Grid((label, "ours", "published", "difference", "within noise"), rows, breaks=breaks)


def layout_sheets(
    board: Leaderboard, published: PublishedTable, *, suite: str, measured_as: Mapping[str, str]
) -> list[Sheet]:
    """Return the table's layout with our scores on another suite, one sheet for each protocol of ours.

    measured_as: as for `paper_sheets`. Raises UserError if no model of ours stands there.
    """
    tables = [table for table in board.tables if table.suite == suite]
    keys = _our_rows(board, tables, published, measured_as)
    labels = {row.model: row.label for row in published.rows}
    sheets = []
    for table in tables:
        grids = []
        for block in table.blocks:
            found = ((labels[model], row_of(block.rows, key)) for model, key in keys.items())
            shown = {label: row for label, row in found if row}
            rows: GridRows = [
                (
                    words.column_title(column),
                    *(words.task_cell(row.cells[place], show_n=False) for row in shown.values()),
                )
                for place, column in enumerate(block.columns)
            ]
            averages = (words.average_cell(row, show_n=False) for row in shown.values())
            rows.append((_heading(block.kind), *averages))
            if shown:
                grids.append(Grid(("ours", *shown), rows, breaks=frozenset({len(rows) - 1})))
        title = f"The layout of {published.source}, with ours on the suite {table.suite}: {table.caption}"
        scores = words.score_title(words.columns_of(table))
        captions = (
            f"{scores} in percent, mean ± sd; scored as published numbers are",
            "; ".join(f"{labels[model]}: {key.model}" for model, key in keys.items()),
        )
        notes = (
            f"The suite {table.suite} is not the paper's: hold the order of columns against the printed one, "
            "not the scores. 'kebench compare' says which differences hold.",
            *words.table_notes(table),
        )
        if grids:
            sheets.append(Sheet(title, captions, tuple(grids), notes))
    if not sheets:
        raise UserError(
            f"no records on the suite {suite} of a model of this table; say which of yours stands where by "
            f"--as MODEL=ROW, with the rows {', '.join(row.model for row in published.rows)}"
        )
    return sheets


def _sheet_of_printed(published: PublishedTable) -> Sheet:
    rows: GridRows = [
        (_heading(name), *(_printed_cell(row, name, published.decimals) for row in published.rows))
        for name in _printed_names(published.rows)
    ]
    headings = ("published", *(row.label for row in published.rows))
    return Sheet(
        title=f"{published.source}, as printed; no record of ours is of these models (see --as)",
        captions=(f"{published.unit}; {published.protocol}",),
        grids=(Grid(headings, rows),),
        notes=published.notes,
    )


def _printed_names(rows: Sequence[PublishedRow]) -> list[str]:
    """Return the tasks, then the averages, of which some row prints a score."""
    names = (*paper_headings(), *AVERAGES)
    return [name for name in names if any(row.percent_of(name) is not None for row in rows)]


def _heading(name: str) -> str:
    return f"{KINDS[name].title} average" if name in AVERAGES else paper_headings()[name]


def _printed_cell(row: PublishedRow, name: str, decimals: int) -> Cell:
    """Return a score as it is printed: with its deviation, and the mark of significance."""
    return replace(words.printed_cell(row, name, decimals), mark="*" if name in row.significant else "")


def stars_sheet(published: PublishedTable) -> Sheet:
    """Return the stars of Table 2, computed again as far as the printed means and deviations decide."""
    rows = {row.model: row for row in published.rows}
    ours, baseline = rows["kebiolm"], rows[BASELINE]
    assert ours.n is not None, "the paper states n"
    printed = {
        name: Printed(mean, ours.sd[name], ours.n, constant, published.decimals)
        for name in _printed_names([baseline])
        if name in ours.sd
        and (mean := ours.percent_of(name)) is not None
        and (constant := baseline.percent_of(name)) is not None
    }
    family = [name for name in printed if name in paper_headings()]
    points, columns = (
        [_ranges(printed, family, *assumption, is_exact=is_exact) for assumption in _ASSUMPTIONS]
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
            for name in printed
        ]
        headings = (said, "printed", *_ASSUMPTIONS.values())
        grids.append(Grid(headings, cells, breaks=breaks))
    return Sheet(
        title=f"The stars of {published.source}: {ours.label} against {baseline.label}",
        captions=(
            f"One-sample t-test of n = {ours.n} seeds against the printed score: p of the printed numbers as "
            "they stand, then the smallest and largest p of numbers that round to them",
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


_ASSUMPTIONS: dict[tuple[Sides, Correction], str] = {
    ("greater", "none"): "one-sided",
    ("greater", "holm"): "one-sided, Holm",
    ("two-sided", "none"): "two-sided",
    ("two-sided", "holm"): "two-sided, Holm",
    ("two-sided", "bh"): "two-sided, BH",
}


def _ranges(
    printed: Mapping[str, Printed],
    family: Sequence[str],
    sides: Sides,
    correction: Correction,
    *,
    is_exact: bool,
) -> dict[str, Range]:
    """Return the range of p of each name; corrected, of those in the family only."""
    ranges = {name: printed_p(one, sides=sides, is_exact=is_exact) for name, one in printed.items()}
    if correction == "none":
        return ranges
    # a corrected p rises with each p of the family, so the smallest ones give the smallest
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
    for assumption, column in zip(_ASSUMPTIONS.values(), columns, strict=True):
        verdicts = {paper_headings()[name]: column[name].verdict(ALPHA) for name in starred}
        parts = [
            f"{said} {', '.join(name for name, verdict in verdicts.items() if verdict is value)}"
            for value, said in ((True, "hold:"), (None, "undecided:"), (False, "fall:"))
            if value in verdicts.values()
        ]
        notes.append(f"Of the {len(starred)} stars on tasks, {assumption}: {'; '.join(parts)}.")
    return notes
