"""Tables of ranked probes: models of all families in one, and breakdowns of one.

Percentages. acc@1 is among 20 candidates; hits of probes that fill masks never stand beside it.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from kebench.grid import Cell, Grid, Plain, Sheet
from kebench.probe.record import RankRecord
from kebench.report.probe_cells import (
    ROW_FIELDS,
    Over,
    best_over,
    facts_cell,
    figure_cell,
    interval_cell,
    notes_of_intervals,
    over_of,
    relations_cell,
    row_fields,
)
from kebench.report.probes import asked_names
from kebench.scoring.first_answers import ANSWER_BINS
from kebench.scoring.ranked import HITS_AT, METRICS, NUM_CANDIDATES
from kebench.scoring.ranked_figures import GroupFigures, MacroFigure, MetricFigures, RankedFigures
from kebench.stats.pvalue import CONFIDENCE

INTERVAL = f"{CONFIDENCE:.0%} interval"
# The baselines beside other subjects, and what they are called over their columns.
BASELINES = {
    "no_subject": "no subject",
    "frequency": "frequency",
    "shared_words": "words",
    "uniform": "chance",
}
RANKED_FIELDS = (*ROW_FIELDS, "score", "metric", "source", *MacroFigure.model_fields)
GROUP_FIELDS = (
    *ROW_FIELDS, "score", "by", "group", "queries", "metric", "own_percent", "other_subjects_percent",
    "over_other_subjects_percent", "over_other_subjects_low_percent", "over_other_subjects_high_percent",
    "no_subject_percent", "frequency_percent", "shared_words_percent",
    "uniform_percent",
)  # fmt: skip
BEST_OVER = "the most above other subjects, of what is measured on the most facts"
_OVER = 3  # the column of the difference to other subjects
_WHAT_BASELINES_ARE = (
    "other: what the scores of other subjects' queries earn with the same candidates; over: own less other, "
    "of each query. no subject: a statement about none; frequency: how many queries have the answer; "
    "words: which share of a name's words the question has, by their first five letters, without any model; "
    "chance: random scores."
)


class RankedRow(NamedTuple):
    """A probe by one of its scores. name: of the model, with what tells rows apart ("smollm2, 4 shots")."""

    model: str
    name: str
    family: str
    score: str
    figures: RankedFigures
    record: RankRecord | None = None

    @property
    def label(self) -> str:
        """What stands before the row."""
        return f"{self.name}, {self.score}"


# By what ranked probes are split, beside relations (docs/FORMATS.md).
STRATA = ("frequency", "names", "triples", "semantic-type", "type", "flag", "shared-words")


class RankedBoard(NamedTuple):
    """Ranked probes that may stand in one table. title: what they share."""

    title: str
    rows: list[RankedRow]


def headline(records: Sequence[RankRecord]) -> str:
    """Return the score by which probes are shown and compared where none is named.

    By column, else by PMI, else by the plain sum: the first that all of them have, of at least half of the
    facts that the sum has.
    """
    return next(
        score
        for score in ("column", "pmi", "sum")
        if all(
            score in record.figures and 2 * record.figures[score].ranked >= record.figures["sum"].ranked
            for record in records
        )
    )


def ranked_boards(records: Iterable[RankRecord], chosen: str | None) -> Iterator[RankedBoard]:
    """Yield a board for each set, choice of queries and of wordings and names, the largest first.

    chosen: "all", or the score that rows are of; a probe that lacks it has a row by the plain sum. By default
    that of `headline`.
    """
    alike: dict[tuple[object, ...], list[RankRecord]] = {}
    for record in sorted(records, key=lambda one: (-one.counts.asked, one.set, one.model)):
        asked = record.settings
        shared = (record.set_hash, record.subset, asked.wordings, asked.negated, asked.names)
        candidates = asked.left_out, asked.draws, asked.seed
        alike.setdefault((*shared, *candidates, record.precision, record.protocol_version), []).append(record)
    for group in alike.values():
        first, names = group[0], asked_names(group)
        asked, counts, subset = first.settings, first.counts, first.subset
        title = f"{first.set} [{first.set_hash[:8]}], {counts.asked:,} queries ranked"
        title += f" of {subset.queries:,} drawn with seed {subset.seed}" if subset.queries else ""
        title += f"; {asked.worded}, {first.precision}"
        score = chosen or headline(group)
        if score != "all" and any(score not in record.figures for record in group):
            title += f"; by sum what has no figures by {score}"
        rows = []
        for record in group:
            shown = [score] if score in record.figures else ["sum"]
            name = names[record.identity]
            rows += [
                RankedRow(record.model, name, record.settings.family, one, record.figures[one], record)
                for one in (record.figures if score == "all" else shown)
            ]
        yield RankedBoard(title, rows)


def ranked_sheet(board: RankedBoard) -> Sheet:
    """Return the table of probes of one set and one way of asking.

    Those of the most facts stand first, and of these the one that is the most above other subjects.
    """
    rows = sorted(board.rows, key=lambda row: (-_over(row).facts, -(_over(row).percent or 0.0), row.label))
    best = {(place, _OVER) for place in best_over(list(map(_over, rows)))}
    first = "model, score"
    further = [metric for metric in METRICS if metric != "acc_1"]
    grids = [
        Grid(
            (first, "acc@1", "other", "over", "other facts", "other relations"),
            [
                (
                    row.label,
                    figure_cell(row.figures.acc_1.own),
                    figure_cell(row.figures.acc_1.other_subjects),
                    figure_cell(row.figures.acc_1.over_other_subjects, "+.1f"),
                    facts_cell(row.figures.acc_1.over_other_subjects, "+.1f"),
                    relations_cell(row.figures.acc_1.over_other_subjects),
                )
                for row in rows
            ],
            groups=(("", 3), (f"{INTERVAL} of over", 2)),
            best=frozenset(best),
        ),
        Grid(
            (first, "acc@1", INTERVAL, *BASELINES.values(), "facts", "rel."),
            [
                (
                    row.label,
                    figure_cell(row.figures.acc_1.own),
                    facts_cell(row.figures.acc_1.own),
                    *(figure_cell(getattr(row.figures.acc_1, source)) for source in BASELINES),
                    row.figures.ranked,
                    row.figures.relations,
                )
                for row in rows
            ],
            groups=(("", 2), ("acc@1 of baselines", len(BASELINES)), ("", 2)),
        ),
        Grid(
            (first, *(heading for _ in further for heading in ("own", "other", "over"))),
            [
                (row.label, *(cell for metric in further for cell in _three(getattr(row.figures, metric))))
                for row in rows
            ],
            groups=tuple((METRICS[metric], 3) for metric in further),
        ),
        Grid(
            (first, "family", "ECE, %", "Brier", "wordings", "negation"),
            [
                (
                    row.label,
                    row.family,
                    Cell(row.figures.calibration.error_percent),
                    Cell(row.figures.calibration.brier, ".3f"),
                    Cell(agreement.same_first_percent if agreement else None),
                    Cell(agreement.negated_same_first_percent if agreement else None),
                )
                for row in rows
                for agreement in (row.figures.agreement,)
            ],
            groups=(("", 1), ("calibration", 2), ("same first answer", 2)),
        ),
    ]
    num_false = sorted(row.figures.num_false for row in rows if row.figures.num_false is not None)
    median = f" ({num_false[len(num_false) // 2]:.0f} false ones of a query, the median)" if num_false else ""
    notes = (
        f"acc@1: the best-placed true answer is first among {NUM_CANDIDATES} candidates, itself and drawn "
        "false ones, in expectation over all draws; among all where there are fewer. "
        f"MRR, hits@{HITS_AT}, AUC: among all of the pool{median}.",
        _WHAT_BASELINES_ARE,
        f"{INTERVAL}: for other facts of these relations; for other relations, too. Macro averages over "
        "relations (rel.), in percent.",
        f"Calibration of the first answer: softmax over the pool; ECE in {ANSWER_BINS} bins, in percent; "
        "Brier from 0 to 1. Same first answer: over pairs of wordings, and with the negated statement, where "
        "much is no merit.",
        "facts: queries that have a figure. The others' answers are answers of the facts left out, or no "
        "query of another subject is ranked among the same candidates, or their relation is in no average.",
        *notes_of_intervals({row.label: row.figures.acc_1.own for row in rows}),
        *_notes_below_baselines(rows),
        *_notes_of_lacking(rows),
    )
    return Sheet(board.title, (), tuple(grids), notes, best=BEST_OVER if best else "")


def ranked_groups_sheet(row: RankedRow, by: str, title: str) -> Sheet:
    """Return a probe broken down. by: "relation", or what its strata split."""
    groups = groups_of(row.figures, by)
    grid = Grid(
        (by, "facts", "acc@1", "other", "over", INTERVAL, *BASELINES.values(), "AUC", "other"),
        [
            (
                name,
                group.queries,
                Cell(group.acc_1.own_percent),
                Cell(group.acc_1.other_subjects_percent),
                Cell(group.acc_1.over_other_subjects_percent, "+.1f"),
                interval_cell(
                    group.acc_1.over_other_subjects_low_percent,
                    group.acc_1.over_other_subjects_high_percent,
                    "+.1f",
                ),
                *(Cell(getattr(group.acc_1, f"{source}_percent")) for source in BASELINES),
                Cell(group.auc.own_percent),
                Cell(group.auc.other_subjects_percent),
            )
            for name, group in groups.items()
        ],
    )
    notes = (_WHAT_BASELINES_ARE, "Means over the facts of each row, in percent.")
    return Sheet(f"{row.label}: {title}", (), (grid,), notes)


def relations_sheet(
    board: RankedBoard, found: Sequence[Mapping[str, MacroFigure]], relations: Sequence[str]
) -> Sheet:
    """Return acc@1 of a board's probes over some relations alone. found: by source, of each row."""
    overs = [over_of(row.name, of["over_other_subjects"]) for row, of in zip(board.rows, found, strict=True)]
    best = frozenset((place, 4) for place in best_over(overs))
    grid = Grid(
        ("model, score", "facts", "acc@1", "other", "over", INTERVAL, "other relations"),
        [
            (
                row.label,
                of["own"].queries,
                figure_cell(of["own"]),
                figure_cell(of["other_subjects"]),
                figure_cell(of["over_other_subjects"], "+.1f"),
                facts_cell(of["over_other_subjects"], "+.1f"),
                relations_cell(of["over_other_subjects"]),
            )
            for row, of in zip(board.rows, found, strict=True)
        ],
        best=best,
    )
    notes = (
        f"Macro averages over {', '.join(relations)} alone, in percent. over: own less what the scores of "
        f"other subjects' queries earn; {INTERVAL}: of over, for other facts of these relations; other "
        "relations: for other relations, too.",
        *notes_of_intervals({row.label: of["own"] for row, of in zip(board.rows, found, strict=True)}),
    )
    return Sheet(board.title, (), (grid,), notes, best=BEST_OVER if best else "")


