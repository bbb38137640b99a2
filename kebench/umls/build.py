"""The tables of a knowledge base, made by DuckDB from the three tables of a release.

Nothing is held in memory as a whole: names stream from the release into Parquet in the order of the file, and
what has to be sorted is sorted on disk where memory ends. Names and relations are worked on side by side,
each in a database of its own. docs/FORMATS.md (Knowledge base) describes every column.
"""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from kebench.errors import UserError, did_you_mean
from kebench.umls.damage import COLUMNS_OF_CUIS, row_with
from kebench.umls.database import Connection, one_row, open_database, side_by_side
from kebench.umls.filters import Filters, name_tests, relation_tests
from kebench.umls.names import with_form
from kebench.umls.rrf import REMEDY, Release, parquet_sql, quoted, ready

TABLES = ("concepts", "names", "triples", "types")
Counts = dict[str, int]


class Built(NamedTuple):
    """What became of the rows of concepts, names and relations; and how many rows each table has."""

    counts: dict[str, Counts]
    rows: dict[str, int]


Advance = Callable[[float], None]
# Few names and identifiers come twice: looking for a dictionary of them takes time and ends without one.
_NAMES_PARQUET = "(FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 1, DICTIONARY_SIZE_LIMIT 1000)"
_PARQUET = "(FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 1)"
_SORTED_AT_ONCE = 3_000_000  # rows of MRREL that sort in memory while names are still being read


