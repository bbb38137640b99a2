"""What a comparison of two probes on the same facts says: a verdict, a sheet for people, fields for programs.

Where no difference was seen it is said what this set could have seen; that there is none is never said.
"""

from typing import Any

from kebench.grid import Cell, Grid, Sheet, p_text
from kebench.report.probe_ranked import INTERVAL
from kebench.scoring.macro import Interval, MacroMean
from kebench.stats.paired import ALPHA, POWER, PairedComparison

_IN_100 = round(100 * POWER)


def verdict(comparison: PairedComparison, *, a: str, b: str, figure: str) -> str:
    """Return in one sentence what the comparison says. a, b: the probes' names. figure: as "acc@1"."""
    difference, p = comparison.difference.mean, comparison.test.p
    assert difference is not None and p is not None, "a comparison has queries"  # noqa: PT018
    is_seen = p <= ALPHA
    sign = -1 if is_seen and difference < 0 else 1  # as a gain of the better one
    better, worse = (a, b) if sign == 1 else (b, a)
    size = f"{100 * sign * difference:+.1f} points of {figure}"
    said = f"{size}{_brackets(comparison.difference.facts, sign)}, {_p_words(p)}"
    if is_seen:
        relations = comparison.difference.relations
        unsure = relations is not None and relations[0] <= 0 <= relations[1]
        return (
            f"{better} is better than {worse}: {said}{_by_relation(comparison, sign)}"
            f"{f'; other relations might not show it{_brackets(relations, sign)}' if unsure else ''}"
        )
    return (
        f"No difference was seen between {a} and {b}: {said}; {_could_see(comparison)}"
        f"{_by_relation(comparison, 1, of=a) if any(_wins(comparison)) else ''}"
    )


def power_words(comparison: PairedComparison, points: float) -> str:
    """Say how often a true difference of so many points would be seen."""
    if comparison.power is None:
        return f"How often {points:.1f} points would be seen is not known ({comparison.no_power})."
    seen = 100 * comparison.power.of(points / 100)
    return f"A true difference of {points:.1f} points would be seen in {seen:.0f} of 100 such comparisons."


def paired_sheet(
    comparison: PairedComparison,
    *,
    a: str,
    b: str,
    figure: str,
    captions: tuple[str, ...] = (),
    stated_points: float | None = None,
) -> Sheet:
    """Return a comparison as a table over relations, and one a relation, under its verdict.

    captions: what both probes share. stated_points: a difference whose power is to be said.
    """
    test = comparison.test
    headings = (a, b, "difference")
    whole = Grid(
        ("", *headings, INTERVAL, "other relations", "p"),
        [
            (
                "macro mean",
                *(_percent_cell(one.mean) for one in (comparison.a, comparison.b)),
                _percent_cell(comparison.difference.mean, "+.1f"),
                Cell(form="+.1f", interval=_points(comparison.difference.facts)),
                Cell(form="+.1f", interval=_points(comparison.difference.relations)),
                Cell(test.p, "p"),
            )
        ],
    )
    parts = Grid(
        ("relation", "facts", *headings, "p (Holm)"),
        [
            (
                one.relation,
                one.num_queries,
                _percent_cell(one.a),
                _percent_cell(one.b),
                _percent_cell(one.difference, "+.1f"),
                Cell(one.test.p, "p", corrected=one.p_corrected),
            )
            for one in comparison.by_relation
        ],
    )
    left_out = comparison.num_left_out
    notes = (
        f"{figure} in percent, macro average over relations; difference: {a} less {b}, of each query. "
        f"{INTERVAL}: over other facts of these relations; other relations: over other relations, too.",
        f"p: {test.test} over {test.n[0]:,} {test.unit}, {test.sides}; in brackets Holm over the relations.",
        f"Power: {_could_see(comparison)} ({ALPHA:g}, two-sided, normal approximation from the paired "
        "deviation).",
        *([power_words(comparison, stated_points)] if stated_points is not None else []),
        *([f"Queries left out, since one of the two has no figure: {left_out:,}."] if left_out else []),
    )
    said = f"{verdict(comparison, a=a, b=b, figure=figure)}."
    return Sheet(f"{a} against {b}: {figure}", (*captions, said), (whole, parts), notes)


