"""Batches: the order of sequences in an epoch, masks, and the tensors that a model takes.

Whole words and whole entities are masked (KeBioLM, section 3.2): one that is chosen is chosen with all its
pieces, and what becomes of it becomes of all of them: replaced by [MASK], each by a piece drawn from the
vocabulary, or left as they are. What is masked in a sequence depends on the seed, the epoch and the number of
the sequence alone, neither on the batch it is in nor on how many processes share the work.
"""

# B batch, T tokens, M mentions, U units (words, entities), P masked pieces

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from kebench.model.linking import NO_ENTITY
from kebench.model.mentions import BEGIN, INSIDE, OUTSIDE, Mentions
from kebench.pretrain.encode import Ints, PackedSequence, unit_starts
from kebench.pretrain.recipe import Pretraining
from kebench.pretrain.sequences import Sequences

IGNORED = -100  # a label that costs nothing: torch's
_ORDER, _MASKS = 0, 1  # what a draw is for


class Batch(NamedTuple):
    """Sequences as tensors, padded to the longest of them.

    label_BT: O, B, I of each piece of text, IGNORED elsewhere.
    mentions, entity_M: those that are linked and fused, the first of each sequence.
    row_P, place_P, piece_P: the masked places, and what stood there.
    has_padding: whether any sequence is shorter than the longest.
    """

    input_BT: Tensor
    is_token_BT: Tensor
    label_BT: Tensor
    mentions: Mentions
    entity_M: Tensor
    row_P: Tensor
    place_P: Tensor
    piece_P: Tensor
    has_padding: bool

    def to(self, device: torch.device) -> "Batch":
        """Move every tensor."""

        def moved(tensor: Tensor) -> Tensor:
            return tensor.to(device, non_blocking=True)

        tensors = {name: moved(value) for name, value in self._asdict().items() if isinstance(value, Tensor)}
        return self._replace(mentions=Mentions(*map(moved, self.mentions)), **tensors)

    def counts(self) -> Tensor:
        """Return over how many terms each loss is summed: masked pieces, labelled pieces, linked mentions."""
        return torch.tensor(
            [
                len(self.piece_P),
                int((self.label_BT != IGNORED).sum()),
                int((self.entity_M != NO_ENTITY).sum()),
            ]
        )


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


def epoch_order(num_sequences: int, *, seed: int, epoch: int) -> NDArray[np.int64]:
    """Return the numbers of all sequences in the order of an epoch."""
    return np.random.default_rng([seed, _ORDER, epoch]).permutation(num_sequences)


class Collator:
    """Makes batches of sequences for one backbone's vocabulary."""

    def __init__(self, tokenizer: Any, settings: Pretraining, *, vocabulary_size: int) -> None:
        self.settings = settings
        self.pad_id, self.mask_id = tokenizer.pad_token_id, tokenizer.mask_token_id
        ends = {tokenizer.cls_token_id, tokenizer.sep_token_id, tokenizer.pad_token_id}
        self.not_text_ids = np.array(sorted(ends), dtype=np.int64)
        special = set(tokenizer.all_special_ids)
        pieces = set(tokenizer.get_vocab().values())  # a table may be longer than the vocabulary
        self.drawable_ids = np.array(
            sorted(one for one in pieces - special if one < vocabulary_size), dtype=np.int64
        )

    def mask(self, sequence: PackedSequence, *, epoch: int, number: int) -> Masked:
        """Return a sequence as an epoch hides it."""
        return mask_pieces(
            sequence.piece_T,
            sequence.starts_word_T,
            sequence.mention_M3,
            self.settings,
            np.random.default_rng([self.settings.seed, _MASKS, epoch, number]),
            mask_id=self.mask_id,
            special_ids=self.not_text_ids,
            drawable_ids=self.drawable_ids,
        )

    def hidden(self, numbers: Sequence[int], *, of: Sequences, epoch: int) -> Batch:
        """Return sequences, by number, as an epoch hides them."""
        rows = [of[number] for number in numbers]
        pairs = zip(rows, numbers, strict=True)
        return self.batch(rows, [self.mask(row, epoch=epoch, number=number) for row, number in pairs])

    def batch(self, sequences: Sequence[PackedSequence], masked: Sequence[Masked]) -> Batch:
        """Return sequences, hidden, as tensors."""
        size = max(len(one.piece_T) for one in sequences)
        input_BT = np.full((len(sequences), size), self.pad_id, dtype=np.int64)
        is_token_BT = np.zeros((len(sequences), size), dtype=bool)
        label_BT = np.full((len(sequences), size), IGNORED, dtype=np.int64)
        spans: list[Ints] = []
        for row, (one, hidden) in enumerate(zip(sequences, masked, strict=True)):
            input_BT[row, : len(one.piece_T)] = hidden.input_T
            is_token_BT[row, : len(one.piece_T)] = True
            label_T = label_BT[row, : len(one.piece_T)]
            label_T[:] = OUTSIDE
            for start, end, _ in one.mention_M3.tolist():  # those beyond the cap are labelled too
                label_T[start:end] = INSIDE
                label_T[start] = BEGIN
            label_T[np.isin(one.piece_T, self.not_text_ids)] = IGNORED
            linked = one.mention_M3[: self.settings.max_mentions]
            spans.append(np.insert(linked, 0, row, axis=1))
        row_M, start_M, end_M, entity_M = torch.from_numpy(np.concatenate(spans).astype(np.int64)).T
        pieces = [one.piece_T[hidden.place_P] for one, hidden in zip(sequences, masked, strict=True)]
        rows = np.repeat(np.arange(len(sequences)), [len(hidden.place_P) for hidden in masked])
        return Batch(
            torch.from_numpy(input_BT),
            torch.from_numpy(is_token_BT),
            torch.from_numpy(label_BT),
            Mentions(row_M.contiguous(), start_M.contiguous(), end_M.contiguous()),
            entity_M.contiguous(),
            torch.from_numpy(rows),
            torch.from_numpy(np.concatenate([hidden.place_P for hidden in masked])),
            torch.from_numpy(np.concatenate(pieces).astype(np.int64)),
            not bool(is_token_BT.all()),
        )
