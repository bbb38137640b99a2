"""The leaderboards of the page: rows and cells, and what a cell opens: runs, seeds, comparisons."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from kebench.cards import ModelCard
from kebench.chart_styles import ModelStyle
from kebench.errors import counted
from kebench.report import figures
from kebench.report.page_sections import anchor_of
from kebench.report.protocol import setting_lines
from kebench.report.significance import Significance, test_words
from kebench.report.table import Block, Cell, Column, Leaderboard, Row, Table
from kebench.report.words import (
    DASH,
    UNDEFINED,
    Style,
    captions,
    footnotes,
    headings,
    p_text,
    published_lines,
    second_cells,
    summary_text,
)
from kebench.stats.summary import Summary

STYLE = Style(space="", best="in bold")
BELOW = "▾"  # published rows have the daggers
RUN_HEADINGS = ("seed", "test F1", "dev F1", "epoch", "rate", "seconds", "device", "commit", "record")
COMPARISON_HEADINGS = ("model", "its mean", "difference", "n", "p", "corrected")
_EMPTY = {"mean": DASH, "sd": "", "order": "-1", "mark": ""}


class Board:
    """What the template shows of the leaderboards.

    tables: as the template reads them. cells: what each measured cell opens, by its number in the order of
    appearance. plots, curves: the seeds, and the dev scores by epoch, of a column's models. num_runs: how
    many runs stand behind all cells.
    """

    def __init__(
        self,
        board: Leaderboard,
        significance: Sequence[Significance],
        cards: Mapping[str, ModelCard],
        styles: Mapping[str, ModelStyle],
    ) -> None:
        self._cards = cards
        self._styles = styles
        self._metric = board.metric
        self._runs: set[str] = set()
        self.cells: dict[str, dict[str, Any]] = {}
        self.plots: list[dict[str, str]] = []
        self.curves: list[dict[str, str]] = []
        self.tables = [
            self._table(table, found) for table, found in zip(board.tables, significance, strict=True)
        ]
        self.num_runs = len(self._runs)

    def _table(self, table: Table, found: Significance) -> dict[str, Any]:
        below = [f"{BELOW} significantly below the best of the column: {test_words(found)}."]
        return {
            "suite": table.suite,
            "budget": budget_of(table),
            "captions": captions(table, self._metric),
            "notes": [*footnotes(table, STYLE), *(below if found.pairs else [])],
            "blocks": [self._block(table, block, found) for block in table.blocks],
        }

    def _block(self, table: Table, block: Block, found: Significance) -> dict[str, Any]:
        for place, column in enumerate(block.columns):
            self._draw(table, block, column, place)
        marks = dict.fromkeys(second_cells(block), "second") | dict.fromkeys(block.best, "best")
        rows = [self._row(block, place, row, found, marks) for place, row in enumerate(block.rows)]
        rows += [
            {
                "label": line.label,
                "family": self._family(printed.row.model),
                "published": True,
                "anchor": "",
                "cells": [
                    {"mean": text, "order": _order_of(text), "mark": "", "sd": ""} for text in line.cells
                ],
            }
            for line, printed in zip(published_lines(block, STYLE), block.published, strict=True)
        ]
        return {"kind": block.kind, "headings": headings(block), "rows": rows}

    def _family(self, model: str) -> str:
        card = self._cards.get(model)
        return card.family if card else ""

    def _row(
        self, block: Block, place: int, row: Row, found: Significance, marks: Mapping[tuple[int, int], str]
    ) -> dict[str, Any]:
        cells = []
        for column_place, column in enumerate(block.columns):
            cell, mark = row.cells[column_place], marks.get((place, column_place), "")
            cells.append(self._measured(block, row, column, cell, mark, found) if cell else _EMPTY)
        cells.append(_average_cell(row, marks.get((place, len(block.columns)), "")))
        return {
            "label": row.label,
            "family": self._family(row.key.model),
            "published": False,
            "anchor": anchor_of("model", row.key.model),
            "cells": cells,
        }

    def _measured(
        self, block: Block, row: Row, column: Column, cell: Cell, mark: str, found: Significance
    ) -> dict[str, Any]:
        cell_id = str(len(self.cells))
        summary = summary_text(cell.test, STYLE, show_n=True) if cell.test else UNDEFINED
        self._runs.update(run.identity for run in cell.runs)
        self.cells[cell_id] = {
            "model": row.label,
            "task": f"{column.heading} {column.letter}".rstrip(),
            "column": column.hash[:16],
            "summary": _summary_words(cell),
            "runs": [_run_line(cell, place) for place in range(len(cell.runs))],
            "settings": setting_lines(cell.runs[0]),
            "comparisons": _comparisons(block, row, column, cell, found),
        }
        return {
            "id": cell_id,
            "mean": f"{cell.test.mean:.1f}" if cell.test else UNDEFINED,
            "sd": _sd_text(cell.test) if cell.test else "",
            "order": f"{cell.test.mean:.4f}" if cell.test else "-1",
            "mark": mark,
            "dagger": BELOW * found.is_below_best(row.key, column),
            "said": f"{row.label} on {column.heading}: {summary}; open",
        }

    def _draw(self, table: Table, block: Block, column: Column, place: int) -> None:
        """Draw the seeds and the learning curves of a column's models."""
        cells = {row.label: cell for row in block.rows if (cell := row.cells[place])}
        scored = {label: cell for label, cell in cells.items() if cell.test}
        if scored:
            self.plots.append({"id": column.hash[:16], "svg": figures.dot_plot(scored, self._styles)})
        curves = {label: _dev_curve(cell) for label, cell in cells.items() if cell.dev}
        if not curves:
            return
        title = f"{column.heading} {column.letter}".rstrip()
        chart = figures.learning_curves(curves, self._styles)
        self.curves.append({"title": f"{title} ({table.suite}, {table.caption})", "chart": chart})


