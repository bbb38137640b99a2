"""All models of a leaderboard against each other: where a difference is more than noise.

Grids of a protocol: models by tasks, marked where a model is significantly below the best of the task; models
by models, the tasks won and lost; and mean ranks, where there are tasks enough. The family of the correction
is all pairs of models on all tasks of the table.
"""

import logging
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import combinations
from typing import Literal, NamedTuple

from kebench.errors import UserError, counted
from kebench.grid import UNDEFINED, Cell, Grid, GridRows, Plain, Sheet, p_text
from kebench.kinds.registry import KINDS
from kebench.report import words
from kebench.report.compare import (
    SAME_SEEDS,
    Compared,
    Predictions,
    Settings,
    compare_overall,
    p_value_of,
    unit_counts,
)
from kebench.report.overall import overall_of
from kebench.report.table import Cell as TaskCell
from kebench.report.table import Column, Leaderboard, RowKey, Table, best_and_second
from kebench.stats.pvalue import CORRECTIONS, PValue, correct
from kebench.stats.ranks import MIN_TASKS, Ranking, rank_models

_log = logging.getLogger(__name__)
ALPHA = 0.05
DAGGER = "†"
Test = Literal["welch", "paired", "permutation", "both"]
_TEST_NAMES = {
    "welch": "Welch's t-test over seeds",
    "paired": "seed-paired t-test",
    "permutation": "permutation test over the test set",
    "both": "the larger p of Welch's t-test over seeds and of the permutation test over the test set",
}
_RESAMPLES_A_TEST = 40  # the smallest p is 1 in so many; Holm multiplies it by the number of tests at most


class Pair(NamedTuple):
    """Two models on one task (a column's hash); their test, and its p corrected. None: the test is silent."""

    better: RowKey
    worse: RowKey
    task: str
    tested: PValue
    p: float | None

    @property
    def raw(self) -> float | None:
        """The p-value before correction."""
        return self.tested.p

    @property
    def is_significant(self) -> bool:
        """Whether the corrected p is small enough."""
        return self.p is not None and self.p <= ALPHA


@dataclass(frozen=True)
class Significance:
    """What a table's pairs say. columns: with their kinds; cells: by model and column hash.

    undefined: likewise what was measured and has no score, since the test set has no gold.
    overall: of each two models that have the suite's one score, the better first; p corrected over these.
    """

    table: Table
    test: Test
    settings: Settings
    labels: Mapping[RowKey, str]
    columns: tuple[tuple[str, Column], ...]
    cells: Mapping[tuple[RowKey, str], TaskCell]
    pairs: tuple[Pair, ...]
    ranking: Ranking | None
    ranked: tuple[RowKey, ...]
    undefined: frozenset[tuple[RowKey, str]] = frozenset()
    overall: tuple[tuple[RowKey, RowKey, Compared], ...] = ()

    def pair(self, one: RowKey, other: RowKey, column: Column) -> Pair | None:
        """Return the test of two models on a column, whichever is better; None if one does not have it."""
        return self._by_models.get((frozenset((one, other)), column.hash))

    @cached_property
    def _by_models(self) -> dict[tuple[frozenset[RowKey], str], Pair]:
        return {(frozenset((pair.better, pair.worse)), pair.task): pair for pair in self.pairs}

    def is_below_best(self, model: RowKey, column: Column) -> bool:
        """Return whether a model is significantly below the best of a column."""
        having = [model for model in self.labels if (model, column.hash) in self.cells]
        best = max(having, key=lambda model: self.cells[model, column.hash].score.mean, default=None)
        pair = self.pair(best, model, column) if best and best != model else None
        return pair is not None and pair.worse == model and pair.is_significant

    def won_and_lost(self) -> dict[tuple[RowKey, RowKey], tuple[int, int]]:
        """Return for each two models that share a task how many the first won, and lost, significantly."""
        pairs = [(pair.better, pair.worse) for pair in self.pairs]
        shared = dict.fromkeys(models for pair in pairs for models in (pair, pair[::-1]))
        won = Counter((pair.better, pair.worse) for pair in self.pairs if pair.is_significant)
        return {(one, other): (won[one, other], won[other, one]) for one, other in shared}


def significance(
    board: Leaderboard, *, test: Test, settings: Settings, predictions: Predictions
) -> list[Significance]:
    """Test all pairs of models in each table. Raises UserError if no table has two models on a task."""
    every = (
        with_overall(
            significance_of(table, test=test, settings=settings, predictions=predictions),
            settings,
            predictions,
        )
        for table in board.tables
    )
    if kept := [one for one in every if one.pairs]:
        return kept
    raise UserError("no two models have a task under one protocol; run another model with the same budget")


