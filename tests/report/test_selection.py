"""The choice of the learning rate: by mean dev score, never by test."""

from hypothesis import given
from hypothesis import strategies as st

from kebench.records import Record
from kebench.report.selection import choose_rate
from tests.report.sample_records import sample_record

RATES = (1e-5, 3e-5, 5e-5)
DEV = st.lists(st.floats(0, 100), min_size=6, max_size=6)


def grid(dev_percents: list[float], test_percents: list[float]) -> list[Record]:
    """Three rates over two seeds, rate by rate."""
    places = [(rate, seed) for rate in RATES for seed in range(2)]
    return [
        sample_record(rate=rate, seed=seed, dev=dev, test=test)
        for (rate, seed), dev, test in zip(places, dev_percents, test_percents, strict=True)
    ]


def test_the_rate_with_the_best_mean_dev_score_is_chosen_though_its_test_score_is_worst() -> None:
    # Dev means: 60.5, 61.5, 61. Test means: 90, 10, 50.
    chosen = choose_rate(grid([50, 71, 61, 62, 61, 61], [90, 90, 10, 10, 50, 50]))
    assert chosen.learning_rate == 3e-5
    assert [run.test.score_percent for run in chosen.runs] == [10, 10]


def test_of_equally_good_rates_the_smaller_is_chosen() -> None:
    assert choose_rate(grid([60] * 6, [50, 50, 60, 60, 70, 70])).learning_rate == 1e-5


@given(DEV, DEV, DEV)
def test_no_change_of_test_scores_changes_the_chosen_rate(
    dev: list[float], test: list[float], other_test: list[float]
) -> None:
    assert choose_rate(grid(dev, test)).learning_rate == choose_rate(grid(dev, other_test)).learning_rate


@given(DEV, st.permutations(range(6)))
def test_the_order_of_records_does_not_change_the_choice(dev: list[float], order: list[int]) -> None:
    records = grid(dev, [50.0] * 6)
    assert choose_rate(records) == choose_rate([records[place] for place in order])


def test_rates_are_compared_over_the_seeds_that_all_of_them_have() -> None:
    # Over seed 0: 60 against 61. Over all seeds the smaller rate would win with 70 against 61.
    records = [
        sample_record(rate=1e-5, seed=0, dev=60),
        sample_record(rate=1e-5, seed=1, dev=80),
        sample_record(rate=3e-5, seed=0, dev=61),
    ]
    chosen = choose_rate(records)
    assert chosen.learning_rate == 3e-5
    assert chosen.note == "rates compared over seed 0 only, which all of them have"


def test_a_rate_without_a_shared_seed_is_left_out_and_said_so() -> None:
    records = [
        sample_record(rate=1e-5, seed=0, dev=60),
        sample_record(rate=1e-5, seed=1, dev=60),
        sample_record(rate=3e-5, seed=2, dev=99),
    ]
    chosen = choose_rate(records)
    assert chosen.learning_rate == 1e-5
    assert chosen.note == "rate 3e-05 left out of the choice: no seed shared with the other rates"


def test_runs_of_another_pooling_than_most_are_left_out_and_said_so() -> None:
    first = [sample_record(seed=seed, dev=90) for seed in range(2)]
    pooled = first[0].protocol.model_copy(update={"pooling": "mean"})
    mean = [sample_record(seed=seed, dev=50).model_copy(update={"protocol": pooled}) for seed in range(3)]
    chosen = choose_rate([*first, *mean])
    assert {run.protocol.pooling for run in chosen.runs} == {"mean"}
    assert len(chosen.runs) == 3
    assert chosen.note == "runs of pooling first (2) left out, beside those of mean"


def test_rates_with_the_same_seeds_need_no_note() -> None:
    assert choose_rate(grid([60] * 6, [50] * 6)).note == ""
