"""Calibration of a cell: by hand, over seeds, and what is said where confidences were not kept."""

from typing import Any

import pytest

from kebench.grid import Sheet
from kebench.report.calibration import calibration_grid, calibrations, with_calibration

SHEET = Sheet("title", (), (), ("a note",))


def relation(*permille: int) -> dict[str, Any]:
    gold = ["yes", "no"]
    part = {"gold": gold, "predicted": ["yes", "yes"], "confidence_permille": list(permille)}
    return {"kind": "relation", "negative": "no", "test": part}


def test_bins_are_of_all_seeds_and_the_error_is_a_mean_over_them() -> None:
    # seed 0: 0.9 right (gap 0.1), 0.8 wrong (gap 0.8): 45%. seed 1: both 0.9, gap 0.9 - 0.5: 40%
    (found,) = calibrations([relation(900, 800), relation(900, 900)])
    assert found.error.mean == pytest.approx(42.5)
    assert found.words == "expected calibration error of instances: 42.5 ± 3.5%"
    grid = calibration_grid(found)
    # 0.8 falls into [0.80, 0.87): one of the two runs has one; three of 0.9, two of them right
    assert grid.texts == (("0.80 to 0.87", "0.5", "80.0", "0.0"), ("0.87 to 0.93", "1.5", "90.0", "66.7"))


def test_a_row_is_named_after_its_bin_though_the_mean_of_its_confidences_is_rounded_below_it() -> None:
    # ten times 0.6, the lower edge of the tenth bin: their mean is 0.5999999999999999
    found = calibrations([relation(*[600] * 2)] * 5)
    assert found[0].bins[0].confidence < 0.6
    assert [row[0] for row in calibration_grid(found[0]).rows] == ["0.60 to 0.67"]


def test_ner_has_entities_and_words() -> None:
    part = {"gold": ["BO"], "predicted": ["BO"], "confidence_permille": [[900, 1000]]}
    found = calibrations([{"kind": "ner", "negative": "", "test": part}])
    assert [one.decisions for one in found] == ["predicted entities", "words"]
    assert [round(one.error.mean, 6) for one in found] == [10, 5]
    assert with_calibration(SHEET, found).notes[-1].startswith("Expected calibration error of predicted ent")


def test_one_run_without_confidences_leaves_it_out_and_says_so() -> None:
    old = relation(900, 800)
    del old["test"]["confidence_permille"]
    assert calibrations([relation(900, 800), old]) == []
    assert "before confidences were kept" in with_calibration(SHEET, []).notes[-1]
    assert with_calibration(SHEET, []).grids == ()


def test_a_model_that_predicts_nothing_has_no_error_of_entities() -> None:
    part = {"gold": ["BO"], "predicted": ["OO"], "confidence_permille": [[900, 1000]]}
    assert [one.decisions for one in calibrations([{"kind": "ner", "negative": "", "test": part}])] == [
        "words"
    ]
