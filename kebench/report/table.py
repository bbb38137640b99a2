"""The leaderboard: from records to tables of mean, deviation and n, before any format.

A column is one task under one protocol (`Record.column`). Columns whose protocols agree, but for the
parts that belong to the task, stand in one table; suites never share one. A table has a block of NER
tasks and a block of relation tasks, each with its average, as Table 2 of the paper has.
Rows are one model, weights and fidelity each: best average first, then best first column.
"""

import logging
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from kebench import grid
from kebench.errors import UserError, did_you_mean
from kebench.kinds.card import TaskCard
from kebench.kinds.registry import KINDS, metric_of
from kebench.records import OtherName, Record, SplitFacts
from kebench.report.protocol import (
    Fields,
    describe_protocol,
    describe_task_part,
    differing_names,
    shared_fields,
    task_fields,
)
from kebench.report.published import PrintedRow, PublishedTable, mark_rows
from kebench.report.selection import choose_rate
from kebench.scoring.metrics import AS_PUBLISHED, METRICS, OWN
from kebench.stats.summary import Summary, summarise

Choice = str  # of the metric shown: OWN, AS_PUBLISHED, or the name of one
_log = logging.getLogger(__name__)
NO_OTHERS: Mapping[str, OtherName] = {}
PUBLISHED_SUITE = "blurb"


class RowKey(NamedTuple):
    """What makes a row: a name, the weights behind it, and the mode in which they were used."""

    model: str
    model_hash: str
    fidelity: str


@dataclass(frozen=True)
class Cell:
    """One model on one task: the test score at the rate that won on dev, over its seeds, and its runs.

    test, dev: None, and no percentages by seed, where there is no gold and so no score.
    tried: the runs of all rates, those that lost included.
    """

    test: Summary | None
    dev: Summary | None
    learning_rate: float
    test_percent_by_seed: Mapping[int, float]
    runs: tuple[Record, ...] = ()
    tried: tuple[Record, ...] = ()

    @property
    def score(self) -> Summary:
        """The test score of a cell that has one."""
        assert self.test is not None, "an undefined score is neither compared nor averaged"
        return self.test


class Extra(NamedTuple):
    """A column behind the average that is no score: a title, and the cell of each measured row."""

    title: str
    cells: tuple[grid.Cell, ...]


@dataclass(frozen=True)
class Column:
    """One task under one protocol. letter: tells columns of one task apart; footnote: how they differ.

    metric: the name of the one shown. test: what the test file holds, as far as the records keep it.
    """

    task: str
    hash: str
    heading: str
    metric: str
    letter: str = ""
    footnote: str = ""
    test: SplitFacts | None = None


@dataclass(frozen=True)
class Row:
    """One model's cells, in the order of the block's columns; None where nothing was measured.

    average: None unless every task of the suite and kind has a score.
    """

    key: RowKey
    label: str
    cells: tuple[Cell | None, ...]
    average: Summary | None

    @property
    def means(self) -> tuple[float | None, ...]:
        """The means as printed in a row: one a column, then the average."""
        cells = tuple(cell.test.mean if cell and cell.test else None for cell in self.cells)
        return (*cells, self.average.mean if self.average else None)

    @property
    def has_undefined(self) -> bool:
        """Whether a cell was measured and has no score."""
        return any(cell and cell.test is None for cell in self.cells)

    @property
    def tried(self) -> tuple[Record, ...]:
        """The runs behind all cells, of all rates."""
        return tuple(run for cell in self.cells if cell for run in cell.tried)


@dataclass(frozen=True)
class Block:
    """The tasks of one kind. best: (row, column) of the best measured means."""

    kind: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    best: frozenset[tuple[int, int]]
    published: tuple[PrintedRow, ...] = ()
    extras: tuple[Extra, ...] = ()


