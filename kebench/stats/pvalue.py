"""A p-value as it may be shown: never without its test, its sides and its n; corrections for many."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

Sides = Literal["two-sided", "greater", "less"]
CONFIDENCE = 0.95  # of every interval
Correction = Literal["none", "holm", "bh"]
CORRECTIONS = {"none": "uncorrected", "holm": "Holm", "bh": "Benjamini-Hochberg"}


class PValue(NamedTuple):
    """What one test of one hypothesis says.

    p: None where the test says nothing, with the reason in `note`.
    test: its name, as a caption prints it.
    sides: of the alternative; `greater` is "the first is better than the second".
    n: how many observations of each sample stand behind it, in the test's own unit.
    unit: what `n` counts ("seeds", "sentences").
    statistic, df: of a t-test; None elsewhere.
    interval: of the difference (or mean), with `confidence`; None where the test has none.
    """

    p: float | None
    test: str
    sides: Sides
    n: tuple[int, ...]
    unit: str
    statistic: float | None = None
    df: float | None = None
    interval: tuple[float, float] | None = None
    confidence: float = CONFIDENCE
    note: str = ""


def correct(p_values: Sequence[float | None], correction: Correction) -> list[float | None]:
    """Return the corrected p-values of one family, in order; None stays None and is not counted.

    Holm (1979) bounds the chance of a single false mark in the family; Benjamini and Hochberg (1995) the
    expected share of false marks among the marks.
    """
    known = [p for p in p_values if p is not None]
    if correction == "none" or not known:
        return list(p_values)
    from statsmodels.stats.multitest import multipletests

    corrected = iter(multipletests(known, method="fdr_bh" if correction == "bh" else correction)[1])
    return [None if p is None else float(next(corrected)) for p in p_values]
