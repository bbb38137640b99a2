"""From a knowledge base to queries (KeBioLM, sec. 4.6.1), in DuckDB, out of core.

Two queries a triple, those of one text merged, at most so many of a relation. The queries are chosen before
any answer is looked up: a release asks tens of millions of questions, of which some hundred thousand stay.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import pyarrow

from kebench.errors import UserError, did_you_mean
from kebench.probe.forms import answer_form, shown_form
from kebench.probe.recipe import ProbeRecipe, Words
from kebench.probe.tables import TEXT_SQL
from kebench.umls.database import Connection, one_row
from kebench.umls.knowledge_base import KnowledgeBase
from kebench.umls.names import with_steps
from kebench.umls.rrf import parquet_sql

HAS_MASK = "label ILIKE '%[MASK]%'"  # a name that a model would take for the blank
TEXT = pyarrow.string()
_SAMPLED_TRIPLES = 1_000_000  # ours; enough to tell whether a release holds each fact twice


class Asked(NamedTuple):
    """How many queries have no name that could be shown.

    before_cap: of those that a recipe chooses, how many each relation has before the cap. missing: of those
    that an index names, what the release lacks.
    """

    left_out: dict[str, int]
    before_cap: dict[str, int] = {}
    missing: dict[str, int] = {}


def load_relations(
    connection: Connection, kb: KnowledgeBase, wanted: Sequence[str], words_of: Callable[[str], Words]
) -> dict[str, Words]:
    """Make the table relations (relation_no, relation, words); return the words of each, sorted.

    Of all relations of a knowledge base, or of those that are wanted. Raises UserError if there are none, or
    for one that is wanted and not there.
    """
    rows = connection.execute(f"SELECT DISTINCT relation FROM {kb.tables()['triples']} ORDER BY 1").fetchall()
    known = [relation for (relation,) in rows]
    if not known:
        raise UserError(f"{kb.folder}: no triples, so nothing to ask; import a release with relations")
    if unknown := [relation for relation in wanted if relation not in known]:
        raise UserError(
            f"no triple has the relation '{unknown[0]}'{did_you_mean(unknown[0], known)} "
            f"kebench kb stats {kb.folder} --by relation shows all"
        )
    words = {relation: words_of(relation) for relation in known if not wanted or relation in wanted}
    numbered = [(number, relation, of.words) for number, (relation, of) in enumerate(words.items())]
    load(connection, "relations", numbered, relation_no=pyarrow.int64(), relation=TEXT, words=TEXT)
    return words


def load(
    connection: Connection, table: str, rows: Sequence[Sequence[Any]], /, **types: pyarrow.DataType
) -> None:
    """Make a table of some rows. types: of each of its columns."""
    columns = zip(*rows, strict=True) if rows else [()] * len(types)
    arrays = [pyarrow.array(column, kind) for column, kind in zip(columns, types.values(), strict=True)]
    connection.register("arrow_table", pyarrow.table(arrays, names=list(types)))
    connection.execute(f"CREATE OR REPLACE TABLE {table} AS FROM arrow_table")
    connection.unregister("arrow_table")


def count_facts(connection: Connection, kb: KnowledgeBase) -> tuple[int, float]:
    """Return how many triples the table relations has, and the share whose reverse has another relation.

    The reverse is looked for of some triples, chosen by their concepts.
    """
    triples = _triples(kb)
    # Hashes, since strings are six times as long; that two triples share one is not to be feared.
    num_triples, *_ = one_row(connection, f"SELECT count(DISTINCT hash(head, relation, tail)) FROM {triples}")
    every = max(1, num_triples // _SAMPLED_TRIPLES)
    concepts = parquet_sql(kb.folder / "concepts.parquet", with_row_number=True)
    share, *_ = one_row(
        connection,
        f"""WITH sampled AS MATERIALIZED (
            SELECT DISTINCT head, relation, tail FROM {kb.tables()["triples"]}
            WHERE least(head, tail) IN (SELECT cui FROM {concepts} WHERE file_row_number % {every} = 0)
        ) SELECT coalesce(avg(is_there::INT), 0) FROM (
            SELECT bool_or(other.relation <> one.relation) IS TRUE AS is_there
            FROM sampled AS one LEFT JOIN sampled AS other ON other.head = one.tail AND other.tail = one.head
            WHERE one.relation IN (SELECT relation FROM relations) GROUP BY one.head, one.relation, one.tail
        )""",
    )
    return num_triples, round(share, 4)


def _triples(kb: KnowledgeBase) -> str:
    """Return SQL for the triples of the table relations, with relation_no and words."""
    return f"(FROM {kb.tables()['triples']} JOIN relations USING (relation))"


def label_concepts(connection: Connection, kb: KnowledgeBase, mode: str, *, lower_case: bool) -> None:
    """Make the table labels (cui, label): the name of each concept as a query shows it.

    fixed: the preferred name. released: the form of the first name that is kept of the concept.
    """
    if mode == "fixed":
        steps = shown_form("name", lower_case=lower_case)
        named = f"SELECT cui, form AS label FROM {with_steps(kb.tables()['concepts'], steps)}"
    else:
        names = parquet_sql(kb.folder / "names.parquet", with_row_number=True)
        named = f"SELECT cui, arg_min(form, file_row_number) AS label FROM {names} GROUP BY cui"
    connection.execute(f"CREATE TABLE labels AS {named}")


def choose_queries(connection: Connection, kb: KnowledgeBase, recipe: ProbeRecipe) -> Asked:
    """Make the tables queries, givens and pairs of the tables relations and labels.

    A query is a number until it is chosen: relation, direction and text in 64 bits.
    """
    left_out = _number_texts(connection, kb)
    # By the end that is given. Repeated pairs of concept and relation go first: they stand together.
    codes = " UNION ALL ".join(
        f"""SELECT DISTINCT relation_no << 33 | {bit << 32} | text_no AS code
        FROM (SELECT DISTINCT relation_no, {given} AS cui FROM {_triples(kb)}) JOIN numbered USING (cui)"""
        for bit, given in enumerate(("head", "tail"))
    )
    connection.execute(f"CREATE TABLE asked AS {codes}")
    before = "SELECT relation, count(*) FROM asked JOIN relations ON relation_no = code >> 33 GROUP BY ALL"
    before_cap = dict(connection.execute(before).fetchall())
    # Of a relation the queries of the least MD5 of "seed|relation|direction|name": the name, not the text, so
    # that a better wording of a relation asks the same questions.
    key = f"md5(concat('{recipe.seed}|', relation, '|', {_DIRECTION}, '|', label))"
    connection.execute(
        f"""CREATE TABLE chosen AS SELECT unnest(arg_min(code, {key}, {recipe.max_queries_per_relation}))
        AS code FROM asked JOIN {_PARTS} GROUP BY relation_no"""
    )
    connection.execute("DROP TABLE asked")
    connection.execute(
        f"""CREATE TABLE queries AS
        SELECT (row_number() OVER (ORDER BY relation, direction, text) - 1)::INTEGER AS query, *
        FROM (SELECT relation, {_DIRECTION} AS direction, text_no, {TEXT_SQL} FROM chosen JOIN {_PARTS})"""
    )
    connection.execute(
        """CREATE TABLE candidates AS
        SELECT query, relation, direction, cui FROM queries JOIN numbered USING (text_no)"""
    )
    reach_answers(connection, kb)
    connection.execute(
        "CREATE TABLE givens AS SELECT DISTINCT query, cui AS place, cui, '' AS lui FROM reached"
    )
    return Asked(left_out, before_cap)


_DIRECTION = "if(code >> 32 & 1 = 0, 'tail', 'head')"
_PARTS = "texts ON text_no = code & 4294967295 JOIN relations ON relation_no = code >> 33"


def _number_texts(connection: Connection, kb: KnowledgeBase) -> dict[str, int]:
    """Make the tables texts (text_no, label) and numbered (cui, text_no), without what cannot be shown.

    Return how many queries, one a concept, relation and direction, that leaves out.
    """
    bad = f"label = '' OR {HAS_MASK}"
    connection.execute(
        f"""CREATE TABLE texts AS SELECT row_number() OVER (ORDER BY label) - 1 AS text_no, label
        FROM (SELECT DISTINCT label FROM labels WHERE NOT ({bad}))"""
    )
    connection.execute("CREATE TABLE numbered AS SELECT cui, text_no FROM labels JOIN texts USING (label)")
    connection.execute(
        f"""CREATE TABLE unlabelled AS SELECT cui, label = '' AS is_empty FROM labels WHERE {bad};
        DROP TABLE labels"""
    )
    ends = " UNION ALL ".join(
        f"""SELECT DISTINCT relation_no, '{end}' AS given, cui, is_empty
        FROM {_triples(kb)} JOIN unlabelled ON cui = {end}"""
        for end in ("head", "tail")
    )
    empty, mask = one_row(
        connection, f"SELECT count(*) FILTER (is_empty), count(*) FILTER (NOT is_empty) FROM ({ends})"
    )
    return {"empty_name": empty, "mask_in_name": mask}


def reach_answers(connection: Connection, kb: KnowledgeBase) -> None:
    """Make the tables reached (query, cui, answer) and pairs of the table candidates."""
    triples = kb.tables()["triples"]
    sides = " UNION ALL ".join(
        f"""SELECT query, cui, triple.{asked} AS answer FROM {triples} AS triple JOIN candidates
        ON candidates.relation = triple.relation AND cui = triple.{given} AND direction = '{asked}'"""
        for asked, given in (("tail", "head"), ("head", "tail"))
    )
    connection.execute(f"CREATE TABLE reached AS SELECT DISTINCT query, cui, answer FROM ({sides})")
    connection.execute("CREATE TABLE pairs AS SELECT DISTINCT query, answer FROM reached")


def name_answers(connection: Connection, kb: KnowledgeBase, mode: str) -> None:
    """Make the tables answers and forms of the answers that were reached, and the view bearers.

    bearers: (cui, form) of every name of the knowledge base. In mode `released` the forms are those of the
    knowledge base.
    """
    tables = kb.tables()
    names = f"(SELECT cui, name FROM {tables['names']})"
    bearers = with_steps(names, answer_form("name")) if mode == "fixed" else tables["names"]
    connection.execute(f"CREATE TEMP VIEW bearers AS SELECT cui, form FROM {bearers}")
    connection.execute(
        f"""CREATE TABLE answers AS SELECT cui AS answer, cui, name, semantic_types FROM {tables["concepts"]}
        WHERE cui IN (SELECT answer FROM pairs)"""
    )
    connection.execute(
        """CREATE TABLE forms AS SELECT DISTINCT cui AS answer, form FROM bearers
        WHERE cui IN (SELECT answer FROM pairs)"""
    )


def add_luis(connection: Connection, kb: KnowledgeBase, mode: str) -> None:
    """Give each given concept without a LUI that of its shown name; "" where the knowledge base has none."""
    names = parquet_sql(kb.folder / "names.parquet", with_row_number=True)
    is_shown = "names.name = concepts.name" if mode == "fixed" else "true"
    connection.execute(
        f"""CREATE OR REPLACE TABLE givens AS WITH luis AS (
            SELECT cui, arg_min(lui, file_row_number) AS lui
            FROM (FROM {names} WHERE cui IN (SELECT cui FROM givens)) AS names
            JOIN (SELECT cui, name FROM {kb.tables()["concepts"]}) AS concepts USING (cui)
            WHERE {is_shown} AND (lui <> '' OR {str(mode == "released").lower()}) GROUP BY cui
        ) SELECT query, place, givens.cui, coalesce(nullif(givens.lui, ''), luis.lui, '') AS lui
        FROM givens LEFT JOIN luis USING (cui)"""
    )
