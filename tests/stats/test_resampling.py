"""Tests over examples, against all labellings, SciPy and a plain loop, and under the null."""

from functools import partial
from itertools import product
from typing import Any

import numpy as np
import pytest
import scipy.stats
from numpy.typing import NDArray

from kebench.scoring.metrics import METRICS
from kebench.stats.resampling import resampling_test
from kebench.stats.seeds import paired_t, welch_t

permutation_test = partial(resampling_test, "permutation", metric=METRICS["entity_f1"])
paired_bootstrap = partial(resampling_test, "bootstrap", metric=METRICS["entity_f1"])
Counts = NDArray[np.int64]


def f1(counts_U3: Counts) -> float:
    gold, predicted, correct = counts_U3.sum(axis=0)
    return 200 * correct / (gold + predicted) if gold + predicted else 0.0


def mean_difference(a_SU3: Counts, b_SU3: Counts) -> float:
    return float(np.mean([f1(one) for one in a_SU3]) - np.mean([f1(other) for other in b_SU3]))


def sample(num_seeds: int, num_units: int, *, seed: int, skill: float = 0.6) -> Counts:
    """Units with 0 to 3 gold entities, of which each is found with probability `skill`, and a few wrong ones.

    The gold depends on the place alone: models that are drawn apart have the same test set.
    """
    gold_U = np.random.default_rng(99).integers(0, 4, num_units)
    rng = np.random.default_rng(seed)
    correct_SU = rng.binomial(gold_U, skill, (num_seeds, num_units))
    predicted_SU = correct_SU + rng.binomial(1, 0.3, correct_SU.shape)
    return np.stack([np.broadcast_to(gold_U, correct_SU.shape), predicted_SU, correct_SU], axis=-1)


def test_the_permutation_test_is_that_of_all_labellings() -> None:
    a, b = sample(2, 9, seed=1, skill=0.8), sample(2, 9, seed=2, skill=0.5)
    observed = mean_difference(a, b)
    as_extreme = 0
    for exchanged in product([False, True], repeat=9):
        mask = np.array(exchanged)[None, :, None]
        difference = mean_difference(np.where(mask, b, a), np.where(mask, a, b))
        as_extreme += abs(difference) >= abs(observed) - 1e-9
    result = permutation_test(a, b, unit="sentences", seed=0, sides="two-sided", num_resamples=20_000)
    assert result.p == pytest.approx(as_extreme / 2**9, abs=0.015)
    assert (result.n, result.unit, result.sides) == ((9,), "sentences", "two-sided")


def test_a_difference_of_scores_without_gold_is_not_tested() -> None:
    a, b = np.zeros((2, 5, 3), dtype=np.int64), np.zeros((2, 5, 3), dtype=np.int64)
    a[:, 0, 1] = 1  # one side predicts something
    for test in (permutation_test, paired_bootstrap):
        result = test(a, b, unit="sentences", seed=0, sides="two-sided", num_resamples=1000)
        assert (result.p, result.interval, result.note) == (None, None, "no gold in the test set, so no F1")


def test_resamples_that_hold_no_gold_are_left_out_of_the_bootstrap() -> None:
    # One of two units has gold: a quarter of the resamples has none. In the others A finds it, B does not.
    a = np.array([[[1, 1, 1], [0, 0, 0]]])
    b = np.array([[[1, 0, 0], [0, 0, 0]]])
    result = paired_bootstrap(a, b, unit="documents", seed=0, sides="greater", num_resamples=4000)
    assert result.interval == (100, 100)
    left_out = int(result.note.split()[0].replace(",", ""))
    assert left_out == pytest.approx(1000, abs=100)
    assert result.note == f"{left_out:,} resamples without gold are left out"
    assert result.p == pytest.approx(1 / (4000 - left_out + 1))


def test_the_bootstrap_is_that_of_a_plain_loop() -> None:
    a, b = sample(3, 40, seed=3, skill=0.7), sample(3, 40, seed=4)
    rng = np.random.default_rng(5)
    differences = []
    for _ in range(4000):
        drawn = rng.integers(0, 40, 40)
        differences.append(mean_difference(a[:, drawn], b[:, drawn]))
    result = paired_bootstrap(a, b, unit="sentences", seed=0, sides="two-sided", num_resamples=20_000)
    assert result.interval == pytest.approx(tuple(np.quantile(differences, [0.025, 0.975])), abs=0.6)
    observed = mean_difference(a, b)
    share = np.mean(np.abs(np.array(differences) - observed) >= abs(observed))
    assert result.p == pytest.approx(share, abs=0.015)


