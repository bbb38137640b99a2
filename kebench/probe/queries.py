"""From a knowledge base to queries (KeBioLM, sec. 4.6.1), in DuckDB, out of core.

Two queries a triple, those of one text merged, at most so many of a relation. The queries are chosen before
any answer is looked up: a release asks tens of millions of questions, of which some hundred thousand stay.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import pyarrow

from kebench.errors import UserError, did_you_mean
from kebench.probe.forms import COMMA, answer_form, ends_in_modifier, key_sql, shown_form, turned
from kebench.probe.recipe import (
    HEAD,
    TAIL,
    ProbeRecipe,
    Quality,
    Wording,
    Words,
    fault_of_relation,
)
from kebench.probe.tables import TEXT_SQL
from kebench.umls.database import Connection, one_row
from kebench.umls.knowledge_base import KnowledgeBase
from kebench.umls.names import with_steps
from kebench.umls.rrf import parquet_sql

TEXT = pyarrow.string()
MOST_SHOTS = 32  # of a relation and direction; ours, eight draws of four
SPARE = 4 * MOST_SHOTS  # looked at, since some hold their answer, and those of one answer are preferred
_OVERDRAWN = 4  # ours; times the cap, where questions that hold their answer are passed over
_MOST_BEST = 999_999  # what DuckDB's arg_min finds at once
_SAMPLED_TRIPLES = 1_000_000  # ours; enough to tell whether a release holds each fact twice


def has_mask(name: str) -> str:
    """Return SQL for whether a name holds what a model would take for the blank."""
    return f"{name} ILIKE '%[MASK]%'"


class Asked(NamedTuple):
    """How many queries have no name that could be shown.

    before_cap: of those that a recipe chooses, how many each relation has before the cap. missing: of those
    that an index names, what the release lacks.
    """

    left_out: dict[str, int]
    before_cap: dict[str, int] = {}
    missing: dict[str, int] = {}


class Relations(NamedTuple):
    """The relations that are asked, sorted, and those that are not. left_out: relation -> why."""

    words: dict[str, Words]
    wordings: dict[str, Wording]
    left_out: dict[str, str]


def load_relations(
    connection: Connection,
    kb: KnowledgeBase,
    recipe: ProbeRecipe,
    words_of: Callable[[str], Words],
    wordings: dict[str, Wording],
    quality: Quality,
) -> Relations:
    """Make the table relations (relation_no, relation, head_first, text_1, text_2, text_3).

    wordings: of relations whose queries are not worded by `words_of`. Raises UserError for a relation that
    the recipe must have and the knowledge base lacks, and if none is left.
    """
    rows = connection.execute(f"SELECT DISTINCT relation FROM {kb.tables()['triples']} ORDER BY 1").fetchall()
    known = [relation for (relation,) in rows]
    if not known:
        raise UserError(f"{kb.folder}: no triples, so nothing to ask; import a release with relations")
    if unknown := [relation for relation in recipe.relations if relation not in known]:
        raise UserError(
            f"no triple has the relation '{unknown[0]}'{did_you_mean(unknown[0], known)} "
            f"kebench kb stats {kb.folder} --by relation shows all"
        )
    wanted = recipe.relations or recipe.relations_if_there
    left_out = {relation: "missing" for relation in wanted if relation not in known}
    words, asked = {}, {}
    for relation in known:
        if wanted and relation not in wanted:
            continue
        of = words_of(relation)
        if relation in wordings:
            of = Words(wordings[relation].statements[0], "wording")
        if recipe.only_clear and (fault := fault_of_relation(relation, of, quality)):
            left_out[relation] = fault
            continue
        words[relation] = of
        asked[relation] = wordings.get(relation) or Wording(statements=(f"{HEAD} {of.words} {TAIL}.",))
    if not words:
        raise UserError(
            f"{kb.folder}: none of the {len(left_out)} relations of the recipe can be asked; kebench kb "
            f"stats {kb.folder} --by relation shows what there is"
        )
    table = []
    for number, (relation, wording) in enumerate(asked.items()):
        # Of words that are not ours, which could hold [X], the ends are known.
        if words[relation].rule == "wording":
            first, second = sorted((HEAD, TAIL), key=wording.statements[0].index)
            before, rest = wording.statements[0].split(first)
            texts = (before, *rest.split(second))
        else:
            first, texts = HEAD, ("", f" {words[relation].words} ", ".")
        table.append((number, relation, first == HEAD, *texts))
    load(
        connection, "relations", table, relation_no=pyarrow.int64(), relation=TEXT,
        head_first=pyarrow.bool_(), text_1=TEXT, text_2=TEXT, text_3=TEXT,
    )  # fmt: skip
    return Relations(words, asked, left_out)


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


def find_inverted(connection: Connection, kb: KnowledgeBase, concepts: str) -> None:
    """Make the table inverted (cui, straight) of concepts whose preferred name is inverted.

    concepts: SQL of rows with a column cui. A name is inverted if its parts between commas in reverse are
    another name of the concept, which is then `straight` (Leukemia, Myeloid, Acute), or if it ends in a
    modifier (`forms.ends_in_modifier`); `straight` is null where the knowledge base has no such name.
    """
    with_comma = f"""(SELECT cui, name FROM {kb.tables()["concepts"]}
        WHERE contains(name, '{COMMA}') AND cui IN (SELECT cui FROM ({concepts})))"""
    shown = f"(SELECT cui, form AS shown FROM {with_steps(with_comma, shown_form('name', lower_case=False))})"
    connection.execute(f"CREATE TABLE with_comma AS FROM {shown} WHERE contains(shown, '{COMMA}')")
    names = f"""(SELECT cui, name FROM {kb.tables()["names"]}
        WHERE cui IN (SELECT cui FROM with_comma) AND NOT contains(name, '{COMMA}'))"""
    by_key = f"(SELECT cui, name, {key_sql('form')} AS key FROM {with_steps(names, answer_form('name'))})"
    reverse = with_steps(
        f"(SELECT cui, shown, {turned('shown')} AS turned FROM with_comma)", answer_form("turned")
    )
    connection.execute(
        f"""CREATE TABLE inverted AS
        SELECT cui, min(name) AS straight FROM (SELECT cui, shown, {key_sql("form")} AS key FROM {reverse})
        LEFT JOIN {by_key} USING (cui, key) GROUP BY cui, shown
        HAVING straight IS NOT NULL OR {ends_in_modifier("shown")}"""
    )


def label_concepts(
    connection: Connection, kb: KnowledgeBase, mode: str, *, lower_case: bool, only_clear: bool = False
) -> None:
    """Make the table labels (cui, label, is_inverted): the name of each concept as a query shows it.

    fixed: the preferred name. released: the form of the first name that is kept of the concept. only_clear:
    an inverted name the right way round, where the knowledge base has it; only then is_inverted is said.
    """
    if mode == "fixed":
        concepts = kb.tables()["concepts"]
        if only_clear:
            find_inverted(connection, kb, f"SELECT cui FROM {concepts}")
        named = shown_names(kb, "true", lower_case=lower_case, only_clear=only_clear)
    else:
        names = parquet_sql(kb.folder / "names.parquet", with_row_number=True)
        named = f"""(SELECT cui, arg_min(form, file_row_number) AS shown, false AS is_inverted
            FROM {names} GROUP BY cui)"""
    connection.execute(f"CREATE TABLE labels AS SELECT cui, shown AS label, is_inverted FROM {named}")


def shown_names(kb: KnowledgeBase, condition: str, *, lower_case: bool, only_clear: bool) -> str:
    """Return SQL for (cui, shown, is_inverted, semantic_types) of the concepts of a condition on cui.

    only_clear: by the table inverted.
    """
    rows = f"(SELECT cui, name, semantic_types, false AS is_inverted FROM {kb.tables()['concepts']})"
    if only_clear:
        rows = f"""(SELECT cui, coalesce(straight, name) AS name, semantic_types,
            inverted.cui IS NOT NULL AND straight IS NULL AS is_inverted
            FROM {kb.tables()["concepts"]} LEFT JOIN inverted USING (cui))"""
    steps = shown_form("name", lower_case=lower_case)
    return f"""(SELECT cui, form AS shown, is_inverted, semantic_types
        FROM {with_steps(f"(FROM {rows} WHERE {condition})", steps)})"""


def choose_queries(connection: Connection, kb: KnowledgeBase, recipe: ProbeRecipe) -> Asked:
    """Make the tables queries, givens and pairs of the tables relations and labels.

    A query is a number until it is chosen: relation, direction and text in 64 bits. Of a recipe of clear
    questions they are more than the cap, for `keep_clear`.
    """
    left_out = number_questions(connection, kb, recipe)
    before = "SELECT relation, count(*) FROM numbers JOIN relations ON relation_no = code >> 33 GROUP BY ALL"
    before_cap = dict(connection.execute(before).fetchall())
    draw_questions(connection, recipe)
    connection.execute(
        f"""CREATE TABLE chosen AS
        SELECT unnest(arg_min(code, {question_key(recipe)}, {_most(recipe)})) AS code
        FROM drawn JOIN {_PARTS} GROUP BY relation_no"""
    )
    connection.execute(
        f"""CREATE TABLE queries AS
        SELECT (row_number() OVER (ORDER BY relation, direction, text) - 1)::INTEGER AS query, *
        FROM (SELECT code, relation, {_DIRECTION} AS direction, text_no, label, {TEXT_SQL}
        FROM chosen JOIN {_PARTS})"""
    )
    connection.execute(
        """CREATE TABLE questions AS
        SELECT query, relation, direction, cui FROM queries JOIN numbered USING (text_no)"""
    )
    reach_answers(connection, kb)
    connection.execute(
        "CREATE TABLE givens AS SELECT DISTINCT query, cui AS place, cui, '' AS lui FROM reached"
    )
    return Asked(left_out, before_cap)


_DIRECTION = "if(code >> 32 & 1 = 0, 'tail', 'head')"
_PARTS = "texts ON text_no = code & 4294967295 JOIN relations ON relation_no = code >> 33"


def question_key(recipe: ProbeRecipe) -> str:
    """Return SQL for the MD5 of "seed|relation|direction|name", by which the least questions are chosen.

    The name, not the text, so that a better wording of a relation asks the same questions.
    """
    return f"md5(concat('{recipe.seed}|', relation, '|', {_DIRECTION}, '|', label))"


def _most(recipe: ProbeRecipe) -> int:
    """Return how many questions of a relation are looked at."""
    return min(recipe.max_queries_per_relation * (_OVERDRAWN if recipe.only_clear else 1), _MOST_BEST)


def draw_questions(connection: Connection, recipe: ProbeRecipe) -> None:
    """Make the tables drawn and spare_codes (code) of the table numbers.

    Of each relation and direction those of the least MD5s, which may be asked, and those of the greatest,
    which serve as shots if they are not.
    """
    connection.execute(
        f"""CREATE TABLE best AS
        SELECT arg_min(code, key, {_most(recipe)}) AS first, arg_max(code, key, {SPARE}) AS last
        FROM (SELECT code, relation_no, {question_key(recipe)} AS key FROM numbers JOIN {_PARTS})
        GROUP BY relation_no, code >> 32 & 1;
        CREATE TABLE drawn AS SELECT unnest(first) AS code FROM best;
        CREATE TABLE spare_codes AS SELECT unnest(last) AS code FROM best;
        DROP TABLE best; DROP TABLE numbers"""
    )


def keep_clear(connection: Connection, recipe: ProbeRecipe) -> int:
    """Keep of the queries those that hold no answer, nor an answer them, at most the cap of each relation.

    Of each relation and direction a tenth, at most `MOST_SHOTS`, is set aside for shots: those of the
    greatest MD5s. Return how many were passed over for their answer. Of the tables queries, givens, pairs and
    types_of, which are renumbered.
    """
    connection.execute(
        f"""CREATE TABLE ranked AS
        SELECT query, is_held, sum((NOT is_held AND NOT is_aside)::INTEGER) OVER (PARTITION BY relation
            ORDER BY key) AS rank, is_aside
        FROM (SELECT *, NOT is_held AND row_number() OVER (PARTITION BY relation, direction, is_held
                ORDER BY key DESC) <= least({MOST_SHOTS}, count(*) OVER (PARTITION BY relation, direction,
                is_held) // 10) AS is_aside
            FROM (SELECT query, relation, direction, {question_key(recipe)} AS key,
                coalesce(is_type_1 OR is_in_answer, false) AS is_held
                FROM queries LEFT JOIN types_of USING (query)))"""
    )
    cap = recipe.max_queries_per_relation
    connection.execute(
        f"""CREATE TABLE kept AS SELECT query, (row_number() OVER (ORDER BY query) - 1)::INTEGER AS number
        FROM ranked WHERE NOT is_held AND NOT is_aside AND rank <= {cap}"""
    )
    for table in ("queries", "givens", "pairs", "types_of"):
        connection.execute(
            f"""CREATE OR REPLACE TABLE {table} AS
            SELECT number AS query, {table}.* EXCLUDE (query) FROM {table} JOIN kept USING (query)"""
        )
    (passed_over,) = one_row(connection, f"SELECT count(*) FROM ranked WHERE is_held AND rank < {cap}")
    return int(passed_over)


def number_questions(connection: Connection, kb: KnowledgeBase, recipe: ProbeRecipe) -> dict[str, int]:
    """Make the tables texts (text_no, label), numbered (cui, text_no) and numbers (code): every question.

    Without what cannot be shown, and with which heads a recipe wants. Return how many queries, one a concept,
    relation and direction, have no name to be shown.
    """
    left_out = _number_texts(connection, kb)
    # By the end that is given. Repeated pairs of concept and relation go first: they stand together.
    facts = _triples(kb)
    if recipe.head_types:
        types = [(relation, type_) for relation, types in recipe.head_types.items() for type_ in types]
        load(connection, "head_types", types, relation=TEXT, type=TEXT)
        connection.execute(
            f"""CREATE TABLE wanted_heads AS
            SELECT DISTINCT relation, cui AS head FROM {kb.tables()["concepts"]} AS concepts
            JOIN head_types ON list_contains(semantic_types, type)"""
        )
        facts = f"""(FROM {facts} WHERE relation NOT IN (SELECT relation FROM head_types)
            OR (relation, head) IN (SELECT relation, head FROM wanted_heads))"""
    codes = " UNION ALL ".join(
        f"""SELECT DISTINCT relation_no << 33 | {bit << 32} | text_no AS code
        FROM (SELECT DISTINCT relation_no, {given} AS cui FROM {facts}) JOIN numbered USING (cui)"""
        for bit, given in enumerate(("head", "tail"))
    )
    connection.execute(f"CREATE TABLE numbers AS {codes}")
    return left_out


def _number_texts(connection: Connection, kb: KnowledgeBase) -> dict[str, int]:
    bad = f"label = '' OR {has_mask('label')} OR is_inverted"
    connection.execute(
        f"""CREATE TABLE texts AS SELECT row_number() OVER (ORDER BY label) - 1 AS text_no, label
        FROM (SELECT DISTINCT label FROM labels WHERE NOT ({bad}))"""
    )
    connection.execute(
        f"""CREATE TABLE numbered AS
        SELECT cui, text_no FROM (FROM labels WHERE NOT ({bad})) JOIN texts USING (label)"""
    )
    connection.execute(
        f"""CREATE TABLE unlabelled AS
        SELECT cui, CASE WHEN label = '' THEN 'empty_name' WHEN {has_mask("label")} THEN 'mask_in_name'
            ELSE 'inverted_name' END AS fault FROM labels WHERE {bad};
        DROP TABLE labels"""
    )
    ends = " UNION ALL ".join(
        f"""SELECT DISTINCT relation_no, '{end}' AS given, cui, fault
        FROM {_triples(kb)} JOIN unlabelled ON cui = {end}"""
        for end in ("head", "tail")
    )
    found = dict(connection.execute(f"SELECT fault, count(*) FROM ({ends}) GROUP BY fault").fetchall())
    return {"empty_name": 0, "mask_in_name": 0} | found


def reach_answers(
    connection: Connection, kb: KnowledgeBase, questions: str = "questions", reached: str = "reached"
) -> None:
    """Make the table reached (query, cui, answer) of a table of questions (query, relation, direction, cui).

    Of the queries' own also the table pairs (query, answer).
    """
    triples = kb.tables()["triples"]
    sides = " UNION ALL ".join(
        f"""SELECT query, cui, triple.{asked} AS answer FROM {triples} AS triple JOIN {questions} AS asked
        ON asked.relation = triple.relation AND cui = triple.{given} AND direction = '{asked}'"""
        for asked, given in (("tail", "head"), ("head", "tail"))
    )
    connection.execute(f"CREATE TABLE {reached} AS SELECT DISTINCT query, cui, answer FROM ({sides})")
    if reached == "reached":
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
