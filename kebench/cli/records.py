"""`kebench records`: every run as a row of a table that SQL can ask."""

import re
from math import isfinite
from pathlib import Path
from typing import Any

import click
import duckdb
import pyarrow as pa

from kebench.cli.found import read_found, results_option
from kebench.cli.tables import format_option, print_table
from kebench.errors import UserError, first_line
from kebench.grid import Cell
from kebench.report.frame import row_of_record

DEFAULT = """select task, model, learning_rate as rate, seed, dev_percent as dev, test_percent as test,
 best_epoch as epoch, seconds from records order by all"""
# For people; csv and json round nothing.
ROUNDED = """select task, model, learning_rate as rate, seed, round(dev_percent, 2) as dev,
 round(test_percent, 2) as test, best_epoch as epoch, round(seconds) as seconds from records
 order by all"""


@click.command()
@results_option
@click.option("--sql", help="What to ask of the table `records`.  [default: the runs and their scores]")
@click.option("--columns", is_flag=True, help="Only name the columns of `records`.")
@format_option
def records(folders: tuple[Path, ...], sql: str | None, columns: bool, form: str) -> None:
    """Ask the records by SQL, in DuckDB's dialect: a row a run.

    Average or compare scores only where "column" (quoted, in SQL) is equal: it hashes the protocol. Rows come
    in the order that SQL says; where it says none, sorted by their columns.
    """
    if sql is None:
        sql = DEFAULT if form in ("csv", "json") else ROUNDED
    rows = [row_of_record(record) for record in read_found(folders).records]
    table = pa.Table.from_pylist(rows)
    if columns:
        click.echo("\n".join(f"{field.name}\t{field.type}" for field in table.schema))
        return
    with duckdb.connect() as connection:
        connection.execute("set enable_external_access = false")
        connection.register("records", table)
        try:
            # an order of the rows, which SQL leaves open unless it is told
            is_open = re.match(r"\s*(select|with|from)\b", sql, re.I)
            if is_open and not re.search(r"\border\s+by\b", sql, re.I):
                sql = f"select * from (\n{sql.rstrip().rstrip(';')}\n) order by all"
            found = connection.execute(sql)
            names = [column[0] for column in (found.description if found else None) or ()]
            lines = found.fetchall() if names else []
        except duckdb.Error as error:
            raise UserError(
                f"--sql: {first_line(error)}; 'kebench records --columns' names the columns"
            ) from None
    if not names:
        raise UserError("--sql: nothing is asked; pass a statement such as 'select task, model from records'")
    columns_found = (_cells([line[place] for line in lines]) for place in range(len(names)))
    content = [dict(zip(names, map(_plain, line), strict=True)) for line in lines]
    print_table(names, list(zip(*columns_found, strict=True)), form, content=lambda: content)


def _plain(value: Any) -> Any:
    """Return a value for JSON: text, or null, for what it has no type for."""
    if isinstance(value, float):
        return value if isfinite(value) else None
    return value if value is None or isinstance(value, str | int | bool) else str(value)


def _cells(values: list[Any]) -> list[Cell]:
    """Return a column's values: fractions with as many digits behind the point as the longest has."""
    fractions = [f"{value:g}" for value in values if isinstance(value, float)]
    decimals = max((len(text.partition(".")[2]) for text in fractions), default=0)
    is_plain = not any("e" in text or "n" in text for text in fractions)  # no exponent, inf or nan
    form = f".{decimals}f" if is_plain else "g"
    return [
        Cell(value, form)
        if isinstance(value, float)
        else Cell(value, "d")
        if isinstance(value, int) and not isinstance(value, bool)
        else Cell(None if value is None else str(value))
        for value in values
    ]
