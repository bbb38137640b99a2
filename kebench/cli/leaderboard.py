"""`kebench leaderboard`: tables of mean and deviation from the records of one or more folders."""

from pathlib import Path

import click

from kebench.cli.found import (
    check_models,
    filter_found,
    metric_option,
    predictions_of,
    read_found,
    recorded_name,
    require_here,
    results_option,
    say,
    split_names,
    suite_option,
    tasks_option,
)
from kebench.cli.tables import Rows, format_option, print_sheets
from kebench.cli.unseen import board_without_seen, unseen_options
from kebench.report.board import board_sheets
from kebench.report.costs import parse_columns, with_costs
from kebench.report.export import board_content, board_fields, board_rows
from kebench.report.published import read_published_tables
from kebench.report.table import PUBLISHED_SUITE, Choice, build_leaderboard
from kebench.tasks.card import all_task_cards


@click.command()
@results_option
@suite_option
@tasks_option
@click.option("--models", help="Only these models, measured and published: minilm,kebiolm.")
@format_option
@metric_option
@click.option(
    "--published/--no-published", default=True, show_default=True, help="Show published rows under blurb."
)
@unseen_options
@click.option("--columns", help="What the runs of each row took: energy,co2,hours,cost.")
@click.option("--price-per-hour", help="Of a device, for --columns cost: 2.50, or '2.50 EUR'.")
def leaderboard(
    folders: tuple[Path, ...],
    suite: str | None,
    tasks: str | None,
    models: str | None,
    form: str,
    metric: Choice,
    published: bool,
    without_seen: bool,
    data: Path | None,
    columns: str | None,
    price_per_hour: str | None,
) -> None:
    """Print mean and deviation of every model on every task.

    The learning rate of each number is the one with the best mean dev score over seeds; test scores
    never enter. A column holds one protocol. Published numbers stand below, marked, and are not ranked.
    """
    asked = parse_columns(columns, price_per_hour)
    cards = all_task_cards()
    stored = read_found(folders)
    found = stored.records
    printed = read_published_tables(PUBLISHED_SUITE) if published else []
    known = {record.model for record in found}
    wanted = [recorded_name(word, known, stored.other_names) for word in split_names(models)]
    require_here(stored, models=set(wanted) - {row.model for table in printed for row in table.rows})
    check_models(wanted, {row.model for table in printed for row in table.rows} | known)
    kept = filter_found(stored, suite=suite, tasks=tasks, models=wanted, cards=cards)
    others = stored.other_names
    if without_seen:
        board, _ = board_without_seen(kept, predictions_of(stored), cards, metric, data, others)
        if printed:
            say("published rows are of whole test sets and not shown")
    else:
        if wanted:
            kept_rows = ((one, tuple(row for row in one.rows if row.model in wanted)) for one in printed)
            printed = [one.model_copy(update={"rows": rows}) for one, rows in kept_rows]
        board = build_leaderboard(kept, cards=cards, metric=metric, published=printed, other_names=others)
    if metric == "as-published":
        say("NER as published numbers are scored; rates were chosen by the strict dev score")
    board = with_costs(board, asked)
    print_sheets(
        board_sheets(board),
        form,
        rows=lambda: Rows(board_fields(asked), board_rows(board, asked)),
        content=lambda: board_content(board, asked),
    )
