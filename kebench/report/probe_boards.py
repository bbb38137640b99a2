"""The kinds of probes beside filled blanks: how each is put into tables, charts and files."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple, Protocol

from kebench.grid import Sheet
from kebench.probe.record import AnyProbe, ChoiceRecord, GenerateRecord, RankRecord
from kebench.report import probe_choice, probe_generated, probe_ranked
from kebench.report.figures import IntervalDot
from kebench.report.probe_cells import Row
from kebench.scoring.ranked import NUM_CANDIDATES
from kebench.scoring.ranked_figures import MacroFigure


class Board(Protocol):
    """Probes that may stand in one table."""

    @property
    def title(self) -> str: ...
    @property
    def rows(self) -> list[Any]: ...


class Kind(NamedTuple):
    """One kind.

    name: of its rows in JSON. boards: of records, and by which score ranked ones are shown. sheet, rows: a
    board's table, and its figures for programs with fields. by: what it is broken down by; groups_sheet and
    group_rows: a row so broken down. dot: of a row in a chart of figure, with bars at baseline.
    """

    name: str
    record: type[AnyProbe]
    boards: Callable[[Iterable[Any], str | None], Iterator[Board]]
    sheet: Callable[[Any], Sheet]
    rows: Callable[[Iterable[Any]], Iterator[dict[str, Any]]]
    fields: tuple[str, ...]
    by: tuple[str, ...]
    groups_sheet: Callable[[Any, str, str], Sheet]
    group_rows: Callable[[Iterable[Any], str], Iterator[dict[str, Any]]]
    group_fields: tuple[str, ...]
    figure: str
    baseline: str
    dot: Callable[[Any], IntervalDot]


def _macro_dot(row: Row, own: MacroFigure, other: MacroFigure) -> IntervalDot:
    return IntervalDot(
        row.model, row.label, own.percent, own.facts_low_percent, own.facts_high_percent, other.percent
    )


def _ranked_dot(row: probe_ranked.RankedRow) -> IntervalDot:
    return _macro_dot(row, row.figures.acc_1.own, row.figures.acc_1.other_subjects)


def _choice_dot(row: probe_choice.ChoiceRow) -> IntervalDot:
    own, without = row.figures.own, row.figures.without_question
    return IntervalDot(row.model, row.label, own.percent, own.low_percent, own.high_percent, without.percent)


def _generated_dot(row: probe_generated.GeneratedRow) -> IntervalDot:
    return _macro_dot(row, row.figures.hit_beam.own, row.figures.hit_beam.other_subjects)


KINDS = (
    Kind(
        "ranked",
        RankRecord,
        probe_ranked.ranked_boards,
        probe_ranked.ranked_sheet,
        probe_ranked.ranked_rows,
        probe_ranked.RANKED_FIELDS,
        ("relation", *probe_ranked.STRATA),
        probe_ranked.ranked_groups_sheet,
        probe_ranked.ranked_group_rows,
        probe_ranked.GROUP_FIELDS,
        f"acc@1 of {NUM_CANDIDATES}",
        "by the scores of other subjects",
        _ranked_dot,
    ),
    Kind(
        "choice",
        ChoiceRecord,
        lambda records, _: probe_choice.choice_boards(records),
        probe_choice.choice_sheet,
        probe_choice.choice_rows,
        probe_choice.CHOICE_FIELDS,
        ("subset",),
        probe_choice.choice_groups_sheet,
        probe_choice.choice_group_rows,
        probe_choice.CHOICE_GROUP_FIELDS,
        "accuracy",
        "where the question is left out",
        _choice_dot,
    ),
    Kind(
        "generated",
        GenerateRecord,
        lambda records, _: probe_generated.generated_boards(records),
        probe_generated.generated_sheet,
        probe_generated.generated_rows,
        probe_generated.GENERATED_FIELDS,
        ("relation",),
        probe_generated.generated_groups_sheet,
        probe_generated.generated_group_rows,
        probe_generated.GENERATED_GROUP_FIELDS,
        "any answer right",
        "by the answers to other subjects",
        _generated_dot,
    ),
)


def boards_of(records: Iterable[AnyProbe], score: str | None = None) -> Iterator[tuple[Kind, Board]]:
    """Yield every board of the records, kind by kind. score: see `probe_ranked.ranked_boards`."""
    held = list(records)
    for kind in KINDS:
        for board in kind.boards((one for one in held if isinstance(one, kind.record)), score):
            yield kind, board