def test_equal_outputs_differ_in_nothing() -> None:
    a = sample(2, 30, seed=6)
    assert permutation_test(a, a, unit="sentences", seed=0, sides="two-sided", num_resamples=99).p == 1
    result = paired_bootstrap(a, a, unit="sentences", seed=0, sides="two-sided", num_resamples=99)
    assert (result.p, result.interval) == (1, (0, 0))


def test_a_p_value_is_never_zero() -> None:
    a, b = sample(1, 200, seed=7, skill=1.0), sample(1, 200, seed=8, skill=0.0)
    for test in (permutation_test, paired_bootstrap):
        assert test(a, b, unit="sentences", seed=0, sides="greater", num_resamples=99).p == 1 / 100
        assert test(a, b, unit="sentences", seed=0, sides="less", num_resamples=99).p == 1


def test_the_same_seed_gives_the_same_p_value() -> None:
    a, b = sample(1, 50, seed=9), sample(1, 50, seed=10)
    first, second = (
        permutation_test(a, b, unit="sentences", seed=3, sides="two-sided", num_resamples=500) for _ in "ab"
    )
    assert first == second


NUM_DRAWS = 2000
# A share of 5% over 2,000 draws has a standard error of .49%: three of them on each side.
FEWEST, MOST = 0.05 - 3 * 0.00487, 0.05 + 3 * 0.00487


def test_under_the_null_five_percent_of_draws_are_significant_over_seeds() -> None:
    rng = np.random.default_rng(0)
    welch = paired = 0
    for _ in range(NUM_DRAWS):
        a, b = rng.normal(80, 0.5, 5), rng.normal(80, 0.5, 5)
        welch += welch_t(list(a), list(b), sides="two-sided").p <= 0.05  # type: ignore[operator]
        by_seed = dict(enumerate(map(float, a))), dict(enumerate(map(float, b)))
        paired += paired_t(*by_seed, sides="two-sided").p <= 0.05  # type: ignore[operator]
    assert FEWEST <= paired / NUM_DRAWS <= MOST
    assert welch / NUM_DRAWS <= MOST  # Welch is known to be a little careful with five of each


@pytest.mark.slow
@pytest.mark.parametrize("test", [permutation_test, paired_bootstrap])
def test_under_the_null_five_percent_of_draws_are_significant_over_examples(test) -> None:  # type: ignore[no-untyped-def]
    significant = 0
    for draw in range(NUM_DRAWS):
        a, b = sample(2, 300, seed=2 * draw), sample(2, 300, seed=2 * draw + 1)
        result = test(a, b, unit="sentences", seed=draw, sides="two-sided", num_resamples=199)
        significant += result.p <= 0.05
    assert FEWEST <= significant / NUM_DRAWS <= MOST


def pairs_of_values(num_seeds: int, num_units: int, *, seed: int, noise: float = 0.5) -> list[dict[str, Any]]:
    """Predictions of values, of labels, of label sets and of typed tags for one test set, a run a seed."""
    gold = np.random.default_rng(98).normal(size=num_units)
    rng = np.random.default_rng(seed)
    return [
        {"test": {"gold": gold.tolist(), "predicted": (gold + rng.normal(0, noise, num_units)).tolist()}}
        for _ in range(num_seeds)
    ]


def pairs_of_labels(num_seeds: int, num_units: int, *, seed: int, noise: float = 0.5) -> list[dict[str, Any]]:
    labels = np.array(["none", "up", "down"])
    gold = np.random.default_rng(97).integers(0, 3, num_units)
    rng = np.random.default_rng(seed)
    runs = []
    for _ in range(num_seeds):
        found = np.where(rng.random(num_units) < noise, rng.integers(0, 3, num_units), gold)
        split = {"gold": labels[gold].tolist(), "predicted": labels[found].tolist()}
        runs.append({"labels": labels.tolist(), "negative": "none", "test": split})
    return runs


def pairs_of_sets(num_seeds: int, num_units: int, *, seed: int, noise: float = 0.5) -> list[dict[str, Any]]:
    runs = pairs_of_labels(num_seeds, num_units, seed=seed, noise=noise)
    for run in runs:
        for side in ("gold", "predicted"):
            run["test"][side] = [[] if label == "none" else [label] for label in run["test"][side]]
    return runs


def pairs_of_tags(num_seeds: int, num_units: int, *, seed: int, noise: float = 0.5) -> list[dict[str, Any]]:
    runs = pairs_of_labels(num_seeds, num_units, seed=seed, noise=noise)
    for run in runs:
        run["types"] = ["up", "down"]
        for side in ("gold", "predicted"):
            run["test"][side] = [["O" if tag == "none" else f"B-{tag}"] for tag in run["test"][side]]
        run["test"]["num_kept"] = [1] * num_units
    return runs


