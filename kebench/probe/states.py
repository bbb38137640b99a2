"""From queries to word pieces, and from states of a search to batches for a model.

A query is tokenised once, with one blank; an item is that text with 1, 2 ... blanks. States of all items are
forwarded together, packed (`kebench.model.masked_lm`), so that nothing is padded and no batch is small.
"""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy
import torch
from numpy.typing import NDArray
from torch import Tensor

from kebench.model.masked_lm import BATCH_TOKENS, MaskedLM, Packed, groups_of
from kebench.probe.beam import Beams, BestTokens
from kebench.probe.query_set import MASK

# N items, R states asked for, M most places, K best tokens of a place, T tokens of an item
RELEASED_STATES = 96  # the released code's batch: 19 items with a beam of 5


class Pieces(NamedTuple):
    """A query's word pieces: those before the blank and those behind it, special tokens included."""

    before: tuple[int, ...]
    behind: tuple[int, ...]


class Items(NamedTuple):
    """Texts with blanks. token_NT: word pieces with the mask token at the blanks, 0 behind the end.

    start_N: where the blanks begin; num_places_N: how many there are; length_N: word pieces in all.
    query_N: which query each item asks, as a place in the list that they were made of.
    """

    token_NT: Tensor
    start_N: Tensor
    num_places_N: Tensor
    length_N: NDArray[numpy.int64]
    query_N: NDArray[numpy.int64]


def pieces_of(texts: Sequence[str], tokenizer: Any, *, cut_at: int | None = None) -> list[Pieces | None]:
    """Tokenise queries with one blank each; None where the mask token is lost or comes several times.

    cut_at: most word pieces; a longer text loses those before its last special token, as released.

    The blank becomes the tokenizer's own mask token, and the space before it goes: to a byte-level tokenizer
    it would be a token of its own, where in pretraining it belonged to the word that was masked.
    """
    if not texts:
        return []
    mask = tokenizer.mask_token
    limit = {"truncation": True, "max_length": cut_at} if cut_at else {}
    encoded = tokenizer([text.replace(f" {MASK}", mask).replace(MASK, mask) for text in texts], **limit)[
        "input_ids"
    ]
    pieces: list[Pieces | None] = []
    for ids in encoded:
        places = [place for place, token in enumerate(ids) if token == tokenizer.mask_token_id]
        is_one = len(places) == 1
        pieces.append(Pieces(tuple(ids[: places[0]]), tuple(ids[places[0] + 1 :])) if is_one else None)
    return pieces


def make_items(
    pieces: Sequence[Pieces], *, max_masks: int, max_tokens: int, mask_id: int, cut: bool, device: str
) -> Items:
    """Return an item for each query and number of masks.

    cut: cut what is too long at its end, blanks included, as the released code does; otherwise what is too
    long is left out.
    """
    rows: list[list[int]] = []
    start, num_places, query = [], [], []
    for number, (before, behind) in enumerate(pieces):
        for num_masks in range(1, max_masks + 1):
            row = [*before, *[mask_id] * num_masks, *behind]
            if len(row) > max_tokens and not cut:
                break
            rows.append(row[:max_tokens])
            start.append(len(before))
            num_places.append(min(num_masks, max(max_tokens - len(before), 0)))
            query.append(number)
    length = numpy.array([len(row) for row in rows], dtype=numpy.int64)
    token_NT = numpy.zeros((len(rows), int(length.max(initial=0))), dtype=numpy.int64)
    for place, row in enumerate(rows):
        token_NT[place, : len(row)] = row
    return Items(
        torch.from_numpy(token_NT).to(device),
        torch.tensor(start, dtype=torch.int64, device=device),
        torch.tensor(num_places, dtype=torch.int64, device=device),
        length,
        numpy.array(query, dtype=numpy.int64),
    )


class Work(NamedTuple):
    """What was asked of a model: states, their word pieces, and places that went through the head."""

    states: int = 0
    tokens: int = 0
    squares: int = 0  # of the lengths, which attention costs
    places: int = 0


