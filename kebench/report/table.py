"""The leaderboard: from records to tables of mean, deviation and n, before any format.

A column is one task under one protocol (`Record.column`). Columns whose protocols agree, but for the
parts that belong to the task, stand in one table; suites never share one. A table has a block of NER
tasks and a block of relation tasks, each with its average, as Table 2 of the paper has.
Rows are one model, weights and fidelity each: best average first, then best first column.
"""

import logging
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from kebench import grid
from kebench.errors import UserError, did_you_mean
from kebench.kinds.card import TaskCard
from kebench.kinds.registry import KINDS, metric_of
from kebench.records import OtherName, Record, SplitFacts
from kebench.report.protocol import Fields, describe_protocol, differing_names, shared_fields, task_fields
from kebench.report.published import PrintedRow, PublishedTable, mark_rows
from kebench.report.selection import choose_rate
from kebench.scoring.metrics import AS_PUBLISHED, METRICS, OWN
from kebench.stats.summary import Summary, summarise
from kebench.tasks.card import suite_scores

Choice = str  # of the metric shown: OWN, AS_PUBLISHED, or the name of one
_log = logging.getLogger(__name__)
Places = frozenset[tuple[int, int]]  # (row, column)
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

    Where tasks stand under different protocols, the footnote is the whole of this one's.

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


class BaselineScore(NamedTuple):
    """What a baseline scores, None where that is undefined."""

    percent: float | None


class Baseline(NamedTuple):
    """A row of a predictor that reads no text (`kebench.report.baselines`): its score in each column.

    None where there is none: no such predictor of a task, or its training set is not at hand.
    """

    name: str
    scores: tuple[BaselineScore | None, ...]
    average: BaselineScore | None

    @property
    def label(self) -> str:
        """Its name, marked."""
        return f"{self.name} (baseline)"


@dataclass(frozen=True)
class Block:
    """The tasks of one kind. best: of the measured means."""

    kind: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    best: Places
    published: tuple[PrintedRow, ...] = ()
    extras: tuple[Extra, ...] = ()
    baselines: tuple[Baseline, ...] = ()


@dataclass(frozen=True)
class Table:
    """One suite under one protocol. notes: what the choice of rates had to leave out.

    score: what the one score over the suite's tasks is called, "" where it has none (`report.overall`).
    kinds, tasks: of the suite, whether measured or not, in table order.
    """

    suite: str
    protocol: Fields
    caption: str
    blocks: tuple[Block, ...]
    notes: tuple[str, ...] = ()
    score: str = ""
    kinds: tuple[str, ...] = ()
    tasks: tuple[str, ...] = ()

    @property
    def measured(self) -> list[tuple[str, Row, Column, Cell]]:
        """All that was measured: the kind of task, the row, the column, the cell."""
        return [
            (block.kind, row, column, cell)
            for block in self.blocks
            for row in block.rows
            for column, cell in zip(block.columns, row.cells, strict=True)
            if cell
        ]


@dataclass(frozen=True)
class Leaderboard:
    """All tables of one metric, the one nearest to the paper's protocol first."""

    metric: Choice
    tables: tuple[Table, ...]


