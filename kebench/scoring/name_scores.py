"""From the probabilities of names to scores of the concepts that have them: which part counts, against what.

`sum` favours short and frequent names: surface forms compete (Holtzman et al., arXiv:2104.08315). `mean` and
`char` divide by length (lm-evaluation-harness's acc_norm); `pmi` divides by the probability after a statement
without a subject (Holtzman et al.; Zhao et al., arXiv:2102.09690), `column` by that after other subjects.
"""

# S queries of one relation and direction, N names of the C candidates of their pool

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from kebench.scoring.cloze import Floats, Ints
from kebench.scoring.cloze_ranks import SCORE_DECIMALS

SCORES: Mapping[str, str] = {
    "sum": "log probability of the name",
    "mean": "log probability of the name, a token",
    "char": "log probability of the name, a character",
    "first": "log probability of the name's first token",
    "pmi": "log probability of the name, less that without a subject",
    "column": "log probability of the name, less the log of its mean over other subjects",
    "given": "log probability of what follows, given the name",
}
MIN_COLUMN_QUERIES = 20  # ours: of fewer, the mean of a column is mostly chance


class NameParts(NamedTuple):
    """What a model says of each name in each statement, (S, N), natural logarithms; NaN where not scored.

    total: sum over the tokens of the name. first: its first token. num_tokens: of the name.
    given: sum over the tokens behind the blank, given the name; None where there are none.
    """

    total_SN: Floats
    first_SN: Floats
    num_tokens_SN: Ints
    given_SN: Floats | None = None


class PoolNames(NamedTuple):
    """The names of a pool: of which candidate, from 0, in its order; how many characters it has."""

    candidate_N: Ints
    num_chars_N: Ints


class CandidateScores(NamedTuple):
    """Scores of the candidates, (S, C), and of the same without a subject, (C,); NaN where there is none.

    neutral: None where no such statement was asked. lacks: why there are no scores at all, "" if there are.
    """

    score_SC: Floats
    neutral_C: Floats | None
    lacks: str = ""


def candidate_scores(
    parts: NameParts,
    names: PoolNames,
    subject_S: Sequence[Any] | NDArray[Any],
    *,
    neutral: NameParts | None = None,
) -> dict[str, CandidateScores]:
    """Return every score of SCORES of the queries of one relation and direction.

    subject_S: what each query is about. neutral: the one statement without a subject, (1, N).

    A concept's probability is the sum over its names (`sum`, `pmi`, `column`); what follows is given one of
    its names, each as likely (`given`); of a mean, or a first token, which several names may share, the best
    name counts (`mean`, `char`, `first`). Names without a score do not count. Rounded, so that what differs
    by a batch's rounding alone is a tie.
    """
    assert neutral is None or neutral.total_SN.shape[0] == 1, "one statement without a subject"
    num_queries = len(parts.total_SN)
    order = np.argsort(names.candidate_N, kind="stable")
    numbers, starts = np.unique(names.candidate_N[order], return_index=True)
    assert (numbers == np.arange(len(numbers))).all(), "every candidate of the pool has a name"

    def stacked(name: str) -> Floats:
        """Return a part, names in the order of candidates, the neutral statement as the last row."""
        rows = [getattr(one, name) for one in (parts, neutral) if one is not None]
        stacked_RN: Floats = np.concatenate(rows).astype(np.float64)[:, order]
        return stacked_RN

    def split(score_RC: Floats, lacks: str = "") -> CandidateScores:
        rounded_RC = np.round(score_RC, SCORE_DECIMALS)
        return CandidateScores(rounded_RC[:num_queries], rounded_RC[num_queries] if neutral else None, lacks)

    total_RN, tokens_RN = stacked("total_SN"), stacked("num_tokens_SN")
    sum_RC, _ = _log_sums(total_RN, starts)
    nothing_RC = np.full(sum_RC.shape, np.nan)
    each_RN = {
        "mean": np.divide(total_RN, tokens_RN, out=np.full(total_RN.shape, np.nan), where=tokens_RN > 0),
        "char": total_RN / names.num_chars_N[order],
        "first": stacked("first_SN"),
    }
    best = {score: split(np.fmax.reduceat(each_RN[score], starts, axis=1)) for score in each_RN}
    pmi = split(nothing_RC, "no statement without a subject was asked")
    if neutral:
        pmi = split(sum_RC - sum_RC[num_queries])
    less_mean = less_column_mean(
        sum_RC[:num_queries], subject_S, neutral_C=sum_RC[num_queries] if neutral else None
    )
    column_RC = [less_mean.score_SC] + ([] if less_mean.neutral_C is None else [less_mean.neutral_C[None]])
    given = split(nothing_RC, "nothing stands behind the blank")
    if parts.given_SN is not None and (neutral is None or neutral.given_SN is not None):
        log_sum_RC, number_RC = _log_sums(stacked("given_SN"), starts)
        given = split(log_sum_RC - np.log(np.maximum(number_RC, 1)))
    column = split(np.concatenate(column_RC), less_mean.lacks)
    return {"sum": split(sum_RC), **best, "pmi": pmi, "column": column, "given": given}


