"""Documents with any number of labels: joined from sentences, what is refused, and what is stored."""

from pathlib import Path
from typing import Any

import pytest

from kebench.kinds.classification import CLASSIFICATION, StoredClassification
from kebench.kinds.stored import score_split
from kebench.kinds.texts import Labelled
from kebench.tasks.card import read_task_card
from kebench.tasks.check import check_files
from tests.kinds.forms import made_up, read_text, refusal, refusal_beside, same_however_lines_end

CARD = made_up("classification")
PLAIN = made_up("classification", format="documents")
HEADER = "labels\tsentence\tindex\n"
NONE = "0_0,1_0,2_0"
GOOD = (
    f"{HEADER}0_1,1_0,2_0\tCells grow .\t7_s0\n{NONE}\tWe looked .\t7_s1\n0_0,1_0,2_1\tT cells .\t7_s2\n"
    f"{NONE}\tNothing .\t8_s0\n"
)


def test_sentences_of_a_document_are_joined_and_so_are_their_labels(tmp_path: Path) -> None:
    assert read_text(CARD, tmp_path, GOOD) == [
        Labelled("7", ("Cells grow . We looked . T cells .",), ("growth", "immunity"), 2),
        Labelled("8", ("Nothing .",), (), 5),
    ]


def test_documents_name_their_labels(tmp_path: Path) -> None:
    text = "7\tCells grow.\timmunity | growth\n8\tNothing.\t-\n"
    assert read_text(PLAIN, tmp_path, text) == [
        Labelled("7", ("Cells grow.",), ("growth", "immunity"), 1),
        Labelled("8", ("Nothing.",), (), 2),
    ]
    same_however_lines_end(PLAIN, tmp_path, text)


def test_line_ends_do_not_change_what_is_read(tmp_path: Path) -> None:
    same_however_lines_end(CARD, tmp_path, GOOD)


FORM = "expected 0_0, ..., 2_0 with commas between, and _1 for each that holds"


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("", "empty"),
        (HEADER, "line 1: holds no example"),
        (
            f"{NONE}\tA\t7_s0\n",
            rf"line 1: header '{NONE}\tA\t7_s0', expected labels TAB sentence TAB index",
        ),
        (f"{HEADER}{NONE}\tA\n", "line 2: 2 columns, expected 3 (labels TAB sentence TAB index)"),
        (f"{HEADER}{NONE}\t\t7_s0\n", "line 2: no sentence"),
        (f"{HEADER}0_0,1_0\tA\t7_s0\n", f"line 2: labels '0_0,1_0', {FORM}"),
        (f"{HEADER}{NONE},3_0\tA\t7_s0\n", f"line 2: labels '{NONE},3_0', {FORM}"),
        (f"{HEADER}0_0,2_0,1_0\tA\t7_s0\n", f"line 2: labels '0_0,2_0,1_0', {FORM}"),
        (f"{HEADER}0_0,1_2,2_0\tA\t7_s0\n", f"line 2: labels '0_0,1_2,2_0', {FORM}"),
        (f"{HEADER}growth\tA\t7_s0\n", f"line 2: labels 'growth', {FORM}"),
        (f"{HEADER}{NONE}\tA\t7\n", "line 2: index '7', expected DOCUMENT_sN"),
        (f"{HEADER}{NONE}\tA\t7_sx\n", "line 2: index '7_sx', expected DOCUMENT_sN"),
        (
            f"{HEADER}{NONE}\tA\t7_s{'9' * 5000}\n",
            f"line 2: index '7_s{'9' * 27}', expected DOCUMENT_sN",
        ),
        (
            f"{HEADER}{NONE}\tA\t7_s0\n{NONE}\tB\t8_s0\n{NONE}\tC\t7_s1\n",
            "line 4: a sentence of 7, which begins in line 2, behind another document's",
        ),
        (
            f"{HEADER}{NONE}\tA\t7_s0\n{NONE}\tA\t7_s0\n",
            "line 3: sentence 7_s0 behind 7_s0, expected in order, each once",
        ),
        (
            f"{HEADER}{NONE}\tA\t7_s1\n{NONE}\tA\t7_s0\n",
            "line 3: sentence 7_s0 behind 7_s1, expected in order, each once",
        ),
    ],
)
def test_a_wrong_line_is_named(content: str, complaint: str, tmp_path: Path) -> None:
    assert refusal(CARD, tmp_path, content) == complaint


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("7\tA\n", "line 1: 2 columns, expected 3 (id TAB text TAB labels)"),
        ("7\tA\t\n", "line 1: no labels"),
        ("7\t\t-\n", "line 1: no text"),
        (
            "7\tA\tgrowth|life\n",
            "line 1: label 'life', expected some of growth, death, immunity, or -",
        ),
        ("7\tA\t-\n7\tB\t-\n", "line 2: id 7 stands in line 1 too"),
    ],
)
def test_a_wrong_line_of_documents_is_named(content: str, complaint: str, tmp_path: Path) -> None:
    assert refusal(PLAIN, tmp_path, content) == complaint