class ModelPredict:
    """Answers a search with a model: the `Predict` of some items."""

    log_probs_in: torch.dtype | None = None  # None: as the model gives them

    def __init__(
        self,
        model: MaskedLM,
        items: Items,
        *,
        num_best: int,
        banned: Sequence[int] = (),
        batch_tokens: int | None = None,
    ) -> None:
        self.model, self.items, self.num_best = model, items, num_best
        self.banned = torch.tensor(sorted(banned), device=model.device) if banned else None
        self.batch_tokens = batch_tokens
        self.work = Work()

    def __call__(self, item_R: Tensor, token_RM: Tensor, asked_RM: Tensor) -> BestTokens:
        """Return the best tokens at the asked places; see `kebench.probe.beam.Predict`."""
        log_prob_RMK = torch.full(
            (*token_RM.shape, self.num_best), -torch.inf, device=token_RM.device, dtype=self.log_probs_in
        )
        token_RMK = torch.zeros_like(log_prob_RMK, dtype=torch.int64)
        for batch, packed, first_B in self._batches(item_R, token_RM):
            row, place = asked_RM[batch].nonzero(as_tuple=True)
            log_prob_PK, token_PK = self.model.best_tokens(
                packed, first_B[row] + place, num_best=self.num_best, banned=self.banned
            )
            found = log_prob_PK.shape[1]
            log_prob_RMK = log_prob_RMK.to(self.log_probs_in or log_prob_PK.dtype)
            log_prob_RMK[batch[row], place, :found] = log_prob_PK.to(log_prob_RMK.dtype)
            token_RMK[batch[row], place, :found] = token_PK
            squares = sum(group.num_texts * group.length**2 for group in packed.groups)
            done = (len(batch), len(packed.token_T), squares, len(row))
            self.work = Work(*(before + more for before, more in zip(self.work, done, strict=True)))
        return BestTokens(log_prob_RMK, token_RMK)

    def _batches(self, item_R: Tensor, token_RM: Tensor) -> Iterator[tuple[Tensor, Packed, Tensor]]:
        """Yield the places of states, their packed texts, and where in these the blanks of each begin.

        In batches of about equally many tokens, by length.
        """
        length_R = self.items.length_N[item_R.cpu().numpy()]
        order = numpy.argsort(length_R, kind="stable")
        budget = self.batch_tokens or BATCH_TOKENS[self.model.device.partition(":")[0]]
        total = int(length_R.sum())
        num_batches = -(-total // budget)
        ends = total * numpy.arange(1, num_batches) / max(num_batches, 1)
        bounds = numpy.searchsorted(numpy.cumsum(length_R[order]), ends)
        for part in numpy.split(order, bounds):
            if len(part):
                batch = torch.from_numpy(part).to(item_R.device)
                yield batch, *self._pack(item_R[batch], length_R[part], token_RM[batch])

    def _pack(
        self, item_B: Tensor, length_B: NDArray[numpy.int64], token_BM: Tensor
    ) -> tuple[Packed, Tensor]:
        """Return the items' texts with what stands at their places filled in, and where each one's begin."""
        text_BT = self.items.token_NT[item_B, : int(length_B.max())]  # indexing by items has made a copy
        start_B = self.items.start_N[item_B]
        row, place = (token_BM >= 0).nonzero(as_tuple=True)
        text_BT[row, start_B[row] + place] = token_BM[row, place]
        size_B = torch.from_numpy(length_B).to(text_BT.device)
        is_text_BT = torch.arange(text_BT.shape[1], device=text_BT.device) < size_B[:, None]
        return Packed(text_BT[is_text_BT], groups_of(length_B)), size_B.cumsum(0) - size_B + start_B


class ReleasedBatches(ModelPredict):
    """Answers a search in the released code's batches, for a model whose answers depend on its batch.

    Items of one length go together, 96 states at a time, in their order, each with all states of its beam,
    filled ones included. So the items of the whole set must be there.
    """

    log_probs_in = torch.float64
    beams_NBM: Tensor

    def watch(self, beams: Beams) -> None:
        """Take the states of all items."""
        self.beams_NBM = beams.token_NBM

    def _batches(self, item_R: Tensor, token_RM: Tensor) -> Iterator[tuple[Tensor, Packed, Tensor]]:
        """Yield the places of states in each batch that has some of them, as `ModelPredict` does."""
        beam, length_N = self.beams_NBM.shape[1], self.items.length_N
        size = max(1, RELEASED_STATES // beam)
        order = numpy.argsort(-length_N, kind="stable")  # the longest first
        alike = numpy.split(order, numpy.flatnonzero(numpy.diff(length_N[order])) + 1)
        parts = (of[start : start + size] for of in alike for start in range(0, len(of), size))
        for item_I in (torch.from_numpy(part).to(self.beams_NBM.device) for part in parts):
            batch = torch.isin(item_R, item_I).nonzero()[:, 0]
            if len(batch):
                state_BM = self.beams_NBM[item_I].flatten(0, 1)
                item_B = item_I.repeat_interleave(beam)
                packed, first_B = self._pack(item_B, length_N[item_B.cpu().numpy()], state_BM)
                is_state = (item_R[batch, None] == item_B) & (token_RM[batch, None] == state_BM).all(-1)
                state = is_state.long().argmax(1)  # of equal states any: in one batch they are alike
                yield batch, packed, first_B[state]
