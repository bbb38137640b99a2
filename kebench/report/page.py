"""The results page: one HTML file that needs no network, from the leaderboards that tables are printed from.

Everything is in the file: tables (sorted by DataTables, as itables ships it), charts as SVG, and what stands
behind each number. Made again from the same records it is the same file, byte for byte.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from kebench.cards import ModelCard
from kebench.chart_styles import model_styles
from kebench.errors import counted
from kebench.kinds.card import TaskCard
from kebench.probe.record import ProbeRecord
from kebench.report import figures
from kebench.report.compare import Settings
from kebench.report.document import render_document
from kebench.report.page_board import COMPARISON_HEADINGS, RUN_HEADINGS, Board, budget_of
from kebench.report.page_sections import (
    model_sections,
    overlap_sections,
    probe_sections,
    significance_section,
    task_sections,
)
from kebench.report.significance import significance_of
from kebench.report.strata import Strata
from kebench.report.table import Leaderboard

COMPARISON_NOTE = (
    "Difference: this model less the other; n: seeds of the two. Welch's t-test over seeds, two-sided; "
    "corrected: Holm over all pairs of models on all tasks of the table."
)


class Material(NamedTuple):
    """What a page is made of.

    cards: of models, by name, as far as there are any. overlap: what `kebench overlap` found of the tasks.
    """

    board: Leaderboard
    probes: Sequence[ProbeRecord]
    cards: Mapping[str, ModelCard]
    tasks: Sequence[TaskCard]
    title: str = "kebench results"
    overlap: Strata | None = None


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
    tables, cards = material.board.tables, material.cards
    blocks = [block for table in tables for block in table.blocks]
    strata = material.overlap.scores if material.overlap else ()
    labels = [*(row.label for block in blocks for row in block.rows), *(one.model for one in strata)]
    styles = model_styles(labels)  # how each model looks, in all charts of the page
    settings = Settings(metric=material.board.metric)
    significance = [
        significance_of(table, test="welch", settings=settings, predictions=_no_predictions)
        for table in tables
    ]
    board = Board(material.board, significance, cards, styles)
    tested = [significance_section(found, styles) for found in significance if found.pairs]
    probes = probe_sections(material.probes)
    overlap = overlap_sections(material.overlap, styles) if material.overlap else None
    sections = [("leaderboard", "Leaderboard", True), ("significance", "Significance", tested)]
    sections += [("probes", "What models know", probes), ("overlap", "Known and unknown names", overlap)]
    sections += [("curves", "Learning curves", True), ("models", "Models", True), ("tasks", "Tasks", True)]
    models = {row.key.model for block in blocks for row in block.rows}
    data = {
        "cells": board.cells,
        "run_headings": RUN_HEADINGS,
        "comparison_headings": COMPARISON_HEADINGS,
        "comparison_note": COMPARISON_NOTE,
    }
    content = {
        "refresh_seconds": refresh_seconds,
        "running": running,
        "failed": failed,
        "title": material.title,
        "sections": [(anchor, name) for anchor, name, is_there in sections if is_there],
        "choices": [  # the filters over the leaderboards
            ("suite", list(dict.fromkeys(table.suite for table in tables))),
            ("budget", list(dict.fromkeys(budget_of(table) for table in tables))),
            ("kind", list(dict.fromkeys(block.kind for block in blocks))),
            ("family", sorted({card.family for name in models if (card := cards.get(name))})),
        ],
        "tables": board.tables,
        "significance": tested,
        "probes": probes,
        "overlap": overlap,
        "curves": board.curves,
        "plots": board.plots,
        "models": model_sections(material.board, material.probes, cards),
        "tasks": task_sections(material.board, material.tasks),
        "num_runs": counted(board.num_runs, "run"),
        "num_probes": counted(len(material.probes), "probe"),
        "data": json.dumps(data, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c"),
    }
    return render_document("page.html.j2", content, script="page.js")


def _no_predictions(record: Any) -> dict[str, Any]:
    raise AssertionError("Welch's test reads no predictions")
