"""Tables of multiple choice: what stands beside accuracy, within 80 columns, rounded nowhere for programs."""

import numpy as np

from kebench.report.probe_choice import (
    CHOICE_FIELDS,
    CHOICE_GROUP_FIELDS,
    ChoiceBoard,
    ChoiceRow,
    choice_group_rows,
    choice_groups_sheet,
    choice_rows,
    choice_sheet,
)
from kebench.report.write_latex import sheets_as_latex
from kebench.report.write_terminal import sheets_for_terminal
from kebench.scoring.choice_figures import ChoiceFigures, Shown, choice_figures

SUBSETS = ("clinical_knowledge", "professional_medicine")


def figures(seed: int, *, knows: float, orders: int = 1) -> ChoiceFigures:
    """A hundred questions of which a model knows about some share of the answers."""
    drawn = np.random.default_rng(seed)
    right_Q = drawn.integers(4, size=100)
    is_known_Q = drawn.random(100) < knows
    shown = []
    for order in range(orders):
        is_right_QP = (right_Q[:, None] - order) % 4 == np.arange(4)
        noise_QP = drawn.normal(size=(100, 4))
        score_QP = noise_QP + 9 * (is_right_QP & is_known_Q[:, None])
        shown.append(Shown(score_QP, noise_QP, is_right_QP, drawn.random((100, 4))))
    return choice_figures(
        shown, [SUBSETS[place % 2] for place in range(100)], letters="ABCD", majority=[1],
        generator=np.random.default_rng(0),
    )  # fmt: skip


BOARD = ChoiceBoard(
    "mmlu-med [7f07aa74], 100 questions of split test, fp32",
    ("B",),
    [
        ChoiceRow("smollm2", "smollm2-135m-instruct, 5 shots", "causal", "letter", figures(0, knows=0.2)),
        ChoiceRow("smollm2", "smollm2-135m-instruct, 5 shots", "causal", "char", figures(1, knows=0.6)),
        ChoiceRow("bert-tiny", "bert-tiny, answer-l2r", "masked", "mean", figures(2, knows=0.0)),
    ],
)


def text(board: ChoiceBoard) -> str:
    return sheets_for_terminal([choice_sheet(board)], width=80, is_styled=False)


def test_tables_fit_into_80_columns_with_the_most_above_no_question_first() -> None:
    lines = text(BOARD).splitlines()
    assert max(map(len, lines)) <= 80
    first = next(place for place, line in enumerate(lines) if line.startswith("model, score"))
    assert "char" in " ".join(lines[first + 2 : first + 4])
    assert text(BOARD).count("*") == 2  # the best, and what it means
    sheet = choice_groups_sheet(BOARD.rows[0], "subset", "mmlu-med")
    broken = sheets_for_terminal([sheet], width=80, is_styled=False).splitlines()
    assert max(map(len, broken)) <= 80
    assert {line.partition(" ")[0] for line in broken} >= set(SUBSETS)  # no name is broken
    assert "professional" in sheets_as_latex([sheet])


def test_letters_of_permuted_options_have_a_row_of_right_ones_of_their_own() -> None:
    permuted = ChoiceRow("smollm2", "smollm2, permuted", "causal", "letter", figures(0, knows=0.5, orders=4))
    assert "right, " not in text(BOARD._replace(rows=[BOARD.rows[0]]))
    both = text(BOARD._replace(rows=[BOARD.rows[0], permuted]))
    assert "right, smollm2, permuted" in " ".join(both.split())
    assert all(abs(share.right_percent - 25) < 1e-9 for share in permuted.figures.letters.values())


def test_every_figure_is_there_for_programs() -> None:
    rows, groups = list(choice_rows(BOARD.rows)), list(choice_group_rows(BOARD.rows, "subset"))
    assert {tuple(row) for row in rows} == {CHOICE_FIELDS}
    assert {tuple(row) for row in groups} == {CHOICE_GROUP_FIELDS}
    assert len(rows) == 3 * 7
    assert len(groups) == 3 * 7 * 2
    own = next(row for row in rows if row["source"] == "own" and row["score"] == "char")
    assert own["percent"] == BOARD.rows[1].figures.own.percent
