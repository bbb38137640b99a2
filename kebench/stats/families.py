"""Corrections for many tests at once: a family of p-values, and what each is worth within it."""

from collections.abc import Sequence
from typing import Literal

Correction = Literal["none", "holm", "bh"]
CORRECTIONS = {"none": "uncorrected", "holm": "Holm", "bh": "Benjamini-Hochberg"}
_STATSMODELS_NAMES = {"holm": "holm", "bh": "fdr_bh"}


def correct(p_values: Sequence[float | None], correction: Correction) -> list[float | None]:
    """Return the corrected p-values of one family, in order; None stays None and is not counted.

    Holm (1979) bounds the chance of a single false mark in the family; Benjamini and Hochberg (1995) the
    expected share of false marks among the marks.
    """
    known = [p for p in p_values if p is not None]
    if correction == "none" or not known:
        return list(p_values)
    from statsmodels.stats.multitest import multipletests

    corrected = iter(multipletests(known, method=_STATSMODELS_NAMES[correction])[1])
    return [None if p is None else float(next(corrected)) for p in p_values]
