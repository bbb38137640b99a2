"""`kebench leaderboard`: tables of mean and deviation from the records of one or more folders."""

from dataclasses import dataclass
from pathlib import Path

import click

from kebench.cli.found import (
    RecordOptions,
    build_board,
    filter_found,
    metric_option,
    read_found,
    say,
    unseen_options,
    wanted_models,
)
from kebench.cli.options import added_by, option, takes
from kebench.cli.tables import Rows, format_option, print_sheets
from kebench.report.board import board_sheets
from kebench.report.costs import parse_columns, with_costs
from kebench.report.export import board_content, board_fields, board_rows
from kebench.report.published import read_published_tables
from kebench.report.table import PUBLISHED_SUITE, Choice


@dataclass(frozen=True, kw_only=True)
class LeaderboardOptions(RecordOptions):
    """The options of the command."""

    models: str | None = option(help="Only these models, measured and published: minilm,kebiolm.")
    form: str = added_by(format_option)
    metric: Choice = added_by(metric_option)
    published: bool = option(
        "--published/--no-published", default=True, show_default=True, help="Show published rows under blurb."
    )
    without_seen: bool = added_by(unseen_options)
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
    board, _ = build_board(
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
    board = with_costs(board, asked)
    print_sheets(
        board_sheets(board),
        options.form,
        rows=lambda: Rows(board_fields(asked), board_rows(board, asked)),
        content=lambda: board_content(board, asked),
    )
