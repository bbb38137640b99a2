"""What a table says, the same in every format: its cells, its captions and its footnotes."""

from collections import Counter
from collections.abc import Collection, Iterable

from kebench.grid import UNDEFINED, Cell
from kebench.kinds.registry import KINDS
from kebench.report.published import PublishedRow
from kebench.report.table import BaselineScore, Block, Column, Row, Table, best_and_second
from kebench.report.table import Cell as TaskCell
from kebench.scoring.metrics import METRICS
from kebench.stats.summary import Summary
from kebench.tasks.facts import is_seen_widely, seen_words

ORDER = "Rows: best average first, then best first column."
SEEN = "△"  # on a task of which much of the test set stands in train or dev


def headings(block: Block) -> tuple[str, ...]:
    """Return what stands over the columns: kind, tasks, average, and what is no score."""
    tasks = map(column_title, block.columns)
    return (KINDS[block.kind].title, *tasks, "average", *(extra.title for extra in block.extras))


def column_name(column: Column) -> str:
    """Return a task's short name, with a letter where several columns are of it."""
    return f"{column.heading} {column.letter}".rstrip()


def column_title(column: Column) -> str:
    """Return what stands over a column: its name, marked where models may have seen much of the test set."""
    return f"{column_name(column)}{SEEN if column.test and is_seen_widely(column.test) else ''}"


def column_notes(columns: Iterable[tuple[str, Column]], undefined: Collection[str]) -> list[str]:
    """Return what the marks of some columns mean. columns: with their kinds; undefined: hashes of columns."""
    columns = list(columns)
    notes = [
        f"{SEEN} {column_name(column)} test set: {seen_words(kind, 'test', column.test)}."
        for kind, column in columns
        if column.test and is_seen_widely(column.test)
    ]
    if lacking := [column for _, column in columns if column.hash in undefined]:
        lacks = " or ".join(dict.fromkeys(METRICS[column.metric].lacks for column in lacking))
        where = f"in the test set of {', '.join(map(column_name, lacking))}"
        notes.append(f"{UNDEFINED.text()} Undefined: no {lacks} {where}. It enters no average.")
    return notes


def second_cells(block: Block) -> frozenset[tuple[int, int]]:
    """Return the cells that print the second best mean of their column, where three rows have one."""
    return best_and_second(row.means for row in block.rows)[1]


def task_cell(cell: TaskCell | None, *, show_n: bool) -> Cell:
    """Return a model's score on a task; missing if nothing was measured, marked if it is undefined."""
    if cell is None:
        return Cell()
    return summary_cell(cell.test, show_n=show_n) if cell.test else UNDEFINED


def baseline_cell(score: BaselineScore | None) -> Cell:
    """Return a baseline's score or average; missing where there is none, marked if it is undefined."""
    return Cell() if score is None else UNDEFINED if score.percent is None else Cell(score.percent)


def average_cell(row: Row, *, show_n: bool) -> Cell:
    """Return a model's average likewise: one over an undefined score is undefined."""
    is_undefined = row.average is None and row.has_undefined
    return UNDEFINED if is_undefined else summary_cell(row.average, show_n=show_n)


def summary_cell(summary: Summary | None, *, show_n: bool = False, mark: str = "") -> Cell:
    """Return mean, deviation and, where it is not in the caption, n as a cell; a missing one for nothing."""
    if summary is None:
        return Cell(mark=mark)
    return Cell(summary.mean, deviation=summary.sd, n=summary.n if show_n else None, mark=mark)


def summary_fields(summary: Summary) -> dict[str, float | int | None]:
    """Return mean, deviation and n for JSON."""
    return {"mean_percent": summary.mean, "sd_percent": summary.sd, "n": summary.n}


def printed_cell(row: PublishedRow, name: str, decimals: int) -> Cell:
    """Return a published score or average with its deviation, as it is printed."""
    return Cell(row.percent_of(name), f".{decimals}f", deviation=row.sd.get(name))


def shared_n(table: Table) -> int | None:
    """Return the number of seeds behind every measured number of a table, None if they differ."""
    rows = [row for block in table.blocks for row in block.rows]
    summaries = [cell.test for row in rows for cell in row.cells if cell] + [row.average for row in rows]
    counts = {summary.n for summary in summaries if summary}
    return counts.pop() if len(counts) == 1 else None


def captions(table: Table) -> list[str]:
    """Return the protocol, then what the numbers are."""
    columns, n = columns_of(table), shared_n(table)
    seeds = "(number of seeds)" if n is None else f"over {n} seeds"
    beside = " of one seed" if n == 1 else f", mean ± sd {seeds}"
    shown = f"{score_title(columns)} in percent{beside}"
    return [f"{table.suite}, {table.caption}", f"{shown}. {score_words(columns)}"]


