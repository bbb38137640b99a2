"""The results page: one HTML file that needs no network, from the leaderboards that tables are printed from.

Everything is in the file: tables (sorted by DataTables, as itables ships it), charts as SVG, and what stands
behind each number. A strict content security policy names the only styles and scripts that may run, by their
hashes. Made again from the same records it is the same file, byte for byte.
"""

import base64
import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from importlib import resources
from typing import Any, NamedTuple

from kebench.cards import ModelCard
from kebench.errors import UserError
from kebench.probe.record import ProbeRecord
from kebench.report import figures
from kebench.report.compare import Settings
from kebench.report.probes import HEADINGS as PROBE_HEADINGS
from kebench.report.probes import build_probe_tables
from kebench.report.probes import caption as probe_caption
from kebench.report.significance import Significance, significance_of, test_words
from kebench.report.table import Block, Cell, Column, Leaderboard, Row, Table
from kebench.report.words import (
    DASH,
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
from kebench.tasks.card import TaskCard

_STYLE = Style(space="", best="in bold")
BELOW = "▾"  # published rows have the daggers
RUN_HEADINGS = ("seed", "test F1", "dev F1", "epoch", "rate", "seconds", "device", "commit", "record")
COMPARISON_HEADINGS = ("model", "its mean", "difference", "p", "corrected")


class Material(NamedTuple):
    """What a page is made of. cards: of models, by name, as far as there are any."""

    board: Leaderboard
    probes: Sequence[ProbeRecord]
    cards: Mapping[str, ModelCard]
    tasks: Sequence[TaskCard]
    title: str = "kebench results"


def build_page(
    material: Material,
    *,
    refresh_seconds: int | None = None,
    running: Sequence[str] = (),
    failed: Sequence[str] = (),
) -> str:
    """Return the page. Raises UserError if what draws charts and sorts tables is not installed.

    refresh_seconds, running, failed: of a page that is served while a grid runs.
    """
    figures.require_charts()
    page = _Page(material)
    css, library, script = _asset("page.css"), _library(), _asset("page.js")
    content = {
        "title": material.title,
        "css": css,
        "library": library,
        "script": script,
        "style_hashes": _hash(css),
        "script_hashes": f"{_hash(library)} {_hash(script)}",
        "refresh_seconds": refresh_seconds,
        "running": running,
        "failed": failed,
        **page.content(),
    }
    return str(_template().render(content))


def _template() -> Any:
    try:
        from jinja2 import Environment
    except ImportError:
        raise UserError("the page needs jinja2; pip install 'kebench[charts]'") from None
    environment = Environment(autoescape=True, trim_blocks=False, keep_trailing_newline=True)
    # What stands between <style> and <script> tags must be the very text that was hashed.
    template = _asset("page.html.j2").replace("{{ css }}", "{{ css|safe }}")
    return environment.from_string(template)


def _asset(name: str) -> str:
    return resources.files("kebench.report").joinpath("assets", name).read_text(encoding="utf-8")


def _library() -> str:
    """Return DataTables as a plain script that sets window.DataTable, from the bundle that itables ships."""
    try:
        bundle = resources.files("itables").joinpath("html", "dt_bundle.js").read_text(encoding="utf-8")
    except (ImportError, OSError):
        raise UserError("the page needs itables; pip install 'kebench[charts]'") from None
    found = re.search(r"export ?\{([^}]*)\}", bundle)
    exported = re.search(r"([\w$]+) as default", found.group(1)) if found else None
    if not found or not exported:
        raise UserError(
            "this version of itables holds no DataTables as kebench knows it; pip install 'itables<3'"
        )
    plain = (
        f"{bundle[: found.start()]}window.DataTable={exported.group(1)};{bundle[found.end() :].lstrip(';')}"
    )
    return f"(()=>{{{plain}\n}})();"


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


class _Page:
    """Collects what the template shows; cells and plots get numbers in the order in which they appear."""

    def __init__(self, material: Material) -> None:
        self.material = material
        self.cells: dict[str, dict[str, Any]] = {}
        self.plots: list[dict[str, str]] = []
        self.curves: list[dict[str, str]] = []
        settings = Settings(metric=material.board.metric)
        self.significance = [
            significance_of(table, test="welch", settings=settings, predictions=_no_predictions)
            for table in material.board.tables
        ]

    def content(self) -> dict[str, Any]:
        board = self.material.board
        tables = [
            self._table(table, found) for table, found in zip(board.tables, self.significance, strict=True)
        ]
        probes = self._probes()
        tested = [self._significance(found) for found in self.significance if found.pairs]
        sections = [("leaderboard", "Leaderboard")]
        sections += [("significance", "Significance")] if tested else []
        sections += [("probes", "What models know")] if probes else []
        sections += [("curves", "Learning curves"), ("models", "Models"), ("tasks", "Tasks")]
        data = {
            "cells": self.cells,
            "run_headings": RUN_HEADINGS,
            "comparison_headings": COMPARISON_HEADINGS,
            "comparison_note": "Difference: this model less the other. Welch's t-test over seeds, two-sided; "
            "corrected: Holm over all pairs of models on all tasks of the table.",
        }
        return {
            "sections": sections,
            "choices": self._choices(),
            "tables": tables,
            "significance": tested,
            "probes": probes,
            "curves": self.curves,
            "plots": self.plots,
            "models": self._models(),
            "tasks": self._tasks(),
            "num_runs": f"{len(self._runs()):,}",
            "num_probes": f"{len(self.material.probes):,}",
            "data": json.dumps(data, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c"),
        }

    def _choices(self) -> list[tuple[str, list[str]]]:
        tables = self.material.board.tables
        kinds = dict.fromkeys(block.kind for table in tables for block in table.blocks)
        models = dict.fromkeys(
            row.key.model for table in tables for block in table.blocks for row in block.rows
        )
        families = sorted({self._family(model) for model in models} - {""})
        budgets = dict.fromkeys(_budget(table) for table in tables)
        suites = dict.fromkeys(table.suite for table in tables)
        return [
            ("suite", list(suites)),
            ("budget", list(budgets)),
            ("kind", list(kinds)),
            ("family", families),
        ]

    def _family(self, model: str) -> str:
        card = self.material.cards.get(model)
        return card.family if card else ""

    def _table(self, table: Table, found: Significance) -> dict[str, Any]:
        return {
            "suite": table.suite,
            "budget": _budget(table),
            "captions": captions(table, self.material.board.metric),
            "notes": [
                *footnotes(table, _STYLE),
                *(
                    [f"{BELOW} significantly below the best of the column: {test_words(found)}."]
                    if found.pairs
                    else []
                ),
            ],
            "blocks": [self._block(table, block, found) for block in table.blocks],
        }

    def _block(self, table: Table, block: Block, found: Significance) -> dict[str, Any]:
        for place, column in enumerate(block.columns):
            self._draw(table, block, column, place)
        rows = [self._row(block, place, row, found) for place, row in enumerate(block.rows)]
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
            for line, printed in zip(published_lines(block, _STYLE), block.published, strict=True)
        ]
        return {"kind": block.kind, "headings": headings(block), "rows": rows}

    def _row(self, block: Block, place: int, row: Row, found: Significance) -> dict[str, Any]:
        cells = []
        for column_place, column in enumerate(block.columns):
            cell = row.cells[column_place]
            mark = _mark(block, place, column_place)
            cells.append(self._measured(block, row, column, cell, mark, found) if cell else _EMPTY)
        cells.append(_average_cell(row.average, _mark(block, place, len(block.columns))))
        return {
            "label": row.label,
            "family": self._family(row.key.model),
            "published": False,
            "anchor": _anchor("model", row.key.model),
            "cells": cells,
        }

    def _measured(
        self, block: Block, row: Row, column: Column, cell: Cell, mark: str, found: Significance
    ) -> dict[str, Any]:
        cell_id = str(len(self.cells))
        summary = summary_text(cell.test, _STYLE, show_n=True)
        self.cells[cell_id] = {
            "model": row.label,
            "task": f"{column.heading} {column.letter}".rstrip(),
            "column": column.hash[:16],
            "summary": f"F1 {summary} (number of seeds); dev {summary_text(cell.dev, _STYLE, show_n=False)}; "
            f"learning rate {cell.learning_rate:g}",
            "runs": [_run_line(cell, place) for place in range(len(cell.runs))],
            "comparisons": _comparisons(block, row, column, cell, found),
        }
        return {
            "id": cell_id,
            "mean": f"{cell.test.mean:.1f}",
            "sd": DASH if cell.test.sd is None else f"{cell.test.sd:.1f}",
            "order": f"{cell.test.mean:.4f}",
            "mark": mark,
            "dagger": BELOW * found.is_below_best(row.key, column),
            "said": f"{row.label} on {column.heading}: {summary}; open",
        }

    def _draw(self, table: Table, block: Block, column: Column, place: int) -> None:
        """Draw the seeds and the learning curves of a column's models."""
        cells = {row.label: cell for row in block.rows if (cell := row.cells[place])}
        if not cells:
            return
        self.plots.append({"id": column.hash[:16], "svg": figures.dot_plot(cells)})
        curves = {label: _dev_curve(cell) for label, cell in cells.items()}
        title = f"{column.heading} {column.letter}".rstrip()
        self.curves.append(
            {"title": f"{title} ({table.suite}, {table.caption})", "chart": figures.learning_curves(curves)}
        )

    def _significance(self, found: Significance) -> dict[str, str]:
        labels = list(found.labels.values())
        wins = {
            (found.labels[row], found.labels[column]): numbers
            for (row, column), numbers in found.won_and_lost().items()
        }
        said = "; ".join(
            f"{row} against {column} {won}:{lost}" for (row, column), (won, lost) in wins.items() if won
        )
        shown = {
            "title": f"{found.table.suite}, {found.table.caption}",
            "test": f"Tasks won and lost, row against column: {test_words(found)}",
            "heat_map": figures.heat_map(labels, wins),
            "said": f"Tasks won significantly: {said or 'none'}",
            "ranks": "",
        }
        if found.ranking:
            ranked = [found.labels[key] for key in found.ranked]
            ranks = found.ranking
            shown["ranks"] = figures.critical_difference(ranked, ranks)
            friedman = f"Mean ranks over {ranks.num_tasks} tasks, Friedman p {p_text(ranks.p)}"
            nemenyi = f"Nemenyi at {ranks.alpha:g}, critical difference {ranks.critical_difference:.2f}"
            shown["ranks_note"] = f"{friedman}. A bar joins models that do not differ: {nemenyi}."
            shown["ranks_said"] = "; ".join(
                f"{label} {rank:.2f}" for label, rank in zip(ranked, ranks.mean_ranks, strict=True)
            )
        return shown

    def _probes(self) -> list[dict[str, Any]]:
        records = list(self.material.probes)
        shown = []
        for table in build_probe_tables(records):
            group = [record for record in records if probe_caption(record) == table.caption]
            group.sort(key=lambda record: record.model)
            shown.append(
                {
                    "caption": table.caption,
                    "headings": ("model", *PROBE_HEADINGS),
                    "rows": [(row.label, *map(_percent, row.percents)) for row in table.rows],
                    "chart": figures.probe_bars([bar for record in group for bar in _bars(record)]),
                    "relation_headings": ("relation", *(record.model for record in group)),
                    "relations": _relations(group),
                }
            )
        return shown

    def _runs(self) -> set[str]:
        return {
            run.identity
            for table in self.material.board.tables
            for block in table.blocks
            for row in block.rows
            for cell in row.cells
            if cell
            for run in cell.runs
        }

    def _models(self) -> list[dict[str, Any]]:
        tables = self.material.board.tables
        rows = [row for table in tables for block in table.blocks for row in block.rows]
        shown = []
        for model in dict.fromkeys(row.key.model for row in rows):
            card = self.material.cards.get(model)
            fields = [
                (
                    "weights",
                    ", ".join(
                        dict.fromkeys(row.key.model_hash[:16] for row in rows if row.key.model == model)
                    ),
                )
            ]
            if card:
                fields = [
                    ("title", card.title), ("family", card.family), ("source", card.source),
                    ("casing", card.casing), ("licence", card.licence), ("citation", card.citation),
                    ("note", card.note), *fields,
                ]  # fmt: skip
            fields += [
                (f"probe: {probe_caption(one)}", _probe_text(one))
                for one in self.material.probes
                if one.model == model
            ]
            shown.append(
                {
                    "anchor": _anchor("model", model),
                    "name": model,
                    "fields": [pair for pair in fields if pair[1]],
                }
            )
        return shown

    def _tasks(self) -> list[dict[str, Any]]:
        names = {
            column.task
            for table in self.material.board.tables
            for block in table.blocks
            for column in block.columns
        }
        return [
            {
                "anchor": _anchor("task", card.name),
                "name": card.title,
                "fields": [
                    ("name", card.name), ("kind", card.kind), ("metric", card.metric),
                    ("size", ", ".join(f"{split} {found.rows:,}" for split, found in card.expected.items())),
                    ("maximum length", f"{card.max_length} word pieces"),
                    ("licence", card.licence), ("citation", card.citation),
                ],
            }
            for card in self.material.tasks
            if card.name in names
        ]  # fmt: skip


_EMPTY = {"mean": DASH, "sd": "", "order": "-1", "mark": ""}


def _no_predictions(record: Any) -> dict[str, Any]:
    raise AssertionError("Welch's test reads no predictions")


def _budget(table: Table) -> str:
    return table.caption.split(":")[0]


def _anchor(kind: str, name: str) -> str:
    return f"{kind}-{re.sub(r'[^A-Za-z0-9_.-]+', '-', name)}"


def _mark(block: Block, row: int, column: int) -> str:
    if (row, column) in block.best:
        return "best"
    return "second" if (row, column) in second_cells(block) else ""


def _order_of(text: str) -> str:
    number = re.match(r"\d+(\.\d+)?", text)
    return number.group() if number else "-1"


def _average_cell(average: Summary | None, mark: str) -> dict[str, str]:
    if average is None:
        return _EMPTY
    sd = DASH if average.sd is None else f"{average.sd:.1f}"
    return {"mean": f"{average.mean:.1f}", "sd": sd, "order": f"{average.mean:.4f}", "mark": mark}


def _run_line(cell: Cell, place: int) -> list[str]:
    run = cell.runs[place]
    return [
        str(run.seed),
        f"{cell.test_percent_by_seed[run.seed]:.2f}",
        f"{run.dev.score_percent:.2f}",
        str(run.best_epoch),
        f"{run.settings.learning_rate:g}",
        f"{run.provenance.seconds:,.0f}",
        run.provenance.device,
        run.provenance.commit[:12] or DASH,
        run.identity[:16],
    ]


def _comparisons(block: Block, row: Row, column: Column, cell: Cell, found: Significance) -> list[list[str]]:
    place = block.columns.index(column)
    lines = []
    for other in block.rows:
        its_cell = other.cells[place]
        if other.key == row.key or its_cell is None:
            continue
        pair = found.pair(row.key, other.key, column)
        lines.append(
            [
                other.label,
                f"{its_cell.test.mean:.1f}",
                f"{cell.test.mean - its_cell.test.mean:+.1f}",
                p_text(pair.raw if pair else None),
                p_text(pair.p if pair else None),
            ]
        )
    return lines


def _dev_curve(cell: Cell) -> list[float]:
    """Return the mean dev score after each epoch that all seeds reached."""
    curves = [run.dev_percent_by_epoch for run in cell.runs]
    return [sum(scores) / len(scores) for scores in zip(*curves, strict=False)]


def _percent(percent: float | None) -> str:
    return DASH if percent is None else f"{percent:.2f}"


def _bars(record: ProbeRecord) -> list[tuple[str, str, float]]:
    fixed = record.scores.fixed
    kinds = (("type 1", fixed.type_1), ("type 2", fixed.type_2), ("all", fixed.overall))
    return [(record.model, kind, bucket.hit.macro_percent or 0.0) for kind, bucket in kinds]


def _relations(group: Sequence[ProbeRecord]) -> list[list[str]]:
    names = sorted({name for record in group for name in record.scores.fixed.by_relation})
    found: Callable[[ProbeRecord, str], float | None] = lambda record, name: (  # noqa: E731
        one.hit_percent if (one := record.scores.fixed.by_relation.get(name)) else None
    )
    return [[name, *(_percent(found(record, name)) for record in group)] for name in names]


def _probe_text(record: ProbeRecord) -> str:
    hit = record.scores.fixed.overall.hit
    interval = (
        "" if hit.low_percent is None else f" (95% interval {hit.low_percent:.2f} to {hit.high_percent:.2f})"
    )
    return f"hit {_percent(hit.macro_percent)}%{interval}"
