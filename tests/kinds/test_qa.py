"""Questions and passages: both forms of file, what is refused of them, and the majority of real ones."""

import json
from pathlib import Path
from typing import Any

import pytest

from kebench.kinds.qa import QA, StoredQa
from kebench.kinds.stored import score_split
from kebench.kinds.texts import Labelled
from kebench.tasks.card import read_task_card
from kebench.tasks.check import check_files
from tests.kinds.forms import made_up, read_text, refusal, refusal_beside, same_however_lines_end

ROWS = made_up("qa")
OBJECTS = made_up("qa", format="json-lines")
GOOD = "a\tDoes zinc help?\tIt does not.\tno\nb\tIs it safe?\tIt is.\tyes\n"
READ = [
    Labelled("a", ("Does zinc help?", "It does not."), "no", 1),
    Labelled("b", ("Is it safe?", "It is."), "yes", 2),
]


def as_objects(rows: list[Labelled], **changes: Any) -> str:
    """Return the same questions a JSON object a line; changes are of the last one's fields, None drops."""
    names = ("id", "sentence1", "sentence2", "label")
    found = [dict(zip(names, (row.id, *row.words, row.label), strict=True)) for row in rows]
    found[-1] = {name: value for name, value in (found[-1] | changes).items() if value is not None}
    return "".join(json.dumps(one) + "\n" for one in found)


def test_both_forms_hold_the_same(tmp_path: Path) -> None:
    assert read_text(ROWS, tmp_path, GOOD) == READ
    assert read_text(OBJECTS, tmp_path, as_objects(READ, long_answer="never read")) == READ


def test_line_ends_do_not_change_what_is_read(tmp_path: Path) -> None:
    same_however_lines_end(ROWS, tmp_path, GOOD)
    same_however_lines_end(OBJECTS, tmp_path, as_objects(READ))


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("", "empty"),
        ("\n", "line 1: holds no example"),
        ("a\tQ?\tP.\n", "line 1: 3 columns, expected 4 (id TAB question TAB passage TAB answer)"),
        ("a\tQ?\tP.\tyes\nb\tQ?\tP.\tperhaps\n", "line 2: answer 'perhaps', expected one of yes, no"),
        ("a\t\tP.\tyes\n", "line 1: no question"),
        ("a\tQ?\t \tyes\n", "line 1: no passage"),
        ("a\tQ?\tP.\t\n", "line 1: no answer"),
        ("a\tQ?\tP.\tyes\na\tQ?\tP.\tno\n", "line 2: id a stands in line 1 too"),
    ],
)
def test_a_wrong_line_is_named(content: str, complaint: str, tmp_path: Path) -> None:
    assert refusal(ROWS, tmp_path, content) == complaint


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("", "empty"),
        ("[1]\n", "line 1: expected an object with id, sentence1, sentence2, label"),
        ('"a"\n', "line 1: expected an object with id, sentence1, sentence2, label"),
        (as_objects(READ, id=7), "line 2: id is missing, empty or no text"),
        (as_objects(READ, sentence1=["Q?"]), "line 2: sentence1 is missing, empty or no text"),
        (as_objects(READ, sentence2=" "), "line 2: sentence2 is missing, empty or no text"),
        (as_objects(READ).replace(', "label": "yes"', ""), "line 2: label is missing, empty or no text"),
        (as_objects(READ, label="perhaps"), "line 2: answer 'perhaps', expected one of yes, no"),
        (as_objects(READ, id="a"), "line 2: id a stands in line 1 too"),
    ],
)
def test_a_wrong_object_is_named(content: str, complaint: str, tmp_path: Path) -> None:
    assert refusal(OBJECTS, tmp_path, content) == complaint


@pytest.mark.parametrize("line", ['{"id": "a",', "[" * 100_000, '{"id": "\\ud800"}', "id: a"])
def test_what_is_not_json_is_named(line: str, tmp_path: Path) -> None:
    assert refusal(OBJECTS, tmp_path, as_objects(READ) + line + "\n").startswith("line 3: not JSON (")


def test_a_question_in_two_splits_is_refused(tmp_path: Path) -> None:
    said = refusal_beside(
        ROWS, tmp_path, train=GOOD, dev="c\tQ?\tP.\tyes\n", test="d\tQ\tP\tno\nc\tQ?\tP.\tyes\n"
    )
    assert said == {"test": f"{tmp_path}/test.tsv line 2: id c stands in dev.tsv line 1 too; mend the file"}


@pytest.mark.parametrize("labels", [["yes", "yes"], ["yes", ""], ["yes", "no "]])
def test_a_card_whose_answers_cannot_be_told_apart_is_refused(labels: list[str]) -> None:
    with pytest.raises(ValueError, match="expected labels without blanks around them, each once"):
        made_up("qa", labels=labels)


def stored(gold: list[str], predicted: list[str]) -> dict[str, Any]:
    ids = [str(row) for row in range(len(gold))]
    part = {"ids": ids, "gold": gold, "predicted": predicted, "num_cut": 0}
    return {"kind": "qa", "labels": ["yes", "no", "maybe"], "dev": part, "test": part}


def test_stored_answers_are_those_of_the_task() -> None:
    StoredQa.model_validate(stored(["yes"], ["no"]))
    for sides in ((["perhaps"], ["no"]), (["yes"], ["perhaps"])):
        with pytest.raises(ValueError, match="a label that is none of the task's"):
            StoredQa.model_validate(stored(*sides))


def test_the_majority_is_that_of_the_training_set() -> None:
    train = [Labelled(str(row), ("q", "p"), label, 1) for row, label in enumerate(["no", "no", "yes"])]
    assert QA.trivial(ROWS, train, ["yes", "yes"]) == {"majority": ["no", "no"]}


@pytest.mark.realdata
@pytest.mark.parametrize(
    ("task", "rows", "majority"),
    [("pubmedqa", (450, 50, 500), 55.2), ("bioasq", (670, 75, 140), 67.1)],
)
def test_blurbs_files_hold_what_the_card_expects_and_their_majority_is_known(
    real_data: Path, task: str, rows: tuple[int, ...], majority: float
) -> None:
    card = read_task_card(task)
    paths = {split: card.find_split(real_data / "blurb", split) for split in card.files}
    found = check_files(card, paths)
    assert [one.level for one in found.values()] == ["ok"] * 3
    assert tuple(one.found.rows for one in found.values() if one.found) == rows
    read = {split: QA.read(card, path).examples for split, path in paths.items()}
    gold = [row.label for row in read["test"]]
    [(name, answers)] = QA.trivial(card, read["train"], gold).items()
    assert name == "majority"
    score = score_split(stored(gold, list(answers)), "test", metric="accuracy").score_percent
    assert score == pytest.approx(majority, abs=0.05)