def build_tables(
    release: Release, folder: Path, filters: Filters, advance: Advance, *, memory_mib: int
) -> Built:
    """Write the Parquet tables into a folder; return how many rows were read, left out for what, and kept.

    `folder` has a folder `staging`. `advance` is told parts of the work, 1 in all (the shares are ours, from
    a full release). Raises UserError for a CUI that MRCONSO lacks and for a release of which nothing is kept.
    """
    staging = folder / "staging"
    with (
        open_database(staging, memory_mib=memory_mib // 2) as names_database,
        open_database(staging, memory_mib=memory_mib // 2) as relations_database,
    ):
        names, relations = side_by_side(
            [
                (names_database, partial(_build_names, release, folder, filters, advance)),
                (relations_database, partial(_stage_triples, release, folder, filters, advance)),
            ]
        )
        relations["concept_left_out"] = _sort_triples(relations_database, release, folder)
        advance(0.3)
        rows = {table: _num_rows(names_database, folder / f"{table}.parquet") for table in TABLES}
        relations["kept"] = rows["triples"]
        if filters.relations or filters.rels:
            sql = ready(release, "MRREL", staging).sql
            for column, values in (("RELA", filters.relations), ("REL", filters.rels)):
                _refuse_stranger(relations_database, sql, column, values, "MRREL")
            if not rows["triples"]:
                raise UserError(_nothing_kept(relations, "relation", "MRREL"))
    concepts = {"kept": rows["concepts"]}
    return Built({"concepts": concepts, "names": names, "relations": relations}, rows)


def _build_names(
    release: Release, folder: Path, filters: Filters, advance: Advance, connection: Connection
) -> Counts:
    """Write all tables but the triples; return what became of the rows of MRCONSO."""
    staged = folder / "staging" / "names.parquet"
    types, names = (ready(release, table, folder / "staging").sql for table in ("MRSTY", "MRCONSO"))
    connection.execute(f"CREATE TABLE types AS SELECT CUI AS cui, TUI AS tui, STN, STY FROM {types}")
    connection.execute(_copy(_all_names(names, filters), staged, _NAMES_PARQUET))
    advance(0.4)
    counts = _keep_names(connection, staged, folder / "names.parquet", filters)
    advance(0.1)
    # The names had to keep the order of the file. What follows is sorted anyway, and needs less memory so.
    connection.execute("SET preserve_insertion_order = false")
    names = parquet_sql(folder / "names.parquet", with_row_number=True)
    connection.execute(_copy(_concepts(names, filters), folder / "concepts.parquet"))
    typed = f"SELECT count(*) FROM {parquet_sql(folder / 'concepts.parquet')} WHERE len(semantic_types) > 0"
    if one_row(connection, typed) != one_row(connection, "SELECT count(DISTINCT cui) FROM types"):
        _refuse_unknown(connection, "types", release, "MRSTY", folder)  # or the filters left concepts out
    types = "SELECT DISTINCT tui, STN AS tree_number, STY AS name FROM types ORDER BY ALL"
    connection.execute(_copy(types, folder / "types.parquet"))
    advance(0.05)
    return counts


def _all_names(names: str, filters: Filters) -> str:
    rows = with_form(names, "STR", form=filters.name_form)
    return f"""SELECT CUI AS cui, STR AS name, form, LAT AS language, SAB AS source, TTY AS term_type,
        CODE AS code, LUI AS lui, AUI AS aui, TS AS term_status, STT AS string_type,
        ISPREF AS is_preferred, SUPPRESS AS suppress FROM {rows}"""


def _keep_names(connection: Connection, staged: Path, kept: Path, filters: Filters) -> Counts:
    """Write the names that pass the filters, in the order of the file; return what became of all."""
    tests = name_tests(filters)
    passes = " AND ".join(tests.values())
    rows = f"(SELECT *, file_row_number AS row FROM {parquet_sql(staged, with_row_number=True)})"
    counts = _counted(connection, rows, tests)
    if filters.once_per_lui:
        first = f"row IN (SELECT min(row) FROM {rows} WHERE {passes} GROUP BY lui)"
        once = {"lui_seen_before": first}
        counts |= _counted(connection, f"(FROM {rows} WHERE {passes})", once, with_read=False)
        passes = f"{passes} AND {first}"
    counts["kept"] = counts["read"] - sum(num for reason, num in counts.items() if reason != "read")
    if not counts["read"]:
        raise ValueError("MRCONSO is empty")
    for column, values in (("source", filters.sources), ("language", filters.languages)):
        _refuse_stranger(connection, parquet_sql(staged), column, values, "MRCONSO")
    if not counts["kept"]:
        raise UserError(_nothing_kept(counts, "name", "MRCONSO"))
    if counts["kept"] == counts["read"]:
        staged.rename(kept)
    else:
        # A scan keeps the order of the file; a look-up of first rows or of types does not.
        order = "ORDER BY row" if filters.once_per_lui or filters.semantic_types else ""
        chosen = f"SELECT * EXCLUDE (row, file_row_number) FROM {rows} WHERE {passes} {order}"
        connection.execute(_copy(chosen, kept, _NAMES_PARQUET))
    return counts


def _nothing_kept(counts: Counts, what: str, table: str) -> str:
    left_out = [
        f"{num:,} by {reason}" for reason, num in counts.items() if num and reason not in ("read", "kept")
    ]
    reasons = ", ".join(left_out)
    return f"no {what} is kept of {counts['read']:,} in {table} (left out: {reasons}); widen the filters"


def _refuse_stranger(
    connection: Connection, rows: str, column: str, values: Sequence[str], table: str
) -> None:
    """Raise UserError for the first value of a filter that no row of the release has."""
    if values:
        known = {value for (value,) in connection.execute(f"SELECT DISTINCT {column} FROM {rows}").fetchall()}
        for value in values:
            if value not in known:
                raise UserError(
                    f"no row of {table} has the {column.lower()} '{value}'{did_you_mean(value, known)} "
                    "change the filter"
                )


def _counted(
    connection: Connection, rows: str, tests: dict[str, str], *, with_read: bool = True, first: str = ""
) -> Counts:
    """Return the number of rows, and of those that each test is the first to reject.

    first: the first column of RRF rows; unless it is looked at in every row, a broken one goes unnoticed.
    """
    reasons = list(tests)
    columns = {"read": "count(*)"} if with_read else {}
    columns |= {"looked at": f"count({first})"} if first else {}
    for place, reason in enumerate(reasons):
        passed = [f"({tests[earlier]})" for earlier in reasons[:place]]
        columns[reason] = f"count(*) FILTER ({' AND '.join([*passed, f'NOT ({tests[reason]})'])})"
    found = one_row(connection, f"SELECT {', '.join(columns.values())} FROM {rows}")
    counts = dict(zip(columns, found, strict=True))
    counts.pop("looked at", None)
    return counts


def _concepts(names: str, filters: Filters) -> str:
    """Return SQL for the concepts; the preferred name is the release's own choice among the kept ones.

    That is: of the first language of the filter that the concept has; preferred term, preferred form,
    preferred atom, current before suppressed; and of equals the first row of the file.
    """
    languages = ", ".join(quoted(language) for language in filters.languages)
    place = f"list_position([{languages}], language)" if languages else "0"
    rank = f"""{place} * 16 + (upper(term_status) <> 'P')::INT * 8 + (string_type <> 'PF')::INT * 4
        + (is_preferred <> 'Y')::INT * 2 + (suppress <> 'N')::INT"""
    order = f"({rank})::BIGINT << 40 | file_row_number"
    named = f"SELECT cui, arg_min(name, {order}) AS name FROM {names} GROUP BY cui"
    # Five times as fast as list(DISTINCT tui ORDER BY tui): nearly every concept has one type.
    types = """if(count(*) = 1, [min(tui)],
        list_sort(list_distinct(string_split(string_agg(tui, ' '), ' ')))) AS semantic_types"""
    typed = f"SELECT cui, {types} FROM types GROUP BY cui"
    return f"""SELECT cui, name, coalesce(semantic_types, []) AS semantic_types
        FROM ({named}) LEFT JOIN ({typed}) USING (cui) ORDER BY cui"""


def _stage_triples(
    release: Release, folder: Path, filters: Filters, advance: Advance, connection: Connection
) -> Counts:
    """Stage the triples of the rows of MRREL that pass the filters; return what became of the others.

    Few rows are sorted at once, while names are still being read, and stand where they belong unless concepts
    are left out; many are sorted after that, so that it need not be done twice.
    A row (CUI1, REL, CUI2, RELA) reads "CUI2 RELA CUI1": the head is CUI2.
    """
    connection.execute("SET preserve_insertion_order = false")
    relations, tests = ready(release, "MRREL", folder / "staging"), relation_tests(filters)
    rows = f"""SELECT CUI2 AS head, if(RELA = '', REL, RELA) AS relation, CUI1 AS tail, REL AS rel,
        SAB AS source FROM {relations.sql} WHERE {" AND ".join(tests.values())}"""
    if relations.num_lines is not None and relations.num_lines <= _SORTED_AT_ONCE:
        staged = folder / "triples.parquet"
        connection.execute(_copy(f"{rows} ORDER BY ALL", staged))
    else:
        staged = folder / "staging" / "triples.parquet"
        connection.execute(_copy(rows, staged, "(FORMAT parquet, COMPRESSION lz4)"))
    num_kept = _num_rows(connection, staged)
    if num_kept == relations.num_lines:
        counts = {"read": num_kept, **dict.fromkeys(tests, 0)}
    else:
        counts = _counted(connection, relations.sql, tests, first="CUI1")
    advance(0.15)
    return counts


def _sort_triples(connection: Connection, release: Release, folder: Path) -> int:
    """Write the staged triples between concepts of the knowledge base, sorted; return how many are not.

    Repeated rows stay: to find them takes as long as all the rest, and grows faster than the release.
    Raises UserError if MRCONSO lacks a concept of one: what the filters leave out is not looked at.
    """
    staged, triples = folder / "staging" / "triples.parquet", folder / "triples.parquet"
    concepts = f"(SELECT cui FROM {parquet_sql(folder / 'concepts.parquet')})"
    is_inside = f"head IN {concepts} AND tail IN {concepts}"
    if triples.exists():
        query = f"SELECT count(*) FROM {parquet_sql(triples)} WHERE NOT ({is_inside})"
        if one_row(connection, query) == (0,):
            return 0
        triples.rename(staged)
    connection.execute(_copy(f"SELECT * FROM {parquet_sql(staged)} WHERE {is_inside} ORDER BY ALL", triples))
    num_outside = _num_rows(connection, staged) - _num_rows(connection, triples)
    if num_outside:
        outside = f"(SELECT unnest([head, tail]) AS cui FROM {parquet_sql(staged)} WHERE NOT ({is_inside}))"
        _refuse_unknown(connection, outside, release, "MRREL", folder)
    return num_outside


def _refuse_unknown(connection: Connection, rows: str, release: Release, table: str, folder: Path) -> None:
    """Raise UserError if a row has a cui that MRCONSO lacks, with the line of the first such CUI."""
    staged = folder / "staging" / "names.parquet"  # gone if every name of it was kept
    known = parquet_sql(staged if staged.exists() else folder / "names.parquet")
    unknown = f"SELECT min(cui), count(DISTINCT cui) FROM {rows} WHERE cui NOT IN (SELECT cui FROM {known})"
    cui, num_unknown = one_row(connection, unknown)
    if num_unknown:
        where = row_with(release.files[table], COLUMNS_OF_CUIS[table], cui) if release.files else table
        others = f" (nor are {num_unknown - 1:,} others)" if num_unknown > 1 else ""
        raise UserError(f"{where}: {cui} is no concept of MRCONSO{others}; {REMEDY}")


def _num_rows(connection: Connection, path: Path) -> int:
    return int(one_row(connection, f"SELECT count(*) FROM {parquet_sql(path)}")[0])


def _copy(rows: str, path: Path, form: str = _PARQUET) -> str:
    return f"COPY ({rows}) TO {quoted(str(path))} {form}"
