"""Queries beside what a model answered, as in the paper's Table 7: filled, ranked and by multiple choice."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from tokenizers import Tokenizer

from kebench.probe.candidates import judge
from kebench.probe.choices import SCORES, shown_of
from kebench.probe.query_set import MASK
from kebench.probe.questions import Asked
from kebench.probe.rank_figures import candidate_scores_of, read_said, truth_of
from kebench.probe.ranked import RankedPool, Shots
from kebench.probe.record import RankSettings
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


class Placed(NamedTuple):
    """A candidate by its shown name, with its score."""

    name: str
    score: float
    is_true: bool


class RankedExample(NamedTuple):
    """A query of a ranked probe, under the first wording and the first draw of shots.

    text: without the shots. gold: name and identifiers of each true candidate. best: the best candidates.
    right: the best true one; above, level: false ones with a higher score, and with the same; num_candidates:
    the false ones and itself. lacks: why the query has no place, and then right is None; "" if it has one.
    """

    query_id: int
    text: str
    relation: str
    gold: tuple[tuple[str, str], ...]
    best: tuple[Placed, ...]
    right: Placed | None
    above: int
    level: int
    num_candidates: int
    lacks: str

    @property
    def is_hit(self) -> bool | None:
        """Whether a true answer stands first, and no false one beside it; None if it has no place."""
        return None if self.right is None else self.above + self.level == 0


def ranked_examples(
    scores: pa.Table, pools: Sequence[RankedPool], score: str, settings: RankSettings, *, most: int = 5
) -> Iterator[RankedExample]:
    """Yield an example for each query of the pools. scores: of the probe. most: of the best candidates."""
    is_first = pc.and_(pc.equal(scores["wording"], 0), pc.equal(scores["draw"], 0))
    scores = scores.filter(is_first)
    for pool in pools:
        rows = scores.filter(pc.equal(scores["pool_id"], pool.pool_id))
        found = candidate_scores_of(read_said(rows, pool), pool, 0, 0, settings=settings)[score]
        plain = replace(pool, shots=(Shots((), frozenset()),))
        for place, (query, is_true_C) in enumerate(zip(pool.queries, truth_of(pool), strict=True)):
            score_C = found.score_SC[place]
            known = np.flatnonzero(~np.isnan(score_C))
            ordered = known[np.argsort(-score_C[known], kind="stable")].tolist()
            placed = [
                Placed(pool.candidates[one].names[0], float(score_C[one]), bool(is_true_C[one]))
                for one in ordered
            ]
            right = next((one for one in placed if one.is_true), None)
            false = [one.score for one in placed if not one.is_true]
            lacks = found.lacks
            if not lacks and not (right and false):
                lacks = f"no {'false' if right else 'true'} candidate has a score"
            before, after = plain.statement(0, 0, place)
            yield RankedExample(
                query_id=query.query_id,
                text=f"{before} {MASK}{after}".lstrip(),
                relation=f"{pool.relation}/{pool.direction}",
                gold=tuple(
                    (of.names[0], ", ".join(of.cuis)) for of in (pool.candidates[one] for one in query.true)
                ),
                best=tuple(placed[:most]),
                right=None if lacks else right,
                above=sum(one > right.score for one in false) if right else 0,
                level=sum(one == right.score for one in false) if right else 0,
                num_candidates=len(false) + 1,
                lacks=lacks,
            )


class ChoiceExample(NamedTuple):
    """A question, with its options in their own order.

    scores: of the options; none where the question was left out, and left_out says why. answer, chosen:
    places of the right option, and of those with the best score.
    """

    asked: Asked
    scores: tuple[float, ...]
    chosen: tuple[int, ...]
    left_out: str

    @property
    def is_hit(self) -> bool | None:
        """Whether the right option alone is the best; None if the question has no score."""
        return None if self.left_out else self.chosen == (self.asked.question.answer,)


def choice_examples(choices: pa.Table, questions: Sequence[Asked], score: str) -> Iterator[ChoiceExample]:
    """Yield an example for each question. choices, questions: all of the probe."""
    by = next(by for by, scores in SCORES.items() if score in scores)
    is_shown = pc.and_(pc.equal(choices["by"], by), pc.equal(choices["permutation"], 0))
    choices = choices.filter(is_shown)
    left_out = dict(zip(*(choices[name].to_pylist() for name in ("question_id", "left_out")), strict=True))
    (shown,) = shown_of(choices, questions, by)[score]
    for asked, score_P in zip(questions, shown.score_QP, strict=True):
        reason = left_out[asked.question_id]
        scores = () if reason else tuple(score_P[: len(asked.question.options)].tolist())
        chosen = tuple(place for place, one in enumerate(scores) if one == max(scores))
        yield ChoiceExample(asked, scores, chosen, reason)
