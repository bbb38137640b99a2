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
from kebench.grid import DASH, Sheet, p_text
from kebench.kinds.card import TaskCard
from kebench.probe.record import AnyProbe, ChoiceRecord, ProbeRecord, RankRecord
from kebench.report import figures
from kebench.report.choice import ChoiceBoard, choice_boards, choice_groups_sheet, choice_sheet
from kebench.report.compare import Settings
from kebench.report.document import render_document
from kebench.report.page_board import COMPARISON_HEADINGS, RUN_HEADINGS, Board, anchor_of, budget_of
from kebench.report.probes import BUCKETS, PROBE_SUITE, probe_sheets, row_labels
from kebench.report.published import read_published_tables
from kebench.report.ranked import INTERVAL, RankedBoard, ranked_boards, ranked_groups_sheet, ranked_sheet
from kebench.report.significance import Significance, significance_of, test_words
from kebench.report.strata import Strata, overlap_grid, strata_grids
from kebench.report.table import Leaderboard
from kebench.scoring.ranked import NUM_CANDIDATES

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
    ranked = list(ranked_boards((one for one in material.probes if isinstance(one, RankRecord)), "column"))
    chosen = list(choice_boards(one for one in material.probes if isinstance(one, ChoiceRecord)))
    labels = [*(row.label for block in blocks for row in block.rows), *(one.model for one in strata)]
    labels += [row.model for board in ranked for row in board.rows]
    labels += [row.model for board in chosen for row in board.rows]
    styles = model_styles(labels)  # how each model looks, in all charts of the page
    settings = Settings(metric=material.board.metric)
    significance = [
        significance_of(table, test="welch", settings=settings, predictions=_no_predictions)
        for table in tables
    ]
    board = Board(material.board, significance, cards, styles)
    tested = [_significance_section(found, styles) for found in significance if found.pairs]
    probes = _probe_sections(filled)
    asked = _asked_sections(ranked, chosen, styles)
    overlap = _overlap_sections(material.overlap, styles) if material.overlap else None
    sections = [("leaderboard", "Leaderboard", True), ("significance", "Significance", tested)]
    sections += [
        ("probes", "What models know", probes or asked),
        ("overlap", "Known and unknown names", overlap),
    ]
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


def _probe_sections(records: Sequence[ProbeRecord]) -> list[dict[str, Any]]:
    """Return the probes of each protocol: hits, published ones below the first; a chart; hits by relation."""
    shown = []
    for sheet, group in probe_sheets(records, read_published_tables(PROBE_SUITE)):
        (grid,) = sheet.grids
        labels = row_labels(group)
        intervals = {labels[record.identity]: _interval(record) for record in group}
        behind = 1 + sum(number for _, number in grid.groups[:2])  # the hits that the intervals are of
        rows = [(*row[:behind], intervals.get(row[0], DASH), *row[behind:]) for row in grid.texts]
        bars = []
        for record in group:
            for bucket, kind in BUCKETS.items():
                percent = getattr(record.scores.fixed, bucket).hit.macro_percent
                if percent is not None:
                    bars.append((labels[record.identity], kind, percent))
        names = sorted({name for record in group for name in record.scores.fixed.by_relation})
        of_each = [record.scores.fixed.by_relation for record in group]
        relations = [
            [name, *(_percent(found[name].hit_percent if name in found else None) for found in of_each)]
            for name in names
        ]
        shown.append(
            {
                "caption": sheet.title,
                "groups": [(name, number + (place == 1)) for place, (name, number) in enumerate(grid.groups)],
                "headings": (*grid.headings[1:behind], "95% interval of all", *grid.headings[behind:]),
                "rows": rows[: grid.published],
                "published": [] if grid.published is None else rows[grid.published :],
                "notes": sheet.notes,
                "chart": figures.probe_bars(bars),
                "relation_headings": ("relation", *(labels[record.identity] for record in group)),
                "relations": relations,
            }
        )
    return shown


