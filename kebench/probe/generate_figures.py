"""From what models wrote to all figures of a probe; no model, no torch."""

from collections.abc import Mapping, Sequence
from itertools import chain

import numpy as np
import pyarrow as pa
from tokenizers import Tokenizer

from kebench.model.answer_ends import first_answer
from kebench.probe.forms import match_keys
from kebench.probe.generated import Accepted, AskedPool
from kebench.probe.record import GenerateSettings
from kebench.scoring.cloze_strings import is_released_hit, released_gold
from kebench.scoring.generated import (
    METRICS,
    GeneratedFigures,
    WrittenRelation,
    earned,
    generated_figures,
)

BOOTSTRAP_SEED = 0
SCORE = "beam"  # by which answers are ordered; there is no other
COMPARED = ("own", "other_subjects")  # of each query, kept for comparisons of probes


def figures_of(
    written: pa.Table,
    asked: Sequence[AskedPool],
    accepted: Mapping[int, Sequence[Accepted]],
    tokenizer: Tokenizer,
    settings: GenerateSettings,
) -> tuple[GeneratedFigures, pa.Table]:
    """Return all figures, and a row a query of what it earns.

    written: of `WRITTEN_SCHEMA`, in any order. accepted: by query. tokenizer: the model's, which decides what
    of an answer's letters it can tell apart.
    """
    strings: dict[int, list[str]] = {}
    for row in written.select(["query_id", "rank", "string"]).sort_by("rank").to_pylist():
        strings.setdefault(row["query_id"], []).append(row["string"])
    if settings.constrained:
        relations = [_by_name(pools, strings) for pools in _relations(asked)]
    else:
        of_asked = {query_id for one in asked for query_id in one.query_ids}
        names = {name for one in of_asked for each in accepted[one] for name in (each.name, *each.names)}
        texts = sorted(names.union(*strings.values()))
        key_of = dict(zip(texts, match_keys(texts, tokenizer), strict=True))
        relations = [_by_rules(pools, strings, accepted, key_of) for pools in _relations(asked)]
    earnings = [earned(one, beam=settings.beam) for one in relations]
    figures = generated_figures(relations, earnings, np.random.default_rng(BOOTSTRAP_SEED))
    tables = []
    for pools, relation, of_one in zip(_relations(asked), relations, earnings, strict=True):
        number = len(relation.answers)
        columns: dict[str, object] = {
            "score": [SCORE] * number,
            "query_id": list(chain.from_iterable(one.query_ids for one in pools)),
            "relation": [relation.relation] * number,
            "subject": relation.subjects,
        }
        columns |= {f"{source}_{metric}": of_one[source][metric] for source in COMPARED for metric in METRICS}
        tables.append(pa.table(columns))
    return figures, pa.concat_tables(tables)


def out_of_reach(asked: Sequence[AskedPool], accepted: Mapping[int, Sequence[Accepted]]) -> int:
    """Count queries of which every accepted name holds an end sign, so that no answer can be it."""
    return sum(
        all(first_answer(name) != name for one in accepted[query_id] for name in (one.name, *one.names))
        for pool in asked
        for query_id in pool.query_ids
    )


def _relations(asked: Sequence[AskedPool]) -> list[list[AskedPool]]:
    """Return what is asked of each relation and direction; it may be asked by several statements."""
    found: dict[str, list[AskedPool]] = {}
    for one in asked:
        found.setdefault(f"{one.pool.relation}/{one.pool.direction}", []).append(one)
    return list(found.values())


def _by_rules(
    pools: Sequence[AskedPool],
    strings: Mapping[int, Sequence[str]],
    accepted: Mapping[int, Sequence[Accepted]],
    key_of: Mapping[str, str],
) -> WrittenRelation:
    """Return a relation whose answers are compared by normal forms, and by the released rule beside it."""
    query_ids = [query_id for one in pools for query_id in one.query_ids]
    of_queries = [accepted[query_id] for query_id in query_ids]
    released = []
    for query_id, answers in zip(query_ids, of_queries, strict=True):
        gold = released_gold([name for one in answers for name in one.names], [one.cui for one in answers])
        own = strings.get(query_id, [])
        # With no answer, "" would be one.
        released.append([bool(own) and is_released_hit(some, gold) for some in (own[:1], own)])
    return WrittenRelation(
        f"{pools[0].pool.relation}/{pools[0].pool.direction}",
        answers=[[key_of[string] for string in strings.get(query_id, [])] for query_id in query_ids],
        accepted=[
            frozenset(key_of[name] for one in answers for name in one.names) - {""} for answers in of_queries
        ],
        subjects=_subjects(pools),
        true=[frozenset(one.cui for one in answers) for answers in of_queries],
        names={one.cui: key_of[one.name] for answers in of_queries for one in answers},
        released=np.array(released, dtype=np.float64),
    )


def _by_name(pools: Sequence[AskedPool], strings: Mapping[int, Sequence[str]]) -> WrittenRelation:
    """Return a relation whose answers are names of its pool: right are those of true candidates."""
    pool = pools[0].pool
    queries = [pool.queries[place] for one in pools for place in one.places]
    return WrittenRelation(
        f"{pool.relation}/{pool.direction}",
        answers=[strings.get(query.query_id, []) for query in queries],
        accepted=[
            frozenset(name for place in query.true for name in pool.candidates[place].names)
            for query in queries
        ],
        subjects=_subjects(pools),
        true=[frozenset(map(str, query.true)) for query in queries],
        names={str(place): one.names[0] for place, one in enumerate(pool.candidates)},
    )


def _subjects(pools: Sequence[AskedPool]) -> list[str]:
    return [one.pool.queries[place].subject.casefold() for one in pools for place in one.places]
