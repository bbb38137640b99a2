"""`kebench leaderboard`: tables of mean and deviation from the records of one or more folders."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from kebench.errors import UserError, did_you_mean

if TYPE_CHECKING:
    from kebench.records import Record
    from kebench.report.published import PublishedTable
    from kebench.report.table import Leaderboard, Metric
    from kebench.tasks.card import TaskCard

LOCAL = Path("results/local")
REMEDY = "run some with 'kebench run', or name a folder that has some with --results"
FORMATS = ("terminal", "markdown", "latex", "csv", "json")


@click.command()
@click.option(
    "--results",
    "folders",
    multiple=True,
    type=click.Path(path_type=Path),
    help="Folder of records; repeatable.  [default: results/local, else the shipped]",
)
@click.option("--suite", help="Only this suite: blurb or mini.")
@click.option("--tasks", help="Only these tasks, suites or kinds: gad,ddi,ner ...")
@click.option("--models", help="Only these models, measured and published: minilm,kebiolm.")
@click.option("--format", "form", type=click.Choice(FORMATS), default="terminal", show_default=True)
@click.option(
    "--metric",
    type=click.Choice(["strict", "as-published"]),
    default="strict",
    show_default=True,
    help="Score NER strictly, or as published numbers are scored.",
)
@click.option(
    "--published/--no-published", default=True, show_default=True, help="Show published rows under blurb."
)
def leaderboard(
    folders: tuple[Path, ...],
    suite: str | None,
    tasks: str | None,
    models: str | None,
    form: str,
    metric: "Metric",
    published: bool,
) -> None:
    """Print mean and deviation of every model on every task.

    The learning rate of each number is the one with the best mean dev score over seeds; test scores
    never enter. A column holds one protocol. Published numbers stand below, marked, and are not ranked.
    """
    from kebench.report.published import read_published_tables
    from kebench.report.table import PUBLISHED_SUITE, build_leaderboard
    from kebench.tasks.card import all_task_cards

    cards = all_task_cards()
    found, where = _read_records(folders)
    printed = read_published_tables(PUBLISHED_SUITE) if published else []
    wanted = _split(models)
    _check_models(wanted, found, printed)
    kept = _filter_records(found, where, suite=suite, tasks=tasks, models=wanted, cards=cards)
    board = build_leaderboard(kept, cards=cards, metric=metric, published=_filter_published(printed, wanted))
    _say_about_metric(board)
    click.echo(_renderer(form)(board), nl=False)


def _read_records(folders: tuple[Path, ...]) -> tuple[list["Record"], str]:
    """Return the records and the words for where they are. Raises UserError if there are none."""
    from kebench.records import read_records
    from kebench.report.table import merge_records

    chosen = folders or (_default_folder(),)
    for folder in chosen:
        if not folder.is_dir():
            raise UserError(f"{folder}: no such folder of records; {REMEDY}")
    where = ", ".join(str(folder) for folder in chosen)
    found = merge_records(read_records(folder) for folder in chosen)
    if not found:
        raise UserError(f"{where}: no records; {REMEDY}")
    return found, where


def _default_folder() -> Path:
    from kebench.records import record_paths
    from kebench.shipped import shipped

    if LOCAL.is_dir() and record_paths(LOCAL):
        _say(f"records of {LOCAL}")
        return LOCAL
    recorded = shipped("results/recorded")
    if not (recorded.is_dir() and record_paths(recorded)):
        raise UserError(f"{LOCAL}: no records, and none are shipped; {REMEDY}")
    _say(f"records of {recorded}, shipped with kebench ({LOCAL} has none)")
    return recorded


def _filter_records(
    found: list["Record"],
    where: str,
    *,
    suite: str | None,
    tasks: str | None,
    models: list[str],
    cards: list["TaskCard"],
) -> list["Record"]:
    """Return the records that the options choose. Raises UserError if none is left."""
    names = _names_of_tasks(suite, tasks, cards)
    kept = [
        record
        for record in found
        if (names is None or record.task in names) and (not models or record.model in models)
    ]
    if not kept:
        raise UserError(
            f"{where}: {len(found)} records, none that --suite, --tasks and --models leave; widen them"
        )
    return kept


def _names_of_tasks(suite: str | None, tasks: str | None, cards: list["TaskCard"]) -> set[str] | None:
    """Return the tasks' names that both options leave, None if neither is given."""
    from kebench.tasks.card import select_tasks

    if suite is None and tasks is None:
        return None
    suites = {card.suite for card in cards}
    if suite is not None and suite not in suites:
        raise UserError(f"no suite '{suite}'; there are {', '.join(sorted(suites))}")
    chosen = select_tasks(tasks, kind_suite=suite or "blurb") if tasks else cards
    return {card.name for card in chosen if suite in (None, card.suite)}


def _split(words: str | None) -> list[str]:
    return [word.strip() for word in (words or "").split(",") if word.strip()]


def _check_models(wanted: list[str], found: list["Record"], printed: list["PublishedTable"]) -> None:
    """Raise UserError for a name of which there is neither a record nor a published row."""
    known = {record.model for record in found} | {row.model for table in printed for row in table.rows}
    for name in wanted:
        if name not in known:
            raise UserError(
                f"no records of model '{name}'{did_you_mean(name, known)} "
                f"there are {', '.join(sorted(known))}"
            )


def _filter_published(printed: list["PublishedTable"], models: list[str]) -> list["PublishedTable"]:
    if not models:
        return printed
    kept = ((table, tuple(row for row in table.rows if row.model in models)) for table in printed)
    return [table.model_copy(update={"rows": rows}) for table, rows in kept]


def _say_about_metric(board: "Leaderboard") -> None:
    if board.metric == "as-published":
        _say("NER as published numbers are scored; rates were chosen by the strict dev score")


def _renderer(form: str) -> "Callable[[Leaderboard], str]":
    from kebench.report import export, latex, render

    renderers = {
        "terminal": _render_terminal,
        "markdown": render.render_markdown,
        "latex": latex.render_latex,
        "csv": export.render_csv,
        "json": export.render_json,
    }
    assert set(renderers) == set(FORMATS), "each format needs its renderer"
    return renderers[form]


def _render_terminal(board: "Leaderboard") -> str:
    from rich.console import Console

    from kebench.report.render import render_terminal

    console = Console()
    is_styled = console.is_terminal and not console.is_dumb_terminal
    return render_terminal(board, width=console.width, is_styled=is_styled)


def _say(line: str) -> None:
    click.echo(line, err=True)
