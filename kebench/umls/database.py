"""DuckDB as the import uses it: spilling to disk, working side by side, with errors that say what to do."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb

from kebench.errors import UserError

Connection = duckdb.DuckDBPyConnection
_SIGNAL_SECONDS = 0.2  # how soon Ctrl-C is noticed
_OF_THE_DISK = ("No space left", "Disk quota", "File too large", "Could not write", "max_temp_directory_size")


def connect() -> Connection:
    """Return a connection to an empty database in memory, which prints nothing."""
    connection = duckdb.connect()
    connection.execute("SET enable_progress_bar = false")
    return connection


@contextmanager
def open_database(staging: Path, *, memory_mib: int) -> Iterator[Connection]:
    """Yield a connection to an empty database that spills to `staging` when its memory is full."""
    with connect() as connection:
        connection.execute("SET temp_directory = $folder", {"folder": str(staging)})
        connection.execute(f"SET memory_limit = '{memory_mib}MiB'")
        yield connection


def side_by_side(work: Sequence[tuple[Connection, Callable[[Connection], Any]]]) -> list[Any]:
    """Run functions beside each other, each on a database of its own; return what they return.

    Unpacking gzip keeps one core busy, so two files are read at a time. The first error stops all and is
    raised; so does Ctrl-C.
    """
    with ThreadPoolExecutor(len(work)) as pool:
        running = [pool.submit(function, connection) for connection, function in work]
        try:
            while _is_any_running(running):
                pass
        except BaseException:
            for connection, _ in work:
                connection.interrupt()
            raise
    return [future.result() for future in running]


def _is_any_running(running: "list[Future[Any]]") -> bool:
    """Wait a moment; raise the error of a function that failed."""
    done, waiting = wait(running, timeout=_SIGNAL_SECONDS, return_when=FIRST_EXCEPTION)
    for future in done:
        future.result()
    return bool(waiting)


def one_row(connection: Connection, query: str) -> tuple[Any, ...]:
    """Return the one row that a query has."""
    row: tuple[Any, ...] | None = connection.execute(query).fetchone()
    assert row is not None, f"one row was expected of {query}"
    return row


@contextmanager
def errors_explained(folder: Path, *, memory_mib: int) -> Iterator[None]:
    """Turn DuckDB's words for a full disk or too little memory into a UserError; let all others pass."""
    try:
        yield
    except duckdb.Error as error:
        if any(words in str(error) for words in _OF_THE_DISK):
            raise UserError(
                f"{folder}: the disk is full or refuses to be written; free some space there"
            ) from None
        if isinstance(error, duckdb.OutOfMemoryException):
            raise UserError(
                f"{memory_mib} MiB of memory are too little for this; pass a larger --memory-mib"
            ) from None
        raise
