"""The knowledge base: concepts, names, triples and source codes, read from disk only as far as asked for.

Answers are Arrow tables; `.to_pandas()` makes frames of them. Tables of any size come as a reader of batches,
`triples()`, or as numbers, `indexed_triples()`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import duckdb
import numpy
import pyarrow
from numpy.typing import NDArray

from kebench.umls.database import connect
from kebench.umls.manifest import Manifest, read_manifest
from kebench.umls.names import with_form
from kebench.umls.rrf import parquet_sql

BATCH_ROWS = 500_000
Several = str | Sequence[str]


class IndexedTriples(NamedTuple):
    """All triples as numbers.

    entities: the CUIs that occur in a triple, sorted; relations: their names, sorted.
    triples: int32 (triples, 3), rows of (head, relation, tail) as places in these; distinct, ascending.
    """

    entities: pyarrow.Array
    relations: pyarrow.Array
    triples: NDArray[numpy.int32]


@dataclass(frozen=True)
class KnowledgeBase:
    """A knowledge base on disk; `KnowledgeBase.open` makes one of a folder."""

    folder: Path
    manifest: Manifest

    @classmethod
    def open(cls, folder: Path | str) -> "KnowledgeBase":
        """Return the knowledge base of a folder. Raises UserError if it is none, or not whole."""
        return cls(Path(folder), read_manifest(Path(folder)))

    @property
    def content_hash(self) -> str:
        """The hash of its rows and filters."""
        return self.manifest.content_hash

    def concepts(self, cuis: Several | None = None) -> pyarrow.Table:
        """Return (cui, name, semantic_types) of these concepts, or all, by CUI; unknown ones have no row."""
        concepts = self._file("concepts")
        if cuis is None:
            return self._table(f"SELECT * FROM {concepts} ORDER BY cui")
        return self._table(f"SELECT * FROM {concepts} WHERE cui IN $cuis ORDER BY cui", cuis=_list(cuis))

    def names(self, cuis: Several) -> pyarrow.Table:
        """Return every name of these concepts, with all columns of the table, in the order of the release."""
        return self._table(
            f"""SELECT * EXCLUDE file_row_number
            FROM {self._file("names", with_row_number=True)} WHERE cui IN $cuis
            ORDER BY file_row_number""",
            cuis=_list(cuis),
        )

    def cuis(self, names: Several) -> pyarrow.Table:
        """Return (name, cui) for every concept that bears one of these names, by CUI within a name.

        Names are compared in the normal form of the knowledge base (kebench.umls.names); `name` is the name
        as it was asked for.
        """
        distinct = "(SELECT DISTINCT unnest($names::VARCHAR[]) AS name)"
        asked = with_form(distinct, "name", form=self.manifest.filters.name_form)
        return self._table(
            f"""WITH asked AS {asked}, found AS
                (SELECT DISTINCT form, cui FROM {self._file("names")} WHERE form IN (SELECT form FROM asked))
            SELECT name, cui FROM asked JOIN found USING (form) ORDER BY name, cui""",
            names=_list(names),
        )

    def by_code(self, source: str, codes: Several) -> pyarrow.Table:
        """Return (code, cui) for the codes of a source, as in ("MSH", "D003924"), or MESH:D003924.

        A UMLS release has MeSH's codes bare, open vocabularies write the prefix; either finds either.
        """
        spelt = [(code, code) for code in _list(codes)]
        if source == "MSH":
            bare = [(code.removeprefix("MESH:"), code) for code in _list(codes)]
            spelt = [*bare, *((f"MESH:{spelling}", code) for spelling, code in bare)]
        return self._table(
            f"""WITH wanted AS
                (SELECT unnest($spellings::VARCHAR[]) AS spelling, unnest($asked::VARCHAR[]) AS asked)
            SELECT DISTINCT asked AS code, cui FROM wanted JOIN {self._file("names")} AS names
                ON names.code = spelling AND source = $source ORDER BY ALL""",
            source=source,
            spellings=[spelling for spelling, _ in spelt],
            asked=[code for _, code in spelt],
        )

    def relations(self) -> pyarrow.Table:
        """Return (relation, triples): in how many triples each relation stands, the most frequent first."""
        return self._table(
            f"""SELECT relation, count(*) AS triples FROM
            (SELECT DISTINCT head, relation, tail FROM {self._file("triples")})
            GROUP BY relation ORDER BY triples DESC, relation"""
        )

    def triples(
        self, *, head: Several | None = None, relation: Several | None = None, tail: Several | None = None
    ) -> pyarrow.RecordBatchReader:
        """Return (head, relation, tail) in batches, distinct, ascending; those of the parts asked for.

        `.read_all()` makes a table of them, `.read_pandas()` a frame.
        """
        asked = {"head": head, "relation": relation, "tail": tail}
        wanted = {column: _list(values) for column, values in asked.items() if values is not None}
        tests = " AND ".join(f"{column} IN ${column}" for column in wanted) or "true"
        query = (
            f"SELECT DISTINCT head, relation, tail FROM {self._file('triples')} WHERE {tests} ORDER BY ALL"
        )
        return self._database.cursor().sql(query, params=wanted).to_arrow_reader(BATCH_ROWS)

    def indexed_triples(self) -> IndexedTriples:
        """Return all triples as numbers: twelve bytes a triple."""
        database = self._database.cursor()
        triples = self._file("triples")
        database.execute(
            f"""CREATE OR REPLACE TEMP TABLE entities AS
            SELECT cui, row_number() OVER (ORDER BY cui) - 1 AS number
            FROM (SELECT head AS cui FROM {triples} UNION SELECT tail FROM {triples});
            CREATE OR REPLACE TEMP TABLE kinds AS
            SELECT relation, row_number() OVER (ORDER BY relation) - 1 AS number
            FROM (SELECT DISTINCT relation FROM {triples})"""
        )
        batches = database.sql(
            f"""SELECT DISTINCT
                h.number::INTEGER AS head, r.number::INTEGER AS relation, t.number::INTEGER AS tail
            FROM {triples} AS triple JOIN entities AS h ON h.cui = triple.head
            JOIN entities AS t ON t.cui = triple.tail JOIN kinds AS r ON r.relation = triple.relation
            ORDER BY ALL"""
        ).to_arrow_reader(BATCH_ROWS)
        rows, num_rows = numpy.empty((self.manifest.tables["triples"].rows, 3), dtype=numpy.int32), 0
        for batch in batches:
            for place, column in enumerate(batch.columns):
                rows[num_rows : num_rows + batch.num_rows, place] = column.to_numpy()
            num_rows += batch.num_rows
        return IndexedTriples(
            entities=_column(database, "SELECT cui FROM entities ORDER BY number"),
            relations=_column(database, "SELECT relation FROM kinds ORDER BY number"),
            triples=rows[:num_rows],
        )

    @cached_property
    def _database(self) -> duckdb.DuckDBPyConnection:
        return connect()

    def _table(self, query: str, **values: str | list[str]) -> pyarrow.Table:
        return self._database.cursor().sql(query, params=values).to_arrow_table()

    def tables(self) -> dict[str, str]:
        """Return for each table the SQL that may stand behind FROM."""
        return {table: self._file(table) for table in self.manifest.tables}

    def _file(self, table: str, *, with_row_number: bool = False) -> str:
        return parquet_sql(self.folder / f"{table}.parquet", with_row_number=with_row_number)


def _list(values: Several) -> list[str]:
    return [values] if isinstance(values, str) else list(values)


def _column(database: duckdb.DuckDBPyConnection, query: str) -> pyarrow.Array:
    return database.sql(query).to_arrow_table().column(0).combine_chunks()


# heading: (its columns, the SQL of its rows, the largest first)
BREAKDOWNS = {
    "source": (
        ("source", "names", "concepts", "relations"),
        """SELECT source, coalesce(names, 0), coalesce(concepts, 0), coalesce(relations, 0)
        FROM (SELECT source, count(*) AS names, count(DISTINCT cui) AS concepts FROM {names} GROUP BY source)
        FULL JOIN (SELECT source, count(*) AS relations FROM {triples} GROUP BY source) USING (source)
        ORDER BY 2 DESC, 1""",
    ),
    "relation": (
        ("relation", "triples", "heads", "tails"),
        """SELECT relation, count(*), count(DISTINCT head), count(DISTINCT tail)
        FROM (SELECT DISTINCT head, relation, tail FROM {triples}) GROUP BY relation ORDER BY 2 DESC, 1""",
    ),
    "type": (
        ("type", "name", "concepts"),
        """SELECT tui, name, count(*) FROM (SELECT unnest(semantic_types) AS tui FROM {concepts})
        JOIN (SELECT tui, min(name) AS name FROM {types} GROUP BY tui) USING (tui) GROUP BY ALL ORDER BY 3
        DESC, 1""",
    ),
    "language": (
        ("language", "names", "concepts"),
        "SELECT language, count(*), count(DISTINCT cui) FROM {names} GROUP BY language ORDER BY 2 DESC, 1",
    ),
}


def totals(knowledge_base: KnowledgeBase) -> dict[str, int]:
    """Return how many concepts, names, codes, triples and so on there are."""
    tables, counts = knowledge_base.manifest.tables, knowledge_base.manifest.counts
    (triples, entities, kinds, sources, forms, codes) = _rows(
        knowledge_base,
        """SELECT (SELECT count(*) FROM (SELECT DISTINCT head, relation, tail FROM {triples})),
        (SELECT count(*) FROM (SELECT head FROM {triples} UNION SELECT tail FROM {triples})),
        (SELECT count(DISTINCT relation) FROM {triples}), (SELECT count(DISTINCT source) FROM {names}),
        (SELECT count(DISTINCT form) FROM {names}),
        (SELECT count(*) FROM (SELECT DISTINCT source, code FROM {names} WHERE code <> ''))""",
    )[0]
    return {
        "concepts": tables["concepts"].rows,
        "names": tables["names"].rows,
        "names read": counts["names"]["read"],
        "normal forms": forms,
        "codes": codes,
        "relation rows read": counts["relations"]["read"],
        "relation rows": tables["triples"].rows,
        "triples": triples,
        "concepts in triples": entities,
        "kinds of relation": kinds,
        "sources of names": sources,
        "semantic types": tables["types"].rows,
    }


def breakdown(knowledge_base: KnowledgeBase, heading: str) -> list[tuple[Any, ...]]:
    """Return the rows of one of `BREAKDOWNS`."""
    return _rows(knowledge_base, BREAKDOWNS[heading][1])


def _rows(knowledge_base: KnowledgeBase, query: str) -> list[tuple[Any, ...]]:
    with connect() as connection:
        return connection.execute(query.format(**knowledge_base.tables())).fetchall()
