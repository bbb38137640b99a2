"""Two probes on the same facts: against SciPy's permutation test, all signs, and by simulation."""

from functools import partial
from itertools import product
from typing import Any

import numpy as np
import pytest
import scipy.stats

from kebench.scoring.macro import macro_means
from kebench.stats.paired import PairedComparison, Power, compare_probes, sign_flip_test

NAN = float("nan")


def generator(seed: int = 7) -> np.random.Generator:
    return np.random.default_rng(seed)


def compare(a: Any, b: Any, relation: Any = None, subject: Any = None, **options: int) -> PairedComparison:
    return compare_probes(
        np.array(a, dtype=np.float64),
        np.array(b, dtype=np.float64),
        ["r"] * len(a) if relation is None else relation,
        range(len(a)) if subject is None else subject,
        **{"seed": 1, **options},
    )


def test_all_signs_are_scipys_exact_permutation_test() -> None:
    a, b = generator(1).random(10), generator(2).random(10) + 0.3
    theirs = scipy.stats.permutation_test(
        (a, b), lambda x, y, axis: np.mean(x - y, axis=axis), permutation_type="samples", vectorized=True
    )
    found = sign_flip_test(a - b, generator())
    assert (found.p, found.note) == (pytest.approx(theirs.pvalue), "all signs")


def test_drawn_signs_come_close_to_all_signs() -> None:
    part = generator(3).normal(0.25, 1, 16)  # 65,536 signs
    sums = np.array([np.dot(signs, part) for signs in product((1, -1), repeat=16)])
    exact = np.mean(np.abs(sums) >= abs(part.sum()) - 1e-9)
    found = sign_flip_test(part, generator(), num_resamples=20_000)
    assert (found.p, found.note) == (pytest.approx(exact, abs=0.012), "")


def test_units_that_do_not_differ_are_not_flipped() -> None:
    # one of 500 differs: two signs, and both are as far from zero
    part = np.zeros(500)
    part[3] = 0.1
    found = sign_flip_test(part, generator())
    assert (found.p, found.note, found.n) == (1, "all signs", (500,))
    # of six that all speak for one side two of 64 are as far: the sign test's 2 / 64
    part[:6] = 0.1
    assert sign_flip_test(part, generator()).p == 2 / 64
    assert sign_flip_test(np.zeros(4), generator()).p == 1


def test_a_p_value_is_never_zero() -> None:
    assert sign_flip_test(np.ones(100), generator(), num_resamples=99).p == 1 / 100


def test_relations_count_alike_and_each_has_its_own_test() -> None:
    # r: A wins 6 of 6; s: nothing differs in 2
    found = compare([1] * 6 + [0, 1], [0] * 6 + [0, 1], ["r"] * 6 + ["s"] * 2)
    assert (found.a.mean, found.b.mean, found.difference.mean) == (0.75, 0.25, 0.5)
    r, s = found.by_relation
    assert (r.relation, r.num_queries, r.a, r.b, r.difference) == ("r", 6, 1, 0, 1)
    assert (r.test.p, r.p_corrected) == (2 / 64, 4 / 64)  # Holm: twice, since two relations are tested
    assert (s.test.p, s.p_corrected) == (1, 1)
    assert found.difference.facts is None  # of eight facts
    more = compare([1] * 12 + [0, 1], [0] * 12 + [0, 1], ["r"] * 12 + ["s"] * 2)
    assert more.difference.facts == (0.5, 0.5)


def test_queries_of_one_subject_are_one_observation() -> None:
    # the same six wins are of one subject's facts: two signs alone
    found = compare([1] * 6 + [0] * 6, [0] * 12, subject=["x"] * 6 + list("abcdef"))
    assert (found.test.p, found.test.n, found.test.unit) == (1, (7,), "subjects")


def test_what_one_probe_lacks_is_left_out_of_both_and_counted() -> None:
    found = compare([1, NAN, 0, 1], [0, 1, NAN, 0], ["r", "r", "s", "r"])
    assert (found.num_left_out, found.difference.num_queries, found.a.mean) == (2, 2, 1)
    assert [one.relation for one in found.by_relation] == ["r"]
    with pytest.raises(ValueError, match="share no query of which both have a figure"):
        compare([NAN], [1])


def test_the_same_seed_gives_the_same_comparison() -> None:
    a, b = generator(4).random(60), generator(5).random(60)
    assert compare(a, b) == compare(a, b)
    assert compare(a, b) != compare(a, b, seed=2)


def test_the_standard_error_is_that_of_a_mean_of_differences() -> None:
    rng = generator(6)
    a, b = rng.random(70), rng.random(70)
    relation = np.array(["r"] * 20 + ["s"] * 50)
    found = compare(a, b, relation).power
    assert found is not None
    variance = sum((a - b)[relation == one].var(ddof=1) / n for one, n in (("r", 20), ("s", 50))) / 4
    assert found.standard_error == pytest.approx(variance**0.5)
    assert found.unit_error == pytest.approx((1 / 20 + 1 / 50) ** 0.5 / 2)
    assert not found.is_binary
    # the textbook's 1.960 + .842 standard errors, and a little for the variance of flipped signs
    smallest, textbook = found.smallest(), 2.8016 * variance**0.5
    assert smallest is not None
    assert textbook < smallest < 1.1 * textbook
    assert found.of(smallest) == pytest.approx(0.8)
    assert found.of(0) == pytest.approx(0.05)


