"""Queries beside what a model answered, as in the paper's Table 7."""

from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from tokenizers import Tokenizer

from kebench.probe.candidates import Judged, judge
from kebench.scoring.cloze_ranks import in_order, ranks


class Answer(NamedTuple):
    """One decoded answer; mean_log_prob: over its tokens; is_right: by the fixed rule."""

    string: str
    num_masks: int
    mean_log_prob: float
    is_right: bool


class Example(NamedTuple):
    """A query, what it accepts, and what was decoded.

    gold: preferred name and CUI of each concept. one_mask, more_masks: the best answer of one token, and the
    best longer one by mean log probability; None where nothing was decoded.
    right: the best right answer by the fixed rule, None for a miss; rank: its place among num_answers
    different ones. is_released_hit: whether the released rule counts the query as answered.
    """

    query_id: int
    text: str
    relation: str
    gold: tuple[tuple[str, str], ...]
    one_mask: Answer | None
    more_masks: Answer | None
    right: Answer | None
    rank: int
    num_answers: int
    is_released_hit: bool

    def is_hit(self, mode: str) -> bool:
        """Return whether the query counts as answered by the rule of a mode."""
        return self.is_released_hit if mode == "released" else self.right is not None


def examples(queries: pa.Table, predictions: pa.Table, tokenizer: Tokenizer) -> list[Example]:
    """Return an example for each query, in order. predictions: of these queries."""
    judged = judge(queries, predictions, tokenizer)
    found = ranks(judged.candidates, num_queries=len(queries), normalised=True)
    ordered = in_order(judged.candidates, normalised=True)
    bounds = np.searchsorted(judged.candidates.query[ordered], np.arange(len(queries) + 1))
    return [
        _example(row, judged, ordered[bounds[place] : bounds[place + 1]].tolist(), place, int(found[place]))
        for place, row in enumerate(queries.to_pylist())
    ]


def _example(query: dict[str, Any], judged: Judged, rows: list[int], place: int, rank: int) -> Example:
    """Make an example. rows: the query's candidates, best first; place: of the query in its table."""
    candidates = judged.candidates
    return Example(
        query_id=query["query_id"],
        text=query["text"],
        relation=query["relation"],
        gold=tuple((answer["name"], answer["cui"]) for answer in query["answers"]),
        one_mask=_first(judged, [row for row in rows if candidates.num_masks[row] == 1]),
        more_masks=_first(judged, [row for row in rows if candidates.num_masks[row] > 1]),
        right=_first(judged, [row for row in rows if candidates.is_right[row]]),
        rank=rank,
        num_answers=len({int(candidates.key[row]) for row in rows}),
        is_released_hit=bool(judged.released_hits[place]),
    )


def _first(judged: Judged, rows: list[int]) -> Answer | None:
    if not rows:
        return None
    num_masks = int(judged.candidates.num_masks[rows[0]])
    mean = float(judged.candidates.sum_log_prob[rows[0]]) / max(num_masks, 1)
    return Answer(judged.string_of(rows[0]), num_masks, mean, bool(judged.candidates.is_right[rows[0]]))