def score_title(columns: Iterable[tuple[str, Column]]) -> str:
    """Return what the scores of some columns are called, "F1", or "Scores" of several metrics."""
    titles = {METRICS[column.metric].title for _, column in columns}
    title = titles.pop() if len(titles) == 1 else "scores"
    return f"{title[0].upper()}{title[1:]}" if len(title) > 3 else title


def score_words(columns: Iterable[tuple[str, Column]]) -> str:
    """Say what the scores of each kind are: "NER: strict entity F1 ...; RE: micro F1 ..."."""
    names: dict[str, dict[str, list[str]]] = {}
    for kind, column in columns:
        names.setdefault(kind, {}).setdefault(METRICS[column.metric].words, []).append(column_name(column))
    return "; ".join(
        f"{KINDS[kind].title}: "
        + ", ".join(f"{words} ({', '.join(tasks)})" if len(by) > 1 else words for words, tasks in by.items())
        for kind, by in names.items()
    )


def footnotes(table: Table) -> list[str]:
    """Return how to read the table, the chosen rates, and the sources of published rows."""
    averages = [row.average for block in table.blocks for row in block.rows]
    is_ranked = any(len(block.rows) > 1 for block in table.blocks)
    mixed = []
    for block in table.blocks:
        titles = {METRICS[column.metric].title for column in block.columns}
        mixed += [f"{KINDS[block.kind].title} ({', '.join(sorted(titles))})"] if len(titles) > 1 else []
    # dev chooses rates by the tasks' own metrics, which goes without saying unless another by name is shown
    is_other = any(
        column.metric not in {KINDS[kind].published, *(run.protocol.metric for run in cell.runs)}
        for kind, _, column, cell in table.measured
        if cell.runs
    )
    rates: dict[str, dict[str, str]] = {}
    for _, row, column, cell in table.measured:
        rates.setdefault(row.label, {})[column_name(column)] = f"{cell.learning_rate:g}"
    chosen = []
    for label, by_task in rates.items():
        usual = Counter(by_task.values()).most_common(1)[0][0]
        others = ", ".join(f"{task} {rate}" for task, rate in by_task.items() if rate != usual)
        chosen.append(f"{label} {usual} ({others})" if others else f"{label} {usual}")
    under: dict[str, list[str]] = {}  # columns by the protocol that a footnote says
    for _, column in columns_of(table):
        if column.footnote:
            under.setdefault(column.footnote, []).append(column_name(column))
    printed = [row for block in table.blocks for row in block.published]
    sources = {one.mark: f"{one.mark} {one.table.source}: {one.table.protocol}." for one in printed}
    excepted = {one.row.label: f"{one.row.label} {one.row.reason}." for one in printed if one.row.reason}
    of_own = " of each task's own metric" if is_other else ""
    shown = {
        f"The average is one of different scores: {'; '.join(mixed)}.": mixed,
        ORDER: is_ranked and not any(block.best for block in table.blocks),
        "An average needs every task of its suite and kind.": None in averages,
        "An average has a deviation only where all its tasks have the same seeds.": any(
            average and average.n is None for average in averages
        ),
    }
    return [
        *(note for note, holds in shown.items() if holds),
        f"Learning rate, by mean dev score{of_own}: {'; '.join(chosen)}.",
        *(f"{note}." for note in table.notes),
        *table_notes(table),
        *(f"{', '.join(names)}: {text}." for text, names in under.items()),
        *(["Published: as printed by their sources; not ranked with the rows above."] if printed else []),
        *sources.values(),
        *excepted.values(),
    ]


def table_notes(table: Table) -> list[str]:
    """Return what the marks of a table's columns mean; a column without gold in its test set has no score."""
    undefined = {column.hash for _, _, column, cell in table.measured if not cell.test}
    notes = column_notes(columns_of(table), undefined)
    of_baselines: dict[str, str] = {}  # columns without a score of a baseline, and what that lacks
    for block in table.blocks:
        for one in block.baselines:
            for column, score in zip(block.columns, one.scores, strict=True):
                if score and score.percent is None and column.hash not in undefined:
                    of_baselines[column_name(column)] = f"{one.label}: no {METRICS[column.metric].lacks}"
    for name, why in of_baselines.items():
        notes.append(f"{UNDEFINED.text()} Undefined on {name} for {why}.")
    return notes


def columns_of(table: Table) -> list[tuple[str, Column]]:
    """Return a table's columns with their kinds of task."""
    return [(block.kind, column) for block in table.blocks for column in block.columns]