def build_leaderboard(
    records: Sequence[Record],
    *,
    cards: Sequence[TaskCard],
    metric: Choice = OWN,
    published: Sequence[PublishedTable] = (),
    other_names: Mapping[str, OtherName] = NO_OTHERS,
    suite: str | None = None,
    across_protocols: bool = False,
) -> Leaderboard:
    """Build the tables of all records.

    A task has a table in its own suite. One of a further suite is shown if that is asked for (`suite`), or if
    no other table of the same protocol holds all of it.

    cards: every task card, in table order; they say which tasks make up the average of a suite.
    metric: `strict` shows each task's own, `as-published` the one that published numbers are in, a name that
        one; tasks of kinds that do not have it are left out, with a note.
    published: tables shown, with a mark, under the first measured block of their suite and kind.
    other_names: of models, which stand in the labels of their rows.
    across_protocols: one table a suite, each of whose columns is under a protocol of its own, and says so.
    """
    records, left_out = _choose_records(records, metric)
    suites_of = {card.name: card.suites for card in cards}
    groups: dict[tuple[str, Fields], list[Record]] = defaultdict(list)
    for record in records:
        for one in suites_of.get(record.task, ("no suite",)):
            groups[one, () if across_protocols else shared_fields(record)].append(record)
    groups = {group: groups[group] for group in groups if _is_shown(group, groups, suites_of, suite)}
    titles = suite_scores()
    differing = differing_names([protocol for _, protocol in groups])
    labels = _row_labels(records, other_names)
    shown = published if metric in (OWN, AS_PUBLISHED) else ()  # what is printed is of one metric
    printed = mark_rows(shown)
    tables: list[Table] = []
    done: set[tuple[str, str]] = set()
    for name, protocol in sorted(groups, key=_nearest_to_the_paper_first):
        group = groups[name, protocol]
        blocks, notes = [], []
        members = [card for card in cards if name in card.suites]
        # of the suite, or of one whose printed tasks it has, too
        fitting = [
            one for one in published if one.suite == name or one.tasks <= {card.name for card in members}
        ]
        for kind in KINDS:
            if of_kind := [record for record in group if record.kind == kind]:
                theirs = [card for card in members if card.kind == kind]
                below = [one for one in printed if one.table in fitting and (name, kind) not in done]
                block, block_notes = _build_block(
                    kind, of_kind, theirs, metric, labels, below, says_protocol=across_protocols
                )
                blocks.append(block)
                notes += block_notes
                done.add((name, kind))
        budgets = sorted({record.protocol.budget for record in group})
        caption = "each task under the protocol that a note below says"
        if not across_protocols:
            caption = describe_protocol(protocol, budgets=budgets, differing=differing)
        kinds = tuple(kind for kind in KINDS if any(card.kind == kind for card in members))
        tables.append(
            Table(
                name,
                protocol,
                caption,
                tuple(blocks),
                (*notes, *left_out),
                score=titles.get(name, ""),
                kinds=kinds,
                tasks=tuple(card.name for card in members),
            )
        )
    return Leaderboard(metric, tuple(tables))


def _is_shown(
    group: tuple[str, Fields],
    groups: Mapping[tuple[str, Fields], list[Record]],
    suites_of: Mapping[str, tuple[str, ...]],
    asked: str | None,
) -> bool:
    """Tell whether a group of records has a table: see `build_leaderboard`."""
    suite, protocol = group
    if asked is not None:
        return suite == asked
    if any(suites_of.get(record.task, (suite,))[0] == suite for record in groups[group]):
        return True
    held = {id(record) for record in groups[group]}
    return not any(
        held <= {id(record) for record in records}
        for (name, one), records in groups.items()
        if name != suite and one == protocol
    )


def _choose_records(records: Sequence[Record], metric: Choice) -> tuple[list[Record], list[str]]:
    """Return the records that have a metric, and a note on the tasks that are left out, if any are."""
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
    without = {
        record.task
        for record in known
        if metric not in (OWN, AS_PUBLISHED, record.protocol.metric, *KINDS[record.kind].metrics)
    }
    if not without:
        return known, []
    kept = [record for record in known if record.task not in without]
    note = f"{metric} is no metric of {', '.join(sorted(without))}"
    if not kept:
        raise UserError(f"{note}; 'kebench task show' names a task's")
    _log.warning("left out: %s", note)
    return kept, [note]


def _nearest_to_the_paper_first(group: tuple[str, Fields]) -> tuple[Any, ...]:
    """BLURB before other suites; all data before a subset, many epochs before few."""
    suite, protocol = group
    fields = dict(protocol)
    rows = fields.get("train_rows")
    by_size = (rows is not None, -(rows or 0), -fields.get("epochs", 0))
    return (suite != PUBLISHED_SUITE, suite, *by_size, repr(protocol))


