"""Macro means and intervals: by hand, against SciPy's bootstrap and a plain loop, and their coverage."""

import numpy as np
import pytest
from scipy.stats import bootstrap

from kebench.scoring.macro import MacroMean, drawn_counts, macro_means

NAN = float("nan")


def generator(seed: int = 7) -> np.random.Generator:
    return np.random.default_rng(seed)


def means(value: object, relation: object, **options: int) -> list[MacroMean]:
    return macro_means(np.array(value, dtype=np.float64), np.array(relation), generator(), **options)


def test_relations_count_alike_and_queries_without_a_value_not_at_all() -> None:
    # figure 0: relation 0 has 1/3, relation 4 has 1; figure 1: relation 0 has 1/2, relation 4 no value
    first, second = means([[1, 1], [0, 0], [0, NAN], [1, NAN]], [0, 0, 0, 4])
    assert (first.mean, first.num_queries, first.num_relations) == (pytest.approx(2 / 3), 4, 2)
    assert (second.mean, second.num_queries, second.num_relations) == (0.5, 2, 1)


def test_nothing_has_no_mean_and_one_alone_no_interval() -> None:
    (nothing,) = means([[NAN], [NAN]], [0, 1])
    assert nothing == MacroMean(None, None, None, 0, 0)
    (single,) = means([[0.2], [0.8], [0.5]] * 4, [*range(12)])
    assert single.facts is None
    assert single.relations is not None
    (alone,) = means([[0.2], [0.8]] * 5, [3] * 10)
    assert (alone.facts is None, alone.relations) == (False, None)
    (few,) = means([[0.2], [0.8], [0.5]] * 3, [0, 0, 1] * 3)
    assert (few.mean, few.facts, few.relations) == (pytest.approx(0.5), None, None)


def test_a_relation_of_one_fact_is_as_unsure_as_the_facts_of_the_others() -> None:
    values = generator(8).random(50)
    (found,) = means([[value] for value in [*values, 0.5]], [0] * 50 + [1], num_resamples=20_000)
    assert found.facts is not None
    error = (values.var(ddof=1) * (1 + 1 / 50)) ** 0.5 / 2
    # of a uniform variable, whose tails are shorter than a normal one's
    assert found.facts[1] - found.facts[0] == pytest.approx(2 * 1.96 * error, rel=0.2)
    assert sum(found.facts) / 2 == pytest.approx((values.mean() + 0.5) / 2, abs=0.05)


def test_the_interval_over_facts_is_that_of_scipy_in_one_relation() -> None:
    values = generator(1).random(60)
    (found,) = means(values[:, None], [0] * 60, num_resamples=20_000)
    theirs = bootstrap(
        (values,), np.mean, n_resamples=20_000, method="percentile", rng=generator(2)
    ).confidence_interval
    assert found.facts == pytest.approx((theirs.low, theirs.high), abs=0.004)


def plain_loop(value: np.ndarray, relation: np.ndarray, *, both: bool) -> list[float]:
    rng, groups = generator(3), [value[relation == number] for number in np.unique(relation)]
    drawn = []
    for _ in range(3000):
        places = rng.integers(len(groups), size=len(groups)) if both else range(len(groups))
        drawn.append(np.mean([rng.choice(groups[place], len(groups[place])).mean() for place in places]))
    return np.quantile(drawn, [0.025, 0.975]).tolist()


def test_both_intervals_are_those_of_a_plain_loop() -> None:
    rng = generator(4)
    relation = np.repeat(np.arange(6), [3, 10, 12, 20, 9, 30])
    value = rng.normal(0.5, 0.2, len(relation)) + rng.normal(0, 0.2, 6)[relation]
    (found,) = means(value[:, None], relation, num_resamples=20_000)
    assert found.facts == pytest.approx(plain_loop(value, relation, both=False), abs=0.007)
    assert found.relations == pytest.approx(plain_loop(value, relation, both=True), abs=0.02)


def test_a_difference_is_of_the_same_queries_in_every_resample() -> None:
    value = generator(5).random(50)
    found = means(np.stack([value, value - 0.1, np.full(50, 0.1)], axis=1), [0] * 20 + [1] * 30)
    assert found[2].facts == pytest.approx((0.1, 0.1))
    assert found[0].facts is not None
    assert found[1].facts == pytest.approx(tuple(end - 0.1 for end in found[0].facts))


def test_a_resample_has_as_many_units_as_there_are() -> None:
    counts = drawn_counts(7, 5000, generator())
    assert (counts.sum(axis=1) == 7).all()
    assert counts.mean(axis=0) == pytest.approx(np.ones(7), abs=0.05)
    assert counts.var(axis=0) == pytest.approx(np.full(7, 6 / 7), abs=0.08)


def test_the_same_generator_gives_the_same_intervals() -> None:
    value, relation = generator(6).random((40, 3)), [0, 1] * 20
    assert means(value, relation) == means(value, relation)


@pytest.mark.slow
def test_intervals_hold_the_true_mean_in_about_95_of_100_sets() -> None:
    # 12 relations of 40 facts; for `facts` the relations' means stay, for `relations` they are drawn as well
    rng, held = generator(8), np.zeros(2)
    relation, own = np.repeat(np.arange(12), 40), rng.uniform(0.1, 0.7, 12)
    for _ in range(1000):
        drawn = rng.uniform(0.1, 0.7, 12)
        value = np.stack([rng.random(480) < own[relation], rng.random(480) < drawn[relation]], axis=1)
        fixed, random = macro_means(value.astype(np.float64), relation, rng, num_resamples=400)
        assert fixed.facts is not None
        assert random.relations is not None
        held += (
            fixed.facts[0] <= own.mean() <= fixed.facts[1],
            random.relations[0] <= 0.4 <= random.relations[1],
        )
    assert 0.92 <= held[0] / 1000 <= 0.97
    # twelve relations are few: the percentile interval is a little short; facts make it a little long
    assert 0.90 <= held[1] / 1000 <= 0.97