def significance_of(
    table: Table, *, test: Test, settings: Settings, predictions: Predictions
) -> Significance:
    """Test all pairs of models in one table, with resamples enough for a corrected p to reach the level."""
    columns = words.columns_of(table)
    labels = {row.key: row.label for block in table.blocks for row in block.rows}
    measured = {(row.key, column.hash): cell for _, row, column, cell in table.measured}
    cells = {place: cell for place, cell in measured.items() if cell.test}
    num_tests = len(columns) * len(labels) * (len(labels) - 1) // 2
    enough = max(settings.num_resamples, _RESAMPLES_A_TEST * num_tests)
    settings = settings._replace(num_resamples=enough)
    counts = unit_counts(predictions, settings)
    pairs: list[Pair] = []  # every pair on every task that both have, better first
    for kind, column in columns:
        having = [model for model in labels if (model, column.hash) in cells]
        for pair in combinations(having, 2):
            better, worse = sorted(pair, key=lambda model: -cells[model, column.hash].score.mean)
            a, b = cells[better, column.hash], cells[worse, column.hash]
            if test == "paired" and set(a.test_percent_by_seed) != set(b.test_percent_by_seed):
                # over shared seeds alone the better model could be the worse; other tests see to that
                tested = PValue(None, "paired t", settings.sides, (), "seeds", note=SAME_SEEDS)
            else:
                tested = p_value_of(test, kind, a, b, settings, counts)
            pairs.append(Pair(better, worse, column.hash, tested, None))
    corrected = correct([pair.raw for pair in pairs], settings.correction)
    pairs = [pair._replace(p=p) for pair, p in zip(pairs, corrected, strict=True)]
    # the models that have every task of the table, each task once, are ranked
    hashes = [column.hash for _, column in columns if column.letter in ("", "a")]
    ranked = tuple(model for model in labels if all((model, one) in cells for one in hashes))
    ranking = None
    if len(hashes) >= MIN_TASKS and len(ranked) >= 3:
        ranking = rank_models([[cells[model, one].score.mean for model in ranked] for one in hashes])
    return Significance(
        table, test, settings, labels, tuple(columns), cells, tuple(pairs), ranking, ranked,
        frozenset(measured.keys() - cells.keys()),
    )  # fmt: skip


def with_overall(found: Significance, settings: Settings, predictions: Predictions) -> Significance:
    """Add the comparisons of the suite's one score, which read predictions whatever the test is.

    Resamples are enough for a p corrected over the pairs of models. Where predictions are not at hand, there
    are no such comparisons, and a line in the log says so.
    """
    scored = [one for one in overall_of(found.table) if one.score]  # the best first
    both = list(combinations(scored, 2))
    enough = max(settings.num_resamples, _RESAMPLES_A_TEST * len(both))
    settings = settings._replace(num_resamples=enough)
    counts = unit_counts(predictions, settings)
    try:
        pairs = [
            (a.key, b.key, compared)
            for a, b in both
            if (compared := compare_overall(found.table, (a.key, b.key), settings, counts))
        ]
    except UserError as error:
        _log.warning("no test of the %s: %s", found.table.score, error)
        return found
    corrected = correct([one.p_values["permutation"].p for *_, one in pairs], found.settings.correction)
    overall = (
        (a, b, replace(one, corrected={"permutation": p}))
        for (a, b, one), p in zip(pairs, corrected, strict=True)
    )
    return replace(found, overall=tuple(overall))


def overall_pairs_grid(found: Significance) -> Grid:
    """Return each pair's difference in the suite's one score, with interval and p-value."""
    rows: GridRows = []
    for better, worse, one in found.overall:
        tested, drawn = one.p_values["permutation"], one.p_values["bootstrap"]
        rows.append(
            (
                f"{found.labels[better]} - {found.labels[worse]}",
                Cell(one.difference, "+.1f"),
                Cell(form="+.1f", interval=drawn.interval),
                Cell(tested.p, "p", corrected=one.corrected.get("permutation")),
            )
        )
    return Grid((found.table.score, "difference", "95% interval", "permutation p"), rows)


