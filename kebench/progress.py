"""Progress on stderr: a bar with rate and ETA on a terminal, a line every half minute elsewhere."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

LINE_EVERY_SECONDS = 30.0
_WIDE = 120  # columns of a terminal that has room for a bar beside a note; ours


class Advance(Protocol):
    """Moves a bar on."""

    def __call__(self, amount: float, *, note: str = "") -> None:
        """amount: of units. note: what else is to be seen, such as a loss."""


@contextmanager
def progress(
    description: str, *, total: float, unit: str, done: float = 0, is_shown: bool = True
) -> Iterator[Advance]:
    """Yield a function that advances the bar by so many units.

    unit: "runs", "bytes" ... as the reader should see it. done: what an earlier process did.
    is_shown: False for processes beside the one that speaks.
    """
    if not is_shown:
        yield lambda amount, *, note="": None
        return
    if not sys.stderr.isatty():
        started = last = time.monotonic()
        before = done

        def advance(amount: float, *, note: str = "") -> None:
            nonlocal done, last
            done += amount
            now = time.monotonic()
            if now - last >= LINE_EVERY_SECONDS:
                last = now
                said = f", {note}" if note else ""
                if done > before:
                    said += f", {(now - started) / (done - before) * (total - done):,.0f} s left"
                print(f"{description}: {done:,.0f} of {total:,.0f} {unit}{said}", file=sys.stderr)

        yield advance
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
    from rich.table import Column

    console = Console(stderr=True)
    columns = (
        TextColumn(description, table_column=Column(no_wrap=True)),
        *([BarColumn(table_column=Column(no_wrap=True))] if console.width >= _WIDE else []),
        MofNCompleteColumn(table_column=Column(no_wrap=True)),
        TextColumn(unit, table_column=Column(no_wrap=True)),
        TimeRemainingColumn(table_column=Column(no_wrap=True)),
        TextColumn("{task.fields[note]}", table_column=Column()),  # may go on in a second line
    )
    with Progress(*columns, console=console) as bar:
        task = bar.add_task(description, total=total, completed=int(done), note="")

        yield lambda amount, *, note="": bar.update(task, advance=amount, note=note)