def groups_of(figures: RankedFigures, by: str) -> Mapping[str, GroupFigures]:
    """Return the figures of each relation, or of each stratum of a split."""
    return figures.by_relation if by == "relation" else figures.strata[by]


def ranked_rows(rows: Iterable[RankedRow]) -> Iterator[dict[str, Any]]:
    """Yield every figure over relations for programs, one a row (RANKED_FIELDS); nothing is rounded."""
    for row in rows:
        for metric in METRICS:
            for source, figure in getattr(row.figures, metric):
                yield {**_shared(row), "metric": metric, "source": source, **figure.model_dump()}
        calibration, agreement = row.figures.calibration, row.figures.agreement
        of_first = {
            "calibration_error": calibration.error_percent,
            "brier": None if calibration.brier is None else 100 * calibration.brier,
            "same_first": agreement and agreement.same_first_percent,
            "negated_same_first": agreement and agreement.negated_same_first_percent,
        }
        for metric, percent in of_first.items():
            nothing = dict.fromkeys(MacroFigure.model_fields)
            yield {**_shared(row), "metric": metric, "source": "own", **nothing, "percent": percent}


def ranked_group_rows(rows: Iterable[RankedRow], by: str) -> Iterator[dict[str, Any]]:
    """Yield every figure of a breakdown for programs, one a group and metric (GROUP_FIELDS)."""
    for row in rows:
        for name, group in groups_of(row.figures, by).items():
            for metric in METRICS:
                of_group = {"by": by, "group": name, "queries": group.queries, "metric": metric}
                yield {**_shared(row), **of_group, **getattr(group, metric).model_dump()}


