"""The search for the best fillings: against trying everything, and what a wider beam may not do."""

from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from kebench.probe.beam import (
    OPEN,
    Beams,
    BestTokens,
    Rules,
    fill_by_confidence,
    fill_in_order,
    fill_independently,
    refine,
)
from tests.probe.toys import RELEASED, TOP, every_path, from_log_probs, toy

SLOTS = Rules()


def answers(beams: Beams, item: int) -> list[tuple[int, ...]]:
    rows = zip(beams.token_NBM[item].tolist(), beams.score_NB[item].tolist(), strict=True)
    return [tuple(token for token in tokens if token >= 0) for tokens, score in rows if score > -torch.inf]


@pytest.mark.parametrize("rules", [SLOTS, TOP], ids=["slots", "top"])
@pytest.mark.parametrize("num_places", [1, 2, 3])
def test_full_width_finds_the_best_of_all_fillings_and_orders(num_places: int, rules: Rules) -> None:
    log_probs = toy(3, 4, seed=num_places)
    everything = every_path(log_probs, 0, num_places)
    predict = from_log_probs(log_probs, num_best=4)
    beams = fill_by_confidence(predict, torch.tensor([num_places]), beam=4**3 * 6, rules=rules)
    expected = sorted(everything, key=lambda tokens: -everything[tokens])
    assert answers(beams, 0) == expected
    best_first = torch.tensor([everything[tokens] for tokens in expected], dtype=torch.float64)
    assert torch.allclose(beams.score_NB[0, : len(expected)], best_first)


def test_full_width_in_order_finds_the_best_filling_from_left_to_right() -> None:
    log_probs = toy(3, 4, seed=5)
    beams = fill_in_order(from_log_probs(log_probs, num_best=4), torch.tensor([3]), beam=64, rules=SLOTS)
    for tokens, score in zip(answers(beams, 0), beams.score_NB[0].tolist(), strict=True):
        state, expected = [OPEN] * 3, 0.0
        for place in range(3):
            found = log_probs(torch.tensor([0]), torch.tensor([state]))
            expected += float(found[0, place, tokens[place]])
            state[place] = tokens[place]
        assert score == pytest.approx(expected)
    assert beams.score_NB[0].tolist() == sorted(beams.score_NB[0].tolist(), reverse=True)
    assert beams.step_NBM[0, 0].tolist() == [0, 1, 2]


def test_independent_places_give_the_best_combinations_of_one_prediction() -> None:
    log_probs = toy(3, 5, seed=6)
    beams = fill_independently(from_log_probs(log_probs, num_best=5), torch.tensor([3]), beam=7, rules=SLOTS)
    first = log_probs(torch.tensor([0]), torch.full((1, 3), OPEN))[0]
    sums = (first[0][:, None, None] + first[1][None, :, None] + first[2][None, None, :]).flatten()
    assert torch.allclose(beams.score_NB[0], sums.topk(7).values)


def test_independent_places_ask_the_model_once() -> None:
    asked = []
    predict = from_log_probs(toy(3, 5, seed=6), num_best=5)

    def counted(item_R: Tensor, token_RM: Tensor, asked_RM: Tensor) -> BestTokens:
        asked.append(len(item_R))
        return predict(item_R, token_RM, asked_RM)

    fill_independently(counted, torch.tensor([1, 2, 3]), beam=4, rules=SLOTS)
    assert asked == [3]


@settings(deadline=None, max_examples=150)
@given(
    seed=st.integers(0, 10**6), beam=st.integers(1, 6), sharp=st.floats(0.2, 4), num_places=st.integers(1, 4)
)
def test_a_wider_beam_never_scores_worse(seed: int, beam: int, sharp: float, num_places: int) -> None:
    predict = from_log_probs(toy(4, 5, seed=seed, sharp=sharp), num_best=5)
    for fill in (fill_by_confidence, fill_in_order, fill_independently):
        narrow = fill(predict, torch.tensor([num_places]), beam=beam, rules=SLOTS)
        wide = fill(predict, torch.tensor([num_places]), beam=beam + 1, rules=SLOTS)
        assert set(answers(narrow, 0)) <= set(answers(wide, 0))
        assert wide.score_NB[0, 0] >= narrow.score_NB[0, 0] - 1e-9


