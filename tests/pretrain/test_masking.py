"""Masks: whole words, whole entities, and the paper's proportions."""

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kebench.pretrain.batches import Masked, mask_pieces
from kebench.pretrain.encode import unit_starts
from kebench.pretrain.recipe import Pretraining, read_recipe

MASK, SPECIAL = 4, np.array([0, 2, 3])
DRAWABLE = np.arange(5, 3000)


def mask(piece_T: Any, starts_word_T: Any, mention_M3: Any, seed: int, **changes: Any) -> Masked:
    settings: Pretraining = read_recipe("kebiolm", **changes)
    return mask_pieces(
        piece_T, starts_word_T, mention_M3, settings, np.random.default_rng(seed),
        mask_id=MASK, special_ids=SPECIAL, drawable_ids=DRAWABLE,
    )  # fmt: skip


def drawn(length: int, rng: np.random.Generator) -> tuple[Any, Any, Any]:
    """Return a sequence: words of 1 to 4 pieces, mentions of 1 to 3 words, [CLS] and [SEP] at its ends."""
    piece_T = rng.integers(5, 3000, length).astype(np.int32)
    piece_T[0], piece_T[-1] = 2, 3
    starts_word_T = rng.random(length) < 0.6
    starts_word_T[[0, 1, -1]] = True
    words = np.flatnonzero(starts_word_T)
    mentions, place = [], 1
    while place + 4 < len(words):
        size = int(rng.integers(1, 4))
        if rng.random() < 0.3:
            mentions.append((words[place], words[place + size], 0))
        place += size
    return piece_T, starts_word_T, np.array(mentions, dtype=np.int32).reshape(-1, 3)


@pytest.mark.parametrize("unit", ["entity", "word", "piece"])
def test_proportions_are_the_paper_s_on_a_hundred_thousand_pieces(unit: str) -> None:
    rng = np.random.default_rng(0)
    counts = np.zeros(4)
    for number in range(200):
        piece_T, *rest = drawn(512, rng)
        found = mask(piece_T, *rest, number, masking_unit=unit)
        before, after = piece_T[found.place_P], found.input_T[found.place_P]
        is_mask, is_same = after == MASK, after == before
        counts += [510, is_mask.sum(), (~is_mask & ~is_same).sum(), is_same.sum()]
        untouched = np.setdiff1d(np.arange(512), found.place_P)
        assert (piece_T[untouched] == found.input_T[untouched]).all()
    assert counts[0] > 100_000
    shares = counts[1:] / counts[0]
    assert shares == pytest.approx([0.12, 0.015, 0.015], rel=0.1)
    assert shares.sum() == pytest.approx(0.15, rel=0.01)


@given(st.integers(0, 10_000))
def test_every_piece_of_a_chosen_word_or_entity_is_chosen_and_meets_one_fate(seed: int) -> None:
    piece_T, starts_word_T, mention_M3 = drawn(120, np.random.default_rng(seed))
    found = mask(piece_T, starts_word_T, mention_M3, seed)
    chosen = np.isin(np.arange(120), found.place_P)
    borders = [*np.flatnonzero(unit_starts(starts_word_T, mention_M3)).tolist(), 120]
    for start, end in itertools.pairwise(borders):
        assert chosen[start:end].all() or not chosen[start:end].any()
        if chosen[start:end].any():
            assert len(set((found.input_T[start:end] == MASK).tolist())) == 1
    for start, end, _ in mention_M3.tolist():
        assert chosen[start:end].all() or not chosen[start:end].any()
    assert not chosen[[0, -1]].any()


def test_without_whole_entity_masking_a_mention_may_be_masked_in_part() -> None:
    rng = np.random.default_rng(1)
    partly = 0
    for seed in range(50):
        piece_T, starts_word_T, mention_M3 = drawn(120, rng)
        found = mask(piece_T, starts_word_T, mention_M3, seed, masking_unit="word")
        chosen = np.isin(np.arange(120), found.place_P)
        partly += sum(0 < chosen[start:end].sum() < end - start for start, end, _ in mention_M3.tolist())
    assert partly > 20


def test_a_mention_longer_than_the_budget_is_masked_now_and_then() -> None:
    # 10 pieces, one mention of 5: the budget of 1.5 is met on average
    piece_T, starts = np.arange(10, 20, dtype=np.int32), np.ones(10, bool)
    mention = np.array([[2, 7, 0]])
    sizes = [len(mask(piece_T, starts, mention, seed).place_P) for seed in range(4000)]
    assert np.mean(sizes) == pytest.approx(1.5, abs=0.1)
    assert max(sizes) == 5 or max(sizes) == 6


def test_drawn_pieces_are_of_the_vocabulary_without_special_ones() -> None:
    piece_T, *rest = drawn(512, np.random.default_rng(2))
    found = mask(piece_T, *rest, 0, mask_share=0.0, random_share=0.9, keep_share=0.0)
    assert np.isin(found.input_T[found.place_P], DRAWABLE).all()
