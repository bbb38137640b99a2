"""Ranked answers of cloze queries: which place the first right one has.

All candidates of a query, of every length and beam, compete in one list. Candidates that are the same
answer (equal match keys) count once, at the best of their places.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
SCORE_DECIMALS = 4  # scores that differ by less are ties: hidden states differ by 1e-6 between batch sizes


class Candidates(NamedTuple):
    """Decoded answers, one a row, in any order; every column has as many rows.

    query: which query, counted from 0. num_masks: length in tokens. sequence: a number of the token ids that
    sorts as they do (of two candidates of equal length). key: a number of what the answer matches as.
    sum_log_prob: of its tokens. is_right: whether the query accepts it.
    """

    query: Ints
    num_masks: Ints
    sequence: Ints
    key: Ints
    sum_log_prob: NDArray[np.float64]
    is_right: NDArray[np.bool_]

    def of(self, rows: NDArray[np.bool_] | Ints) -> "Candidates":
        """Return some of the rows."""
        columns = {name: column[rows] for name, column in self._asdict().items()}
        return Candidates(**columns)

    def score(self, *, normalised: bool) -> NDArray[np.float64]:
        """Return the sum of each candidate's log probabilities, or their mean."""
        # A text that was cut may have no place left, and an empty answer.
        return self.sum_log_prob / np.maximum(self.num_masks, 1) if normalised else self.sum_log_prob


def answered(candidates: Candidates, *, num_queries: int) -> NDArray[np.bool_]:
    """Tell of each query whether any candidate is right: hit@(B x L)."""
    hits = np.zeros(num_queries, dtype=bool)
    hits[candidates.query[candidates.is_right]] = True
    return hits


def in_order(candidates: Candidates, *, normalised: bool) -> Ints:
    """Return the rows by query, the best candidate of each first.

    normalised: by mean log probability instead of the sum. Ties by (rounded score, num_masks, token ids).
    """
    score = np.round(candidates.score(normalised=normalised), SCORE_DECIMALS)
    ordered: Ints = np.lexsort((candidates.sequence, candidates.num_masks, -score, candidates.query))
    return ordered


def ranks(candidates: Candidates, *, num_queries: int, normalised: bool) -> Ints:
    """Return the rank of each query's first right answer, from 1; 0 where no candidate is right."""
    found = np.zeros(num_queries, dtype=np.int64)
    competing = candidates.of(answered(candidates, num_queries=num_queries)[candidates.query])
    if not len(competing.query):
        return found
    ordered = competing.of(in_order(competing, normalised=normalised))
    answer = ordered.query * (ordered.key.max() + 1) + ordered.key
    is_new = np.zeros(len(answer), dtype=bool)  # whether the query has not had the same answer before
    is_new[np.unique(answer, return_index=True)[1]] = True
    answers_so_far = np.cumsum(is_new)
    query_starts = np.flatnonzero(np.diff(ordered.query, prepend=-1))
    right_rows = np.flatnonzero(ordered.is_right)
    queries, firsts = np.unique(ordered.query[right_rows], return_index=True)
    # Rows are grouped by query, and each of these queries has a right row, so the two lists run in step.
    found[queries] = answers_so_far[right_rows[firsts]] - answers_so_far[query_starts] + 1
    return found
