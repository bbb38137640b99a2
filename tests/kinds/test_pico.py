"""PICO: files of words, what is refused of them, and the score word by word."""

import random
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from kebench.kinds.kind import Read
from kebench.kinds.pico import PICO, StoredPico, tags_of
from kebench.kinds.tagging import Sentence
from kebench.scoring.metrics import METRICS
from kebench.tasks.card import read_task_card
from kebench.tasks.check import check_files
from tests.kinds.forms import made_up, read_text, refusal, refusal_beside, same_however_lines_end

CARD = made_up("pico")
GOOD = "-DOCSTART- (7)\n\nAdults\tI-PAR\ntook\tO\n.\tO\n\nzinc\tI-INT\n\n-DOCSTART- (8)\n\npain\tI-OUT\n"


def test_documents_and_sentences_are_numbered(tmp_path: Path) -> None:
    assert read_text(CARD, tmp_path, GOOD) == [
        Sentence("7.s0", ("Adults", "took", "."), ["I-PAR", "O", "O"]),
        Sentence("7.s1", ("zinc",), ["I-INT"]),
        Sentence("8.s0", ("pain",), ["I-OUT"]),
    ]


def test_line_ends_do_not_change_what_is_read(tmp_path: Path) -> None:
    same_however_lines_end(CARD, tmp_path, GOOD)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("", "empty"),
        ("-DOCSTART- (7)\n\n", "line 1: holds no example"),
        ("-DOCSTART- (7)\n\nAdults\n", "line 3: 1 column, expected 2 (token TAB tag)"),
        ("-DOCSTART- (7)\n\nAdults\tNN\tO\n", "line 3: 3 columns, expected 2 (token TAB tag)"),
        ("-DOCSTART- (7)\n\n\tO\n", "line 3: no token"),
        (
            "-DOCSTART- (7)\n\nAdults\tI-PRA\n",
            "line 3: tag 'I-PRA'; did you mean 'I-PAR'? expected one of O, I-PAR, I-INT, I-OUT",
        ),
        (
            "-DOCSTART- (7)\n\nAdults\tB-PAR\n",
            "line 3: tag 'B-PAR'; words are scored and not spans, so tags are I- throughout; expected one of "
            "O, I-PAR, I-INT, I-OUT",
        ),
        ("Adults\tO\n", "line 1: a word before the first -DOCSTART- (ID)"),
        ("-DOCSTART-\tO\n\nAdults\tO\n", "line 1: '-DOCSTART-\\x09O', expected -DOCSTART- (ID) alone"),
        ("-DOCSTART- 7\n\nAdults\tO\n", "line 1: '-DOCSTART- 7', expected -DOCSTART- (ID) alone"),
        (
            "-DOCSTART- (7)\n\na\tO\n-DOCSTART- (7)\n\nb\tO\n",
            "line 4: document 7 begins in line 1 too",
        ),
        (b"-DOCSTART- (7)\n\n\xff\tO\n", "line 3: not UTF-8 (invalid start byte)"),
    ],
)
def test_a_wrong_line_is_named(content: str | bytes, complaint: str, tmp_path: Path) -> None:
    said = refusal(CARD, tmp_path, content)
    assert said.replace("'-DOCSTART- O'", "'-DOCSTART-\\x09O'") == complaint


def test_a_document_in_two_splits_is_refused(tmp_path: Path) -> None:
    said = refusal_beside(CARD, tmp_path, train=GOOD, test="-DOCSTART- (9)\n\na\tI-PAR\n\n" + GOOD)
    train, test = tmp_path / "train.tsv", tmp_path / "test.tsv"
    assert said == {"test": f"{test} line 5: document 7 begins in {train.name} line 1 too; mend the file"}


@pytest.mark.parametrize("types", [["PAR", "PAR"], ["PAR", ""], ["PAR ticipants"]])
def test_a_card_whose_types_make_no_tags_is_refused(types: list[str]) -> None:
    with pytest.raises(ValueError, match="expected names without blanks, each once, as they stand behind I-"):
        made_up("pico", types=types)


def test_all_negative_is_no_class_anywhere() -> None:
    gold = [["I-PAR", "O"], ["O"]]
    assert PICO.trivial(CARD, [], gold) == {"all-negative": [["O", "O"], ["O"]]}


def stored(gold: list[list[str]], predicted: list[list[str]]) -> dict[str, Any]:
    part = {
        "ids": [str(row) for row in range(len(gold))],
        "gold": gold,
        "predicted": predicted,
        "num_kept": [len(tags) for tags in gold],
    }
    return {"kind": "pico", "types": ["PAR", "INT", "OUT"], "dev": part, "test": part}


@pytest.mark.parametrize("wrong", [["I-XYZ"], ["B-PAR"], "O"])
def test_stored_tags_are_those_of_the_task(wrong: Any) -> None:
    StoredPico.model_validate(stored([["O"]], [["I-PAR"]]))
    with pytest.raises(ValueError, match="a tag that is none of the task's"):
        StoredPico.model_validate(stored([["O"]], [wrong]))


def as_spans(sentences: list[list[str]]) -> list[list[str]]:
    """Return tags in which each run of one class begins with B-, as entity F1 takes spans."""
    return [
        ["B" + tag[1:] if tag != "O" and tag != before else tag for before, tag in pairwise(["O", *tags])]
        for tags in sentences
    ]


def test_the_score_is_scikit_learns_macro_f1_over_words_and_not_that_of_spans() -> None:
    from sklearn.metrics import f1_score

    draw = random.Random(0)
    for _ in range(20):
        gold, found = (
            [[draw.choice(tags_of(CARD)) for _ in range(length)] for length in (5, 9, 1, 30)]
            for _ in range(2)
        )
        words = [[tag for tags in side for tag in tags] for side in (gold, found)]
        expected = f1_score(*words, labels=tags_of(CARD)[1:], average="macro")
        made = stored(gold, found)
        score = METRICS["word_macro_f1"].score(made, "test")
        assert score == pytest.approx(100 * expected)
        by_span = METRICS["entity_f1"].score(stored(as_spans(gold), as_spans(found)), "test")
        assert by_span is not None
        assert score != pytest.approx(by_span)


@pytest.mark.realdata
def test_blurbs_files_hold_what_the_card_expects(real_data: Path) -> None:
    card = read_task_card("ebm-pico")
    paths = {split: card.find_split(real_data / "blurb", split) for split in ("dev", "test")}
    found = check_files(card, paths)
    assert {split: one.level for split, one in found.items()} == {"dev": "ok", "test": "ok"}
    read: dict[str, Read] = {split: PICO.read(card, path) for split, path in paths.items()}
    assert {split: len(one.types) for split, one in read.items()} == {"dev": 960, "test": 191}
    # A tenth of the words left out: word F1 and span F1 are two numbers on real files.
    draw = random.Random(0)
    gold = [list(row.tags) for row in read["test"].examples]
    noisy = [[tag if draw.random() < 0.9 else "O" for tag in tags] for tags in gold]
    by_word = METRICS["word_macro_f1"].score(stored(gold, noisy), "test")
    by_span = METRICS["entity_f1"].score(stored(as_spans(gold), as_spans(noisy)), "test")
    assert by_word is not None
    assert by_span is not None
    assert by_word > by_span + 20
