"""The leaderboards of the page: rows and cells, and what a cell opens: runs, seeds, comparisons."""

import re
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from kebench.cards import ModelCard
from kebench.chart_styles import ModelStyle
from kebench.errors import counted
from kebench.grid import DASH, UNDEFINED, Grid, p_text
from kebench.grid import Cell as GridCell
from kebench.report import figures
from kebench.report.board import block_grid, board_sheets
from kebench.report.overall import overall_grid, overall_of
from kebench.report.protocol import setting_lines
from kebench.report.significance import Significance, test_words
from kebench.report.table import Block, Cell, Column, Leaderboard, Row, Table
from kebench.report.words import captions, column_name, summary_cell
from kebench.scoring.metrics import METRICS

BELOW = "▾"  # published rows have the daggers
RUN_HEADINGS = ("seed", "test score", "dev score", "epoch", "rate", "seconds", "device", "commit", "record")
COMPARISON_HEADINGS = ("model", "its mean", "difference", "n", "p", "corrected")


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
        self._cards, self._styles = cards, styles
        self._runs: set[str] = set()
        self.cells: dict[str, dict[str, Any]] = {}
        self.plots: list[dict[str, str]] = []
        self.curves: list[dict[str, str]] = []
        self.tables = []
        for table, sheet, found in zip(board.tables, board_sheets(board), significance, strict=True):
            notes = sheet.all_notes(best="bold", second="")
            if found.pairs:
                notes.append(f"{BELOW} significantly below the best of the column: {test_words(found)}.")
            self.tables.append(
                {
                    "suite": table.suite,
                    "budget": budget_of(table),
                    "captions": captions(table),
                    "notes": notes,
                    "blocks": [
                        *(self._block(table, block, found) for block in table.blocks),
                        *filter(None, [self._overall(table)]),
                    ],
                }
            )
        self.num_runs = len(self._runs)

    def _block(self, table: Table, block: Block, found: Significance) -> dict[str, Any]:
        for place, column in enumerate(block.columns):
            self._draw(table, block, column, place)
        shown = block_grid(block, show_n=False)
        rows = []
        for place, (heading, *line) in enumerate(shown.cells):
            row = block.rows[place] if place < len(block.rows) else None
            model = row.key.model if row else block.published[place - len(block.rows)].row.model
            cells = _line(shown, place, line)
            for column_place, measured in enumerate(row.cells if row else ()):
                if row and measured:
                    cells[column_place] |= self._opened(block, row, column_place, measured, found)
            card = self._cards.get(model)
            rows.append(
                {
                    "label": heading.text(),
                    "family": card.family if card else "",
                    "published": row is None,
                    "anchor": anchor_of("model", model) if row else "",
                    "cells": cells,
                }
            )
        return {"kind": block.kind, "headings": shown.headings, "rows": rows}

    def _overall(self, table: Table) -> dict[str, Any] | None:
        """Return the averages and the one score of a suite, as a block."""
        shown = overall_grid(table)
        if shown is None:
            return None
        models = [one.key.model for one in overall_of(table)]
        rows = []
        for place, (heading, *line) in enumerate(shown.cells):
            is_printed = place >= len(models)
            card = None if is_printed else self._cards.get(models[place])
            rows.append(
                {
                    "label": heading.text(),
                    "family": card.family if card else "",
                    "published": is_printed,
                    "anchor": "" if is_printed else anchor_of("model", models[place]),
                    "cells": _line(shown, place, line),
                }
            )
        return {"kind": table.score, "headings": shown.headings, "rows": rows}

    def _opened(self, block: Block, row: Row, place: int, cell: Cell, found: Significance) -> dict[str, str]:
        """Keep what a measured cell opens, and return how it is reached. place: of its column."""
        cell_id, column = str(len(self.cells)), block.columns[place]
        said = summary_cell(cell.test, show_n=True).text() if cell.test else UNDEFINED.text()
        test, dev = (summary_cell(one).text() if one else UNDEFINED.text() for one in (cell.test, cell.dev))
        errors = [run.test.calibration_error_percent for run in cell.runs]
        known = [error for error in errors if error is not None]
        calibration = ""
        if len(known) == len(errors):
            calibration = f"; expected calibration error {sum(known) / len(known):.1f}%"
        own = METRICS[cell.runs[0].protocol.metric].title  # it chose the rate, whatever is shown of test
        self._runs.update(run.identity for run in cell.runs)
        self.cells[cell_id] = {
            "model": row.label,
            "task": column_name(column),
            "column": column.hash[:16],
            "summary": f"{METRICS[column.metric].title} {test} over {counted(len(cell.runs), 'seed')}; "
            f"dev {own} {dev}; learning rate {cell.learning_rate:g}{calibration}",
            "runs": [
                [
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
                for run in cell.runs
            ],
            "settings": setting_lines(cell.runs[0]),
            "comparisons": _comparisons(block, row, place, cell, found),
        }
        return {
            "id": cell_id,
            "dagger": BELOW * found.is_below_best(row.key, column),
            "said": f"{row.label} on {column.heading}: {said}; open",
        }

    def _draw(self, table: Table, block: Block, column: Column, place: int) -> None:
        """Draw the seeds and the learning curves of a column's models."""
        cells = {row.label: cell for row in block.rows if (cell := row.cells[place])}
        scored = {label: cell for label, cell in cells.items() if cell.test}
        if scored:
            svg = figures.dot_plot(scored, self._styles, METRICS[column.metric].title)
            self.plots.append({"id": column.hash[:16], "svg": svg})
        curves = {
            label: [  # the mean dev score after each epoch that all seeds reached, None if one is undefined
                None if None in scores else statistics.fmean(scores)
                for scores in zip(*(run.dev_percent_by_epoch for run in cell.runs), strict=False)
            ]
            for label, cell in cells.items()
            if cell.dev
        }
        if curves:
            title = f"{column_name(column)} ({table.suite}, {table.caption})"
            score = METRICS[next(iter(cells.values())).tried[0].protocol.metric].title
            chart = figures.learning_curves(curves, self._styles, score)
            self.curves.append({"title": title, "chart": chart})


def _line(shown: Grid, place: int, line: Sequence[GridCell]) -> list[dict[str, str]]:
    """Return the cells of a row behind its heading, as the template reads them."""
    return [
        {
            "mean": f"{cell.before}{cell.value_text()}{cell.mark}",
            "sd": cell.deviation_text(),
            # the number that it is sorted by: none, which comes last, for nothing
            "order": f"{cell.value:.4f}" if isinstance(cell.value, float | int) else "-",
            "mark": "best" if (place, at) in shown.best else "second" if (place, at) in shown.second else "",
        }
        for at, cell in enumerate(line, start=1)
    ]


def anchor_of(kind: str, name: str) -> str:
    """Return the fragment under which a model or a task stands on the page."""
    return f"{kind}-{re.sub(r'[^A-Za-z0-9_.-]+', '-', name)}"


def budget_of(table: Table) -> str:
    """Return the name of a table's budget; of a table across protocols they are its columns'."""
    return table.caption.split(":")[0] if table.protocol else "several"


def _percent(percent: float | None) -> str:
    return UNDEFINED.text() if percent is None else f"{percent:.2f}"


def _comparisons(block: Block, row: Row, place: int, cell: Cell, found: Significance) -> list[list[str]]:
    lines = []
    for other in block.rows:
        its_cell = other.cells[place]
        if other.key == row.key or its_cell is None or not (cell.test and its_cell.test):
            continue
        pair = found.pair(row.key, other.key, block.columns[place])
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
