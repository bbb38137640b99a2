"""Progress on stderr: a bar with rate and ETA on a terminal, a line every half minute elsewhere."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

LINE_EVERY_SECONDS = 30.0


@contextmanager
def progress(description: str, *, total: float, unit: str) -> Iterator[Callable[[float], None]]:
    """Yield a function that advances the bar by so many units.

    unit: "runs", "bytes" ... as the reader should see it.
    """
    if sys.stderr.isatty():
        with _bar(description, total, unit) as advance:
            yield advance
    else:
        with _lines(description, total, unit) as advance:
            yield advance


@contextmanager
def _bar(description: str, total: float, unit: str) -> Iterator[Callable[[float], None]]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn(description),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn(unit),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(description, total=total)
        yield lambda amount: bar.advance(task, amount)


@contextmanager
def _lines(description: str, total: float, unit: str) -> Iterator[Callable[[float], None]]:
    started = last = time.monotonic()
    done = 0.0

    def advance(amount: float) -> None:
        nonlocal done, last
        done += amount
        now = time.monotonic()
        if now - last >= LINE_EVERY_SECONDS:
            last = now
            remaining = (now - started) / max(done, 1e-9) * (total - done)
            print(
                f"{description}: {done:,.0f} of {total:,.0f} {unit}, {remaining:,.0f} s left", file=sys.stderr
            )

    yield advance