def _log_sums(value_RN: Floats, starts: Ints) -> tuple[Floats, Ints]:
    """Return the log of the sum of each candidate's names, NaN where none has a score, and how many have."""
    is_known_RN = ~np.isnan(value_RN)
    number_RC = np.add.reduceat(is_known_RN, starts, axis=1, dtype=np.int64)
    sum_RC = np.logaddexp.reduceat(np.where(is_known_RN, value_RN, -np.inf), starts, axis=1)
    return np.where(number_RC > 0, sum_RC, np.nan), number_RC


def less_column_mean(
    score_SC: Floats, subject_S: Sequence[Any] | NDArray[Any], *, neutral_C: Floats | None = None
) -> CandidateScores:
    """Return scores less the logarithm of their column's mean probability over queries of other subjects.

    score_SC: log probabilities. What is the same in all rows, as a frequent or a short name is, goes: a
    constant added to a column changes nothing. It depends on the queries that are asked. neutral_C: less the
    mean over all queries.

    Under the null, that no row tells of its subject, own and other rows have the same distribution. A model
    that knows the answers of many subjects makes other subjects earn less than chance: each answer is high in
    its own rows, and so below its column's mean in others.
    """
    subject = np.unique(np.asarray(subject_S), return_inverse=True)[1].reshape(-1)
    num_subjects = int(subject.max(initial=-1)) + 1
    if num_subjects < MIN_COLUMN_QUERIES:
        lacks = f"the mean of a column needs {MIN_COLUMN_QUERIES} subjects, the relation has {num_subjects}"
        nothing = np.full(score_SC.shape, np.nan)
        return CandidateScores(nothing, None if neutral_C is None else nothing[0], lacks)
    is_scored_SC = ~np.isnan(score_SC)
    known_SC = np.where(is_scored_SC, score_SC, -np.inf)
    # By subject G: log of the sum of its rows, and their number. What comes before and behind is added, not
    # taken from the whole: of a column that one row dominates nothing would be left.
    order = np.argsort(subject, kind="stable")
    starts = np.searchsorted(subject[order], np.arange(num_subjects))
    sum_GC = np.logaddexp.reduceat(known_SC[order], starts, axis=0)
    number_GC = np.add.reduceat(is_scored_SC[order].astype(np.int64), starts, axis=0)
    none_1C = np.full((1, score_SC.shape[1]), -np.inf)
    before_GC = np.concatenate([none_1C, np.logaddexp.accumulate(sum_GC, axis=0)[:-1]])
    behind_GC = np.concatenate([np.logaddexp.accumulate(sum_GC[::-1], axis=0)[::-1][1:], none_1C])
    others_GC = np.logaddexp(before_GC, behind_GC)
    number_others_GC = number_GC.sum(axis=0) - number_GC

    def log_mean(log_sum: Floats, number: Ints) -> Floats:
        enough = number >= MIN_COLUMN_QUERIES - 1
        return np.where(enough, log_sum - np.log(np.maximum(number, 1)), np.nan)

    with np.errstate(invalid="ignore"):  # of a column that no row scores
        column_SC = score_SC - log_mean(others_GC, number_others_GC)[subject]
        whole_C = log_mean(np.logaddexp.reduce(sum_GC, axis=0), number_GC.sum(axis=0))
    return CandidateScores(column_SC, None if neutral_C is None else neutral_C - whole_C)