def test_keeping_simply_the_best_children_can_end_worse_with_a_wider_beam() -> None:
    def best(beam: int, rules: Rules, seed: int) -> float:
        predict = from_log_probs(toy(4, 5, seed=seed), num_best=5)
        return float(fill_by_confidence(predict, torch.tensor([4]), beam=beam, rules=rules).score_NB[0, 0])

    seeds = range(60)
    assert any(best(3, TOP, seed) < best(2, TOP, seed) - 1e-9 for seed in seeds)
    assert not any(best(3, SLOTS, seed) < best(2, SLOTS, seed) - 1e-9 for seed in seeds)


@settings(deadline=None, max_examples=50)
@given(seed=st.integers(0, 10**6), beam=st.integers(1, 7))
def test_no_answer_comes_twice_and_the_best_come_first(seed: int, beam: int) -> None:
    predict = from_log_probs(toy(4, 5, seed=seed), num_best=5)
    beams = fill_by_confidence(predict, torch.tensor([4, 2, 1, 3]), beam=beam, rules=SLOTS)
    for item in range(4):
        found = answers(beams, item)
        assert len(set(found)) == len(found)
        scores = beams.score_NB[item, : len(found)].tolist()
        assert scores == sorted(scores, reverse=True)
        assert torch.allclose(
            beams.log_prob_NBM[item, : len(found)].sum(1), beams.score_NB[item, : len(found)]
        )


def test_the_released_rules_keep_one_string_once_for_each_order() -> None:
    # Two places that do not see each other: filling left or right first scores the same, so both stay.
    def log_probs(item_R: Tensor, token_RM: Tensor) -> Tensor:
        return torch.tensor([[0.7, 0.2, 0.1], [0.6, 0.3, 0.1]]).log().expand(len(item_R), 2, 3)

    predict = from_log_probs(log_probs, num_best=3)
    kept = fill_by_confidence(predict, torch.tensor([2]), beam=3, rules=RELEASED)
    assert answers(kept, 0) == [(0, 0), (0, 0), (0, 1)]
    once = fill_by_confidence(predict, torch.tensor([2]), beam=3, rules=TOP)
    assert answers(once, 0) == [(0, 0), (0, 1), (1, 0)]


def test_equal_scores_are_told_apart_by_token_ids() -> None:
    def log_probs(item_R: Tensor, token_RM: Tensor) -> Tensor:
        noise = torch.tensor([2e-6, 0.0, 1e-6, -1e-6])  # what batches of other sizes change
        return (noise - 3).expand(len(item_R), 2, 4)

    predict = from_log_probs(log_probs, num_best=4)
    beams = fill_by_confidence(predict, torch.tensor([2]), beam=3, rules=TOP)
    assert answers(beams, 0) == [(0, 0), (0, 1), (0, 2)]


def test_items_do_not_see_each_other() -> None:
    predict = from_log_probs(toy(4, 6, seed=3), num_best=6)
    together = fill_by_confidence(predict, torch.tensor([3, 1, 4, 2]), beam=4, rules=SLOTS)

    def only(item: int, places: int) -> Beams:
        def shifted(item_R: Tensor, token_RM: Tensor, asked_RM: Tensor) -> BestTokens:
            return predict(item_R + item, token_RM, asked_RM)

        return fill_by_confidence(shifted, torch.tensor([places]), beam=4, rules=SLOTS)

    for item, places in enumerate([3, 1, 4, 2]):
        assert answers(together, item) == answers(only(item, places), 0)


def test_no_state_is_asked_for_twice() -> None:
    predict = from_log_probs(toy(4, 5, seed=8), num_best=5)
    for rules in (SLOTS, TOP, RELEASED):
        seen: list[tuple[int, ...]] = []

        def counted(item_R: Tensor, token_RM: Tensor, asked_RM: Tensor) -> BestTokens:
            seen.extend((int(i), *row) for i, row in zip(item_R, token_RM.tolist(), strict=True))  # noqa: B023
            return predict(item_R, token_RM, asked_RM)

        fill_by_confidence(counted, torch.tensor([4, 3]), beam=5, rules=rules)
        assert len(seen) == len(set(seen))


def test_a_place_without_items_is_no_error() -> None:
    predict = from_log_probs(toy(4, 5, seed=8), num_best=5)
    assert fill_by_confidence(
        predict, torch.tensor([], dtype=torch.int64), beam=2, rules=SLOTS
    ).score_NB.shape == (0, 2)
    empty = fill_by_confidence(predict, torch.tensor([0, 2]), beam=2, rules=SLOTS)
    assert answers(empty, 0) == [()]


