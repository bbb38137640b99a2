"""`--format`, the same on every command that prints tables, and what prints them; long lines of text."""

import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import click
from rich.console import Console
from rich.table import Table

from kebench.cli import WIDTH
from kebench.cli.options import Command
from kebench.grid import Grid, Plain, Sheet
from kebench.report.write_csv import lines_as_csv, rows_as_csv, sheets_as_csv
from kebench.report.write_json import as_json, sheets_as_json
from kebench.report.write_latex import sheets_as_latex
from kebench.report.write_markdown import sheets_as_markdown
from kebench.report.write_terminal import sheets_for_terminal

FORMATS = ("terminal", "markdown", "latex", "csv", "json")
_FORMERLY = {"table": "terminal", "text": "terminal"}  # what some commands called it; still taken


class _Format(click.Choice[str]):
    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        return super().convert(_FORMERLY.get(value, value), param, ctx)


class Rows(NamedTuple):
    """What CSV holds instead of a line a cell: a line a row of these fields."""

    fields: Sequence[str]
    rows: Iterable[Mapping[str, Any]]


def format_option(command: Command) -> Command:
    """Add --format."""
    return click.option(
        "--format",
        "form",
        type=_Format(FORMATS),
        default="terminal",
        show_default=True,
        help="How to print it; csv and json round nothing.",
    )(command)


def print_sheets(
    sheets: Iterable[Sheet],
    form: str,
    *,
    rows: Callable[[], Rows] | None = None,
    content: Callable[[], Any] | None = None,
) -> None:
    """Print sheets to stdout in one of FORMATS. rows, content: what CSV, and JSON, hold instead of sheets."""
    sheets = list(sheets)
    match form:
        case "terminal":
            console = Console()
            is_styled = console.is_terminal and not console.is_dumb_terminal
            text = sheets_for_terminal(sheets, width=console.width, is_styled=is_styled)
        case "markdown":
            text = sheets_as_markdown(sheets)
        case "latex":
            text = sheets_as_latex(sheets)
        case "csv":
            text = rows_as_csv(*rows()) if rows else sheets_as_csv(sheets)
        case _:
            text = as_json(content()) if content else sheets_as_json(sheets)
    click.echo(text, nl=False)


def print_table(
    headings: Sequence[str],
    rows: Iterable[Sequence[Plain]],
    form: str = "terminal",
    *,
    title: str = "",
    row_styles: Mapping[int, str] | None = None,
    content: Callable[[], Any] | None = None,
) -> None:
    """Print a listing to stdout; columns of numbers are set to the right, and never broken.

    CSV has a line a row, JSON an object a row, by its headings. title: in the formats for documents.
    row_styles: colours of rows in a terminal. content: what JSON holds instead.
    """
    is_document = form in ("markdown", "latex")
    grid = Grid(tuple(headings), list(rows), layout="listing", row_styles=row_styles or {})
    values = [[cell.value for cell in row] for row in grid.cells]
    if form == "csv":
        click.echo(lines_as_csv(headings, values), nl=False)
        return
    print_sheets(
        [Sheet(title if is_document else "", (), (grid,))],
        form,
        content=content or (lambda: [dict(zip(headings, line, strict=True)) for line in values]),
    )


def print_unpadded(table: Table, *, err: bool = False) -> None:
    """Print a rich table without the blanks that rich sets at the ends of lines. err: to stderr."""
    console = Console(stderr=err, highlight=False)
    with console.capture() as captured:
        console.print(table)
    click.echo("\n".join(line.rstrip() for line in captured.get().splitlines()), err=err)


def print_wrapped(text: str) -> None:
    """Print a line, broken at the terminal's usual width."""
    click.echo("\n".join(textwrap.wrap(text, WIDTH, subsequent_indent="  ")))