def _shared(row: RankedRow) -> dict[str, str | None]:
    return {**row_fields(row), "score": row.score}


def _over(row: RankedRow) -> Over:
    return over_of(row.name, row.figures.acc_1.over_other_subjects)


def _three(figures: MetricFigures) -> tuple[Plain, ...]:
    return (
        figure_cell(figures.own),
        figure_cell(figures.other_subjects),
        figure_cell(figures.over_other_subjects, "+.1f"),
    )


def _notes_below_baselines(rows: Sequence[RankedRow]) -> Iterator[str]:
    """Say which rows a baseline that needs no model, or none that has read the subject, is above."""
    names = {"other_subjects": "other subjects", **BASELINES}
    for source, name in names.items():
        below = [
            row.label
            for row in rows
            if (own := row.figures.acc_1.own.percent) is not None
            and (baseline := getattr(row.figures.acc_1, source).percent) is not None
            and round(own, 1) <= round(baseline, 1)
        ]
        if below:
            of_some = "; ".join(below) if len(below) < len(rows) else "any row"
            yield f"Not above {name}, by acc@1: {of_some}."


def _notes_of_lacking(rows: Sequence[RankedRow]) -> Iterator[str]:
    """Say which relations are in no average, and why; once for probes that lack the same."""
    lacking: dict[tuple[tuple[str, str], ...], list[str]] = {}
    for row in rows:
        if row.figures.lacking:
            lacking.setdefault(tuple(row.figures.lacking.items()), []).append(row.label)
    for reasons, labels in lacking.items():
        named: dict[str, list[str]] = {}
        for relation, why in reasons:
            named.setdefault(why, []).append(relation)
        said = "; ".join(f"{', '.join(relations)} ({why})" for why, relations in named.items())
        of_some = f" of {'; '.join(labels)}" if len(labels) < len(rows) else ""
        yield f"Not in the averages{of_some}: {said}."