def test_a_document_in_two_splits_is_refused(tmp_path: Path) -> None:
    said = refusal_beside(CARD, tmp_path, train=GOOD, test=f"{HEADER}0_1,1_0,2_0\tOther .\t8_s0\n")
    assert said == {"test": f"{tmp_path}/test.tsv line 2: id 8 stands in train.tsv line 5 too; mend the file"}


@pytest.mark.parametrize(
    ("labels", "complaint"),
    [
        (["a", "a"], "each once"),
        (["a", " b"], "without blanks around them"),
        (["a", ""], "without blanks around them"),
        (["a", "-"], "no label is '-'"),
        (["a", "b|c"], r"without tabs and without \|"),
    ],
)
def test_a_card_whose_labels_cannot_be_told_apart_is_refused(labels: list[str], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        made_up("classification", labels=labels)


def stored(predicted: list[list[str]], **more: Any) -> dict[str, Any]:
    part = {"ids": ["7", "8"], "gold": [["growth"], []], "predicted": predicted, "num_cut": 0} | more
    return {"kind": "classification", "labels": ["growth", "death", "immunity"], "dev": part, "test": part}


def test_stored_labels_are_those_of_the_task() -> None:
    StoredClassification.model_validate(stored([["death"], []], confidence_permille=[[900, 800, 700]] * 2))
    with pytest.raises(ValueError, match="a label that is none of the task's"):
        StoredClassification.model_validate(stored([["life"], []]))
    with pytest.raises(ValueError, match="not one number a label"):
        StoredClassification.model_validate(stored([[], []], confidence_permille=[[900, 800]] * 2))
    with pytest.raises(ValueError, match="not of one length"):
        StoredClassification.model_validate(stored([[]]))


def test_no_label_anywhere_scores_nothing_and_a_label_of_most_documents_is_the_majoritys() -> None:
    train = [Labelled(str(row), ("a",), labels, 1) for row, labels in enumerate(
        [("growth",), ("growth", "death"), ("death",), ("growth",)]
    )]  # fmt: skip
    trivial = CLASSIFICATION.trivial(CARD, train, [["growth"], []])
    # growth in 3 of 4 documents, death in 2, which is no majority
    assert trivial == {"all-negative": [[], []], "majority": [["growth"], ["growth"]]}
    assert score_split(stored([[], []]), "test").score_percent == 0
    # 1 gold, 2 predicted, 1 right: 2 / 3
    assert score_split(stored([["growth"]] * 2), "test").score_percent == pytest.approx(200 / 3)


@pytest.mark.realdata
def test_blurbs_files_hold_what_the_card_expects(real_data: Path) -> None:
    card = read_task_card("hoc")
    paths = {split: card.find_split(real_data / "blurb", split) for split in card.files}
    found = check_files(card, paths)
    assert {split: (one.level, one.found and one.found.rows) for split, one in found.items()} == {
        "train": ("ok", 1295), "dev": ("ok", 186), "test": ("ok", 371),
    }  # fmt: skip
    read = {split: CLASSIFICATION.read(card, path).examples for split, path in paths.items()}
    without = {split: sum(not row.label for row in rows) for split, rows in read.items()}
    assert without == {"train": 197, "dev": 22, "test": 53}
    assert sum(without.values()) == 272
