"""Counts of a knowledge base: in all, and by source, relation, semantic type and language."""

from typing import Any

from kebench.umls.database import connect
from kebench.umls.knowledge_base import KnowledgeBase

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
