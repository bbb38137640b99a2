"""What questions earn and their baselines, worked by hand."""

import numpy as np
import pytest

from kebench.scoring.choice_figures import Shown, choice_figures, earned_by

NAN = np.nan


def shown(score: list[list[float]], right: list[int], **given: list[list[float]]) -> Shown:
    score_QP = np.array(score, dtype=float)
    is_right = np.zeros(score_QP.shape, dtype=bool)
    is_right[np.arange(len(right)), right] = True
    without = np.array(given.get("without", np.zeros(score_QP.shape)), dtype=float)
    chars = np.array(given.get("chars", np.ones(score_QP.shape)), dtype=float)
    return Shown(score_QP, without, is_right, chars)


def test_a_question_earns_the_share_of_its_best_options_that_is_right() -> None:
    one = shown(
        [[-1, -2, -3], [-1, -1, -3], [-3, -2, -1], [-1, -2, NAN]],
        [0, 1, 0, 1],
        without=[[-1, -2, -3], [-1, -2, -3], [0, 0, 0], [-2, -1, NAN]],
        chars=[[5, 5, 1], [1, 2, 9], [9, 2, 1], [1, 2, NAN]],
    )
    earned = earned_by([one], majority=[0])
    assert earned["own"].tolist() == [1, 0.5, 0, 0]
    assert earned["without_question"].tolist() == pytest.approx([1, 0, 1 / 3, 1])
    assert earned["majority"].tolist() == [1, 0, 1, 0]
    assert earned["longest"].tolist() == [0.5, 0, 1, 1]
    assert earned["uniform"].tolist() == pytest.approx([1 / 3, 1 / 3, 1 / 3, 1 / 2])
    # two letters that are as frequent are each named half of the time
    assert earned_by([one], majority=[0, 1])["majority"].tolist() == [0.5] * 4


def test_a_question_without_a_figure_has_none_of_a_baseline_either() -> None:
    one = shown([[NAN, NAN], [-1, -2]], [0, 0], without=[[NAN, NAN], [-1, -2]])
    assert all(np.isnan(values).tolist() == [True, False] for values in earned_by([one], [0]).values())
    figures = choice_figures(
        [one], ["a", "a"], letters="AB", majority=[0], generator=np.random.default_rng(0)
    )
    assert (figures.questions, figures.own.percent, figures.majority.percent) == (1, 100, 100)
    assert figures.own.low_percent is None  # nobody knows the spread of one question
    assert figures.letters["A"].answered_percent == 100


def test_always_answering_a_earns_the_share_of_a_and_nothing_above_chance_when_permuted() -> None:
    right = [0, 0, 1, 2, 3]
    always = [[0.0, -9, -9, -9]] * len(right)
    plain = choice_figures(
        [shown(always, right, without=always)], ["a", "a", "a", "b", "b"], letters="ABCD", majority=[0],
        generator=np.random.default_rng(0),
    )  # fmt: skip
    assert plain.own.percent == plain.majority.percent == pytest.approx(40)
    assert plain.own.macro_percent == pytest.approx((100 * 2 / 3 + 0) / 2)
    assert plain.over_without_question.percent == plain.over_majority.percent == 0
    assert plain.letters["A"].answered_percent == 100
    assert plain.letters["A"].right_percent == pytest.approx(40)
    assert plain.by_subset["a"].own.percent == pytest.approx(100 * 2 / 3)
    # the right option at each letter in turn: one order in four has it at A
    turned = [shown(always, [(place - turn) % 4 for place in right], without=always) for turn in range(4)]
    permuted = choice_figures(
        turned, ["a"] * 5, letters="ABCD", majority=[0], generator=np.random.default_rng(0)
    )
    assert permuted.own.percent == permuted.majority.percent == permuted.uniform.percent == pytest.approx(25)
    assert permuted.own.low_percent is None  # of five questions
    assert permuted.letters["A"].right_percent == pytest.approx(25)
    assert permuted.letters["A"].answered_percent == 100


def test_a_question_with_fewer_options_has_fewer_orders() -> None:
    # the first has three orders, in one of which its right option scores best; the second has two
    first = [[-1, -2, -3], [-2, -1, -3], [-1, -2, -3]]
    right, second = [0, 2, 1], [[-1, -2, NAN], [-1, -2, NAN], [NAN, NAN, NAN]]
    right_of_second = [0, 1, 0]
    orders = []
    for order in range(3):
        chars = [[1, 1, 1], [1, 1, NAN] if order < 2 else [NAN, NAN, NAN]]
        one = shown(
            [first[order], second[order]], [right[order], right_of_second[order]],
            without=[first[order], second[order]], chars=chars,
        )  # fmt: skip
        if order == 2:
            one.is_right_QP[1] = False
        orders.append(one)
    earned = earned_by(orders, majority=[0])
    assert earned["own"].tolist() == pytest.approx([1 / 3, 1 / 2])
    assert earned["majority"].tolist() == pytest.approx([1 / 3, 1 / 2])
    assert earned["uniform"].tolist() == pytest.approx([1 / 3, 1 / 2])
    figures = choice_figures(
        orders, ["a", "a"], letters="ABC", majority=[0], generator=np.random.default_rng(0)
    )
    assert figures.questions == 2
    assert figures.letters["A"].answered_percent == pytest.approx(80)  # in four of five prompts


def test_means_are_micro_over_questions_and_macro_over_subsets_with_paired_differences() -> None:
    drawn = np.random.default_rng(1)
    score, right = drawn.normal(size=(60, 4)), drawn.integers(4, size=60).tolist()
    subsets = ["a"] * 45 + ["b"] * 15
    without = score + drawn.normal(scale=0.1, size=score.shape)
    figures = choice_figures(
        [shown(score.tolist(), right, without=without.tolist())], subsets, letters="ABCD", majority=[2],
        generator=np.random.default_rng(0),
    )  # fmt: skip
    own = score.argmax(axis=1) == right
    unasked = without.argmax(axis=1) == right
    assert figures.own.percent == pytest.approx(100 * own.mean())
    assert figures.own.macro_percent == pytest.approx(50 * (own[:45].mean() + own[45:].mean()))
    assert figures.over_without_question.percent == pytest.approx(100 * (own.mean() - unasked.mean()))
    over, alone = figures.over_without_question, figures.own
    assert over.low_percent is not None and over.high_percent is not None  # noqa: PT018
    assert alone.low_percent is not None and alone.high_percent is not None  # noqa: PT018
    # of each question: nearly the same answers leave little to differ
    assert over.high_percent - over.low_percent < alone.high_percent - alone.low_percent
    assert figures.subsets == 2
    assert sum(one.questions for one in figures.by_subset.values()) == figures.questions == 60


def test_confidence_is_a_softmax_over_the_options() -> None:
    # .8 sure and right once, wrong once: 30 points off
    sure = np.log([[0.8, 0.2], [0.8, 0.2]]).tolist()
    figures = choice_figures(
        [shown(sure, [0, 1])], ["a", "a"], letters="AB", majority=[0], generator=np.random.default_rng(0)
    )
    assert figures.calibration.error_percent == pytest.approx(30)
    assert figures.calibration.brier == pytest.approx((0.2**2 + 0.8**2) / 2)
