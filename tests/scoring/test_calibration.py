"""Calibration: by hand, and its bins against scikit-learn's on any confidences."""

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.calibration import calibration_curve

from kebench.errors import UserError
from kebench.kinds.ner import entity_judgements
from kebench.kinds.stored import read_predictions, score_split
from kebench.kinds.tagging import word_judgements
from kebench.kinds.texts import decision_judgements
from kebench.scoring.calibration import (
    Judgement,
    calibration_error_percent,
    reliability,
)

JUDGEMENTS = st.lists(
    st.builds(Judgement, st.integers(0, 1000).map(lambda n: n / 1000), st.booleans()), min_size=1
)


def test_the_error_is_the_mean_gap_weighted_by_decisions() -> None:
    # two bins of ten: 0.95 x 3 of which 2 are right (gap 0.95 - 2/3), 0.55 x 1 that is right (gap 0.45)
    found = [*[Judgement(0.95, right) for right in (True, True, False)], Judgement(0.55, True)]
    assert calibration_error_percent(reliability(found, 10)) == pytest.approx(
        100 * (3 * (0.95 - 2 / 3) + 0.45) / 4
    )


def test_no_decision_has_no_error() -> None:
    assert calibration_error_percent(reliability([])) is None


@given(JUDGEMENTS)
def test_bins_are_those_of_scikit_learn(found: list[Judgement]) -> None:
    # eight bins: their edges are exact, so none falls between two ways of rounding; scikit-learn puts an
    # edge itself into the bin below it, we into the one above
    inside = [one for one in found if (one.confidence * 8) % 1 or one.confidence in (0, 1)]
    bins = reliability(inside, 8)
    if not inside:
        assert not bins
        return
    right = np.array([one.is_right for one in inside])
    said = np.array([one.confidence for one in inside])
    accuracy, confidence = calibration_curve(right, said, n_bins=8, strategy="uniform")
    assert [one.accuracy for one in bins] == pytest.approx(list(accuracy))
    assert [one.confidence for one in bins] == pytest.approx(list(confidence))


@given(JUDGEMENTS)
def test_the_error_lies_between_nothing_and_everything(found: list[Judgement]) -> None:
    error = calibration_error_percent(reliability(found))
    assert error is not None
    assert 0 <= error <= 100


def test_an_entity_has_the_product_of_its_words_and_is_right_only_as_a_whole() -> None:
    # predicted [0,2) of 0.9 x 0.8, right; and [3,4) of 0.6, where gold has [3,5)
    part = {
        "ids": ["0"],
        "gold": ["BIOBI"],
        "predicted": ["BIOBO"],
        "num_kept": [5],
        "confidence_permille": [[900, 800, 999, 600, None]],
    }
    predictions = {"kind": "ner", "negative": "", "test": part}
    found = list(entity_judgements(part))
    assert found == [(pytest.approx(0.72), True), (pytest.approx(0.6), False)]
    assert [one.is_right for one in word_judgements(part)] == [True] * 4  # the cut word is no decision
    # 15 bins: 0.72 in [0.667, 0.733), 0.6 in [0.6, 0.667), each with one decision
    assert score_split(predictions, "test").calibration_error_percent == pytest.approx(100 * (0.28 + 0.6) / 2)


def test_relations_are_judged_with_the_negative_label_too() -> None:
    part = {
        "ids": ["0", "1"],
        "gold": ["false", "true"],
        "predicted": ["false", "false"],
        "num_cut": 0,
        "num_missing_markers": 0,
        "confidence_permille": [1000, 750],
    }
    predictions = {"kind": "relation", "negative": "false", "test": part}
    assert list(decision_judgements(predictions["test"])) == [(1.0, True), (0.75, False)]
    assert score_split(predictions, "test").calibration_error_percent == pytest.approx(37.5)


def test_predictions_without_confidences_have_no_error() -> None:
    part = {"ids": ["0"], "gold": ["B"], "predicted": ["B"], "num_kept": [1]}
    assert (
        score_split({"kind": "ner", "negative": "", "test": part}, "test").calibration_error_percent is None
    )


@pytest.mark.parametrize(
    "stored",
    [[[900, 800]], [[900, 800, 1001]], [[900, 800, True]], [[None, 800, 700]], [[0.9, 0.8, 0.7]], [], "all"],
    ids=["short", "above-1000", "truth", "none-for-an-entity", "fractions", "no-lines", "text"],
)
def test_confidences_that_fit_no_prediction_are_refused_with_the_file(tmp_path: Path, stored: Any) -> None:
    part = {"ids": ["0"], "gold": ["BOO"], "predicted": ["BOO"], "num_kept": [3]}
    predictions = {"kind": "ner", "negative": "", "dev": part, "test": part | {"confidence_permille": stored}}
    beside = tmp_path / "run.predictions.json.gz"
    beside.write_bytes(gzip.compress(json.dumps(predictions).encode()))
    with pytest.raises(
        UserError, match=r"run\.predictions\.json\.gz: cannot be read \(test.*confidence_permille"
    ):
        read_predictions(tmp_path / "run.json")


@pytest.mark.parametrize(
    ("kind", "changes", "why"),
    [
        ("ner", {"num_kept": [[1]]}, r"test.num_kept.0: Input should be a valid integer"),
        ("ner", {"num_kept": [4]}, "test: a sentence with more tags, or words kept, than words"),
        ("relation", {"num_cut": None}, "test.num_cut: Input should be a valid integer"),
        (
            "relation",
            {"num_missing_markers": "0"},
            "test.num_missing_markers: Input should",
        ),
    ],
)
def test_counts_beside_predictions_that_are_none_are_refused(
    tmp_path: Path, kind: str, changes: dict[str, Any], why: str
) -> None:
    labels = ["BOO"] if kind == "ner" else ["no"]
    part = {"ids": ["0"], "gold": labels, "predicted": labels, "num_kept": [3], "num_cut": 0}
    part |= {"num_missing_markers": 0}
    predictions = {"kind": kind, "negative": "no", "dev": part, "test": part | changes}
    beside = tmp_path / "run.predictions.json.gz"
    beside.write_bytes(gzip.compress(json.dumps(predictions).encode()))
    with pytest.raises(UserError, match=why):
        read_predictions(tmp_path / "run.json")
