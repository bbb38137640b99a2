"""Decoded answers and accepted names side by side: from token ids and a query set to what matches what.

A full set has seven million answers, most of them token sequences that other queries got too. So each
sequence is read once, each string and each name gets its normal form once, and queries are put together from
numbers. DuckDB does the joins.

Under the `fixed` rule an answer and a name match if their normal forms without blanks are equal, as far as
the model's tokenizer tells them apart (`kebench.probe.forms`). Under the `released` rule strings are compared
as the code released with KeBioLM does it (`kebench.scoring.cloze_strings`).
"""

from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from tokenizers import Tokenizer

from kebench.probe.forms import make_keys
from kebench.scoring.cloze_ranks import Candidates, Ints
from kebench.scoring.cloze_strings import is_released_hit, reader, released_gold
from kebench.umls.database import Connection, connect

_AT_ONCE = 200_000  # sequences that are decoded together: bounds memory


class Judged(NamedTuple):
    """All decoded answers of some queries, judged.

    candidates: sorted by query, number of masks and rank; query counts the rows of the query table.
    strings: what each sequence of token ids reads as; candidates.sequence points into it.
    released_hits: of each query, whether the released rule takes any of its answers for right.
    """

    candidates: Candidates
    strings: list[str]
    released_hits: NDArray[np.bool_]


def judge(queries: pa.Table, predictions: pa.Table, tokenizer: Tokenizer) -> Judged:
    """Say of each decoded answer whether its query accepts it.

    queries: rows of a query set, with answers. predictions: rows with query_id, num_masks, rank, tokens and
    sum_log_prob, in any order. tokenizer: the model's.
    """
    with connect() as connection:
        _load_queries(connection, queries)
        # The tables sequence (token ids, each once, numbered in their order) and decoded.
        connection.register("predictions", predictions)
        connection.execute(
            """CREATE TABLE sequence AS SELECT tokens, row_number() OVER (ORDER BY tokens) - 1 AS sequence
               FROM (SELECT DISTINCT tokens FROM predictions);
               CREATE TABLE decoded AS SELECT query, num_masks, rank, sequence, sum_log_prob
               FROM predictions JOIN sequence USING (tokens) JOIN asked USING (query_id)"""
        )
        [(num_decoded,)] = connection.execute("SELECT count(*) FROM decoded").fetchall()
        num_unknown = len(predictions) - num_decoded
        assert not num_unknown, f"{num_unknown} predictions are of queries that were not asked"
        # What each sequence reads as, in the order of their numbers.
        read, strings = reader(tokenizer), list[str]()
        found: Any = connection.sql("SELECT tokens FROM sequence ORDER BY sequence")
        for batch in found.to_arrow_reader(_AT_ONCE):
            column = batch.column(0)
            ids = column.values.to_numpy(zero_copy_only=False).tolist()
            bounds = column.offsets.to_numpy().tolist()
            strings += read(ids[start:end] for start, end in pairwise(bounds))
        numbered = {"sequence": pa.array(np.arange(len(strings))), "string": pa.array(strings, pa.string())}
        connection.register("read", pa.table(numbered))
        # The tables reading (each sequence's match key, as a number) and gold (keys a query accepts).
        make_keys(connection, "(SELECT string AS text FROM read UNION SELECT name FROM accepted)", tokenizer)
        connection.execute(
            """CREATE TABLE numbered AS SELECT key, row_number() OVER (ORDER BY key) - 1 AS number
               FROM (SELECT DISTINCT key FROM keyed);
               CREATE TABLE reading AS SELECT sequence, number AS key
               FROM read JOIN keyed ON string = text JOIN numbered USING (key);
               CREATE TABLE gold AS SELECT DISTINCT query, number AS key
               FROM accepted JOIN keyed ON name = text JOIN numbered USING (key) WHERE key <> ''"""
        )
        columns = connection.execute(
            """SELECT query::BIGINT AS query, num_masks::BIGINT AS num_masks, sequence::BIGINT AS sequence,
                   key::BIGINT AS key, sum_log_prob::DOUBLE AS sum_log_prob, gold.key IS NOT NULL AS is_right
               FROM decoded JOIN reading USING (sequence) LEFT JOIN gold USING (query, key)
               ORDER BY query, num_masks, rank"""
        ).fetchnumpy()
        candidates = Candidates(*(np.asarray(columns[name]) for name in Candidates._fields))
        released = _released_hits(connection, candidates, strings, num_queries=len(queries))
    return Judged(candidates, strings, released)


def _load_queries(connection: Connection, queries: pa.Table) -> None:
    """Make the tables asked (which row a query is) and accepted (its names, each once)."""
    columns = queries.select(["query_id", "answers"])
    numbered = columns.append_column("query", pa.array(np.arange(len(queries)), pa.int64()))
    connection.register("given_queries", numbered)
    connection.execute(
        """CREATE TABLE asked AS SELECT query, query_id, answers FROM given_queries;
           CREATE TABLE accepted AS SELECT DISTINCT query, unnest(answer.names) AS name
           FROM (SELECT query, unnest(answers) AS answer FROM asked)"""
    )


def _released_hits(
    connection: Connection, candidates: Candidates, strings: list[str], *, num_queries: int
) -> NDArray[np.bool_]:
    """Apply the released rule to each query's answers. candidates: sorted by query, num_masks and rank."""
    bounds = np.searchsorted(candidates.query, np.arange(num_queries + 1)).tolist()
    # The released code decodes the longest texts first. Where cut texts are equally long it goes by number of
    # masks; predictions do not hold that, and it only matters to the blanks at the ends of the joined line.
    as_released = np.lexsort((-candidates.num_masks, candidates.query))  # stable: ranks stay in order
    sequences: list[int] = candidates.sequence[as_released].tolist()
    gold = connection.execute(
        """SELECT flatten(list_transform(answers, lambda answer: answer.names)),
                  list_transform(answers, lambda answer: answer.cui) FROM asked ORDER BY query"""
    ).fetchall()
    hits = [
        start < end and is_released_hit(map(strings.__getitem__, sequences[start:end]), released_gold(*row))
        for row, (start, end) in zip(gold, pairwise(bounds), strict=True)
    ]
    return np.array(hits, dtype=bool)


def shortest_names(queries: pa.Table, tokenizer: Tokenizer) -> Ints:
    """Return the word pieces of each query's shortest accepted name; 0 where nothing is accepted.

    Names are counted as they stand behind a blank, which byte-level tokenizers take into the first piece.
    """
    counting = Tokenizer.from_str(tokenizer.to_str())  # saved truncation and padding would miscount
    counting.no_truncation()
    counting.no_padding()
    with connect() as connection:
        _load_queries(connection, queries)
        found = connection.execute("SELECT DISTINCT name FROM accepted WHERE name <> '' ORDER BY name")
        names = [name for (name,) in found.fetchall()]
        lengths: list[int] = []
        for start in range(0, len(names), _AT_ONCE):
            spaced = [f" {name}" for name in names[start : start + _AT_ONCE]]
            lengths += map(len, counting.encode_batch_fast(spaced, add_special_tokens=False))
        columns = {"name": pa.array(names, pa.string()), "length": pa.array(lengths, pa.int64())}
        connection.register("pieces", pa.table(columns))
        shortest = connection.execute(
            """SELECT coalesce(min(length), 0)::BIGINT AS length FROM asked LEFT JOIN accepted USING (query)
               LEFT JOIN pieces USING (name) GROUP BY query ORDER BY query"""
        ).fetchnumpy()
    return np.asarray(shortest["length"])
