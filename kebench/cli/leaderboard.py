"""`kebench leaderboard`: tables of mean and deviation from the records of one or more folders."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import click

from kebench.cli.found import (
    RecordOptions,
    build_board,
    filter_found,
    find_train,
    metric_option,
    read_found,
    say,
    unseen_options,
    wanted_models,
)
from kebench.cli.options import added_by, option, takes
from kebench.cli.tables import Rows, format_option, print_sheets
from kebench.report.baselines import with_baselines
from kebench.report.board import board_sheets
from kebench.report.compare import Predictions
from kebench.report.costs import parse_columns, with_costs
from kebench.report.export import board_content, board_fields, board_rows
from kebench.report.published import read_published_tables
from kebench.report.table import PUBLISHED_SUITE, Choice, Leaderboard
from kebench.tasks.card import all_task_cards, data_folder


@dataclass(frozen=True, kw_only=True)
class LeaderboardOptions(RecordOptions):
    """The options of the command."""

    models: str | None = option(help="Only these models, measured and published: minilm,kebiolm.")
    form: str = added_by(format_option)
    metric: Choice = added_by(metric_option)
    published: bool = option(
        "--published/--no-published", default=True, show_default=True, help="Show published rows under blurb."
    )
    baselines: bool = option(help="Rows of predictors that read no text: majority, all-negative, constant.")
    without_seen: bool = added_by(partial(unseen_options, also="--baselines; "))
    data: Path | None  # of the same
    columns: str | None = option(help="What the runs of each row took: energy,co2,hours,cost.")
    price_per_hour: str | None = option(help="Of a device, for --columns cost: 2.50, or '2.50 EUR'.")


@click.command()
@takes(LeaderboardOptions)
def leaderboard(options: LeaderboardOptions) -> None:
    """Print mean and deviation of every model on every task.

    The learning rate of each number is the one with the best mean dev score over seeds; test scores
    never enter. A column holds one protocol. Published numbers stand below, marked, and are not ranked.
    """
    asked = parse_columns(options.columns, options.price_per_hour)
    found = read_found(options.folders)
    printed = read_published_tables(PUBLISHED_SUITE) if options.published else []
    wanted = wanted_models(
        found, options.models, printed={row.model for table in printed for row in table.rows}
    )
    kept = filter_found(found, suite=options.suite, tasks=options.tasks, models=wanted)
    if wanted:
        kept_rows = ((one, tuple(row for row in one.rows if row.model in wanted)) for one in printed)
        printed = [one.model_copy(update={"rows": rows}) for one, rows in kept_rows]
    board, predictions = build_board(
        found,
        kept,
        options.metric,
        published=printed,
        without_seen=options.without_seen,
        data=options.data,
        suite=options.suite,
        across_protocols=options.across_protocols,
    )
    if options.without_seen and printed:
        say("published rows are of whole test sets and not shown")
    if options.metric == "as-published":
        say("NER as published numbers are scored; rates were chosen by the strict dev score")
    if options.baselines:
        board = _with_baselines(board, predictions, options.data)
    board = with_costs(board, asked)
    print_sheets(
        board_sheets(board),
        options.form,
        rows=lambda: Rows(board_fields(asked), board_rows(board, asked)),
        content=lambda: board_content(board, asked),
    )


def _with_baselines(board: Leaderboard, predictions: Predictions, data: Path | None) -> Leaderboard:
    """Return the leaderboard with rows of baselines; say of which tasks some are missing, and why."""
    found = with_baselines(
        board, cards=all_task_cards(), predictions=predictions, find_train=find_train(data)
    )
    for line in found.refused:
        say(line)
    if found.without_train:
        say(
            f"no majority or constant of {', '.join(found.without_train)}: the files that the runs were made "
            f"from are not in {data_folder(data)}; name their folder by --data"
        )
    return found.board