def significance_sheet(found: Significance) -> Sheet:
    """Return the grids of one table: scores, tasks won and lost, mean ranks where there are any."""
    models, wins = list(found.labels), found.won_and_lost()
    won_and_lost = [
        (
            f"{found.labels[row]} ({number})",
            *(":".join(map(str, wins[row, one])) if (row, one) in wins else None for one in models),
        )
        for number, row in enumerate(models, start=1)
    ]
    numbers = (f"({number})" for number in range(1, len(models) + 1))  # so that many models fit on a page
    seed_numbers = {cell.score.n for cell in found.cells.values()}
    n = seed_numbers.pop() if len(seed_numbers) == 1 else None
    grids = [*_scores(found, show_n=n is None), Grid(("won:lost", *numbers), won_and_lost)]
    grids += [overall_pairs_grid(found)] if found.overall else []
    if ranking := found.ranking:
        rows: GridRows = []
        for place in sorted(range(len(found.ranked)), key=lambda place: ranking.mean_ranks[place]):
            groups = zip("abcdefghijklmnopqrstuvwxyz", ranking.groups, strict=False)
            letters = "".join(letter for letter, group in groups if place in group)
            rank = Cell(ranking.mean_ranks[place], ".2f")
            rows.append((found.labels[found.ranked[place]], rank, letters or None))
        grids.append(Grid(("mean rank", "rank", "group"), rows))
    seeds = "(number of seeds)" if n is None else f"over {n} seed{'' if n == 1 else 's'}"
    return Sheet(
        title=f"{found.table.suite}, {found.table.caption}",
        captions=(
            f"{words.score_title(found.columns)} in percent, mean ± sd {seeds}. "
            f"{words.score_words(found.columns)}",
            f"{DAGGER} significantly below the best of the column: {test_words(found)}",
        ),
        grids=tuple(grids),
        notes=tuple(_notes(found)),
        best="best of a column",
        second="second",
    )


def test_words(found: Significance) -> str:
    """Say which test, sides, level, correction and family."""
    settings = found.settings
    tested = sum(pair.p is not None for pair in found.pairs)
    correction = CORRECTIONS[settings.correction]
    over = "" if settings.correction == "none" else f" over {counted(tested, 'pair')} of models on tasks"
    drawn = f", {settings.num_resamples:,} resamples" if found.test in ("permutation", "both") else ""
    return f"{_TEST_NAMES[found.test]}{drawn}, two-sided, p ≤ {ALPHA:g}, {correction}{over}"


def _scores(found: Significance, *, show_n: bool) -> list[Grid]:
    """Return models by tasks, one grid a kind; best, second, and daggers."""
    grids = []
    for kind in dict.fromkeys(kind for kind, _ in found.columns):
        columns = [column for one, column in found.columns if one == kind]
        models = [
            key
            for key in found.labels
            if any((key, column.hash) in found.cells.keys() | found.undefined for column in columns)
        ]
        rows: GridRows = []
        means = []
        for model in models:
            cells = [found.cells.get((model, column.hash)) for column in columns]
            means.append([cell.score.mean if cell else None for cell in cells])
            shown: list[Plain] = []
            for column, cell in zip(columns, cells, strict=True):
                missing = UNDEFINED if (model, column.hash) in found.undefined else None
                mark = DAGGER * found.is_below_best(model, column)
                shown.append(words.summary_cell(cell.test, show_n=show_n, mark=mark) if cell else missing)
            rows.append((found.labels[model], *shown))
        best, second = (frozenset((row, 1 + place) for row, place in one) for one in best_and_second(means))
        grids.append(Grid((KINDS[kind].title, *map(words.column_title, columns)), rows, best, second))
    return grids


def _notes(found: Significance) -> list[str]:
    without = sum(pair.p is None for pair in found.pairs)
    notes = [
        "won:lost: tasks on which the row's model is significantly better than the column's, and worse. A "
        "column has the number of its model's row.",
    ]
    if found.overall:
        notes.append(
            f"{found.table.score}: examples are drawn (the interval) and exchanged (p) within each task; "
            f"{CORRECTIONS[found.settings.correction]} over {counted(len(found.overall), 'pair')} of models."
        )
    if without:
        notes.append(
            f"{without} of {counted(len(found.pairs), 'pair')} without a p-value: fewer than two seeds, no "
            "variance, or (but for Welch's test) other seeds."
        )
    if ranking := found.ranking:
        notes.append(
            f"Mean ranks over {ranking.num_tasks} tasks; Friedman p {p_text(ranking.p)}; models of one group "
            f"do not differ (Nemenyi, {ranking.alpha:g}: "
            f"critical difference {ranking.critical_difference:.2f})."
        )
    else:
        notes.append(f"No mean ranks: they need {MIN_TASKS} tasks on which three models have a score.")
    return [*notes, *words.column_notes(found.columns, {column for _, column in found.undefined})]
