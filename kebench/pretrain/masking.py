"""Which word pieces a sequence hides: whole words and whole entities (KeBioLM, section 3.2).

A chosen word or entity is chosen with all its pieces, and what becomes of it becomes of all of them: replaced
by [MASK], each by a piece drawn from the vocabulary, or left as they are.
"""

# T word pieces, U units, P chosen pieces

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from kebench.pretrain.encode import Ints, unit_starts
from kebench.pretrain.recipe import Pretraining


class Masked(NamedTuple):
    """input_T: pieces as the model sees them; place_P: those that it is asked for, in order."""

    input_T: Ints
    place_P: NDArray[np.int64]


def mask_pieces(
    piece_T: Ints,
    starts_word_T: NDArray[np.bool_],
    mention_M3: Ints,
    settings: Pretraining,
    rng: np.random.Generator,
    *,
    mask_id: int,
    special_ids: NDArray[np.int64],
    drawable_ids: NDArray[np.int64],
) -> Masked:
    """Choose pieces of a sequence, on average exactly the share that the settings state, and hide them.

    special_ids: never chosen. drawable_ids: what a piece may be replaced by.
    """
    is_text_T = ~np.isin(piece_T, special_ids)
    match settings.masking_unit:
        case "entity":
            starts_T = unit_starts(starts_word_T, mention_M3)
        case "word":
            starts_T = starts_word_T
        case "piece":
            starts_T = np.ones_like(starts_word_T)
    unit_T = np.cumsum(starts_T) - 1
    size_U = np.bincount(unit_T, weights=is_text_T).astype(np.int64)
    # Units in random order until the budget of pieces is met; the one that would exceed it is taken with the
    # probability that makes the mean the budget.
    budget = settings.chosen_share * int(is_text_T.sum())
    order_U = rng.permutation(len(size_U))
    reached_U = size_U[order_U].cumsum()
    num_whole = int(np.searchsorted(reached_U, budget, side="right"))
    chosen_U = np.zeros(len(size_U), dtype=bool)
    chosen_U[order_U[:num_whole]] = True
    if num_whole < len(size_U):
        before = int(reached_U[num_whole - 1]) if num_whole else 0
        share = (budget - before) / max(1, int(size_U[order_U[num_whole]]))
        chosen_U[order_U[num_whole]] = rng.random() < share
    # Each unit becomes [MASK], or other pieces, or stays.
    drawn_U = rng.random(len(size_U)) * settings.chosen_share
    mask_U = drawn_U < settings.mask_share
    random_U = ~mask_U & (drawn_U < settings.mask_share + settings.random_share)
    is_chosen_T = chosen_U[unit_T] & is_text_T
    input_T = np.where(is_chosen_T & mask_U[unit_T], np.int32(mask_id), piece_T)
    is_random_T = is_chosen_T & random_U[unit_T]
    input_T[is_random_T] = rng.choice(drawable_ids, size=int(is_random_T.sum()))
    return Masked(input_T, np.flatnonzero(is_chosen_T))