def test_facts_of_one_subject_that_vary_together_tell_less() -> None:
    difference = generator(7).normal(0, 0.1, 50)
    a, b = np.full(100, 0.5), np.full(100, 0.5) - np.tile(difference, 2)
    relation = ["r"] * 50 + ["s"] * 50
    together = compare(a, b, relation, [*range(50), *range(50)]).power
    apart = compare(a, b, relation).power
    assert together is not None
    assert apart is not None
    assert together.standard_error == pytest.approx(2**0.5 * apart.standard_error)


def test_probes_that_agree_everywhere_have_not_shown_that_small_differences_would_be_seen() -> None:
    found = compare([0, 1] * 100, [0, 1] * 100).power
    assert found is not None
    assert found.standard_error == 0
    # 9.6 of 200, if all that differ speak for one side:
    # .0482 - .005 = 1.960 x .0707 x sqrt(.0482) + .842 x .0707 x sqrt(.0482 - .0482^2)
    assert found.smallest() == pytest.approx(0.0482, abs=1e-4)


def test_a_set_that_can_see_nothing_says_so() -> None:
    assert Power(0.5, 0.5, 0.1, is_binary=False).smallest() is None


def test_a_relation_of_one_subject_spreads_as_the_others_do() -> None:
    rng = generator(10)
    a, b = rng.random(40), rng.random(40)
    found = compare(a, b, ["r"] * 39 + ["s"]).power
    assert found is not None
    variance = (a - b)[:39].var(ddof=1)
    assert found.standard_error == pytest.approx((variance / 39 + variance) ** 0.5 / 2)


def test_where_each_relation_has_one_subject_nothing_is_known_of_the_power() -> None:
    numbers = np.random.default_rng(0).random((2, 30))
    for relation, subject in ((["r"] * 30, ["one"] * 30), ([*map(str, range(30))], [*map(str, range(30))])):
        found = compare_probes(*numbers, relation, subject, seed=0)
        assert (found.power, found.no_power) == (None, "each relation has a single subject")


NUM_DRAWS = 1000
RELATION = [f"r{number}" for number in np.repeat(np.arange(5), 40).tolist()]


def share_significant(difference: float, kind: str, monkeypatch: pytest.MonkeyPatch) -> tuple[float, float]:
    """Draw pairs of probes that differ by so much; return the share that is seen, and the power as said."""
    monkeypatch.setattr("kebench.stats.paired.macro_means", partial(macro_means, num_resamples=1))
    monkeypatch.setattr("kebench.stats.paired.correct", lambda p_values, correction: p_values)  # slow
    rng, seen, said = generator(9), 0, []
    for _ in range(NUM_DRAWS):
        if kind == "binary":  # of each query one of three: both alike, A alone, B alone
            drawn = rng.choice([0, 1, -1], 200, p=[0.7, 0.15 + difference / 2, 0.15 - difference / 2])
            a, b = drawn > 0, drawn < 0
        else:
            a = np.clip(rng.normal(0.5 + difference, 0.1, 200), 0, 1)
            b = np.clip(rng.normal(0.5, 0.1, 200), 0, 1)
        found = compare(a, b, RELATION, num_resamples=399)
        seen += found.test.p <= 0.05
        assert found.power is not None
        said.append(found.power.of(difference))
    return seen / NUM_DRAWS, float(np.mean(said))


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "difference"), [("binary", 0.11), ("values", 0.025), ("values", 0.03)])
def test_the_power_is_the_share_of_such_comparisons_that_see_the_difference(
    kind: str, difference: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen, said = share_significant(difference, kind, monkeypatch)
    assert seen == pytest.approx(said, abs=0.035)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["binary", "values"])
def test_under_the_null_five_percent_of_comparisons_are_significant(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen, _ = share_significant(0, kind, monkeypatch)
    assert 0.05 - 3 * 0.0069 <= seen <= 0.05 + 3 * 0.0069


@pytest.mark.slow
def test_under_the_null_intervals_of_the_difference_hold_zero(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kebench.stats.paired.macro_means", partial(macro_means, num_resamples=500))
    monkeypatch.setattr("kebench.stats.paired.correct", lambda p_values, correction: p_values)  # slow
    rng, held = generator(10), np.zeros(2)
    for draw in range(600):
        drawn = rng.choice([0, 1, -1], 200, p=[0.5, 0.25, 0.25])
        found = compare(drawn > 0, drawn < 0, RELATION, num_resamples=9, seed=draw).difference
        assert found.facts is not None
        assert found.relations is not None
        held += (found.facts[0] <= 0 <= found.facts[1], found.relations[0] <= 0 <= found.relations[1])
    # the percentile interval of forty facts a relation; that over relations has the spread of facts twice
    assert 0.91 <= held[0] / 600 <= 0.975
    assert held[1] / 600 >= 0.91
