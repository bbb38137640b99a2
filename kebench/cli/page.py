"""`kebench page`: a results page in one file."""

from dataclasses import dataclass
from pathlib import Path

import click

from kebench.cards import model_card_paths, read_model_card
from kebench.cli.found import RecordOptions, filter_found, metric_option, read_found, say_left_out
from kebench.cli.options import added_by, option, takes
from kebench.errors import UserError
from kebench.files import write_atomically
from kebench.probe.stored import find_any_probes
from kebench.report.page import Material, build_page
from kebench.report.published import read_published_tables
from kebench.report.strata import read_strata
from kebench.report.table import PUBLISHED_SUITE, Choice, build_leaderboard
from kebench.tasks.card import all_task_cards


@dataclass(frozen=True, kw_only=True)
class PageOptions(RecordOptions):
    """The options of the command."""

    metric: Choice = added_by(metric_option)
    overlap: Path | None = option(
        metavar="FILE", help="What 'kebench overlap --format json' wrote: known and unknown names."
    )
    title: str = option(default="kebench results", help="Over the page.")
    out: Path = option(default=Path("site"), help="The page's folder.")


@click.command()
@takes(PageOptions)
def page(options: PageOptions) -> None:
    """Write a results page: one HTML file that needs no network.

    Leaderboards to sort and filter, what stands behind each number, significance, probes and learning curves.
    Open OUT/index.html in a browser, or put it on any web server. The same records give the same file.
    """
    path = options.out / "index.html"
    if options.out.exists() and not options.out.is_dir():
        raise UserError(f"{options.out}: a file; name a folder for the page with --out")
    shown = material(
        options.folders,
        title=options.title,
        metric=options.metric,
        suite=options.suite,
        tasks=options.tasks,
        across_protocols=options.across_protocols,
        overlap=options.overlap,
    )
    write_atomically(path, build_page(shown), point="page")
    click.echo(path)


def material(
    folders: tuple[Path, ...],
    *,
    title: str,
    metric: Choice = "strict",
    suite: str | None = None,
    tasks: str | None = None,
    across_protocols: bool = False,
    overlap: Path | None = None,
) -> Material:
    """Return what a page of the folders is made of."""
    cards = all_task_cards()
    found = read_found(folders, or_probes=True)
    kept = filter_found(found, suite=suite, tasks=tasks) if found.records else []
    published = read_published_tables(PUBLISHED_SUITE)
    board = build_leaderboard(
        kept,
        cards=cards,
        metric=metric,
        published=published,
        other_names=found.other_names,
        suite=suite,
        across_protocols=across_protocols,
    )
    strata = read_strata(overlap) if overlap else None
    records = [probe.record for probe in find_any_probes(found.folders, left_out=say_left_out)]
    models = {name: read_model_card(name) for name in model_card_paths()}
    return Material(board, records, models, cards, title, strata)
