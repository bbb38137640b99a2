"""What multiple choice questions earn and their baselines, and all figures of it that a record keeps.

A question earns 1 where its best option is the right one, 0 where it is not; where several share the first
place, the share of them that is right. Means are micro over questions and macro over subsets, intervals those
of a bootstrap over questions, within each subset for macro ones. Percentages from 0 to 100.
"""

# Q questions, P places of options

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from kebench.cards import Part
from kebench.scoring.cloze import Floats, Ints
from kebench.scoring.first_answers import FirstAnswers, first_answers
from kebench.scoring.macro import MacroMean, macro_means
from kebench.scoring.ranked import Bools, known_mean
from kebench.scoring.ranked_figures import AnswerCalibration, answer_calibration

# What a question earns by its scores and by each baseline, and differences of it.
SOURCES = ("own", "without_question", "majority", "longest", "uniform")
DIFFERENCES = {"over_without_question": "without_question", "over_majority": "majority"}


class MicroFigure(Part):
    """The mean over questions, with its 95% interval over other such questions."""

    percent: float | None
    low_percent: float | None
    high_percent: float | None


class ChoiceFigure(MicroFigure):
    """Also the macro mean over subsets, with its interval over other questions of these subsets."""

    macro_percent: float | None
    macro_low_percent: float | None
    macro_high_percent: float | None


class LetterShare(Part):
    """Of all prompts, the share in which a letter is the first answer, and in which it is the right one."""

    answered_percent: float
    right_percent: float


class SubsetFigures(Part):
    """The questions of one subset that have a figure, and means over them."""

    questions: int
    own: MicroFigure
    without_question: MicroFigure
    majority: MicroFigure
    longest: MicroFigure
    uniform: MicroFigure
    over_without_question: MicroFigure
    over_majority: MicroFigure


class ChoiceFigures(Part):
    """All figures of one probe by one score.

    questions: that have a figure. own: by the question's own scores. without_question: by the scores of the
    same options where the question is left out. majority: naming the most frequent right letter of all
    questions of the split. longest: the option with the most characters. uniform: a random option.
    over_without_question, over_majority: own less these, of each question.
    letters: by letter, or by place where letters are not shown, over all permutations.
    """

    questions: int
    subsets: int
    own: ChoiceFigure
    without_question: ChoiceFigure
    majority: ChoiceFigure
    longest: ChoiceFigure
    uniform: ChoiceFigure
    over_without_question: ChoiceFigure
    over_majority: ChoiceFigure
    letters: dict[str, LetterShare]
    calibration: AnswerCalibration
    by_subset: dict[str, SubsetFigures]


class Shown(NamedTuple):
    """Questions with their options in one order, (Q, P); P is the most options that any has.

    score_QP: NaN where there is no such option, and in all of a question without a figure.
    without_QP: the same with the question left out. is_right_QP: the right option. chars_QP: the length of
    each option, NaN where there is none.
    """

    score_QP: Floats
    without_QP: Floats
    is_right_QP: Bools
    chars_QP: Floats


def earned_by(shown: Sequence[Shown], majority: Sequence[int]) -> dict[str, Floats]:
    """Return what each question earns by each source, the mean over orders; NaN if it has no figure.

    majority: the most frequent right place over all questions of the split, in the order of their files.
    """
    of_order: dict[str, list[Floats]] = {source: [] for source in SOURCES}
    for one in shown:
        there_QP, right_QP = ~np.isnan(one.chars_QP), one.is_right_QP
        majority_QP = np.zeros(right_QP.shape)
        majority_QP[:, list(majority)] = 1.0
        uniform_QP = np.where(there_QP, 0.0, np.nan)
        of_order["own"].append(first_answers(one.score_QP, right_QP).is_right)
        of_order["without_question"].append(first_answers(one.without_QP, right_QP).is_right)
        of_order["majority"].append((majority_QP * right_QP).sum(axis=1) / len(majority))
        of_order["longest"].append(first_answers(one.chars_QP, right_QP).is_right)
        of_order["uniform"].append(first_answers(uniform_QP, right_QP).is_right)
        # All figures are over the same questions. One with fewer options than others has fewer orders.
        lacks_Q = np.isnan(of_order["own"][-1])
        for values in of_order.values():
            values[-1][lacks_Q] = np.nan
    return {source: known_mean(values) for source, values in of_order.items()}


