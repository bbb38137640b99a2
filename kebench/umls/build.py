"""The tables of a knowledge base, made by DuckDB from the three tables of a release.

Nothing is held in memory as a whole: rows that pass the filters stream into staged files in any order, and
are sorted when their table is written, on disk where memory ends. So no table depends on how DuckDB plans a
query, nor on how many threads it has. Names and relations are worked on side by side, each in a database of
its own. docs/FORMATS.md (Knowledge base) describes every column.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from kebench.errors import UserError, did_you_mean
from kebench.umls.database import Connection, Written, one_row, open_database, side_by_side, write_rows
from kebench.umls.filters import Filters, name_tests, relation_tests
from kebench.umls.names import with_form
from kebench.umls.rrf import REMEDY, Release, parquet_sql, quoted, ready, row_with

Counts = dict[str, int]
# What became of the rows of concepts, names and relations; and what was written of each table.
Built = tuple[dict[str, Counts], dict[str, Written]]
Advance = Callable[[float], None]
# Few names and identifiers come twice: looking for a dictionary of them takes time and ends without one.
_FEW_VALUES = ("language", "source", "term_type", "term_status", "string_type", "is_preferred", "suppress")


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
        (names, tables), relations = side_by_side(
            [
                (names_database, partial(_build_names, release, folder, filters, advance)),
                (relations_database, partial(_stage_triples, release, folder, filters, advance)),
            ]
        )
        # The staged triples between concepts of the knowledge base. Repeated rows stay: to find them takes as
        # long as all the rest, and grows faster than the release.
        staged = parquet_sql(staging / "triples.parquet")
        concepts = f"(SELECT cui FROM {parquet_sql(folder / 'concepts.parquet')})"
        is_inside = f"head IN {concepts} AND tail IN {concepts}"
        inside = f"SELECT * FROM {staged} WHERE {is_inside} ORDER BY ALL"
        tables["triples"] = write_rows(relations_database, inside, folder / "triples.parquet")
        (num_staged,) = one_row(relations_database, f"SELECT count(*) FROM {staged}")
        relations["concept_left_out"] = num_staged - tables["triples"].rows
        if relations["concept_left_out"]:  # by the filters, or MRCONSO lacks a concept
            outside = f"(SELECT unnest([head, tail]) AS cui FROM {staged} WHERE NOT ({is_inside}))"
            _refuse_unknown(relations_database, outside, release, "MRREL", folder)
        advance(0.3)
        relations["kept"] = tables["triples"].rows
        if filters.relations or filters.rels:
            sql, _ = ready(release, "MRREL", staging)
            wanted = {"RELA": filters.relations, "REL": filters.rels}
            _check_filters(relations_database, sql, "MRREL", wanted, relations)
    counts = {"concepts": {"kept": tables["concepts"].rows}, "names": names, "relations": relations}
    return counts, tables


def _build_names(
    release: Release, folder: Path, filters: Filters, advance: Advance, connection: Connection
) -> tuple[Counts, dict[str, Written]]:
    """Write all tables but the triples; return what became of the rows of MRCONSO, and what was written."""
    connection.execute("SET preserve_insertion_order = false")
    staged = folder / "staging" / "names.parquet"
    types, rows = (ready(release, table, folder / "staging")[0] for table in ("MRSTY", "MRCONSO"))
    connection.execute(f"CREATE TABLE types AS SELECT CUI AS cui, TUI AS tui, STN, STY FROM {types}")
    all_names = f"""SELECT line, CUI AS cui, STR AS name, form, LAT AS language, SAB AS source,
        TTY AS term_type, CODE AS code, LUI AS lui, AUI AS aui, TS AS term_status, STT AS string_type,
        ISPREF AS is_preferred, SUPPRESS AS suppress FROM {with_form(rows, "STR", form=filters.name_form)}"""
    connection.execute(_stage(all_names, staged))
    advance(0.4)
    tests, rows = name_tests(filters), parquet_sql(staged)
    passes = " AND ".join(tests.values())
    counts = _counted(connection, rows, tests)
    if filters.once_per_lui:
        first = f"line IN (SELECT min(line) FROM {rows} WHERE {passes} GROUP BY lui)"
        later = f"SELECT count(*) FROM {rows} WHERE {passes} AND NOT ({first})"
        (counts["lui_seen_before"],) = one_row(connection, later)
        passes = f"{passes} AND {first}"
    counts["kept"] = counts["read"] - sum(num for reason, num in counts.items() if reason != "read")
    if not counts["read"]:
        raise ValueError("MRCONSO is empty")
    wanted = {"source": filters.sources, "language": filters.languages}
    _check_filters(connection, rows, "MRCONSO", wanted, counts)
    chosen = f"SELECT * EXCLUDE line FROM {rows} WHERE {passes} ORDER BY line"
    kept = write_rows(connection, chosen, folder / "names.parquet", few_values=_FEW_VALUES)
    advance(0.1)
    names = parquet_sql(folder / "names.parquet", with_row_number=True)
    concepts = write_rows(connection, _concepts(names, filters), folder / "concepts.parquet")
    typed = f"SELECT count(*) FROM {parquet_sql(folder / 'concepts.parquet')} WHERE len(semantic_types) > 0"
    if one_row(connection, typed) != one_row(connection, "SELECT count(DISTINCT cui) FROM types"):
        _refuse_unknown(connection, "types", release, "MRSTY", folder)  # or the filters left concepts out
    types = "SELECT DISTINCT tui, STN AS tree_number, STY AS name FROM types ORDER BY ALL"
    kinds = write_rows(connection, types, folder / "types.parquet")
    advance(0.05)
    return counts, {"concepts": concepts, "names": kept, "types": kinds}


def _check_filters(
    connection: Connection, rows: str, table: str, wanted: dict[str, tuple[str, ...]], counts: Counts
) -> None:
    """Raise UserError for the first value of a filter, by column, that no row has; and if nothing is kept."""
    for column, values in wanted.items():
        query = f"SELECT DISTINCT {column} FROM {rows}"
        known = {value for (value,) in connection.execute(query).fetchall()} if values else set()
        if unknown := [value for value in values if value not in known]:
            raise UserError(
                f"no row of {table} has the {column.lower()} '{unknown[0]}'{did_you_mean(unknown[0], known)} "
                "change the filter"
            )
    if not counts["kept"]:
        left_out = {reason: num for reason, num in counts.items() if num and reason not in ("read", "kept")}
        reasons = ", ".join(f"{num:,} by {reason}" for reason, num in left_out.items())
        what = "name" if table == "MRCONSO" else "relation"
        raise UserError(
            f"no {what} is kept of {counts['read']:,} in {table} (left out: {reasons}); widen the filters"
        )


def _counted(connection: Connection, rows: str, tests: dict[str, str], *, first: str = "*") -> Counts:
    """Return the number of rows, and of those that each test is the first to reject.

    first: the first column of RRF rows; unless it is looked at in every row, a broken one goes unnoticed.
    """
    columns = {"read": f"count({first})"}
    passed: list[str] = []
    for reason, test in tests.items():
        columns[reason] = f"count(*) FILTER ({' AND '.join([*passed, f'NOT ({test})'])})"
        passed.append(f"({test})")
    found = one_row(connection, f"SELECT {', '.join(columns.values())} FROM {rows}")
    return dict(zip(columns, found, strict=True))


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

    A row (CUI1, REL, CUI2, RELA) reads "CUI2 RELA CUI1": the head is CUI2.
    """
    connection.execute("SET preserve_insertion_order = false")
    sql, num_lines = ready(release, "MRREL", folder / "staging")
    tests = relation_tests(filters)
    rows = f"""SELECT CUI2 AS head, if(RELA = '', REL, RELA) AS relation, CUI1 AS tail, REL AS rel,
        SAB AS source FROM {sql} WHERE {" AND ".join(tests.values())}"""
    staged = folder / "staging" / "triples.parquet"
    connection.execute(_stage(rows, staged))
    (num_kept,) = one_row(connection, f"SELECT count(*) FROM {parquet_sql(staged)}")
    if num_kept == num_lines:
        counts = {"read": num_kept, **dict.fromkeys(tests, 0)}
    else:
        counts = _counted(connection, sql, tests, first="CUI1")
    advance(0.15)
    return counts


def _refuse_unknown(connection: Connection, rows: str, release: Release, table: str, folder: Path) -> None:
    """Raise UserError if a row has a cui that MRCONSO lacks, with the line of the first such CUI."""
    known = parquet_sql(folder / "staging" / "names.parquet")
    unknown = f"SELECT min(cui), count(DISTINCT cui) FROM {rows} WHERE cui NOT IN (SELECT cui FROM {known})"
    cui, num_unknown = one_row(connection, unknown)
    if num_unknown:
        others = f" (nor are {num_unknown - 1:,} others)" if num_unknown > 1 else ""
        raise UserError(f"{row_with(release, table, cui)}: {cui} is no concept of MRCONSO{others}; {REMEDY}")


def _stage(rows: str, path: Path) -> str:
    return f"COPY ({rows}) TO {quoted(str(path))} (FORMAT parquet, COMPRESSION lz4)"
