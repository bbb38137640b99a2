"""The last steps to any set, in DuckDB: which answers stand in their query, and the one table that is kept.

They start from five tables: queries (query, relation, direction, label, text, bare), givens (query, place,
cui, lui), pairs (query, answer), answers (answer, cui, name, semantic_types) and forms (answer, form).
`answer` is any key; `label` is the given name, `bare` the text without the blank and the stop.
"""

from pathlib import Path
from typing import Any

from kebench.probe.forms import answer_form, key_sql
from kebench.probe.query_set import MASK
from kebench.umls.database import Connection, one_row
from kebench.umls.names import FORMS, with_steps
from kebench.umls.rrf import parquet_sql, quoted

_ROWS_OF_A_GROUP = 8192  # ours; a reader of a few queries need not unpack all
COUNTS = {
    "queries": "count(*)",
    "relations": "count(DISTINCT relation)",
    "answers": "coalesce(sum(len(answers)), 0)::BIGINT",
    "without_answers": "count(*) FILTER (len(answers) = 0)",
    "type_1": "count(*) FILTER (is_type_1)",
    "type_2": "count(*) FILTER (NOT is_type_1)",
    "type_1_released": "count(*) FILTER (is_type_1_released)",
    "type_2_released": "count(*) FILTER (NOT is_type_1_released)",
}


# The columns text and bare of a query, of its columns direction and label and those of its statement: whether
# the head comes first, and the texts before, between and behind the ends. Q1 of the paper asks for the tail,
# Q2 for the head.
_GIVEN_FIRST = "head_first = (direction = 'tail')"
TEXT_SQL = f"""
    concat(text_1, if({_GIVEN_FIRST}, label, '{MASK}'), text_2, if({_GIVEN_FIRST}, '{MASK}', label), text_3)
    AS text, trim(concat(text_1, if({_GIVEN_FIRST}, label, ''), text_2, if({_GIVEN_FIRST}, '', label),
        left(text_3, -1))) AS bare"""


def find_types(connection: Connection, *, form: str) -> None:
    """Make the table types_of (query, is_type_1, is_type_1_released, is_in_answer).

    form: of the names of the answers.

    By the two rules of Type 1 (KeBioLM, sec. 4.6.4: answers within queries). is_type_1: a name of an answer
    stands in the text between blanks, both in normal form; so a name may not begin or end within a word.
    is_type_1_released: the released code's rule, any name or the identifier as a part of the text, an empty
    name included. is_in_answer (ours): the given name, `label`, stands in an answer's.
    """
    steps = answer_form if form == "fixed" else FORMS[form]
    compared = with_steps("(SELECT query, bare AS shown, lower(text) AS text FROM queries)", steps("shown"))
    given = with_steps("(SELECT query, label FROM queries)", steps("label"))
    within = "{0} <> '' AND contains(concat(' ', {1}, ' '), concat(' ', {0}, ' '))"
    anywhere = "contains(text, lower(form)) OR contains(text, lower(cui))"
    connection.execute(
        f"""CREATE TABLE types_of AS
        SELECT query, bool_or({within.format("form", "normal")}) AS is_type_1,
            bool_or({anywhere}) AS is_type_1_released,
            bool_or({within.format("given", "form")}) AS is_in_answer
        FROM pairs JOIN (SELECT query, text, form AS normal FROM {compared}) USING (query)
        JOIN (SELECT query, form AS given FROM {given}) USING (query)
        JOIN forms USING (answer) JOIN (SELECT answer, cui FROM answers) USING (answer) GROUP BY query"""
    )


def write_queries(connection: Connection, path: Path) -> None:
    """Write the queries, by number, with the types of `find_types`."""
    connection.execute(
        """CREATE TABLE named AS SELECT answer, cui, name, names, semantic_types FROM answers
        JOIN (SELECT answer, list_sort(list(form)) AS names FROM forms GROUP BY answer) USING (answer)"""
    )
    answered = """SELECT query, list({'cui': cui, 'name': name, 'names': names,
        'semantic_types': semantic_types} ORDER BY cui, name) AS answers
        FROM pairs JOIN named USING (answer) GROUP BY query"""
    given = """SELECT query, list(cui ORDER BY place) AS given, list(lui ORDER BY place) AS luis
        FROM givens GROUP BY query"""
    rows = f"""SELECT query AS query_id, text, relation, direction, coalesce(given, []) AS given,
        coalesce(luis, []) AS luis, coalesce(answers, []) AS answers,
        coalesce(is_type_1, false) AS is_type_1, coalesce(is_type_1_released, false) AS is_type_1_released
        FROM queries LEFT JOIN ({given}) USING (query) LEFT JOIN ({answered}) USING (query)
        LEFT JOIN types_of USING (query) ORDER BY query_id"""
    write_table(connection, rows, path)


def write_table(connection: Connection, rows: str, path: Path) -> None:
    """Write the rows of a query, which says their order, as a Parquet file of a set."""
    options = f"(FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE {_ROWS_OF_A_GROUP})"
    connection.execute(f"COPY ({rows}) TO {quoted(str(path))} {options}")


def counts_of(connection: Connection, path: Path) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """Return the counts of a written set as in table 5 of the paper, and those of each relation."""
    found = connection.execute(
        f"""SELECT relation, {", ".join(COUNTS.values())} FROM {parquet_sql(path)}
        GROUP BY GROUPING SETS ((), (relation)) ORDER BY relation"""
    )
    counted = {relation: dict(zip(COUNTS, numbers, strict=True)) for relation, *numbers in found.fetchall()}
    for counts in counted.values():
        counts["mean_cuis"] = round(counts["answers"] / counts["queries"], 4) if counts["queries"] else None
    whole = counted.pop(None)
    for counts in counted.values():
        del counts["relations"]
    return whole, counted


def count_ambiguous(connection: Connection, *, form: str) -> dict[str, Any]:
    """Count accepted names that several concepts bear, and queries that accept one of another concept.

    Of the tables pairs, answers, forms and bearers (cui, form: the names of all concepts there are). Names
    are one if they are compared as one: under the fixed rule without their blanks.
    """
    key = key_sql("form") if form == "fixed" else "form"
    names, ambiguous, queries = one_row(
        connection,
        f"""WITH accepted AS (
            SELECT query, {key} AS key, count(DISTINCT cui) AS own
            FROM pairs JOIN answers USING (answer) JOIN forms USING (answer) GROUP BY ALL
        ), borne AS (
            SELECT key, count(DISTINCT cui) AS concepts
            FROM (SELECT cui, {key} AS key FROM bearers) SEMI JOIN accepted USING (key) GROUP BY key
        ) SELECT count(*), count(*) FILTER (concepts > 1),
            (SELECT count(DISTINCT query) FROM accepted JOIN borne USING (key) WHERE concepts > own)
        FROM borne""",
    )
    return {
        "names": names,
        "ambiguous_names": ambiguous,
        "ambiguous_share": round(ambiguous / names, 4) if names else None,
        "queries_with_ambiguous_names": queries,
    }
