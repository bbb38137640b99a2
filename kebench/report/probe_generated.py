"""Tables of probes whose answers were written: models in one, and one by its relations. Percentages.

hit@k is of answers among all that can be written; it never stands beside acc@1 of ranked names.
"""

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from kebench.grid import Cell, Grid, Sheet
from kebench.probe.record import GenerateRecord
from kebench.report.probe_cells import (
    ROW_FIELDS,
    best_over,
    facts_cell,
    figure_cell,
    interval_cell,
    over_of,
    relations_cell,
    row_fields,
)
from kebench.report.probe_ranked import BEST_OVER, INTERVAL
from kebench.report.probes import asked_names
from kebench.scoring.generated import METRICS, GeneratedFigures, metric_name
from kebench.scoring.ranked_figures import MacroFigure

GENERATED_FIELDS = (*ROW_FIELDS, "beam", "metric", "source", *MacroFigure.model_fields)
GENERATED_GROUP_FIELDS = (
    *ROW_FIELDS, "beam", "by", "group", "queries", "metric", "own_percent", "other_subjects_percent",
    "over_other_subjects_percent", "over_other_subjects_low_percent", "over_other_subjects_high_percent",
    "frequency_percent",
)  # fmt: skip
_WHAT_BASELINES_ARE = (
    "other: what the answers to other subjects' queries earn by what a query accepts; over: own less other, "
    "of each query. frequency: naming the answers that most queries have."
)
_OVER = 4  # the column of the difference to other subjects


class GeneratedRow(NamedTuple):
    """A probe. name: of the model, with what tells rows apart ("smollm2, 4 shots")."""

    model: str
    name: str
    family: str
    beam: int
    figures: GeneratedFigures
    record: GenerateRecord | None = None

    @property
    def label(self) -> str:
        """What stands before the row."""
        return self.name


class GeneratedBoard(NamedTuple):
    """Probes that may stand in one table. title: what they share."""

    title: str
    rows: list[GeneratedRow]


def generated_boards(records: Iterable[GenerateRecord]) -> Iterator[GeneratedBoard]:
    """Yield a board for each set, choice of queries and way of answering, the largest first."""
    alike: dict[tuple[object, ...], list[GenerateRecord]] = {}
    for record in sorted(records, key=lambda one: (-one.counts.asked, one.set, one.model)):
        shared = (record.set_hash, record.subset, record.settings.worded)
        alike.setdefault((*shared, record.precision, record.protocol_version), []).append(record)
    for group in alike.values():
        first, names = group[0], asked_names(group)
        subset = first.subset
        title = f"{first.set} [{first.set_hash[:8]}], {first.counts.asked:,} queries asked for words"
        title += f" of {subset.queries:,} drawn with seed {subset.seed}" if subset.queries else ""
        title += f"; {first.settings.worded}, {first.precision}"
        rows = [
            GeneratedRow(
                record.model,
                names[record.identity],
                record.settings.family,
                record.settings.beam,
                record.figures["beam"],
                record,
            )
            for record in group
        ]
        yield GeneratedBoard(title, rows)


