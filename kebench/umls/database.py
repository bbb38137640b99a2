"""DuckDB as the import uses it: spilling to disk, working side by side, with errors that say what to do.

What it finds is written by `write_rows`, so that files have the same bytes whatever wrote and planned them.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

import duckdb
import numpy
import pyarrow
import pyarrow.compute
import pyarrow.parquet

from kebench.errors import UserError
from kebench.files import hash_of

Connection = duckdb.DuckDBPyConnection
_ROWS_OF_A_GROUP = 122_880  # ours; also what is in memory at a time
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
            waiting = set(running)
            while waiting:  # a moment at a time, so that Ctrl-C is noticed
                done, waiting = wait(waiting, timeout=_SIGNAL_SECONDS, return_when=FIRST_EXCEPTION)
                for future in done:
                    future.result()
        except BaseException:
            for connection, _ in work:
                connection.interrupt()
            raise
    return [future.result() for future in running]


def one_row(connection: Connection, query: str) -> tuple[Any, ...]:
    """Return the one row that a query has."""
    row: tuple[Any, ...] | None = connection.execute(query).fetchone()
    assert row is not None, f"one row was expected of {query}"
    return row


class Written(NamedTuple):
    """A Parquet file. content: the hash of its rows in their order, however they are stored."""

    rows: int
    content: str


def write_rows(
    connection: Connection, query: str, path: Path, *, few_values: Sequence[str] | bool = True
) -> Written:
    """Write the rows of a query, which says their order, into a Parquet file: equal rows, equal bytes.

    Columns are strings or lists of strings. DuckDB itself writes other bytes for another plan or version.
    few_values: the columns that are worth a dictionary.
    """
    connection.complete()  # what was executed before
    # Not execute(): where the order of insertion need not be kept, its Arrow batches come in any order,
    # whatever ORDER BY says (duckdb 2.0.0).
    reader = connection.sql(query).to_arrow_reader(_ROWS_OF_A_GROUP)
    text = pyarrow.string()
    kinds = [pyarrow.list_(text) if pyarrow.types.is_list(kind) else text for kind in reader.schema.types]
    schema = pyarrow.schema(list(zip(reader.schema.names, kinds, strict=True)))
    hashes = [sha256(name.encode()) for name in schema.names]
    num_rows = 0
    with pyarrow.parquet.ParquetWriter(
        path, schema, compression="zstd", compression_level=1, use_dictionary=few_values, store_schema=False
    ) as writer:
        for group in _full_groups(reader):
            rows = group.cast(schema).combine_chunks()
            writer.write_table(rows, row_group_size=_ROWS_OF_A_GROUP)
            for digest, column in zip(hashes, rows.columns, strict=True):  # lengths, then letters
                values = column.chunk(0)
                assert not values.null_count, "a table of a knowledge base has no nulls"
                if pyarrow.types.is_list(values.type):
                    lengths = pyarrow.compute.list_value_length(values)
                    digest.update(lengths.to_numpy().astype("<i4").tobytes())
                    values = values.flatten()
                lengths = pyarrow.compute.binary_length(values)
                digest.update(lengths.to_numpy().astype("<i4").tobytes())
                _, ends, letters = values.buffers()
                first, last = (numpy.frombuffer(ends, "<i4")[values.offset + at] for at in (0, len(values)))
                if letters:
                    digest.update(memoryview(letters)[first:last])
            num_rows += rows.num_rows
    return Written(num_rows, hash_of([digest.hexdigest() for digest in hashes]))


def _full_groups(reader: pyarrow.RecordBatchReader) -> Iterator[pyarrow.Table]:
    """Yield a reader's rows, as many at a time as a row group has: its batches may be of any size."""
    waiting = reader.schema.empty_table()
    for batch in reader:
        waiting = pyarrow.concat_tables([waiting, pyarrow.Table.from_batches([batch])])
        while waiting.num_rows >= _ROWS_OF_A_GROUP:
            yield waiting.slice(0, _ROWS_OF_A_GROUP)
            waiting = waiting.slice(_ROWS_OF_A_GROUP)
    if waiting.num_rows:
        yield waiting


@contextmanager
def errors_explained(folder: Path, *, memory_mib: int) -> Iterator[None]:
    """Turn DuckDB's words for a full disk or too little memory into a UserError; let all others pass."""
    try:
        yield
    except (duckdb.Error, OSError) as error:
        if any(words in str(error) for words in _OF_THE_DISK):
            raise UserError(
                f"{folder}: the disk is full or refuses to be written; free some space there"
            ) from None
        if isinstance(error, duckdb.OutOfMemoryException):
            raise UserError(
                f"{memory_mib} MiB of memory are too little for this; pass a larger --memory-mib"
            ) from None
        raise