@dataclass(frozen=True)
class Table:
    """One suite under one protocol. notes: what the choice of rates had to leave out."""

    suite: str
    protocol: Fields
    caption: str
    blocks: tuple[Block, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Leaderboard:
    """All tables of one metric, the one nearest to the paper's protocol first."""

    metric: Choice
    tables: tuple[Table, ...]


@dataclass
class _Group:
    """The records of one table while it is being built."""

    suite: str
    protocol: Fields
    records: list[Record] = field(default_factory=list)


def build_leaderboard(
    records: Sequence[Record],
    *,
    cards: Sequence[TaskCard],
    metric: Choice = OWN,
    published: Sequence[PublishedTable] = (),
    other_names: Mapping[str, OtherName] = NO_OTHERS,
) -> Leaderboard:
    """Build the tables of all records.

    cards: every task card, in table order; they say which tasks make up the average of a suite.
    metric: `strict` shows each task's own, `as-published` the one that published numbers are in, a name that
        one; tasks of kinds that do not have it are left out, with a note.
    published: tables shown, with a mark, under the first measured block of their suite and kind.
    other_names: of models, which stand in the labels of their rows.
    """
    if metric not in (choices := (OWN, AS_PUBLISHED, *METRICS)):
        raise UserError(f"no metric '{metric}'{did_you_mean(metric, choices)} there are {', '.join(choices)}")
    known = [record for record in records if record.kind in KINDS]
    for kind, task in sorted({(record.kind, record.task) for record in records if record.kind not in KINDS}):
        _log.warning("left out: runs of %s, whose kind '%s' is none of %s", task, kind, ", ".join(KINDS))
    if records and not known:
        raise UserError(
            f"no run of a kind that this kebench has: {', '.join(sorted({one.kind for one in records}))}; "
            "show them with the one that made them"
        )
    left_out = sorted({record.task for record in known if not _has_metric(record, metric)})
    records = [record for record in known if record.task not in left_out]
    if left_out and not records:
        raise UserError(f"{metric} is no metric of {', '.join(left_out)}; 'kebench task show' names a task's")
    if left_out:
        _log.warning("left out: %s is no metric of %s", metric, ", ".join(left_out))
    groups = _group_records(records, {card.name: card.suites for card in cards})
    differing = differing_names([group.protocol for group in groups])
    labels = _row_labels(records, other_names)
    tables = [_build_table(group, cards, metric, labels, differing) for group in groups]
    if left_out:
        note = f"{metric} is no metric of {', '.join(left_out)}"
        tables = [replace(table, notes=(*table.notes, note)) for table in tables]
    shown = published if metric in (OWN, AS_PUBLISHED) else ()  # what is printed is of one metric
    return Leaderboard(metric, _with_published(tables, shown))


def _has_metric(record: Record, choice: Choice) -> bool:
    return choice in (OWN, AS_PUBLISHED, record.protocol.metric) or choice in KINDS[record.kind].metrics


def _group_records(records: Iterable[Record], suites_of: Mapping[str, tuple[str, ...]]) -> list[_Group]:
    groups: dict[tuple[str, Fields], _Group] = {}
    for record in records:
        for suite in suites_of.get(record.task, ("no suite",)):
            key = (suite, shared_fields(record))
            groups.setdefault(key, _Group(*key)).records.append(record)
    return sorted(groups.values(), key=_nearest_to_the_paper_first)


def _nearest_to_the_paper_first(group: _Group) -> tuple[Any, ...]:
    """BLURB before other suites; all data before a subset, many epochs before few."""
    fields = dict(group.protocol)
    rows = fields["train_rows"]
    by_size = (rows is not None, -(rows or 0), -fields["epochs"])
    return (group.suite != PUBLISHED_SUITE, group.suite, *by_size, repr(group.protocol))


def _row_labels(records: Iterable[Record], other_names: Mapping[str, OtherName]) -> dict[RowKey, str]:
    """Name each row; weights that share a name get their hash, modes other than `fixed` their name.

    Weights that have several names get the others too.
    """
    keys = dict.fromkeys(_row_key(record) for record in records)
    hashes: dict[str, set[str]] = defaultdict(set)
    for key in keys:
        hashes[key.model].add(key.model_hash)
    names: dict[tuple[str, str], set[str]] = defaultdict(set)
    for key in keys:
        names[key[1:]].add(key.model)
    for name, other in other_names.items():
        names[other.model_hash, other.fidelity].add(name)
    return {
        key: _row_label(
            key, is_ambiguous=len(hashes[key.model]) > 1, others=sorted(names[key[1:]] - {key.model})
        )
        for key in keys
    }


def label_of(
    record: Record, records: Iterable[Record], other_names: Mapping[str, OtherName] = NO_OTHERS
) -> str:
    """Return the label of the row that a record is in, on a leaderboard of these records."""
    return _row_labels(records, other_names)[_row_key(record)]


def _row_label(key: RowKey, *, is_ambiguous: bool, others: Sequence[str]) -> str:
    same = f" (= {', '.join(others)})" if others else ""
    weights = f" [{key.model_hash[:8]}]" if is_ambiguous else ""
    mode = f" ({key.fidelity})" if key.fidelity != "fixed" else ""
    return f"{key.model}{same}{weights}{mode}"


def _row_key(record: Record) -> RowKey:
    return RowKey(record.model, record.model_hash, record.protocol.fidelity)


def _build_table(
    group: _Group,
    cards: Sequence[TaskCard],
    metric: Choice,
    labels: Mapping[RowKey, str],
    differing: set[str],
) -> Table:
    blocks, notes = [], []
    for kind in KINDS:
        records = [record for record in group.records if record.kind == kind]
        if records:
            theirs = [card for card in cards if group.suite in card.suites and card.kind == kind]
            block, block_notes = _build_block(kind, records, theirs, metric, labels)
            blocks.append(block)
            notes += block_notes
    budgets = sorted({record.protocol.budget for record in group.records})
    caption = describe_protocol(group.protocol, budgets=budgets, differing=differing)
    return Table(group.suite, group.protocol, caption, tuple(blocks), tuple(notes))


def _build_block(
    kind: str,
    records: Sequence[Record],
    cards: Sequence[TaskCard],
    metric: Choice,
    labels: Mapping[RowKey, str],
) -> tuple[Block, list[str]]:
    """Build the columns, cells and averages of one kind. cards: of all the suite's tasks, in table order."""
    columns = _build_columns(records, cards, metric)
    tasks = [card.name for card in cards]
    runs: dict[tuple[RowKey, str, str], list[Record]] = defaultdict(list)
    for record in records:
        runs[_row_key(record), record.task, record.column].append(record)
    rows, notes = [], []
    for key in dict.fromkeys(_row_key(record) for record in records):
        cells: list[Cell | None] = []
        for column in columns:
            chosen = runs.get((key, column.task, column.hash))
            cell, note = _build_cell(chosen, metric) if chosen else (None, "")
            cells.append(cell)
            if note:
                notes.append(f"{labels[key]} on {column.heading}: {note}")
        rows.append(Row(key, labels[key], tuple(cells), _average(cells, columns, tasks)))
    rows.sort(key=_best_average_first)
    return Block(kind, columns, tuple(rows), _best_cells(rows)), notes


def _build_columns(
    records: Sequence[Record], cards: Sequence[TaskCard], choice: Choice
) -> tuple[Column, ...]:
    """Return one column a task and protocol, in table order; several of one task get letters."""
    parts: dict[str, dict[str, Fields]] = defaultdict(dict)
    tests: dict[str, SplitFacts] = {}
    metrics: dict[str, str] = {}
    headings = {card.name: card.heading or card.name for card in cards}
    tasks = list(headings)
    for record in records:
        metrics[record.column] = metric_of(record, choice).name
        parts[record.task][record.column] = task_fields(record)
        if "test" in record.splits:
            tests[record.column] = record.splits["test"]
    in_order = sorted(parts, key=lambda task: (tasks.index(task) if task in tasks else len(tasks), task))
    columns: list[Column] = []
    for task in in_order:
        differing = differing_names(list(parts[task].values()))
        by_part = sorted(parts[task].items(), key=lambda column: repr(column[1]))
        for place, (column_hash, part) in enumerate(by_part):
            letter = _letter(place) if len(by_part) > 1 else ""
            footnote = describe_task_part(part, differing)
            heading, metric, test = headings.get(task, task), metrics[column_hash], tests.get(column_hash)
            columns.append(Column(task, column_hash, heading, metric, letter, footnote, test))
    return tuple(columns)


def _letter(place: int) -> str:
    return chr(ord("a") + place) if place < 26 else str(place + 1)


def _build_cell(records: Sequence[Record], metric: Choice) -> tuple[Cell, str]:
    rate, runs, note = choose_rate(records)
    test = _summary([_test_percent(record, metric) for record in runs])
    by_seed = {
        record.seed: percent for record in runs if (percent := _test_percent(record, metric)) is not None
    }
    dev = _summary([record.dev.score_percent for record in runs])
    return Cell(test, dev, rate, by_seed if test else {}, runs, tuple(records)), note


def _summary(percents: Sequence[float | None]) -> Summary | None:
    """Summarise scores over seeds; None if one is undefined: a mean of the others would be of other seeds."""
    known = [percent for percent in percents if percent is not None]
    return summarise(known) if len(known) == len(percents) else None


def _test_percent(record: Record, choice: Choice) -> float | None:
    """Return a run's score by the metric shown. Raises UserError if it was not computed."""
    metric = metric_of(record, choice).name
    if metric == record.protocol.metric:
        return record.test.score_percent
    if metric not in record.test.further:
        raise UserError(
            f"{record.task}, {record.model}, seed {record.seed}: no {metric} in its record; "
            "'kebench rescore' computes it from its predictions"
        )
    return record.test.further[metric]


def _average(cells: Sequence[Cell | None], columns: Sequence[Column], tasks: Sequence[str]) -> Summary | None:
    """Average a model over all tasks of its suite and kind; None if one is missing, undefined or there twice.

    The deviation is that of each seed's average, where all tasks have the same seeds.
    """
    present = [cell for cell in cells if cell and cell.test]
    if not tasks or sorted(column.task for column in columns) != sorted(tasks) or len(present) < len(cells):
        return None
    by_seed = average_by_seed(present)
    if by_seed is None:
        return Summary(summarise([cell.score.mean for cell in present]).mean, None, None)
    return summarise(list(by_seed.values()))


def average_by_seed(cells: Sequence[Cell]) -> dict[int, float] | None:
    """Return each seed's average over some tasks, None where these have different seeds."""
    seeds = set(cells[0].test_percent_by_seed)
    if any(set(cell.test_percent_by_seed) != seeds for cell in cells):
        return None
    return {
        seed: summarise([cell.test_percent_by_seed[seed] for cell in cells]).mean for seed in sorted(seeds)
    }


def _best_average_first(row: Row) -> tuple[Any, ...]:
    """Sort by average, then by the columns from the left; what is missing comes last."""
    average, *columns = row.means[-1:] + row.means[:-1]
    order = [(mean is None, -(mean or 0)) for mean in (average, *columns)]
    return (*order, row.label)


def _best_cells(rows: Sequence[Row]) -> frozenset[tuple[int, int]]:
    """Return the best means of each column in which at least two rows have one."""
    return frozenset(
        (place, column)
        for column in range(len(rows[0].means))
        for place in best_and_second([row.means[column] for row in rows])[0]
    )


def best_and_second(means: Sequence[float | None]) -> tuple[frozenset[int], frozenset[int]]:
    """Return the places of a column's best means, if it has two, and of its second ones, if it has three.

    Means that print the same are equally good: a table does not show what tells them apart.
    """
    texts = {place: f"{mean:z.1f}" for place, mean in enumerate(means) if mean is not None}
    ranked = sorted(set(texts.values()), key=float, reverse=True)

    def printed_as(rank: int) -> frozenset[int]:
        return frozenset(place for place, text in texts.items() if text == ranked[rank])

    best = printed_as(0) if len(texts) > 1 else frozenset()
    return best, printed_as(1) if len(texts) > 2 and len(ranked) > 1 else frozenset()


def _with_published(tables: Iterable[Table], published: Sequence[PublishedTable]) -> tuple[Table, ...]:
    """Put published rows under the first block of their suite and kind, and there only."""
    printed = mark_rows(published)
    done: set[tuple[str, str]] = set()
    result = []
    for table in tables:
        blocks = []
        for block in table.blocks:
            rows = () if (table.suite, block.kind) in done else _rows_for(block, table.suite, printed)
            done.add((table.suite, block.kind))
            blocks.append(replace(block, published=rows))
        result.append(replace(table, blocks=tuple(blocks)))
    return tuple(result)


def _rows_for(block: Block, suite: str, printed: Iterable[PrintedRow]) -> tuple[PrintedRow, ...]:
    """Return the published rows of a block of the metric that they are of, or of the kind's first."""
    kind = KINDS[block.kind]
    if not {column.metric for column in block.columns} <= {kind.metrics[0], kind.published}:
        return ()
    tasks = {column.task for column in block.columns}
    return tuple(one for one in printed if one.table.suite == suite and set(one.row.scores) & tasks)
