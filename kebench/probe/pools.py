"""Pools of candidates, for ranking: who stands against whom, and who is true for which query.

One pool a relation and direction, of the distinct answers of the set's queries, by seed; docs/FORMATS.md
describes the files. Two concepts of one normal form are one candidate, and a candidate that is right by CUI
or by name is never a distractor. Of a knowledge base also shots: facts whose question the set does not ask.

Both kinds of sets come with the tables queries, givens, pairs, answers and types_of (kebench.probe.tables),
and with shown (cui, name, key, semantic_types), aliases (cui, name, key: every accepted name) and subjects
(query, name, key, is_inverted). A key is what a name is compared as (`forms.key_sql`).
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from kebench.files import sha256_of
from kebench.probe.forms import COMMA, answer_form, key_sql, shown_form
from kebench.probe.queries import (
    MOST_SHOTS,
    TEXT,
    find_inverted,
    has_mask,
    load,
    reach_answers,
    shown_names,
)
from kebench.probe.query_set import ASKED, CANDIDATES, FLAGS, SHOTS, Pool, Pools
from kebench.probe.recipe import ProbeRecipe
from kebench.probe.tables import write_table
from kebench.umls.database import Connection, one_row
from kebench.umls.knowledge_base import KnowledgeBase
from kebench.umls.names import with_steps

POOLS_VERSION = 1  # raised by every change that can change a pool, a true place or a shot
SEED = 0  # of an imported set
MOST = 100  # candidates of a pool; ours: more cost more and tell less
LEAST = 20  # up to which a pool is filled; ours
TOO_FEW = 5  # with fewer a relation and direction is not ranked; ours
MOST_PLACES = 32_767  # of int16
_MOST_NAMES = 5  # of a candidate, the shown one included; ours


def gather(connection: Connection, kb: KnowledgeBase, recipe: ProbeRecipe) -> None:
    """Make the tables members, shots, shown, aliases and subjects of a knowledge base."""
    _gather_members(connection, kb, recipe)
    _draw_shots(connection, kb, recipe)
    connection.execute(
        """CREATE TABLE first_given AS SELECT query, arg_min(cui, place) AS cui FROM givens GROUP BY query;
        CREATE TABLE wanted AS SELECT cui FROM members UNION SELECT cui FROM first_given
            UNION SELECT cui FROM shots UNION SELECT answer FROM shots"""
    )
    # Names, as they are shown and as they are compared.
    is_wanted = "cui IN (SELECT cui FROM wanted)"
    if not recipe.only_clear:
        find_inverted(connection, kb, "SELECT cui FROM first_given")
    shown = shown_names(kb, is_wanted, lower_case=False, only_clear=recipe.only_clear)
    keyed = with_steps(f"(SELECT cui, shown, semantic_types FROM {shown})", answer_form("shown"))
    connection.execute(
        f"""CREATE TABLE shown AS
        SELECT cui, shown AS name, {key_sql("form")} AS key, semantic_types FROM {keyed}"""
    )
    names = f"(SELECT cui, name FROM {kb.tables()['names']} WHERE {is_wanted})"
    as_shown = with_steps(names, shown_form("name", lower_case=False))
    keyed = with_steps(f"(SELECT cui, name, form AS shown FROM {as_shown})", answer_form("name"))
    connection.execute(
        f"""CREATE TABLE aliases AS SELECT DISTINCT cui, shown AS name, {key_sql("form")} AS key FROM {keyed};
        CREATE TABLE subjects AS SELECT query, name, key, cui IN (SELECT cui FROM inverted
            WHERE {"straight IS NULL" if recipe.only_clear else "true"}) AS is_inverted
        FROM first_given JOIN shown USING (cui)"""
    )


def _gather_members(connection: Connection, kb: KnowledgeBase, recipe: ProbeRecipe) -> None:
    """Make the table members (relation, direction, cui, source): of whom candidates are chosen.

    source: answer (of a query), or what a small pool may be filled up with: relation (an answer of it in the
    knowledge base), type (an answer of another relation's queries, of a semantic type of the answers).
    """
    may_stand = "true"
    if recipe.head_types:  # a head of another type is a true answer, and no candidate
        may_stand = """(direction = 'tail' OR relation NOT IN (SELECT relation FROM head_types)
            OR (relation, cui) IN (SELECT relation, head FROM wanted_heads))"""
    connection.execute(
        f"""CREATE TABLE members AS
        SELECT DISTINCT relation, direction, answer AS cui, 'answer' AS source
        FROM pairs JOIN queries USING (query) WHERE {may_stand};
        CREATE TABLE short AS
        SELECT relation, direction FROM members GROUP BY ALL HAVING count(*) < {2 * LEAST};
        CREATE TABLE types AS SELECT DISTINCT relation, direction, unnest(semantic_types) AS type
        FROM members SEMI JOIN short USING (relation, direction)
        JOIN (SELECT answer AS cui, semantic_types FROM answers) USING (cui)"""
    )
    triples = kb.tables()["triples"]
    same_relation = " UNION ".join(
        f"""SELECT relation, '{end}' AS direction, {end} AS cui FROM {triples}
        WHERE relation IN (SELECT relation FROM short WHERE direction = '{end}')"""
        for end in ("tail", "head")
    )
    same_type = """SELECT DISTINCT types.relation, types.direction, cui
        FROM (SELECT DISTINCT cui, unnest(semantic_types) AS type
            FROM members JOIN (SELECT answer AS cui, semantic_types FROM answers) USING (cui))
        JOIN types USING (type)"""
    for source, found in (("relation", same_relation), ("type", same_type)):
        connection.execute(
            f"""INSERT INTO members
            SELECT relation, direction, unnest(arg_min(cui, {_order(recipe.seed)}, {2 * LEAST})), '{source}'
            FROM ({found}) ANTI JOIN members USING (relation, direction, cui)
            WHERE {may_stand} GROUP BY relation, direction"""
        )


def _order(seed: int, *, by: str = "cui") -> str:
    """Return SQL for an MD5 that decides between the concepts, or texts, of a relation and direction."""
    return f"md5(concat('{seed}|', relation, '|', direction, '|', {by}))"


def _draw_shots(connection: Connection, kb: KnowledgeBase, recipe: ProbeRecipe) -> None:
    """Make the table shots (relation, direction, cui, answer, cuis): facts whose question is not asked.

    Of the table spare_codes, facts with one true answer first; none whose answer stands in the question, or
    the given name in the answer.
    """
    connection.execute(
        """CREATE TABLE spare AS
        SELECT (row_number() OVER (ORDER BY code) - 1)::INTEGER AS query, relation, direction, text_no, label
        FROM (SELECT *, if(code >> 32 & 1 = 0, 'tail', 'head') AS direction FROM spare_codes
            JOIN texts ON text_no = code & 4294967295 JOIN relations ON relation_no = code >> 33)
        ANTI JOIN (SELECT relation, direction, text_no FROM givens
            JOIN (SELECT query, relation, direction FROM queries) USING (query) JOIN numbered USING (cui))
            USING (relation, direction, text_no)"""
    )
    connection.execute(
        """CREATE TABLE spare_questions AS
        SELECT query, relation, direction, cui FROM spare JOIN numbered USING (text_no)"""
    )
    reach_answers(connection, kb, "spare_questions", "spare_reached")
    labels = with_steps("(SELECT query, label FROM spare)", answer_form("label"))
    names = with_steps(
        f"""(SELECT cui AS answer, name FROM {kb.tables()["names"]}
        WHERE cui IN (SELECT answer FROM spare_reached))""",
        answer_form("name"),
    )
    held = f"""SELECT query, answer FROM spare_reached
        JOIN (SELECT query, form AS text FROM {labels}) USING (query)
        JOIN (SELECT answer, form FROM {names}) USING (answer)
        WHERE contains(concat(' ', text, ' '), concat(' ', form, ' '))
            OR contains(concat(' ', form, ' '), concat(' ', text, ' '))"""
    connection.execute(
        f"""CREATE TABLE shots AS SELECT relation, direction, cui, answer, cuis FROM (
            SELECT *, row_number() OVER (PARTITION BY relation, direction ORDER BY answers > 1, key) AS place
            FROM (SELECT query, min(cui) AS cui, list_sort(list(DISTINCT cui)) AS cuis,
                count(DISTINCT answer) AS answers,
                arg_min(answer, {_order(recipe.seed, by="answer")}) AS answer,
                any_value({_order(recipe.seed, by="label")}) AS key,
                any_value(relation) AS relation, any_value(direction) AS direction
                FROM spare_reached JOIN spare USING (query) GROUP BY query)
            ANTI JOIN ({held}) AS held USING (query, answer)
        ) WHERE place <= {MOST_SHOTS} ORDER BY relation, direction, place"""
    )


def write_pools(
    connection: Connection,
    folder: Path,
    *,
    seed: int,
    faults: Mapping[str, str],
    kb: KnowledgeBase | None = None,
    in_given_order: bool = False,
) -> tuple[Pools, dict[str, str]]:
    """Write candidates, what is asked of them, and shots; return what set.json says, and the files' SHA-256.

    faults: relation -> the flag that all its queries have. in_given_order: candidates are the table spaces
    (relation, direction, place, cui, name, key), as a benchmark of others has them: none chosen or renamed.
    """
    connection.execute(
        """CREATE TABLE truths AS
        SELECT DISTINCT relation, direction, query, cui FROM pairs JOIN (SELECT answer, cui FROM answers)
        USING (answer) JOIN (SELECT query, relation, direction FROM queries) USING (query)"""
    )
    if in_given_order:
        connection.execute(
            """CREATE TABLE pooled AS SELECT *, [cui] AS cuis, 'answer' AS source FROM spaces
            SEMI JOIN queries USING (relation, direction)"""
        )
    else:
        _choose(connection, seed)
    connection.execute(
        f"""CREATE TABLE pools AS
        SELECT (row_number() OVER (ORDER BY relation, direction) - 1)::INTEGER AS pool_id, relation, direction
        FROM pooled GROUP BY relation, direction HAVING count(*) >= {TOO_FEW}"""
    )
    _admit_names(connection, only_shown=in_given_order)
    _ask(connection, faults)
    return _write(connection, folder, seed=seed, kb=kb)


def _choose(connection: Connection, seed: int) -> None:
    """Make the table pooled (relation, direction, place, cui, name, key, cuis, source) of the table members.

    key: of the shown name; cui: of those that share it, cuis, the one whose name and rank it has.
    """
    group = "relation, direction, key"
    # One candidate a normal form. What only fills up is left out where an answer has its name.
    connection.execute(
        f"""CREATE TABLE ordered AS
        SELECT relation, direction, key, cui, source, source <> 'answer' AS fills, {_order(seed)} AS hash
        FROM members JOIN (SELECT cui, key, name FROM shown) USING (cui)
        WHERE name <> '' AND NOT ({has_mask("name")});
        CREATE TABLE groups AS
        SELECT {group}, bool_and(fills) AS fills, min(source) AS source, arg_min(cui, (fills, hash)) AS cui,
            min(hash) AS hash, if(bool_and(fills), [arg_min(cui, (fills, hash))],
            list(cui ORDER BY cui) FILTER (NOT fills)) AS cuis
        FROM ordered GROUP BY {group}"""
    )
    # Of every query its true answer of the least MD5; if they alone are too many, those of the queries of the
    # least MD5s.
    connection.execute(
        f"""CREATE TABLE needed AS
        SELECT {group}, row_number() OVER (PARTITION BY relation, direction ORDER BY min(turn)) <= {MOST}
            AS is_needed
        FROM (SELECT relation, direction, query, arg_min(key, hash) AS key, any_value(turn) AS turn
            FROM (SELECT relation, direction, query, cui, {_order(seed, by="text")} AS turn
                FROM truths JOIN (SELECT query, text FROM queries) USING (query))
            JOIN (SELECT {group}, groups.hash, unnest(cuis) AS cui FROM groups WHERE NOT fills)
                USING (relation, direction, cui)
            GROUP BY relation, direction, query)
        GROUP BY {group}"""
    )
    connection.execute(
        f"""CREATE TABLE pooled AS
        SELECT relation, direction, key, cui, name, cuis, source,
            row_number() OVER (PARTITION BY relation, direction ORDER BY hash) - 1 AS place
        FROM (SELECT *, row_number() OVER (PARTITION BY relation, direction
                ORDER BY coalesce(is_needed, false) DESC, source, hash) AS rank
            FROM groups LEFT JOIN needed USING ({group})) JOIN (SELECT cui, name FROM shown) USING (cui)
        WHERE rank <= if(fills, {LEAST}, {MOST})"""
    )


def _admit_names(connection: Connection, *, only_shown: bool) -> None:
    """Make the table admitted (pool_id, place, names): the further names of candidates; none if only_shown.

    A name that another answer of the pool's queries bears as well is admitted for none, and one with a comma
    is mostly another one inverted.
    """
    connection.execute(
        f"""CREATE TABLE further AS
        SELECT pool_id, place, relation, direction, aliases.key, aliases.name, list_sort(cuis) AS cuis
        FROM pooled JOIN pools USING (relation, direction) JOIN aliases USING (cui)
        WHERE aliases.key <> pooled.key AND aliases.name <> '' AND NOT contains(aliases.name, '{COMMA}')
            AND NOT {only_shown} AND NOT ({has_mask("aliases.name")});
        CREATE TABLE borne AS
        SELECT relation, direction, key, list_sort(list(DISTINCT cui)) AS cuis
        FROM (SELECT relation, direction, cui FROM truths
            UNION SELECT relation, direction, unnest(cuis) FROM pooled)
        JOIN aliases USING (cui) SEMI JOIN further USING (relation, direction, key) GROUP BY ALL;
        CREATE TABLE admitted AS
        SELECT pool_id, place, list(name ORDER BY length(name), name)[:{_MOST_NAMES - 1}] AS names FROM (
            SELECT pool_id, place, key, arg_min(name, (length(name), name)) AS name
            FROM further JOIN borne USING (relation, direction, key, cuis) GROUP BY pool_id, place, key)
        GROUP BY pool_id, place"""
    )


def _ask(connection: Connection, faults: Mapping[str, str]) -> None:
    """Make the tables flagged (query, flags) of every query, and asked of those that can be ranked."""
    connection.execute(
        """CREATE TABLE standing AS
        SELECT query, place, true AS is_true, bool_or(by_cui) AS by_cui FROM (
            SELECT query, place, true AS by_cui FROM truths
            JOIN (SELECT relation, direction, place, unnest(cuis) AS cui FROM pooled)
                USING (relation, direction, cui)
            UNION ALL
            SELECT query, place, false FROM truths JOIN aliases USING (cui)
            JOIN (SELECT relation, direction, place, key FROM pooled) USING (relation, direction, key)
        ) GROUP BY query, place;
        INSERT INTO standing
        SELECT query, place, false, false FROM (SELECT query, relation, direction FROM queries)
        JOIN (SELECT query, key FROM subjects) USING (query)
        JOIN (SELECT relation, direction, place, key FROM pooled) USING (relation, direction, key)
        ANTI JOIN standing USING (query, place)"""
    )
    load(connection, "faults", list(faults.items()), relation=TEXT, fault=TEXT)
    flags = {
        "answer_in_question": "is_type_1",
        "question_in_answer": "is_in_answer",
        "inverted_name": "is_inverted",
        "names_subject": "names_subject",
    }
    raised = ", ".join(f"if({condition}, '{flag}', NULL)" for flag, condition in flags.items())
    connection.execute(
        f"""CREATE TABLE flagged AS SELECT query, relation, direction,
            list_filter([fault, {raised}], lambda flag: flag IS NOT NULL) AS flags
        FROM queries LEFT JOIN faults USING (relation)
        LEFT JOIN types_of USING (query) LEFT JOIN subjects USING (query)
        LEFT JOIN (SELECT query, bool_or(NOT is_true) AS names_subject FROM standing GROUP BY query)
            USING (query);
        CREATE TABLE asked AS
        SELECT query, pool_id, true_places, subject_places, flags
        FROM (SELECT query, list(place::SMALLINT ORDER BY place) FILTER (is_true) AS true_places,
            coalesce(list(place::SMALLINT ORDER BY place) FILTER (NOT is_true), []) AS subject_places
            FROM standing GROUP BY query)
        JOIN flagged USING (query) JOIN pools USING (relation, direction)
        JOIN (SELECT relation, direction, count(*) AS size FROM pooled GROUP BY ALL)
            USING (relation, direction)
        WHERE len(true_places) > 0 AND len(true_places) + len(subject_places) < size"""
    )


def _write(
    connection: Connection, folder: Path, *, seed: int, kb: KnowledgeBase | None
) -> tuple[Pools, dict[str, str]]:
    """Write the three files, and count."""
    triples = "(SELECT NULL AS cui, NULL AS num_triples WHERE false)"
    if kb is not None:
        ends = " UNION ALL ".join(
            f"SELECT {end} AS cui, hash(relation, {other}, '{end}') AS fact FROM {kb.tables()['triples']}"
            for end, other in (("head", "tail"), ("tail", "head"))
        )
        triples = f"""(SELECT cui, count(DISTINCT fact) AS num_triples FROM ({ends})
            WHERE cui IN (SELECT cui FROM pooled) GROUP BY cui)"""
    files = {
        CANDIDATES: f"""SELECT pool_id, place::SMALLINT AS place, cui, name,
            list_concat([name], coalesce(names, [])) AS names, semantic_types,
            num_triples::INTEGER AS num_triples, cuis, source, relation, direction
            FROM pooled JOIN pools USING (relation, direction)
            JOIN (SELECT cui, semantic_types FROM shown) USING (cui)
            LEFT JOIN admitted USING (pool_id, place) LEFT JOIN {triples} USING (cui)
            ORDER BY pool_id, place""",
        ASKED: """SELECT query AS query_id, pool_id, true_places, coalesce(name, '') AS subject, flags,
            subject_places
            FROM asked LEFT JOIN (SELECT query, name FROM subjects) USING (query) ORDER BY query_id""",
        SHOTS: """SELECT relation, direction, subject.name AS subject, answer.name AS answer,
            shots.answer AS answer_cui, cuis AS given_cuis
            FROM shots JOIN shown AS subject ON subject.cui = shots.cui
            JOIN shown AS answer ON answer.cui = shots.answer
            ORDER BY relation, direction, shots.rowid""",
    }
    for file, rows in files.items():
        write_table(connection, rows, folder / file)
    return _count(connection, seed), {file: sha256_of(folder / file) for file in files}


def _count(connection: Connection, seed: int) -> Pools:
    """Return what set.json says of the pools."""
    each = "GROUP BY relation, direction"
    counted = connection.execute(
        f"""SELECT relation, direction, pool_id IS NOT NULL, coalesce(reached, 0), coalesce(of_relation, 0),
            coalesce(of_type, 0), coalesce(merged, 0), coalesce(answers, 0), coalesce(by_cui, 0),
            coalesce(by_name, 0), queries, answered, coalesce(with_true, 0), coalesce(ranked, 0),
            coalesce(num_shots, 0)
        FROM (SELECT relation, direction, count(*) AS queries,
            count(*) FILTER (query IN (SELECT query FROM truths)) AS answered,
            count(*) FILTER (query IN (SELECT query FROM standing WHERE is_true)) AS with_true
            FROM queries {each})
        LEFT JOIN (SELECT relation, direction, count(DISTINCT cui) AS answers FROM truths {each})
            USING (relation, direction)
        LEFT JOIN (SELECT relation, direction, count(*) AS reached, sum(len(cuis) - 1)::BIGINT AS merged,
            count(*) FILTER (source = 'relation') AS of_relation, count(*) FILTER (source = 'type') AS of_type
            FROM pooled {each}) USING (relation, direction)
        LEFT JOIN pools USING (relation, direction)
        LEFT JOIN (SELECT relation, direction, count(DISTINCT query) AS ranked,
            count(*) FILTER (is_true AND by_cui) AS by_cui,
            count(*) FILTER (is_true AND NOT by_cui) AS by_name
            FROM asked JOIN (SELECT query, relation, direction FROM queries) USING (query)
            JOIN standing USING (query) {each}) USING (relation, direction)
        LEFT JOIN (SELECT relation, direction, count(*) AS num_shots FROM shots {each})
            USING (relation, direction)
        ORDER BY relation, direction"""
    ).fetchall()
    by_relation: dict[str, dict[Literal["tail", "head"], Pool]] = {}
    not_ranked = dict.fromkeys(("pool_too_small", "without_answers", "no_true_candidate", "no_distractor"), 0)
    candidates = 0
    for relation, direction, is_pool, reached, of_relation, of_type, merged, *numbers in counted:
        answers, by_cui, by_name, queries, answered, with_true, ranked, shots = numbers
        if is_pool:
            candidates += reached
            not_ranked["without_answers"] += queries - answered
            not_ranked["no_true_candidate"] += answered - with_true
            not_ranked["no_distractor"] += with_true - ranked
        else:
            not_ranked["pool_too_small"] += queries
        pool = {
            "asked": MOST,
            "reached": reached,
            "from": "type" if of_type else "relation",
            "answers": answers,
            "fill_ups": {"relation": of_relation, "type": of_type},
            "merged": merged,
            "left_out": {"by_cui": by_cui, "by_name": by_name},
            "too_small": not is_pool,
            "queries": queries,
            "ranked": ranked,
            "shots": shots,
        }
        by_relation.setdefault(relation, {})[direction] = Pool.model_validate(pool)
    flags = "SELECT flag, count(*) FROM (SELECT unnest(flags) AS flag FROM flagged) GROUP BY flag"
    found = dict(connection.execute(flags).fetchall())
    (ranked,) = one_row(connection, "SELECT count(*) FROM asked")
    return Pools(
        version=POOLS_VERSION,
        seed=seed,
        candidates=candidates,
        ranked=ranked,
        not_ranked=not_ranked,
        flags={flag: found.get(flag, 0) for flag in FLAGS},
        by_relation=by_relation,
    )
