"""Holm and Benjamini-Hochberg, worked by hand."""

import pytest

from kebench.stats.pvalue import correct


def test_holm_multiplies_by_what_is_left_and_never_falls() -> None:
    # Sorted .01 .02 .03 .04 times 4 3 2 1 is .04 .06 .06 .04; the last must not fall below its predecessor.
    assert correct([0.04, 0.01, 0.03, 0.02], "holm") == pytest.approx([0.06, 0.04, 0.06, 0.06])


def test_benjamini_hochberg_divides_by_the_rank() -> None:
    # Sorted .005 .03 .04 .8 times 4/1 4/2 4/3 4/4 is .02 .06 .0533 .8; .06 is above its successor.
    assert correct([0.8, 0.04, 0.005, 0.03], "bh") == pytest.approx([0.8, 0.16 / 3, 0.02, 0.16 / 3])


def test_what_has_no_p_value_does_not_count_in_the_family() -> None:
    assert correct([0.02, None, 0.04], "holm") == [pytest.approx(0.04), None, pytest.approx(0.04)]
    assert correct([None, None], "holm") == [None, None]


def test_uncorrected_is_as_it_was() -> None:
    assert correct([0.02, None, 0.04], "none") == [0.02, None, 0.04]
