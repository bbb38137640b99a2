"""Cells print themselves as people read them, and scores below zero are ranked and emphasised like others."""

import pytest

from kebench.grid import UNDEFINED, Cell, Grid, Sheet
from kebench.report.table import Leaderboard, build_leaderboard
from kebench.report.write_markdown import sheets_as_markdown
from kebench.report.write_terminal import sheets_for_terminal
from kebench.tasks.card import all_task_cards
from tests.report.boards import render_markdown, render_terminal
from tests.report.sample_records import sample_record


@pytest.mark.parametrize(
    ("cell", "text"),
    [
        (Cell(-1.25), "-1.2"),
        (Cell(-0.04), "0.0"),  # not a zero below zero
        (Cell(12345), "12,345"),
        (Cell(-1.5, deviation=0.25, n=3, mark="†"), "-1.5±0.2 (3)†"),
        (Cell(-0.5, "+.2f"), "-0.50"),
        (Cell(form="+.1f", interval=(-2.0, 1.0)), "-2.0 to +1.0"),
        (Cell(0.0123, "p", corrected=0.0004), ".012 (<.001)"),
        (Cell(0.5, ".2g", before="~", mark=" (1/2)"), "~0.5 (1/2)"),
        (Cell("words"), "words"),
        (Cell(), "–"),
        (UNDEFINED, "–°"),
    ],
)
def test_a_cell_is_printed_with_all_that_belongs_to_it(cell: Cell, text: str) -> None:
    assert cell.text() == text


def board_below_zero() -> Leaderboard:
    means = {"minilm": -7.0, "bert-tiny": -6.0, "bert-mini": -70.0}
    records = [sample_record(model, "ddi", test=mean) for model, mean in means.items()]
    return build_leaderboard(records, cards=all_task_cards())


def test_the_best_of_scores_below_zero_is_the_nearest_to_zero() -> None:
    shown = render_terminal(board_below_zero(), width=80, is_styled=False).splitlines()
    rows = [line.split() for line in shown if line.startswith(("minilm ", "bert-"))]
    assert rows == [["bert-tiny", "-6.0*", "–"], ["minilm", "-7.0", "–"], ["bert-mini", "-70.0", "–"]]
    assert "| bert-tiny | **-6.0** | – |" in render_markdown(board_below_zero())


def test_numbers_and_missing_ones_of_a_listing_are_set_right_and_words_left() -> None:
    rows = [("a", -1, "x"), ("b", None, "y"), ("c", 10000, "z")]
    sheet = Sheet("", (), (Grid(("name", "number", "word"), rows, layout="listing"),))
    lines = sheets_for_terminal([sheet], width=80, is_styled=False).splitlines()
    assert lines == ["name  number  word", "a         -1  x", "b          -  y", "c     10,000  z"]
    assert "| b | – | y |" in sheets_as_markdown([sheet])
