"""`kebench leaderboard`: tables of mean and deviation from the records of one or more folders."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

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
from kebench.cli.unseen import board_without_seen, unseen_options

if TYPE_CHECKING:
    from kebench.report.costs import Asked
    from kebench.report.published import PublishedTable
    from kebench.report.table import Leaderboard, Metric

FORMATS = ("terminal", "markdown", "latex", "csv", "json")


@click.command()
@results_option
@suite_option
@tasks_option
@click.option("--models", help="Only these models, measured and published: minilm,kebiolm.")
@click.option("--format", "form", type=click.Choice(FORMATS), default="terminal", show_default=True)
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
    metric: "Metric",
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
    from kebench.report.costs import parse_columns, with_costs
    from kebench.report.published import read_published_tables
    from kebench.report.table import PUBLISHED_SUITE, build_leaderboard
    from kebench.tasks.card import all_task_cards

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
        shown = _filter_published(printed, wanted)
        board = build_leaderboard(kept, cards=cards, metric=metric, published=shown, other_names=others)
    _say_about_metric(board)
    click.echo(_renderer(form, asked)(with_costs(board, asked)), nl=False)


def _filter_published(printed: list["PublishedTable"], models: list[str]) -> list["PublishedTable"]:
    if not models:
        return printed
    kept = ((table, tuple(row for row in table.rows if row.model in models)) for table in printed)
    return [table.model_copy(update={"rows": rows}) for table, rows in kept]


def _say_about_metric(board: "Leaderboard") -> None:
    if board.metric == "as-published":
        say("NER as published numbers are scored; rates were chosen by the strict dev score")


def _renderer(form: str, asked: "Asked") -> "Callable[[Leaderboard], str]":
    from kebench.report import export, latex, render

    renderers = {
        "terminal": _render_terminal,
        "markdown": render.render_markdown,
        "latex": latex.render_latex,
        "csv": lambda board: export.render_csv(board, asked),
        "json": lambda board: export.render_json(board, asked),
    }
    assert set(renderers) == set(FORMATS), "each format needs its renderer"
    return renderers[form]


def _render_terminal(board: "Leaderboard") -> str:
    from rich.console import Console

    from kebench.report.render import render_terminal

    console = Console()
    is_styled = console.is_terminal and not console.is_dumb_terminal
    return render_terminal(board, width=console.width, is_styled=is_styled)
