"""Tables and long lines for the terminal, as the commands print them."""

import re
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from kebench.cli import WIDTH

if TYPE_CHECKING:
    from rich.table import Table

_NUMBER = re.compile(r"-|[+-]?\d[\d,]*(\.\d+)?(e[+-]?\d+)?")
_NARROW_TEXT = 12  # what is left of a column of text before lines grow too long; ours
NAME_WIDTH = 21  # names of rows up to here are not broken, however narrow the terminal; ours


def print_table(columns: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
    """Print a table to stdout; columns of numbers and dashes are set to the right, and never broken.

    Where even then not all fits, lines are longer than the terminal is wide.
    """
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    least = 0
    for place, name in enumerate(columns):
        texts = [line for row in rows for line in row[place].splitlines()]
        is_number = bool(texts) and all(_NUMBER.fullmatch(text) for text in texts)
        is_name = place == 0 and all(len(text) <= NAME_WIDTH for text in texts)
        wide = max(map(len, (*re.split(r"\s+", name), *texts)))  # a heading may be broken between words
        narrowest = wide if is_name or is_number else min(wide, _NARROW_TEXT)
        table.add_column(
            name,
            justify="right" if is_number else "left",
            overflow="fold",
            no_wrap=is_name,
            min_width=narrowest,
        )
        least += 2 + narrowest
    for row in rows:
        table.add_row(*map(Text, row))  # text, so that square brackets are not read as styles
    print_unpadded(table, width=max(Console().width, least))


def print_unpadded(table: "Table", *, width: int | None = None, err: bool = False) -> None:
    """Print a rich table without the blanks that rich sets at the ends of lines. err: to stderr."""
    from rich.console import Console

    console = Console(width=width, stderr=err, highlight=False)
    with console.capture() as captured:
        console.print(table)
    click.echo("\n".join(line.rstrip() for line in captured.get().splitlines()), err=err)


def print_wrapped(text: str) -> None:
    """Print a line, broken at the terminal's usual width."""
    click.echo("\n".join(textwrap.wrap(text, WIDTH, subsequent_indent="  ")))