def _asked_sections(
    ranked: Sequence[RankedBoard], chosen: Sequence[ChoiceBoard], styles: Mapping[str, ModelStyle]
) -> list[dict[str, Any]]:
    """Return the boards of ranked probes and multiple choice: a chart, tables, each row broken down."""
    shown: list[dict[str, Any]] = []
    said: set[str] = set()  # a note that two sheets share is said under the first

    def add(
        sheet: Sheet,
        broken_down: Sequence[Sheet],
        dots: list[figures.IntervalDot],
        *,
        figure: str,
        baseline: str,
        by: str,
    ) -> None:
        order = [row[0] for row in sheet.grids[0].rows]
        dots.sort(key=lambda dot: order.index(dot.label))
        notes = [note for note in sheet.all_notes(best="bold", second="") if note not in said]
        said.update(notes)
        shown.append(
            {
                "title": sheet.title,
                "figure": figure,
                "caption": f"Points: {figure}, with its {INTERVAL}; bars: {baseline}.",
                "chart": figures.interval_dots(dots, styles, figure),
                "grids": sheet.grids,
                "notes": notes,
                "by": by,
                "broken_down": [(of.title, of.grids[0]) for of in broken_down],
            }
        )

    for board in ranked:
        dots = []
        for row in board.rows:
            own, other = row.figures.acc_1.own, row.figures.acc_1.other_subjects
            ends = own.facts_low_percent, own.facts_high_percent
            dots.append(figures.IntervalDot(row.model, row.label, own.percent, *ends, other.percent))
        broken_down = [
            ranked_groups_sheet(row, by="relation", title="means over facts") for row in board.rows
        ]
        add(
            ranked_sheet(board.rows, title=board.title),
            broken_down,
            dots,
            figure=f"acc@1 of {NUM_CANDIDATES}",
            baseline="by the scores of other subjects",
            by="relation",
        )
    for asked in chosen:
        dots = []
        for one in asked.rows:
            own_, without = one.figures.own, one.figures.without_question
            ends = own_.low_percent, own_.high_percent
            dots.append(figures.IntervalDot(one.model, one.label, own_.percent, *ends, without.percent))
        broken_down = [choice_groups_sheet(one, title="means over questions") for one in asked.rows]
        add(
            choice_sheet(asked),
            broken_down,
            dots,
            figure="accuracy",
            baseline="where the question is left out",
            by="subset",
        )
    return shown


def _interval(record: ProbeRecord) -> str:
    hit = record.scores.fixed.overall.hit
    if hit.low_percent is None or hit.high_percent is None:
        return DASH
    return f"{hit.low_percent:.2f} to {hit.high_percent:.2f}"


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
            fields.append((f"probe of {one.set}", _probe_words(one)))
        named = [(name, value) for name, value in fields if value]
        shown.append({"anchor": anchor_of("model", model), "name": model, "fields": named})
    return shown


def _probe_words(record: AnyProbe) -> str:
    """Return what a probe came to, and over how many queries."""
    if isinstance(record, ProbeRecord):
        hit = record.scores.fixed.overall.hit
        interval = "" if hit.low_percent is None else f" (95% interval {_interval(record)})"
        return f"hit {_percent(hit.macro_percent)}%{interval}; {record.counts.queries:,} queries"
    if isinstance(record, RankRecord):
        scores = record.figures.items()
        said = [f"{score} {_percent(of.acc_1.over_other_subjects.percent)}" for score, of in scores]
        return f"acc@1 over other subjects, points: {', '.join(said)}; {record.counts.asked:,} queries"
    of_scores = record.figures.items()
    said = [f"{score} {_percent(of.over_without_question.percent)}" for score, of in of_scores]
    return f"accuracy over no question, points: {', '.join(said)}; {record.counts.asked:,} questions"


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


def _percent(percent: float | None) -> str:
    return DASH if percent is None else f"{percent:.2f}"
