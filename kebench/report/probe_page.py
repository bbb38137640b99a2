"""The probes of a results page: what each kind came to, as tables and a chart of each set."""

from collections.abc import Mapping, Sequence
from typing import Any

from kebench.chart_styles import ModelStyle
from kebench.grid import DASH
from kebench.probe.record import AnyProbe, GenerateRecord, ProbeRecord, RankRecord
from kebench.report import figures
from kebench.report.probe_boards import Board, Kind
from kebench.report.probe_ranked import INTERVAL
from kebench.report.probes import BUCKETS, PROBE_SUITE, probe_sheets, row_labels
from kebench.report.published import read_published_tables


def filled_sections(records: Sequence[ProbeRecord]) -> list[dict[str, Any]]:
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


def asked_sections(
    boards: Sequence[tuple[Kind, Board]], styles: Mapping[str, ModelStyle]
) -> list[dict[str, Any]]:
    """Return the boards of other probes: a chart, tables, each row broken down."""
    shown: list[dict[str, Any]] = []
    said: set[str] = set()  # a note that two sheets share is said under the first
    for kind, board in boards:
        sheet = kind.sheet(board)
        dot_of = {row.label: kind.dot(row) for row in board.rows}
        dots = [dot_of[str(row[0])] for row in sheet.grids[0].rows]
        broken_down = [kind.groups_sheet(row, kind.by[0], "means of each") for row in board.rows]
        notes = [note for note in sheet.all_notes(best="bold", second="") if note not in said]
        said.update(notes)
        shown.append(
            {
                "title": sheet.title,
                "figure": kind.figure,
                "caption": f"Points: {kind.figure}, with its {INTERVAL}; bars: {kind.baseline}.",
                "chart": figures.interval_dots(dots, styles, kind.figure),
                "grids": sheet.grids,
                "notes": notes,
                "by": kind.by[0],
                "broken_down": [(of.title, of.grids[0]) for of in broken_down],
            }
        )
    return shown


def _interval(record: ProbeRecord) -> str:
    hit = record.scores.fixed.overall.hit
    if hit.low_percent is None or hit.high_percent is None:
        return DASH
    return f"{hit.low_percent:.2f} to {hit.high_percent:.2f}"


def probe_words(record: AnyProbe) -> str:
    """Return what a probe came to, and over how many queries."""
    if isinstance(record, ProbeRecord):
        hit = record.scores.fixed.overall.hit
        interval = "" if hit.low_percent is None else f" (95% interval {_interval(record)})"
        return f"hit {_percent(hit.macro_percent)}%{interval}; {record.counts.queries:,} queries"
    if isinstance(record, RankRecord):
        scores = record.figures.items()
        said = [f"{score} {_percent(of.acc_1.over_other_subjects.percent)}" for score, of in scores]
        return f"acc@1 over other subjects, points: {', '.join(said)}; {record.counts.asked:,} queries"
    if isinstance(record, GenerateRecord):
        hits = record.figures["beam"].hit_beam
        words = f"{_percent(hits.own.percent)}, of other subjects {_percent(hits.other_subjects.percent)}"
        return f"any answer right, percent: {words}; {record.counts.asked:,} queries"
    of_scores = record.figures.items()
    said = [f"{score} {_percent(of.over_without_question.percent)}" for score, of in of_scores]
    return f"accuracy over no question, points: {', '.join(said)}; {record.counts.asked:,} questions"


def _percent(percent: float | None) -> str:
    return DASH if percent is None else f"{percent:.2f}"
