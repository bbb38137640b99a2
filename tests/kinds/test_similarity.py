"""Pairs with a score: files, what is refused of them, and that no score is 0 where there is none."""

from pathlib import Path
from typing import Any

import pytest

from kebench.kinds.similarity import SIMILARITY, StoredSimilarity
from kebench.kinds.stored import score_split
from kebench.kinds.texts import Labelled
from kebench.tasks.card import read_task_card
from kebench.tasks.check import check_files
from tests.kinds.forms import made_up, read_text, refusal, refusal_beside, same_however_lines_end

CARD = made_up("similarity")
HEADER = "pair_id\tsent1\tsent2\tscore\n"
GOOD = f"{HEADER}1\tA gene.\tA cell.\t2.4\n2\tA drug.\tNo drug.\t0\n"


def test_pairs_are_read_with_their_scores(tmp_path: Path) -> None:
    assert read_text(CARD, tmp_path, GOOD) == [
        Labelled("1", ("A gene.", "A cell."), 2.4, 2),
        Labelled("2", ("A drug.", "No drug."), 0.0, 3),
    ]


def test_line_ends_do_not_change_what_is_read(tmp_path: Path) -> None:
    same_however_lines_end(CARD, tmp_path, GOOD)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("", "empty"),
        (HEADER, "line 1: holds no example"),
        (
            "1\tA\tB\t2.4\n",
            r"line 1: header '1\tA\tB\t2.4', expected pair_id TAB sent1 TAB sent2 TAB score",
        ),
        (
            HEADER + "1\tA\tB\n",
            "line 2: 3 columns, expected 4 (pair_id TAB sent1 TAB sent2 TAB score)",
        ),
        (HEADER + "1\tA\tB\tnan\n", "line 2: score 'nan', expected a number from 0 to 4"),
        (HEADER + "1\tA\tB\tinf\n", "line 2: score 'inf', expected a number from 0 to 4"),
        (HEADER + "1\tA\tB\t4.01\n", "line 2: score '4.01', expected a number from 0 to 4"),
        (HEADER + "1\tA\tB\t-1\n", "line 2: score '-1', expected a number from 0 to 4"),
        (HEADER + "1\tA\tB\t0_1\n", "line 2: score '0_1', expected a number from 0 to 4"),
        (HEADER + "1\tA\tB\thigh\n", "line 2: score 'high', expected a number from 0 to 4"),
        (HEADER + "1\tA\tB\t\n", "line 2: no score"),
        (HEADER + "1\tA\t \t1\n", "line 2: no sent2"),
        (HEADER + "\tA\tB\t1\n", "line 2: no pair_id"),
        (HEADER + "1\tA\tB\t1\n2\tA\tB\t1\n1\tC\tD\t1\n", "line 4: id 1 stands in line 2 too"),
    ],
)
def test_a_wrong_line_is_named(content: str, complaint: str, tmp_path: Path) -> None:
    assert refusal(CARD, tmp_path, content) == complaint


def test_a_pair_in_two_splits_is_refused(tmp_path: Path) -> None:
    said = refusal_beside(CARD, tmp_path, train=GOOD, dev=f"{HEADER}3\tA\tB\t1\n2\tC\tD\t2\n")
    assert said == {"dev": f"{tmp_path}/dev.tsv line 3: id 2 stands in train.tsv line 3 too; mend the file"}


def test_a_dev_set_of_one_score_can_choose_nothing(tmp_path: Path) -> None:
    said = refusal_beside(CARD, tmp_path, dev=f"{HEADER}1\tA\tB\t1\n2\tC\tD\t1\n")
    assert "no difference between scores, so neither epoch nor learning rate can be chosen" in said["dev"]


def test_a_card_without_a_scale_is_refused() -> None:
    with pytest.raises(ValueError, match="lowest must be below highest"):
        made_up("similarity", lowest=4.0)


def stored(predicted: list[Any]) -> dict[str, Any]:
    part = {"ids": ["1", "2", "3"], "gold": [0.0, 1.0, 4.0], "predicted": predicted, "num_cut": 0}
    return {"kind": "similarity", "dev": part, "test": part}


@pytest.mark.parametrize("wrong", [float("nan"), float("inf"), "1", None])
def test_stored_values_are_numbers(wrong: Any) -> None:
    StoredSimilarity.model_validate(stored([1, 2.5, -7.0]))
    with pytest.raises(ValueError, match="predicted"):
        StoredSimilarity.model_validate(stored([1.0, 2.0, wrong]))


def test_a_constant_has_no_correlation() -> None:
    train = [Labelled(str(row), ("a", "b"), value, 1) for row, value in enumerate((0.0, 1.0, 3.5))]
    trivial = SIMILARITY.trivial(CARD, train, [0.0, 1.0, 4.0])
    assert trivial == {"constant": [1.5, 1.5, 1.5]}
    score = score_split(stored(list(trivial["constant"])), "test")
    assert (score.score_percent, score.further) == (None, {"spearman": None})


@pytest.mark.realdata
def test_blurbs_files_hold_what_the_card_expects(real_data: Path) -> None:
    card = read_task_card("biosses")
    paths = {split: card.find_split(real_data / "blurb", split) for split in card.files}
    found = check_files(card, paths)
    assert {split: (one.level, one.found and one.found.rows) for split, one in found.items()} == {
        "train": ("ok", 64), "dev": ("ok", 16), "test": ("ok", 20),
    }  # fmt: skip