def generated_sheet(board: GeneratedBoard) -> Sheet:
    """Return the table of probes of one set and one way of answering, the most above other subjects first."""
    rows = sorted(
        board.rows, key=lambda row: (-(row.figures.hit_beam.over_other_subjects.percent or 0.0), row.name)
    )
    beam = rows[0].beam
    metrics = {metric: metric_name(metric, beam=beam) for metric in (METRICS if beam > 1 else METRICS[:1])}
    overs = [over_of(row.name, row.figures.hit_beam.over_other_subjects) for row in rows]
    best = {(place, _OVER) for place in best_over(overs)}
    grids = [
        Grid(
            ("model", heading, INTERVAL, "other", "over", INTERVAL, "frequency"),
            [
                (
                    row.name,
                    figure_cell(figures.own),
                    facts_cell(figures.own),
                    figure_cell(figures.other_subjects),
                    figure_cell(figures.over_other_subjects, "+.1f"),
                    facts_cell(figures.over_other_subjects, "+.1f"),
                    figure_cell(figures.frequency),
                )
                for row in rows
                for figures in (getattr(row.figures, metric),)
            ],
            best=frozenset(best) if metric == "hit_beam" else frozenset(),
        )
        for metric, heading in metrics.items()
    ]
    last = Grid(
        ("model", "family", "over, other relations", "hit@1", f"hit@{beam}", "facts", "relations"),
        [
            (
                row.name,
                row.family,
                relations_cell(row.figures.hit_beam.over_other_subjects),
                figure_cell(row.figures.released.hit_1 if row.figures.released else None),
                figure_cell(row.figures.released.hit_beam if row.figures.released else None),
                row.figures.hit_beam.own.queries,
                row.figures.hit_beam.own.relations,
            )
            for row in rows
        ],
        groups=(("", 1), (f"hit@{beam}", 1), ("released", 2), ("", 2)),
    )
    has_released = any(row.figures.released for row in rows)
    released = ("released: own hits by the string rules of the code released with KeBioLM.",) * has_released
    notes = (
        f"hit@1: the first answer, as a whole, is a name that is accepted, in normal form; hit@{beam}: one "
        f"of the first {beam} is. MRR: of the first that is, 0 where none is.",
        _WHAT_BASELINES_ARE,
        f"{INTERVAL}: over other facts of these relations; over, other relations: over other relations, too. "
        "Macro averages over relations, in percent.",
        *released,
    )
    return Sheet(board.title, (), (*grids, last), notes, best=BEST_OVER if best else "")


def generated_groups_sheet(row: GeneratedRow, by: str, title: str) -> Sheet:
    """Return a probe broken down by relation."""
    assert by == "relation", by
    grid = Grid(
        ("relation", "facts", "hit@1", "other", f"hit@{row.beam}", "other", "over", INTERVAL, "frequency"),
        [
            (
                name,
                group.queries,
                Cell(group.hit_1.own_percent),
                Cell(group.hit_1.other_subjects_percent),
                Cell(group.hit_beam.own_percent),
                Cell(group.hit_beam.other_subjects_percent),
                Cell(group.hit_beam.over_other_subjects_percent, "+.1f"),
                interval_cell(
                    group.hit_beam.over_other_subjects_low_percent,
                    group.hit_beam.over_other_subjects_high_percent,
                    "+.1f",
                ),
                Cell(group.hit_beam.frequency_percent),
            )
            for name, group in row.figures.by_relation.items()
        ],
    )  # fmt: skip
    notes = (_WHAT_BASELINES_ARE, "Means over the facts of each row, in percent.")
    return Sheet(f"{row.name}: {title}", (), (grid,), notes)


def generated_rows(rows: Iterable[GeneratedRow]) -> Iterator[dict[str, Any]]:
    """Yield every figure over relations for programs, one a row (GENERATED_FIELDS); nothing is rounded."""
    for row in rows:
        for metric in METRICS:
            for source, figure in getattr(row.figures, metric):
                yield {**_shared(row), "metric": metric, "source": source, **figure.model_dump()}
        for metric, figure in row.figures.released or ():
            yield {**_shared(row), "metric": f"released_{metric}", "source": "own", **figure.model_dump()}


def generated_group_rows(rows: Iterable[GeneratedRow], by: str) -> Iterator[dict[str, Any]]:
    """Yield every figure of every relation for programs, one a metric (GENERATED_GROUP_FIELDS)."""
    assert by == "relation", by
    for row in rows:
        for name, group in row.figures.by_relation.items():
            for metric in METRICS:
                of_group = {"by": by, "group": name, "queries": group.queries, "metric": metric}
                yield {**_shared(row), **of_group, **getattr(group, metric).model_dump()}


def _shared(row: GeneratedRow) -> dict[str, Any]:
    return {**row_fields(row), "beam": row.beam}
