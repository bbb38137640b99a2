"""A query's first answer: how sure a model is of it, whether it is right, and whether other wordings give it.

Confidence is a softmax over the query's candidates, as in Self-Aware Knowledge Probing (arXiv:2601.18901);
agreement is that of BELIEF (arXiv:2406.12277) over pairs of prompts.
"""

# S queries, C candidates, W wordings

from collections.abc import Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np

from kebench.scoring.calibration import Bin, Judgement, reliability
from kebench.scoring.cloze import Floats
from kebench.scoring.ranked import Bools, known_mean

ANSWER_BINS = 10  # of equal width; ours: fewer than those of Guo et al., for sets of some hundreds of facts


class FirstAnswers(NamedTuple):
    """The first answer of each query, (S,); NaN where no candidate, or no true answer, has a score.

    confidence: its probability. is_right: 1 or 0; where several share the first place, the share of them that
    is true. true_mass: the probability that any of the true answers has.
    """

    confidence: Floats
    is_right: Floats
    true_mass: Floats

    @property
    def brier(self) -> Floats:
        """Squared distance of the confidence from being right (Brier 1950), 0 the best."""
        squared: Floats = (self.confidence - self.is_right) ** 2
        return squared

    def bins(self) -> list[Bin]:
        """Return the bins of a reliability plot; `calibration_error_percent` of them is the ECE."""
        known = ~np.isnan(self.confidence)
        pairs = zip(self.confidence[known].tolist(), self.is_right[known].tolist(), strict=True)
        return reliability((Judgement(*pair) for pair in pairs), ANSWER_BINS)


def first_answers(score_SC: Floats, is_true_SC: Bools) -> FirstAnswers:
    """Judge the first answer of each query. score_SC: logits; NaN where a candidate does not compete."""
    is_first_SC, has_score_S = _first(score_SC)
    shifted_SC = np.where(np.isnan(score_SC), -np.inf, score_SC - _highest(score_SC)[:, None])
    weight_SC = np.exp(shifted_SC)
    known_S = has_score_S & (is_true_SC & ~np.isnan(score_SC)).any(axis=1)

    def share(part_S: Floats, whole_S: Floats) -> Floats:
        return np.divide(part_S, whole_S, out=np.full(len(whole_S), np.nan), where=known_S)

    total_S = weight_SC.sum(axis=1)
    return FirstAnswers(
        confidence=share(weight_SC.max(axis=1, initial=0.0), total_S),
        is_right=share((is_first_SC & is_true_SC).sum(axis=1).astype(np.float64), is_first_SC.sum(axis=1)),
        true_mass=share(np.where(is_true_SC, weight_SC, 0.0).sum(axis=1), total_S),
    )


class Agreement(NamedTuple):
    """How far two rankings of the same candidates agree, of each query, (S,).

    same_first: 1 or 0; the chance of it where several share a first place. rank_correlation: Spearman's, of
    all candidates that both score; NaN where one ranks nothing: all scores are equal.
    """

    same_first: Floats
    rank_correlation: Floats


def agreement(one_SC: Floats, other_SC: Floats) -> Agreement:
    """Compare two matrices of the same queries and candidates; what one lacks is left out of both."""
    from scipy.stats import rankdata  # commands are imported without SciPy

    lacks_SC = np.isnan(one_SC) | np.isnan(other_SC)
    both = [np.where(lacks_SC, np.nan, side) for side in (one_SC, other_SC)]
    (first_SC, has_score_S), (other_first_SC, _) = map(_first, both)
    shared_S = (first_SC & other_first_SC).sum(axis=1).astype(np.float64)
    pairs_S = first_SC.sum(axis=1) * other_first_SC.sum(axis=1)
    same_first = np.divide(shared_S, pairs_S, out=np.full(len(pairs_S), np.nan), where=has_score_S)

    number_S = (~lacks_SC).sum(axis=1)
    centred = [
        np.nan_to_num(rankdata(side, axis=1, nan_policy="omit") - (number_S[:, None] + 1) / 2)
        for side in both
    ]
    covariance_S = (centred[0] * centred[1]).sum(axis=1)
    spread_S = np.sqrt((centred[0] ** 2).sum(axis=1) * (centred[1] ** 2).sum(axis=1))
    correlation = np.divide(covariance_S, spread_S, out=np.full(len(spread_S), np.nan), where=spread_S > 1e-9)
    return Agreement(same_first, correlation)


def agreement_over_wordings(score_WSC: Sequence[Floats]) -> Agreement:
    """Return each query's mean over all pairs of wordings. Raises ValueError for fewer than two."""
    if len(score_WSC) < 2:
        raise ValueError(f"{len(score_WSC)} wording: agreement is of two")
    return mean_agreement([agreement(one, other) for one, other in combinations(score_WSC, 2)])


def agreement_with_negated(score_WSC: Sequence[Floats], negated_SC: Floats) -> Agreement:
    """Return each query's mean over the wordings of agreement with the negated statement.

    A model that reads the negation answers otherwise: high agreement here is no merit (Kassner and Schuetze,
    arXiv:1911.03343).
    """
    return mean_agreement([agreement(one, negated_SC) for one in score_WSC])


def mean_agreement(found: Sequence[Agreement]) -> Agreement:
    """Return each query's mean, of what is known."""
    return Agreement(*(known_mean(values) for values in zip(*found, strict=True)))


def _highest(score_SC: Floats) -> Floats:
    highest_S: Floats = np.max(np.where(np.isnan(score_SC), -np.inf, score_SC), axis=1, initial=-np.inf)
    return highest_S


def _first(score_SC: Floats) -> tuple[Bools, Bools]:
    """Return which candidates share the first place of each query, and which queries have any."""
    highest_S = _highest(score_SC)
    return score_SC == highest_S[:, None], ~np.isnan(score_SC).all(axis=1)
