"""`kebench errors --format json` and `csv`."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from kebench.cli.found import say

if TYPE_CHECKING:
    from kebench.grid import Sheet
    from kebench.report.errors import Shown


def export(sheet: "Sheet", shown: "Sequence[Shown]", form: str) -> None:
    """Print the tables for programs; JSON has the sentences too, CSV says that it has not."""
    from kebench.report.sheet_export import sheets_as_csv, sheets_as_json

    if form == "json":
        sentences = [
            {
                "place": one.place + 1,  # the first is 1, as printed
                "errors": one.errors,
                "stretches": [{"text": text, "kind": kind} for text, kind in one.stretches],
            }
            for one in shown
        ]
        click.echo(sheets_as_json([sheet], sentences=sentences), nl=False)
        return
    if shown:
        say("csv: the tables alone; --format json has the sentences too")
    click.echo(sheets_as_csv([sheet]), nl=False)
