"""Tables and long lines for the terminal, as the commands print them."""

import textwrap
from collections.abc import Sequence

import click

WIDTH = 80
NAME_WIDTH = 21  # names of rows up to here are not broken, however narrow the terminal; ours


def print_table(columns: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
    """Print a table to stdout; columns of numbers and dashes are set to the right."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    for place, name in enumerate(columns):
        is_number = bool(rows) and all(
            row[place].replace(",", "").replace(".", "", 1).isdigit() or row[place] == "-" for row in rows
        )
        is_name = place == 0 and all(len(line) <= NAME_WIDTH for row in rows for line in row[0].splitlines())
        table.add_column(name, justify="right" if is_number else "left", overflow="fold", no_wrap=is_name)
    for row in rows:
        table.add_row(*map(Text, row))  # text, so that square brackets are not read as styles
    Console().print(table)


def print_wrapped(text: str) -> None:
    """Print a line, broken at the terminal's usual width."""
    click.echo("\n".join(textwrap.wrap(text, WIDTH, subsequent_indent="  ")))
