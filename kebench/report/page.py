"""The results page: one HTML file that needs no network, from the leaderboards that tables are printed from.

Everything is in the file: tables (sorted by DataTables, as itables ships it), charts as SVG, and what stands
behind each number. Made again from the same records it is the same file, byte for byte.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from kebench.cards import ModelCard
from kebench.chart_styles import ModelStyle, model_styles
from kebench.errors import counted
from kebench.grid import p_text
from kebench.kinds.card import TaskCard
from kebench.probe.record import AnyProbe, ProbeRecord
from kebench.report import figures
from kebench.report.compare import Settings
from kebench.report.document import render_document
from kebench.report.page_board import COMPARISON_HEADINGS, RUN_HEADINGS, Board, anchor_of, budget_of
from kebench.report.probe_boards import boards_of
from kebench.report.probe_page import asked_sections, filled_sections, probe_words
from kebench.report.significance import Significance, significance_of, test_words
from kebench.report.strata import Strata, overlap_grid, strata_grids
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
    probes: Sequence[AnyProbe]
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
    filled = [record for record in material.probes if isinstance(record, ProbeRecord)]
    boards = list(boards_of(material.probes))
    labels = [*(row.label for block in blocks for row in block.rows), *(one.model for one in strata)]
    labels += [row.model for _, board in boards for row in board.rows]
    styles = model_styles(labels)  # how each model looks, in all charts of the page
    settings = Settings(metric=material.board.metric)
    significance = [
        significance_of(table, test="welch", settings=settings, predictions=_no_predictions)
        for table in tables
    ]
    board = Board(material.board, significance, cards, styles)
    tested = [_significance_section(found, styles) for found in significance if found.pairs]
    probes = filled_sections(filled)
    asked = asked_sections(boards, styles)
    overlap = _overlap_sections(material.overlap, styles) if material.overlap else None
    has_runs = bool(tables) or refresh_seconds is not None  # else a page of probes alone
    sections = [("leaderboard", "Leaderboard", has_runs), ("significance", "Significance", tested)]
    sections += [
        ("probes", "What models know", probes or asked),
        ("overlap", "Known and unknown names", overlap),
    ]
    sections += [("curves", "Learning curves", has_runs), ("models", "Models", has_runs)]
    sections += [("tasks", "Tasks", has_runs)]
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
        "has_runs": has_runs,
        "tables": board.tables,
        "significance": tested,
        "probes": probes,
        "asked": asked,
        "overlap": overlap,
        "curves": board.curves,
        "plots": board.plots,
        "models": _model_sections(material.board, material.probes, cards),
        "tasks": _task_sections(material.board, material.tasks),
        "num_runs": counted(board.num_runs, "run"),
        "num_probes": counted(len(material.probes), "probe"),
        "data": json.dumps(data, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c"),
    }
    return render_document("page.html.j2", content, script="page.js")


def _no_predictions(record: Any) -> dict[str, Any]:
    raise AssertionError("Welch's test reads no predictions")


def _significance_section(found: Significance, styles: Mapping[str, ModelStyle]) -> dict[str, str]:
    """Return the heat map of one table, and the diagram of ranks where there are tasks enough."""
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
        shown["ranks"] = figures.critical_difference(ranked, ranks, styles)
        friedman = f"Mean ranks over {ranks.num_tasks} tasks, Friedman p {p_text(ranks.p)}"
        nemenyi = f"Nemenyi at {ranks.alpha:g}, critical difference {ranks.critical_difference:.2f}"
        shown["ranks_note"] = f"{friedman}. A bar joins models that do not differ: {nemenyi}."
        shown["ranks_said"] = "; ".join(
            f"{label} {rank:.2f}" for label, rank in zip(ranked, ranks.mean_ranks, strict=True)
        )
    return shown


def _overlap_sections(strata: Strata, styles: Mapping[str, ModelStyle]) -> dict[str, Any]:
    """Return how many mentions of the tasks are known, and F1 on each kind of mention."""
    compared = zip(strata_grids(strata), strata.by_protocol().values(), strict=True)
    return {
        "kb": f"{strata.kb} ({strata.kb_hash[:12]})",
        "overlap": overlap_grid(strata),
        "tasks": [
            {"task": task, "grid": grid, "chart": figures.strata_dots(scores, styles)}
            for (task, grid), scores in compared
        ],
    }


def _model_sections(
    board: Leaderboard, probes: Sequence[AnyProbe], cards: Mapping[str, ModelCard]
) -> list[dict[str, Any]]:
    """Return what is known of each model: its card, its weights, its probes."""
    rows = [row for table in board.tables for block in table.blocks for row in block.rows]
    shown = []
    for model in dict.fromkeys(row.key.model for row in rows):
        hashes = dict.fromkeys(row.key.model_hash[:16] for row in rows if row.key.model == model)
        fields = [("weights", ", ".join(hashes))]
        if card := cards.get(model):
            fields = [
                ("title", card.title), ("family", card.family), ("source", card.source),
                ("casing", card.casing), ("licence", card.licence), ("citation", card.citation),
                ("note", card.note), *fields,
            ]  # fmt: skip
        for one in (one for one in probes if one.model == model):
            fields.append((f"probe of {one.set}", probe_words(one)))
        named = [(name, value) for name, value in fields if value]
        shown.append({"anchor": anchor_of("model", model), "name": model, "fields": named})
    return shown


def _task_sections(board: Leaderboard, cards: Sequence[TaskCard]) -> list[dict[str, Any]]:
    """Return what is known of each task of the leaderboards."""
    names = {column.task for table in board.tables for block in table.blocks for column in block.columns}
    return [
        {
            "anchor": anchor_of("task", card.name),
            "name": card.title,
            "fields": [
                ("name", card.name), ("kind", card.kind), ("metric", card.metric),
                ("size", ", ".join(f"{split} {found.rows:,}" for split, found in card.expected.items())),
                ("maximum length", f"{card.max_length} word pieces"),
                ("licence", card.licence), ("citation", card.citation),
            ],
        }
        for card in cards
        if card.name in names
    ]  # fmt: skip