def test_refinement_predicts_the_least_probable_token_anew() -> None:
    # The second place is filled before the first is known, which makes its token unlikely afterwards.
    def log_probs(item_R: Tensor, token_RM: Tensor) -> Tensor:
        probability = torch.empty(len(item_R), 2, 3)
        probability[:, 0] = torch.tensor([0.3, 0.4, 0.3])
        probability[:, 1] = torch.tensor([0.5, 0.3, 0.2])
        probability[token_RM[:, 1] == 0, 0] = torch.tensor([0.05, 0.9, 0.05])
        probability[token_RM[:, 0] == 1, 1] = torch.tensor([0.1, 0.1, 0.8])
        return probability.log()

    predict = from_log_probs(log_probs, num_best=3)
    greedy = fill_by_confidence(predict, torch.tensor([2]), beam=1, rules=SLOTS)
    assert answers(greedy, 0) == [(1, 0)]
    refined = refine(predict, greedy, rounds=5, rules=SLOTS)
    assert answers(refined, 0) == [(1, 2)]


@pytest.mark.parametrize("rules", [SLOTS, TOP, RELEASED], ids=["slots", "top", "released"])
@pytest.mark.parametrize("fill", [fill_by_confidence, fill_in_order, fill_independently])
def test_each_item_is_refined_until_it_stops_by_itself(fill: Callable[..., Beams], rules: Rules) -> None:
    # Two models of 4 texts with 1 to 4 places. Under each of these rules at least one of the 32 items stops
    # earlier than the others and would change again if it went on.
    models = [toy(4, 4, seed=seed, sharp=1.0) for seed in (5, 8)]
    num_places_N, text_N = torch.arange(32) // 8 + 1, torch.arange(32) % 8

    def log_probs(item_R: Tensor, token_RM: Tensor) -> Tensor:
        found = [model(text_N[item_R], token_RM) for model in models]
        return torch.where((text_N[item_R] < 4)[:, None, None], *found)

    def refined(items: Tensor) -> Beams:
        predict = from_log_probs(lambda item_R, token_RM: log_probs(items[item_R], token_RM), num_best=4)
        filled = fill(predict, num_places_N[items], beam=3, rules=rules)
        return refine(predict, filled, rounds=12, rules=rules)

    together = refined(torch.arange(32))
    for item in range(32):
        alone = refined(torch.tensor([item]))
        places = int(num_places_N[item])
        assert torch.equal(together.token_NBM[item, :, :places], alone.token_NBM[0]), item
        assert torch.equal(together.step_NBM[item, :, :places], alone.step_NBM[0]), item
        assert torch.allclose(together.score_NB[item], alone.score_NB[0]), item


def fillings_of_xfactr(
    log_probs: Callable[[Tensor, Tensor], Tensor], num_places: int, *, beam: int, keep_first: bool
) -> list[tuple[int, ...]]:
    """X-FACTR's confidence decoding of item 0, one state at a time.

    keep_first: of several paths to one string its code keeps the first that it comes to: that from the best
    parent. Else the best.
    """
    states: dict[tuple[int, ...], float] = {(OPEN,) * num_places: 0.0}
    for _ in range(num_places):
        found: dict[tuple[int, ...], float] = {}
        for tokens, score in sorted(states.items(), key=lambda state: -state[1]):
            log_prob = log_probs(torch.tensor([0]), torch.tensor([tokens]))[0]
            choices = [
                (float(log_prob[place, token]), place, token)
                for place in range(num_places)
                if tokens[place] == OPEN
                for token in range(log_prob.shape[1])
            ]
            for value, place, token in sorted(choices, reverse=True)[:beam]:
                child = (*tokens[:place], token, *tokens[place + 1 :])
                if child not in found or not (keep_first or found[child] >= score + value):
                    found[child] = score + value
        states = dict(sorted(found.items(), key=lambda state: -state[1])[:beam])
    return sorted(states, key=lambda tokens: -states[tokens])


def test_we_keep_the_best_path_to_a_string_and_xfactr_the_first() -> None:
    first, best = [], []
    for seed in range(60):
        log_probs = toy(4, 6, seed=seed)
        predict = from_log_probs(log_probs, num_best=6)
        ours = answers(fill_by_confidence(predict, torch.tensor([4]), beam=5, rules=TOP), 0)
        best.append(ours == fillings_of_xfactr(log_probs, 4, beam=5, keep_first=False))
        first.append(ours[0] == fillings_of_xfactr(log_probs, 4, beam=5, keep_first=True)[0])
    assert all(best)  # the whole beam, in its order
    assert 30 < sum(first) < 60  # the one answer that X-FACTR gives