def choice_figures(
    shown: Sequence[Shown],
    subset_Q: Sequence[str],
    *,
    letters: str,
    majority: Sequence[int],
    generator: np.random.Generator,
) -> ChoiceFigures:
    """Return all figures by one score. generator: draws the resamples of intervals."""
    earned = earned_by(shown, majority)
    columns = earned | {name: earned["own"] - earned[of] for name, of in DIFFERENCES.items()}
    value_QM = np.stack([*columns.values()], axis=1)
    is_known_Q = ~np.isnan(earned["own"])
    names, of_subset_Q = np.unique(np.asarray(subset_Q, dtype=object), return_inverse=True)
    rows_of = {
        str(name): np.flatnonzero(is_known_Q & (of_subset_Q == place)) for place, name in enumerate(names)
    }
    rows_of = {name: rows for name, rows in rows_of.items() if len(rows)}

    def means(rows: Ints) -> list[MacroMean]:
        return macro_means(value_QM[rows], np.zeros(len(rows), dtype=np.int64), generator)

    known = np.flatnonzero(is_known_Q)
    micro = means(known)
    # A single subset has one mean, and one interval.
    macro = macro_means(value_QM[known], of_subset_Q[known], generator) if len(rows_of) > 1 else micro
    by_subset = {
        name: SubsetFigures(
            questions=len(rows),
            **{one: MicroFigure(**_percents(mean)) for one, mean in zip(columns, means(rows), strict=True)},
        )
        for name, rows in rows_of.items()
    }
    # The first answers of all orders of a subset are calibrated together.
    first = [first_answers(one.score_QP, one.is_right_QP) for one in shown]
    by_confidence = [
        FirstAnswers(*(np.concatenate([part[rows] for part in parts]) for parts in zip(*first, strict=True)))
        for rows in rows_of.values()
    ]
    return ChoiceFigures(
        questions=int(is_known_Q.sum()),
        subsets=len(rows_of),
        **{
            name: ChoiceFigure(**_percents(of_all), **_percents(of_subsets, "macro_"))
            for name, of_all, of_subsets in zip(columns, micro, macro, strict=True)
        },
        letters=_letters(shown, letters),
        calibration=answer_calibration(by_confidence),
        by_subset=by_subset,
    )


def _letters(shown: Sequence[Shown], letters: str) -> dict[str, LetterShare]:
    """Return how often each letter is answered, where several share the first place by their share."""
    answered, right = [], []
    for one in shown:
        has_score_Q = ~np.isnan(one.score_QP).all(axis=1)
        score_QP = one.score_QP[has_score_Q]
        if len(score_QP):
            is_first_QP = score_QP == np.nanmax(score_QP, axis=1, keepdims=True)
            answered.append(is_first_QP / is_first_QP.sum(axis=1, keepdims=True))
            right.append(one.is_right_QP[has_score_Q])
    if not answered:
        return {}
    shares, truths = (100 * np.concatenate(parts).mean(axis=0) for parts in (answered, right))
    return {
        letter: LetterShare(answered_percent=share, right_percent=truth)
        for letter, share, truth in zip(letters, shares.tolist(), truths.tolist(), strict=False)
    }


def _percents(mean: MacroMean, before: str = "") -> dict[str, float | None]:
    """Return a mean and its interval as fields of a figure."""
    values = (mean.mean, *(mean.facts or (None, None)))
    names = (f"{before}percent", f"{before}low_percent", f"{before}high_percent")
    return {name: None if value is None else 100 * value for name, value in zip(names, values, strict=True)}