def budget_of(table: Table) -> str:
    """Return the name of a table's budget."""
    return table.caption.split(":")[0]


def _order_of(text: str) -> str:
    number = re.match(r"\d+(\.\d+)?", text)
    return number.group() if number else "-1"


def _average_cell(row: Row, mark: str) -> dict[str, str]:
    average = row.average
    if average is None:
        return {**_EMPTY, "mean": UNDEFINED if row.has_undefined else DASH}
    text, order = f"{average.mean:.1f}", f"{average.mean:.4f}"
    return {"mean": text, "sd": _sd_text(average), "order": order, "mark": mark}


def _sd_text(summary: Summary) -> str:
    return "" if summary.sd is None else f"{summary.sd:.1f}"


def _summary_words(cell: Cell) -> str:
    test, dev = (
        summary_text(one, STYLE, show_n=False) if one else UNDEFINED for one in (cell.test, cell.dev)
    )
    rate = f"learning rate {cell.learning_rate:g}"
    return f"F1 {test} over {counted(len(cell.runs), 'seed')}; dev {dev}; {rate}{_calibration_text(cell)}"


def _calibration_text(cell: Cell) -> str:
    errors = [run.test.calibration_error_percent for run in cell.runs]
    known = [error for error in errors if error is not None]
    if len(known) < len(errors):
        return ""
    return f"; expected calibration error {sum(known) / len(known):.1f}%"


def _run_line(cell: Cell, place: int) -> list[str]:
    run = cell.runs[place]
    return [
        str(run.seed),
        _percent(cell.test_percent_by_seed.get(run.seed)),
        _percent(run.dev.score_percent),
        str(run.best_epoch),
        f"{run.settings.learning_rate:g}",
        f"{run.provenance.seconds:,.0f}",
        run.provenance.device,
        run.provenance.commit[:12] or DASH,
        run.identity[:16],
    ]


def _percent(percent: float | None) -> str:
    return UNDEFINED if percent is None else f"{percent:.2f}"


def _comparisons(block: Block, row: Row, column: Column, cell: Cell, found: Significance) -> list[list[str]]:
    place = block.columns.index(column)
    lines = []
    for other in block.rows:
        its_cell = other.cells[place]
        if other.key == row.key or its_cell is None or not (cell.test and its_cell.test):
            continue
        pair = found.pair(row.key, other.key, column)
        lines.append(
            [
                other.label,
                f"{its_cell.test.mean:.1f}",
                f"{cell.test.mean - its_cell.test.mean:+.1f}",
                f"{cell.test.n} and {its_cell.test.n}",
                p_text(pair.raw if pair else None),
                p_text(pair.p if pair else None),
            ]
        )
    return lines


def _dev_curve(cell: Cell) -> list[float]:
    """Return the mean dev score after each epoch that all seeds reached."""
    curves = [run.dev_percent_by_epoch for run in cell.runs]
    return [sum(scores) / len(scores) for scores in zip(*curves, strict=False)]
