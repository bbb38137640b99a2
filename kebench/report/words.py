"""What a table says, the same in every format: the texts of its cells, its captions and its footnotes."""

from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import NamedTuple

from kebench.grid import Cell
from kebench.report.published import PrintedRow
from kebench.report.table import Block, Column, Metric, Row, Table, best_and_second
from kebench.report.table import Cell as TaskCell
from kebench.stats.summary import Summary
from kebench.tasks.facts import is_seen_widely, seen_words

DASH = "–"
UNDEFINED = f"{DASH}°"  # measured, and 0 / 0
SEEN = "△"  # on a task of which much of the test set stands in train or dev
KIND_TITLES = {"ner": "NER", "relation": "RE"}
# What the score of each kind is; under `as-published` only NER differs (docs/FIDELITY.md).
SCORES = {
    ("strict", "ner"): "NER: strict entity F1 against the full gold",
    (
        "as-published",
        "ner",
    ): "NER: entity F1 as published, lenient seqeval without gold beyond the maximum length",
    ("strict", "relation"): "RE: micro F1 over the positive labels",
    ("as-published", "relation"): "RE: micro F1 over the positive labels",
}


class Style(NamedTuple):
    """How a format writes numbers: the space around ±, and how it shows which is best."""

    space: str
    best: str


@dataclass(frozen=True)
class Line:
    """One printed row: label and cells as text; best, second: the places of cells to emphasise."""

    label: str
    cells: tuple[str, ...]
    best: frozenset[int] = frozenset()
    second: frozenset[int] = frozenset()


def headings(block: Block) -> tuple[str, ...]:
    """Return what stands over the columns: kind, tasks, average, and what is no score."""
    tasks = map(column_title, block.columns)
    return (KIND_TITLES[block.kind], *tasks, "average", *(extra.title for extra in block.extras))


def column_name(column: Column) -> str:
    """Return a task's short name, with a letter where several columns are of it."""
    return f"{column.heading} {column.letter}".rstrip()


def column_title(column: Column) -> str:
    """Return what stands over a column: its name, marked where models may have seen much of the test set."""
    return f"{column_name(column)}{SEEN if column.test and is_seen_widely(column.test) else ''}"


def column_notes(columns: Iterable[tuple[str, Column]], undefined: Collection[str]) -> list[str]:
    """Return what the marks of some columns mean. columns: with their kinds; undefined: hashes of columns."""
    columns = list(columns)
    notes = [
        f"{SEEN} {column_name(column)} test set: {seen_words(kind, 'test', column.test)}."
        for kind, column in columns
        if column.test and is_seen_widely(column.test)
    ]
    if names := [column_name(column) for _, column in columns if column.hash in undefined]:
        notes.append(
            f"{UNDEFINED} Undefined: no gold in the test set of {', '.join(names)}. It enters no average."
        )
    return notes


def measured_lines(table: Table, block: Block, style: Style) -> list[Line]:
    """Return the measured rows of a block as text."""
    show_n = shared_n(table) is None
    second = second_cells(block)
    return [
        Line(
            row.label,
            (
                *(cell_text(cell, style, show_n=show_n) for cell in row.cells),
                average_text(row, style, show_n=show_n),
                *(extra.texts[place] for extra in block.extras),
            ),
            frozenset(column for line, column in block.best if line == place),
            frozenset(column for line, column in second if line == place),
        )
        for place, row in enumerate(block.rows)
    ]


def second_cells(block: Block) -> frozenset[tuple[int, int]]:
    """Return the cells that print the second best mean of their column, where three rows have one."""
    return frozenset(
        (place, column)
        for column in range(len(block.columns) + 1)
        for place in best_and_second([row.means[column] for row in block.rows])[1]
    )


def published_lines(block: Block, style: Style) -> list[Line]:
    """Return the published rows of a block as text, each with its mark."""
    return [
        Line(
            f"{printed.row.label} {printed.mark}",
            (
                *(_printed_text(printed, name, style) for name in _printed_names(block)),
                *(DASH for _ in block.extras),
            ),
        )
        for printed in block.published
    ]


def cell_text(cell: TaskCell | None, style: Style, *, show_n: bool) -> str:
    """Write a model's score on a task; a dash if nothing was measured, a marked one if it is undefined."""
    if cell is None:
        return DASH
    return summary_text(cell.test, style, show_n=show_n) if cell.test else UNDEFINED


def average_text(row: Row, style: Style, *, show_n: bool) -> str:
    """Write a model's average likewise: one over an undefined score is undefined."""
    is_undefined = row.average is None and row.has_undefined
    return UNDEFINED if is_undefined else summary_text(row.average, style, show_n=show_n)


def summary_text(summary: Summary | None, style: Style, *, show_n: bool) -> str:
    """Write mean, deviation if there is one and, where it is not in the caption, n; a dash for nothing."""
    if summary is None:
        return DASH
    sd = "" if summary.sd is None else f"{style.space}±{style.space}{summary.sd:.1f}"
    n = f" ({summary.n})" if show_n and summary.n is not None else ""
    return f"{summary.mean:.1f}{sd}{n}"


