"""A p-value as it may be shown: never without its test, its sides and its n."""

from typing import Literal, NamedTuple

Sides = Literal["two-sided", "greater", "less"]


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
    confidence: float = 0.95
    note: str = ""
