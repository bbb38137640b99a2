"""`kebench table`: the tables of the KeBioLM paper, our numbers beside the printed ones."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from kebench.cli.found import read_found, render_sheet, results_option
from kebench.errors import UserError, did_you_mean

if TYPE_CHECKING:
    from kebench.report.published import PublishedTable
    from kebench.report.sheet import Sheet

FORMATS = ("terminal", "markdown", "latex")
SCORES = ("paper-2", "paper-3", "paper-4")  # tables of scores on tasks


@click.command()
@click.argument("name", metavar="TABLE", type=click.Choice([*SCORES, "paper-stars"]))
@results_option
@click.option(
    "--as",
    "pairs",
    multiple=True,
    metavar="MODEL=ROW",
    help="Put our MODEL beside that row of the table (my-kebiolm=kebiolm); repeatable.",
)
@click.option("--format", "form", type=click.Choice(FORMATS), default="terminal", show_default=True)
def table(name: str, folders: tuple[Path, ...], pairs: tuple[str, ...], form: str) -> None:
    """Print a table of the KeBioLM paper with our numbers beside the printed ones.

    paper-2: models on BLURB. paper-3, paper-4: ablations. paper-stars: the significance marks of Table 2,
    computed again from what is printed, as far as rounded numbers decide.
    """
    from kebench.report.paper import stars_sheet

    if name == "paper-stars":
        sheets = [stars_sheet(_published(2))]
    else:
        sheets = _score_sheets(int(name.removeprefix("paper-")), folders, pairs)
    click.echo("\n".join(render_sheet(sheet, form) for sheet in sheets), nl=False)


def _published(number: int) -> "PublishedTable":
    from kebench.report.published import read_published_table
    from kebench.shipped import shipped

    return read_published_table(shipped("results/published") / f"kebiolm-table{number}.toml")


def _score_sheets(number: int, folders: tuple[Path, ...], pairs: tuple[str, ...]) -> "list[Sheet]":
    from kebench.report.paper import paper_sheets
    from kebench.report.table import build_leaderboard
    from kebench.tasks.card import all_task_cards

    published = _published(number)
    found = read_found(folders)
    board = build_leaderboard(found.records, cards=all_task_cards(), metric="as-published")
    known = {record.model for record in found.records}
    return paper_sheets(
        board, published, measured_as=_measured_as(pairs, {row.model for row in published.rows}, known)
    )


def _measured_as(pairs: tuple[str, ...], rows: set[str], known: set[str]) -> dict[str, str]:
    """Return our model for each row that --as names. Raises UserError for what is no row or no model."""
    measured = {}
    for pair in pairs:
        ours, _, row = pair.partition("=")
        if row not in rows:
            raise UserError(
                f"--as {pair}: no row '{row}'{did_you_mean(row, rows)} there are {', '.join(sorted(rows))}"
            )
        if ours not in known:
            raise UserError(
                f"--as {pair}: no records of model '{ours}'{did_you_mean(ours, known)} there are "
                f"{', '.join(sorted(known))}"
            )
        measured[row] = ours
    return measured