def summary_cell(summary: Summary | None, *, show_n: bool, mark: str = "") -> Cell:
    """Return mean, deviation and, where it is not in the caption, n as a cell; a missing one for nothing."""
    if summary is None:
        return Cell(mark=mark)
    return Cell(summary.mean, deviation=summary.sd, n=summary.n if show_n else None, mark=mark)


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


def _printed_text(printed: PrintedRow, name: str, style: Style) -> str:
    percent, sd = printed.row.percent_of(name), printed.row.sd.get(name)
    if percent is None:
        return DASH
    decimals = printed.table.decimals
    deviation = "" if sd is None else f"{style.space}±{style.space}{sd:.{decimals}f}"
    return f"{percent:.{decimals}f}{deviation}"


def _printed_names(block: Block) -> list[str]:
    """Return what to look up for each column; a second column of a task gets no published score."""
    tasks = [column.task if column.letter in ("", "a") else "" for column in block.columns]
    return [*tasks, block.kind]


def _summaries(row: Row) -> list[Summary | None]:
    return [*(cell.test if cell else None for cell in row.cells), row.average]


def shared_n(table: Table) -> int | None:
    """Return the number of seeds behind every measured number of a table, None if they differ."""
    rows = (row for block in table.blocks for row in block.rows)
    counts = {summary.n for row in rows for summary in _summaries(row) if summary}
    return counts.pop() if len(counts) == 1 else None


def captions(table: Table, metric: Metric) -> list[str]:
    """Return the protocol, then what the numbers are."""
    scores = "; ".join(SCORES[metric, block.kind] for block in table.blocks)
    return [f"{table.suite}, {table.caption}", f"F1 in percent{_what_is_shown(shared_n(table))}. {scores}"]


def _what_is_shown(n: int | None) -> str:
    """Say what stands beside a mean. n: the seeds behind every number, None if they differ."""
    if n is None:
        return ", mean ± sd (number of seeds)"
    return " of one seed" if n == 1 else f", mean ± sd over {n} seeds"


def footnotes(table: Table, style: Style) -> list[str]:
    """Return how to read the table, the chosen rates, and the sources of published rows."""
    return [
        *_reading_notes(table, style),
        f"Learning rate, by mean dev score: {_rates(table)}.",
        *(f"{note}." for note in table.notes),
        *_column_footnotes(table),
        *_published_footnotes(table),
    ]


def _reading_notes(table: Table, style: Style) -> list[str]:
    """Say how best scores, rows and averages are to be read, where the table has such."""
    notes = []
    if any(len(block.rows) > 1 for block in table.blocks):
        best = f"Best measured score {style.best}. " if any(block.best for block in table.blocks) else ""
        notes.append(f"{best}Rows: best average first, then best first column.")
    averages = [row.average for block in table.blocks for row in block.rows]
    if None in averages:
        notes.append("An average needs every task of its suite and kind.")
    if any(average and average.n is None for average in averages):
        notes.append("An average has a deviation only where all its tasks have the same seeds.")
    return notes


def _rates(table: Table) -> str:
    """Say the rate of each row: the usual one, then the tasks with another."""
    rates: dict[str, dict[str, str]] = {}
    for block in table.blocks:
        names = [column_name(column) for column in block.columns]
        for row in block.rows:
            chosen = {
                name: f"{cell.learning_rate:g}" for name, cell in zip(names, row.cells, strict=True) if cell
            }
            rates.setdefault(row.label, {}).update(chosen)
    return "; ".join(f"{label} {_usual_and_others(by_task)}" for label, by_task in rates.items())


def _usual_and_others(by_task: dict[str, str]) -> str:
    usual = Counter(by_task.values()).most_common(1)[0][0]
    others = ", ".join(f"{task} {rate}" for task, rate in by_task.items() if rate != usual)
    return f"{usual} ({others})" if others else usual


def _column_footnotes(table: Table) -> list[str]:
    columns = [(block.kind, column) for block in table.blocks for column in block.columns]
    lettered = [f"{column_name(one)}: {one.footnote}." for _, one in columns if one.letter]
    return [*column_notes(columns, undefined_columns(table)), *lettered]


def undefined_columns(table: Table) -> set[str]:
    """Return the hashes of the columns in which a model has no score, since the test set has no gold."""
    return {
        column.hash
        for block in table.blocks
        for row in block.rows
        for column, cell in zip(block.columns, row.cells, strict=True)
        if cell and not cell.test
    }


def _published_footnotes(table: Table) -> list[str]:
    printed = [row for block in table.blocks for row in block.published]
    if not printed:
        return []
    sources = {one.mark: f"{one.mark} {one.table.source}: {one.table.protocol}." for one in printed}
    excepted = {one.row.label: f"{one.row.label} {one.row.reason}." for one in printed if one.row.reason}
    lead = "Published: as printed by their sources; not ranked with the rows above."
    return [lead, *sources.values(), *excepted.values()]
