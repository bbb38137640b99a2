"""Queries beside what a model answered, as in the paper's Table 7."""

from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from tokenizers import Tokenizer

from kebench.probe.candidates import judge
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
    candidates = judged.candidates
    found = ranks(candidates, num_queries=len(queries), normalised=True).tolist()
    ordered = in_order(candidates, normalised=True)
    bounds = np.searchsorted(candidates.query[ordered], np.arange(len(queries) + 1)).tolist()
    mean_log_prob = candidates.score(normalised=True).tolist()

    def first(rows: NDArray[np.int64]) -> Answer | None:
        if not len(rows):
            return None
        row = int(rows[0])
        num_masks, is_right = int(candidates.num_masks[row]), bool(candidates.is_right[row])
        return Answer(judged.strings[candidates.sequence[row]], num_masks, mean_log_prob[row], is_right)

    made = []
    for place, query in enumerate(queries.to_pylist()):
        rows = ordered[bounds[place] : bounds[place + 1]]  # of its candidates, best first
        made.append(
            Example(
                query_id=query["query_id"],
                text=query["text"],
                relation=query["relation"],
                gold=tuple((answer["name"], answer["cui"]) for answer in query["answers"]),
                one_mask=first(rows[candidates.num_masks[rows] == 1]),
                more_masks=first(rows[candidates.num_masks[rows] > 1]),
                right=first(rows[candidates.is_right[rows]]),
                rank=found[place],
                num_answers=len(np.unique(candidates.key[rows])),
                is_released_hit=bool(judged.released_hits[place]),
            )
        )
    return made