MADE = {
    "entity_f1": pairs_of_tags,
    "entity_f1_lenient": pairs_of_tags,
    "micro_f1": pairs_of_labels,
    "label_set_f1": pairs_of_sets,
    "macro_f1": pairs_of_labels,
    "word_macro_f1": pairs_of_tags,
    "accuracy": pairs_of_labels,
    "pearson": pairs_of_values,
    "spearman": pairs_of_values,
}


def units_of(name: str, num_seeds: int, num_units: int, **how: float) -> Counts:
    return np.stack([METRICS[name].units(run, "test") for run in MADE[name](num_seeds, num_units, **how)])


def difference_of(name: str, a_SUT: Counts, b_SUT: Counts) -> float:
    """The difference as SciPy's resamplers see it: of whole test sets, however they were put together."""
    metric = METRICS[name]
    a, b = ([float(metric.percent(metric.total(run))) for run in side] for side in (a_SUT, b_SUT))
    return float(np.mean(a) - np.mean(b))


@pytest.mark.parametrize("name", list(METRICS))
def test_every_metric_is_exchanged_as_scipy_exchanges(name: str) -> None:
    a, b = units_of(name, 2, 10, seed=1, noise=0.2), units_of(name, 2, 10, seed=2, noise=0.9)

    def statistic(first: Counts, second: Counts, axis: int) -> Counts:
        # SciPy exchanges numbers of units between the two samples: unit u of A is u, of B is u + 10.
        both = np.concatenate([a, b], axis=1)
        found = [
            difference_of(name, both[:, x.astype(int)], both[:, y.astype(int)])
            for x, y in zip(first.reshape(-1, 10), second.reshape(-1, 10), strict=True)
        ]
        return np.array(found).reshape(first.shape[:-1])

    places = np.arange(10.0)
    theirs = scipy.stats.permutation_test(
        (places, places + 10), statistic, permutation_type="samples", vectorized=True, axis=-1, batch=200
    )  # all 1,024 exchanges
    ours = permutation_test(
        a, b, metric=METRICS[name], unit="units", seed=0, sides="two-sided", num_resamples=20_000
    )
    assert not ours.note
    exact = np.mean(np.abs(theirs.null_distribution) >= abs(theirs.statistic) - 1e-9)
    assert ours.p == pytest.approx(exact, abs=0.015)


@pytest.mark.parametrize("name", list(METRICS))
def test_every_metric_is_redrawn_as_scipy_redraws(name: str) -> None:
    a, b = units_of(name, 2, 30, seed=3, noise=0.2), units_of(name, 2, 30, seed=4, noise=0.8)

    def statistic(places: Counts, axis: int) -> Counts:
        rows = places.reshape(-1, places.shape[-1]).astype(int)
        found = [difference_of(name, a[:, row], b[:, row]) for row in rows]
        return np.array(found).reshape(places.shape[:-1])

    theirs = scipy.stats.bootstrap(
        (np.arange(30.0),), statistic, n_resamples=2000, method="percentile", rng=np.random.default_rng(5)
    )
    ours = paired_bootstrap(
        a, b, metric=METRICS[name], unit="units", seed=0, sides="two-sided", num_resamples=20_000
    )
    low, high = theirs.confidence_interval
    assert ours.interval == pytest.approx((low, high), abs=0.08 * (high - low))


@pytest.mark.slow
@pytest.mark.parametrize("test", ["permutation", "bootstrap"])
@pytest.mark.parametrize("name", list(METRICS))
def test_under_the_null_every_metric_finds_five_percent(name: str, test: str) -> None:
    # Exchanging is exact: at most 5%, and less where a metric takes few values, since ties count as extreme
    # (an accuracy of 150 examples is a sign test of about forty). The bootstrap's level is that of large
    # samples; of 150 units of a correlation it is off by a percent or two, to either side.
    least, most = (0.025, MOST) if test == "permutation" else (0.025, 0.075)
    significant = 0
    for draw in range(NUM_DRAWS):
        a = units_of(name, 1, 150, seed=2 * draw)
        b = units_of(name, 1, 150, seed=2 * draw + 1)
        found = resampling_test(
            test, a, b, metric=METRICS[name], unit="units", seed=draw, sides="two-sided", num_resamples=199
        )
        significant += found.p <= 0.05
    assert least <= significant / NUM_DRAWS <= most
