"""Published tables (`results/published/*.toml`): numbers as printed, each with its source.

They are shown beside measured scores, with a mark, and never ranked with them.
"""

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Annotated, NamedTuple

from pydantic import Field, model_validator

from kebench.cards import Card, read_card
from kebench.kinds.registry import KINDS
from kebench.shipped import shipped
from kebench.tasks.card import all_task_cards, suite_scores

AVERAGES = (*KINDS, *suite_scores())
MARKS = "†‡§¶‖"
Percent = Annotated[float, Field(ge=-100, le=100)]  # a correlation may be below zero


class PublishedRow(Card):
    """One model's printed scores. What is printed as "-" is left out.

    model: the name of our card; label: the name that the table prints.
    source: where the publishing paper has the numbers from.
    comparable: whether the row may be compared with the others of its table; `reason` if not.
    averages, sd, significant: by task, or by kind of task for the averages, and by suite for its one score.
    n: runs behind each number, where the paper states it.
    """

    model: str
    label: str
    source: str
    comparable: bool = True
    reason: str = ""
    n: int | None = Field(None, ge=1)
    scores: dict[str, Percent]
    averages: dict[str, Percent] = {}
    sd: dict[str, Annotated[float, Field(ge=0)]] = {}
    significant: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _is_consistent(self) -> "PublishedRow":
        if not self.comparable and not self.reason:
            raise ValueError("a row that is not comparable needs a reason")
        if not set(self.averages) <= set(AVERAGES):
            raise ValueError(f"averages are of {', '.join(AVERAGES)}")
        if stray := (set(self.sd) | set(self.significant)) - set(self.scores) - set(self.averages):
            raise ValueError(f"a deviation or mark without a score: {', '.join(sorted(stray))}")
        return self

    def percent_of(self, task_or_kind: str) -> float | None:
        """Return a printed score or average, None where none is printed."""
        return self.scores.get(task_or_kind, self.averages.get(task_or_kind))


class PublishedTable(Card):
    """One table of a paper, as printed.

    short: the paper in a footnote ("Yuan et al. 2021"); table: its number, empty if it is none.
    decimals: digits printed after the point.
    protocol: how the scores came about, which differs from how kebench measures.
    """

    short: str
    citation: str
    table: str
    suite: str
    unit: str
    decimals: int = Field(ge=0, le=4)
    protocol: str
    notes: tuple[str, ...] = ()
    rows: Annotated[tuple[PublishedRow, ...], Field(min_length=1)]

    @property
    def tasks(self) -> frozenset[str]:
        """All tasks that a row has a score of."""
        return frozenset(task for row in self.rows for task in row.scores)

    @property
    def source(self) -> str:
        """The paper and the table's number, as a footnote names them."""
        return f"{self.short}, {self.table}" if self.table else self.short


class PrintedSize(Card):
    """A task of Table 1's right half: mentions of all splits, and those that UMLS and KeBioLM know."""

    task: str
    mentions: int = Field(ge=0)
    in_umls: int = Field(ge=0)
    in_kebiolm: int = Field(ge=0)


class PublishedSizes(Card):
    """The right half of Table 1 (`results/published/other/kebiolm-table1.toml`), as printed."""

    short: str
    citation: str
    table: str
    notes: tuple[str, ...] = ()
    rows: tuple[PrintedSize, ...]


class PrintedExample(Card):
    """A query of Table 7, an accepted concept, and of each model an answer of one mask and one of several."""

    query: str
    answer: str
    one_mask: tuple[str, ...]
    more_masks: tuple[str, ...]


class PublishedExamples(Card):
    """Table 7 (`results/published/other/kebiolm-table7.toml`), as printed; models: whose answers."""

    short: str
    citation: str
    table: str
    models: tuple[str, ...]
    notes: tuple[str, ...] = ()
    examples: tuple[PrintedExample, ...]


def read_sizes() -> PublishedSizes:
    """Return the right half of Table 1."""
    return read_card(shipped("results/published") / "other" / "kebiolm-table1.toml", PublishedSizes)


def read_examples() -> PublishedExamples:
    """Return Table 7."""
    return read_card(shipped("results/published") / "other" / "kebiolm-table7.toml", PublishedExamples)


class PrintedRow(NamedTuple):
    """A row to be shown under the measured ones; `mark` leads to the footnote with its table's source."""

    row: PublishedRow
    table: PublishedTable
    mark: str


def read_published_table(path: Path) -> PublishedTable:
    """Read one published table. Raises UserError with file and field if it is not a valid one."""
    return read_card(path, PublishedTable)


def published_table_paths() -> list[Path]:
    """Return the files of all published tables, in the order in which their rows are shown."""
    return sorted(shipped("results/published").glob("*.toml"))


def read_published_tables(suite: str) -> list[PublishedTable]:
    """Return the published tables of one suite."""
    tables = (read_published_table(path) for path in published_table_paths())
    return [table for table in tables if table.suite == suite]


@cache
def paper_headings() -> dict[str, str]:
    """Return the tasks of the paper's Table 2 in table order, with what stands over their columns."""
    printed = read_published_table(shipped("results/published") / "kebiolm-table2.toml")
    tasks = {task for row in printed.rows for task in row.scores}
    return {card.name: card.heading for card in all_task_cards() if card.name in tasks}


def mark_rows(tables: Sequence[PublishedTable]) -> list[PrintedRow]:
    """Mark the rows of each table; a row that an earlier table printed already is not repeated."""
    seen: set[tuple[str, str]] = set()
    rows = []
    for place, table in enumerate(tables):
        mark = MARKS[place] if place < len(MARKS) else f"({place + 1})"
        for row in table.rows:
            content = (row.model, repr(sorted(row.scores.items())))
            if content not in seen:
                rows.append(PrintedRow(row, table, mark))
            seen.add(content)
    return rows
