"""From predictions and a query set to all scores of a probe; no model, no torch."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from tokenizers import Tokenizer

from kebench.probe.candidates import judge, shortest_names
from kebench.probe.record import NO_ANSWER, Group, ProbeScores, longer_than
from kebench.scoring.cloze import Floats, Ints, average, group_means, ranked_earnings
from kebench.scoring.cloze_ranks import answered, ranks

QUERIES_AT_ONCE = 25_000  # bounds memory
# What the queries of a bucket are, by the column that says whether a query is of type 1.
BUCKETS = ("overall", "type_1", "type_2")
_METRICS = ("acc_1", "acc_5", "mrr")


def score_probe(
    queries: pa.Table,
    predictions: pa.Table,
    tokenizer: Tokenizer,
    *,
    max_masks: int,
    generator: np.random.Generator,
) -> ProbeScores:
    """Return all scores of a probe.

    queries: the rows of the query set that were asked, in query_id order; one without predictions is a miss.
    predictions: as in predictions.parquet, in any order. tokenizer: the model's. generator: for intervals.

    Both string rules are applied to any set: `released` compares the names as the set has them.
    """
    earnings = _all_earnings(queries, predictions, tokenizer)
    relation, relations = _encoded(queries["relation"])
    by_released_rule = {"hit": earnings.pop("released")}
    released = _buckets(by_released_rule, relation, queries["is_type_1_released"], generator)
    fixed = _buckets(earnings, relation, queries["is_type_1"], generator)
    shown = {metric: earnings[name] for metric, name in _SHOWN.items()}
    # By word pieces of the shortest accepted name; those longer than any answer are one group.
    by_length = [*map(str, range(1, max_masks + 1)), longer_than(max_masks), NO_ANSWER]
    lengths = shortest_names(queries, tokenizer)
    length = np.where(lengths > 0, np.minimum(lengths, max_masks + 1) - 1, max_masks + 1)
    # A query counts under each semantic type of its answers.
    answers = queries["answers"].combine_chunks()  # the parents of a list count from its chunk's start
    types = pc.struct_field(pc.list_flatten(answers), "semantic_types")
    query = pc.take(pc.list_parent_indices(answers), pc.list_parent_indices(types))
    pairs = pa.table({"query": query, "type": pc.list_flatten(types)})
    distinct = pairs.group_by(["query", "type"], use_threads=False).aggregate([])
    of_type = distinct["query"].to_numpy().astype(np.int64)
    broken_down = {
        "by_relation": _groups(shown, relation, relations),
        "by_semantic_type": _groups(shown, *_encoded(distinct["type"]), of_type),
        "by_answer_length": _groups(shown, length, by_length),
    }
    return ProbeScores.model_validate({"released": released, "fixed": fixed | broken_down})


# What a breakdown shows, and the earnings that it is the mean of.
_SHOWN = {"hit": "hit", **{metric: f"by_mean.{metric}" for metric in _METRICS}}


def _all_earnings(queries: pa.Table, predictions: pa.Table, tokenizer: Tokenizer) -> dict[str, Floats]:
    """Return what each query earns under each metric, from 0 to 1; a block of queries at a time."""
    asked = queries["query_id"].combine_chunks()
    num_unknown = pc.sum(pc.invert(pc.is_in(predictions["query_id"], asked))).as_py() or 0
    assert not num_unknown, f"{num_unknown} predictions are of queries that were not asked"
    blocks = []
    for start in range(0, max(len(queries), 1), QUERIES_AT_ONCE):
        block = queries.slice(start, QUERIES_AT_ONCE)
        ids = asked.slice(start, QUERIES_AT_ONCE)
        judged = judge(block, predictions.filter(pc.is_in(predictions["query_id"], ids)), tokenizer)
        hits = answered(judged.candidates, num_queries=len(block))
        earnings = {"released": judged.released_hits.astype(np.float64), "hit": hits.astype(np.float64)}
        for ranking, normalised in (("by_sum", False), ("by_mean", True)):
            found = ranks(judged.candidates, num_queries=len(block), normalised=normalised)
            earnings |= {f"{ranking}.{metric}": earned for metric, earned in ranked_earnings(found).items()}
        blocks.append(earnings)
    return {metric: np.concatenate([block[metric] for block in blocks]) for metric in blocks[0]}


def hits_of(queries: pa.Table, predictions: pa.Table, tokenizer: Tokenizer) -> Floats:
    """Return of each query whether any answer is right by the fixed rule, 1 or 0; see `score_probe`."""
    return _all_earnings(queries, predictions, tokenizer)["hit"]


def _encoded(strings: pa.ChunkedArray) -> tuple[Ints, list[str]]:
    """Return each string's place among the distinct ones, and these, sorted."""
    names, numbers = np.unique(np.array(strings.to_pylist(), dtype=object), return_inverse=True)
    return numbers.astype(np.int64), names.tolist()


def _buckets(
    earnings: Mapping[str, Floats], relation: Ints, is_type_1: pa.ChunkedArray, generator: np.random.Generator
) -> dict[str, dict[str, Any]]:
    """Average the metrics over all queries, those of type 1, and those of type 2; as records state them."""
    type_1 = np.asarray(is_type_1.to_numpy(), dtype=bool)
    buckets = {}
    for name, rows in zip(BUCKETS, (np.ones_like(type_1), type_1, ~type_1), strict=True):
        within = {metric: earned[rows] for metric, earned in earnings.items()}
        bucket: dict[str, Any] = {"queries": int(rows.sum()), "relations": len(np.unique(relation[rows]))}
        for metric, averages in average(within, relation[rows], generator).items():
            ranking, _, shown = metric.rpartition(".")
            of_ranking = bucket.setdefault(ranking, {}) if ranking else bucket
            of_ranking[shown] = averages._asdict()
        buckets[name] = bucket
    return buckets


def _groups(
    earnings: Mapping[str, Floats], group: Ints, names: list[str], rows: Ints | None = None
) -> dict[str, Group]:
    """Return each group's means, under its name, in the order of the groups' numbers."""
    means = group_means(earnings, group, rows)
    return {
        names[number]: Group(
            queries=int(num_queries),
            **{f"{metric}_percent": float(percents[place]) for metric, percents in means.means.items()},
        )
        for place, (number, num_queries) in enumerate(zip(means.groups, means.num_queries, strict=True))
    }