def paired_fields(
    comparison: PairedComparison, *, a: str, b: str, figure: str, stated_points: float | None = None
) -> dict[str, Any]:
    """Return a comparison for JSON: nothing rounded, in percent, each p-value with its test, sides and n.

    stated_points: a difference whose power is to be given.
    """
    power = comparison.power
    smallest = power.smallest() if power else None
    return {
        "a": a,
        "b": b,
        "figure": figure,
        "verdict": verdict(comparison, a=a, b=b, figure=figure),
        "a_percent": _mean_fields(comparison.a),
        "b_percent": _mean_fields(comparison.b),
        "difference_percent": _mean_fields(comparison.difference),
        "queries": comparison.difference.num_queries,
        "relations": comparison.difference.num_relations,
        "left_out": comparison.num_left_out,
        "test": comparison.test._asdict(),
        "power": {
            "alpha": ALPHA,
            "power": POWER,
            "smallest_difference_percent": None if smallest is None else 100 * smallest,
            "standard_error_percent": 100 * power.standard_error if power else None,
            "note": comparison.no_power,
            "stated_difference_percent": stated_points,
            "power_of_stated": power.of(stated_points / 100) if power and stated_points else None,
        },
        "by_relation": [
            {
                "relation": one.relation,
                "queries": one.num_queries,
                "a_percent": 100 * one.a,
                "b_percent": 100 * one.b,
                "difference_percent": 100 * one.difference,
                **one.test._asdict(),
                "p_corrected": one.p_corrected,
                "correction": "holm",
            }
            for one in comparison.by_relation
        ],
    }


def _could_see(comparison: PairedComparison) -> str:
    if comparison.power is None:
        return f"what this set could have seen is not known ({comparison.no_power})"
    smallest = comparison.power.smallest()
    if smallest is None:
        return f"this set sees no difference of any size in {_IN_100} of 100 such comparisons"
    return f"this set would have seen one of {100 * smallest:.1f} points in {_IN_100} of 100 such comparisons"


def _wins(comparison: PairedComparison) -> tuple[int, int]:
    """Return on how many relations A, and B, is better after correction."""
    seen = [one for one in comparison.by_relation if one.p_corrected is not None and one.p_corrected <= ALPHA]
    return sum(one.difference > 0 for one in seen), sum(one.difference < 0 for one in seen)


def _by_relation(comparison: PairedComparison, sign: int, *, of: str = "") -> str:
    """Say on how many relations the better one is better; nothing of a single relation. of: whose wins."""
    number = len(comparison.by_relation)
    if number < 2:
        return ""
    better, worse = _wins(comparison)[::sign]
    said = f"better on {better}{f' and worse on {worse}' if worse else ''} of {number} relations after Holm"
    return f"; {of}{' is ' if of else ''}{said}"


def _brackets(interval: Interval | None, sign: int) -> str:
    if interval is None:
        return ""
    low, high = sorted(100 * sign * end for end in interval)
    return f" [{low:z.1f}, {high:z.1f}]"


def _p_words(p: float) -> str:
    text = p_text(p)
    return f"p {text[0]} {text[1:]}" if text[0] in "<>" else f"p = {text}"


def _points(interval: Interval | None) -> Interval | None:
    return None if interval is None else (100 * interval[0], 100 * interval[1])


def _percent_cell(share: float | None, form: str = "") -> Cell:
    return Cell(None if share is None else 100 * share, form)


def _mean_fields(mean: MacroMean) -> dict[str, Any]:
    return {
        "mean": None if mean.mean is None else 100 * mean.mean,
        "facts_interval": _points(mean.facts),
        "relations_interval": _points(mean.relations),
    }
