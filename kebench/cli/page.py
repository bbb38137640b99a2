"""`kebench page`: a results page in one file."""

from pathlib import Path

import click

from kebench.cards import model_card_paths, read_model_card
from kebench.cli.found import (
    filter_found,
    metric_option,
    read_found,
    results_option,
    say_left_out,
    suite_option,
    tasks_option,
)
from kebench.errors import UserError
from kebench.files import write_atomically
from kebench.probe.stored import find_probes
from kebench.report.page import Material, build_page
from kebench.report.published import read_published_tables
from kebench.report.strata import read_strata
from kebench.report.table import PUBLISHED_SUITE, Choice, build_leaderboard
from kebench.tasks.card import all_task_cards


@click.command()
@results_option
@suite_option
@tasks_option
@metric_option
@click.option(
    "--overlap",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="What 'kebench overlap --format json' wrote: known and unknown names.",
)
@click.option("--title", default="kebench results", show_default=True, help="Over the page.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("site"),
    show_default=True,
    help="The page's folder.",
)
def page(
    folders: tuple[Path, ...], overlap: Path | None, title: str, out: Path, **options: str | None
) -> None:
    """Write a results page: one HTML file that needs no network.

    Leaderboards to sort and filter, what stands behind each number, significance, probes and learning curves.
    Open OUT/index.html in a browser, or put it on any web server. The same records give the same file.
    """
    if out.exists() and not out.is_dir():
        raise UserError(f"{out}: a file; name a folder for the page with --out")
    shown = material(
        folders,
        title=title,
        metric=options["metric"] or "strict",
        suite=options["suite"],
        tasks=options["tasks"],
        overlap=overlap,
    )
    write_atomically(out / "index.html", build_page(shown), point="page")
    click.echo(out / "index.html")


def material(
    folders: tuple[Path, ...],
    *,
    title: str,
    metric: Choice = "strict",
    suite: str | None = None,
    tasks: str | None = None,
    overlap: Path | None = None,
) -> Material:
    """Return what a page of the folders is made of."""
    cards = all_task_cards()
    found = read_found(folders)
    kept = filter_found(found, suite=suite, tasks=tasks, models=[], cards=cards)
    published = read_published_tables(PUBLISHED_SUITE)
    board = build_leaderboard(
        kept, cards=cards, metric=metric, published=published, other_names=found.other_names
    )
    strata = read_strata(overlap) if overlap else None
    probes = find_probes(found.folders, left_out=say_left_out)
    records = [probe.record for probe in probes]
    models = {name: read_model_card(name) for name in model_card_paths()}
    return Material(board, records, models, cards, title, strata)