def _row_labels(records: Iterable[Record], other_names: Mapping[str, OtherName]) -> dict[RowKey, str]:
    """Name each row: model, the weights' other names, their hash if the name is shared, an unusual mode."""
    keys = dict.fromkeys(map(_row_key, records))
    hashes: dict[str, set[str]] = defaultdict(set)
    names: dict[tuple[str, str], set[str]] = defaultdict(set)
    for key in keys:
        hashes[key.model].add(key.model_hash)
        names[key[1:]].add(key.model)
    for name, other in other_names.items():
        names[other.model_hash, other.fidelity].add(name)
    labels = {}
    for key in keys:
        others = sorted(names[key[1:]] - {key.model})
        same = f" (= {', '.join(others)})" if others else ""
        weights = f" [{key.model_hash[:8]}]" if len(hashes[key.model]) > 1 else ""
        mode = f" ({key.fidelity})" if key.fidelity != "fixed" else ""
        labels[key] = f"{key.model}{same}{weights}{mode}"
    return labels


def label_of(
    record: Record, records: Iterable[Record], other_names: Mapping[str, OtherName] = NO_OTHERS
) -> str:
    """Return the label of the row that a record is in, on a leaderboard of these records."""
    return _row_labels(records, other_names)[_row_key(record)]


def _row_key(record: Record) -> RowKey:
    return RowKey(record.model, record.model_hash, record.protocol.fidelity)


def _build_block(
    kind: str,
    records: Sequence[Record],
    cards: Sequence[TaskCard],
    metric: Choice,
    labels: Mapping[RowKey, str],
    printed: Iterable[PrintedRow],
    *,
    says_protocol: bool,
) -> tuple[Block, list[str]]:
    """Build the columns, cells and averages of one kind. cards: of all the suite's tasks, in table order."""
    columns = _build_columns(records, cards, metric, says_protocol=says_protocol)
    tasks = [card.name for card in cards]
    runs: dict[tuple[RowKey, str, str], list[Record]] = defaultdict(list)
    for record in records:
        runs[_row_key(record), record.task, record.column].append(record)
    rows, notes = [], []
    for key in dict.fromkeys(map(_row_key, records)):
        cells: list[Cell | None] = []
        for column in columns:
            chosen = runs.get((key, column.task, column.hash))
            cell, note = _build_cell(chosen, column.metric) if chosen else (None, "")
            cells.append(cell)
            if note:
                notes.append(f"{labels[key]} on {column.heading}: {note}")
        rows.append(Row(key, labels[key], tuple(cells), _average(cells, columns, tasks)))
    # the best average first, then the best of the columns from the left; what is missing comes last
    rows.sort(key=lambda row: row.label)
    rows.sort(key=lambda row: [(mean is None, -(mean or 0)) for mean in (row.means[-1], *row.means[:-1])])
    # published rows are of one metric, or of the kind's first
    is_printed = {one.metric for one in columns} <= {KINDS[kind].metrics[0], KINDS[kind].published}
    measured = {column.task for column in columns}
    below = tuple(one for one in printed if is_printed and measured & set(one.row.scores))
    return Block(kind, columns, tuple(rows), best_and_second(row.means for row in rows)[0], below), notes


def _build_columns(
    records: Sequence[Record], cards: Sequence[TaskCard], choice: Choice, *, says_protocol: bool
) -> tuple[Column, ...]:
    """Return one column a task and protocol, in table order; several of one task get letters.

    says_protocol: a footnote says all of a column's protocol, not only what tells it from others of its task.
    """
    by_task: dict[str, dict[str, list[Record]]] = defaultdict(lambda: defaultdict(list))
    for record in records:
        by_task[record.task][record.column].append(record)
    headings = {card.name: card.heading or card.name for card in cards}
    places = {name: place for place, name in enumerate(headings)}
    columns: list[Column] = []
    for task in sorted(by_task, key=lambda task: (places.get(task, len(places)), task)):
        parts = {column: task_fields(runs[0]) for column, runs in by_task[task].items()}
        if says_protocol:
            parts = {
                column: (*fields, *shared_fields(by_task[task][column][0]))
                for column, fields in parts.items()
            }
        differing = differing_names(list(parts.values()))
        for place, column in enumerate(sorted(parts, key=lambda column: repr(parts[column]))):
            letter = chr(ord("a") + place) if place < 26 else str(place + 1)
            runs = by_task[task][column]
            columns.append(
                Column(
                    task,
                    column,
                    heading=headings.get(task, task),
                    metric=metric_of(runs[0], choice).name,
                    letter=letter if len(parts) > 1 else "",
                    footnote=_footnote(runs, parts[column], differing, says_protocol=says_protocol),
                    test=next((run.splits["test"] for run in reversed(runs) if "test" in run.splits), None),
                )
            )
    return tuple(columns)


def _footnote(runs: Sequence[Record], fields: Fields, differing: set[str], *, says_protocol: bool) -> str:
    """Say how a column differs from others of its task, or the whole of its protocol."""
    if not says_protocol:
        return ", ".join(f"{name} {value}" for name, value in fields if name in differing)
    protocol = shared_fields(runs[0])
    own = [f"{name} {value}" for name, value in task_fields(runs[0]) if name in differing]
    budgets = sorted({run.protocol.budget for run in runs})
    return ", ".join([describe_protocol(protocol, budgets=budgets, differing=differing), *own])


def _build_cell(records: Sequence[Record], metric: str) -> tuple[Cell, str]:
    """Return a cell, and what its choice of a rate left out. Raises UserError if a run lacks the metric."""
    rate, runs, note = choose_rate(records)
    by_seed: dict[int, float | None] = {}
    for run in runs:
        is_own = metric == run.protocol.metric
        if not is_own and metric not in run.test.further:
            raise UserError(
                f"{run.task}, {run.model}, seed {run.seed}: no {metric} in its record; "
                "'kebench rescore' computes it from its predictions"
            )
        by_seed[run.seed] = run.test.score_percent if is_own else run.test.further[metric]
    test, dev = _summary(by_seed.values()), _summary(run.dev.score_percent for run in runs)
    known = {seed: percent for seed, percent in by_seed.items() if percent is not None}
    return Cell(test, dev, rate, known if test else {}, runs, tuple(records)), note


def _summary(percents: Iterable[float | None]) -> Summary | None:
    """Summarise scores over seeds; None if one is undefined: a mean of the others would be of other seeds."""
    percents = list(percents)
    known = [percent for percent in percents if percent is not None]
    return summarise(known) if len(known) == len(percents) else None


def _average(cells: Sequence[Cell | None], columns: Sequence[Column], tasks: Sequence[str]) -> Summary | None:
    """Average a model over all tasks of its suite and kind; None if one is missing, undefined or there twice.

    The deviation is that of each seed's average, where all tasks have the same seeds.
    """
    present = [cell for cell in cells if cell and cell.test]
    if not tasks or sorted(column.task for column in columns) != sorted(tasks) or len(present) < len(cells):
        return None
    if (by_seed := average_by_seed(present)) is None:
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


def best_and_second(rows: Iterable[Sequence[float | None]]) -> tuple[Places, Places]:
    """Return the places of each column's best means, if it has two, and of its second ones, if it has three.

    Means that print the same are equally good: a table does not show what tells them apart.
    """
    best, second = set(), set()
    for column, means in enumerate(zip(*rows, strict=True)):
        texts = {place: f"{mean:z.1f}" for place, mean in enumerate(means) if mean is not None}
        ranked = sorted(set(texts.values()), key=float, reverse=True)
        if len(texts) > 1:
            best |= {(place, column) for place, text in texts.items() if text == ranked[0]}
        if len(texts) > 2 and len(ranked) > 1:
            second |= {(place, column) for place, text in texts.items() if text == ranked[1]}
    return frozenset(best), frozenset(second)


def find_key(board: Leaderboard, name: str) -> RowKey:
    """Return what a label stands for, or a model's name if only one row is of it.

    Raises UserError if there is no such row, or if a name is that of several weights or modes.
    """
    keys = {row.label: row.key for table in board.tables for block in table.blocks for row in block.rows}
    if name in keys:
        return keys[name]
    of_model = {label: key for label, key in keys.items() if key.model == name}
    if len(of_model) > 1:
        rows = ", ".join(sorted(of_model))
        raise UserError(f"model '{name}' has several rows: {rows}; name one of them in quotes")
    if of_model:
        return next(iter(of_model.values()))
    known = ", ".join(sorted(keys))
    raise UserError(f"no records of model '{name}'{did_you_mean(name, keys)} there are {known}")


def row_of(rows: Sequence[Row], key: RowKey) -> Row | None:
    """Return the row of a key, None if there is none."""
    return next((row for row in rows if row.key == key), None)
