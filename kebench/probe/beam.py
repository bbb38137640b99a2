"""Filling blanks by beam search: a pure search over token ids (KeBioLM, section 4.6.2; X-FACTR, section 4).

An item is a text with some blanks in a row. A state is an item some of whose places are filled. The search
asks one function for the best tokens at open places of many states at once, and keeps the best `beam` states
of every item; it knows nothing of models, texts or batches.

What a slot of the beam holds decides by which rule the children of all states are picked:

top     the best children of all states, as in the paper. A wider beam may end with a worse best answer: what
        it keeps at one step can crowd out what the narrow one would have kept.
slots   slot i is picked among the children of slots up to i (monotonic beam search, Lemons et al. 2022), so a
        wider beam holds all that a narrower one holds, and never ends worse. A slot's score is that of the
        best path to it from any slot.

Scores are sums of log probabilities. Ties are broken by (score rounded to 1e-4, token ids), unless `exact`.
"""

from collections.abc import Callable
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

# N items, R states asked for, B beam, M most places, K best tokens of a place, C candidates
OPEN = -1  # a place to be filled
NO_PLACE = -2  # behind the last place of an item
ROUNDED = 1e4
_BITS = 21  # three token ids in one int64


class BestTokens(NamedTuple):
    """The best tokens of each state and place, and log probabilities, (R, M, K); -inf where not asked."""

    log_prob_RMK: Tensor
    token_RMK: Tensor


class Predict(Protocol):
    """What a search asks for: the best tokens at some open places of some states.

    One with a method `watch` is told the beams of all items before each step, those of finished ones too.
    """

    def __call__(self, item_R: Tensor, token_RM: Tensor, asked_RM: Tensor) -> BestTokens:
        """item_R: whose state it is. token_RM: what stands at its places, OPEN where nothing does."""


class Beams(NamedTuple):
    """The states kept for each item, best first once a search has ended.

    token_NBM: int64; OPEN or NO_PLACE where nothing stands. step_NBM: when each place was filled, from 0.
    log_prob_NBM: the log probability of each token when it was filled, 0 elsewhere.
    score_NB: their sum; -inf for a slot that holds nothing. picked_NB: the score by which slots were picked.
    """

    token_NBM: Tensor
    step_NBM: Tensor
    log_prob_NBM: Tensor
    score_NB: Tensor
    picked_NB: Tensor


class Rules(NamedTuple):
    """How the children of all states are picked.

    slots: slot i is picked among the children of slots up to i. duplicates: keep one string several times,
    once for each order of filling it. exact: compare scores as they are, equal ones in the order of the beam.
    """

    slots: bool = True
    duplicates: bool = False
    exact: bool = False


def fill_by_confidence(predict: Predict, num_places_N: Tensor, *, beam: int, rules: Rules) -> Beams:
    """Fill one place at a time, any open one: of all tokens at all open places the most probable."""
    return _search(predict, num_places_N, lambda token_RM: token_RM == OPEN, beam=beam, rules=rules)


def fill_in_order(predict: Predict, num_places_N: Tensor, *, beam: int, rules: Rules) -> Beams:
    """Fill one place at a time, from left to right."""

    def first_open(token_RM: Tensor) -> Tensor:
        is_open_RM = token_RM == OPEN
        return is_open_RM & (is_open_RM.cumsum(1) == 1)

    return _search(predict, num_places_N, first_open, beam=beam, rules=rules)


def fill_independently(predict: Predict, num_places_N: Tensor, *, beam: int, rules: Rules) -> Beams:
    """Fill all places from one prediction: the best combinations of tokens that do not see each other."""
    beams = new_beams(num_places_N, beam=1)
    first_NM = beams.token_NBM[:, 0]
    items_N = torch.arange(len(num_places_N), device=num_places_N.device)
    best = predict(items_N, first_NM, first_NM == OPEN)

    def as_predicted(item_R: Tensor, token_RM: Tensor, asked_RM: Tensor) -> BestTokens:
        log_prob_RMK = best.log_prob_RMK[item_R].masked_fill(~asked_RM[..., None], -torch.inf)
        return BestTokens(log_prob_RMK, best.token_RMK[item_R])

    return fill_in_order(as_predicted, num_places_N, beam=beam, rules=rules)


def new_beams(num_places_N: Tensor, *, beam: int) -> Beams:
    """Return beams that hold each item unfilled, in their first slot."""
    num_items, most = len(num_places_N), int(num_places_N.max()) if len(num_places_N) else 0
    device = num_places_N.device
    is_place_NM = torch.arange(most, device=device) < num_places_N[:, None]
    token_NM = torch.where(is_place_NM, OPEN, NO_PLACE)
    score_NB = torch.full((num_items, beam), -torch.inf, device=device)
    score_NB[:, 0] = 0
    return Beams(
        token_NM[:, None].repeat(1, beam, 1),
        torch.full((num_items, beam, most), -1, device=device),
        torch.zeros(num_items, beam, most, device=device),
        score_NB,
        score_NB.clone(),
    )


def refine(predict: Predict, beams: Beams, *, rounds: int, rules: Rules) -> Beams:
    """Predict the least probable token of each state anew, until nothing changes or `rounds` are over.

    Each item stops by itself, so what stands beside it does not move its answers. The "confidence" refinement
    of X-FACTR (Jiang et al. 2020, section 4.2), whose code goes on until no item of a batch changes; KeBioLM
    leaves it out. Steps go on from the number of the item's own places.
    """
    num_places_N = (beams.token_NBM[:, 0] != NO_PLACE).sum(1)
    items = num_places_N.nonzero()[:, 0]
    for number in range(rounds):
        if not len(items):
            break
        current = Beams(*(part[items] for part in beams))
        # The place of each state's least probable token is opened; of equal ones, unless exact, the first.
        log_prob_NBM = current.log_prob_NBM
        compared_NBM = log_prob_NBM if rules.exact else (log_prob_NBM.double() * ROUNDED).round()
        least_NB1 = compared_NBM.masked_fill(current.token_NBM < 0, torch.inf).argmin(2, keepdim=True)
        score_NB = current.score_NB - log_prob_NBM.gather(2, least_NB1)[..., 0]
        opened = current._replace(
            token_NBM=current.token_NBM.scatter(2, least_NB1, OPEN),
            log_prob_NBM=log_prob_NBM.scatter(2, least_NB1, 0.0),
            score_NB=score_NB,
            picked_NB=score_NB,
        )
        chosen = _step(
            predict,
            opened,
            items,
            lambda token_RM: token_RM == OPEN,
            step=num_places_N[items] + number,
            rules=rules,
        )
        chosen = ranked(chosen, rules)
        beams = _replaced(beams, items, chosen)
        items = items[(chosen.token_NBM != current.token_NBM).flatten(1).any(1)]
    return beams


def _search(
    predict: Predict, num_places_N: Tensor, asked: Callable[[Tensor], Tensor], *, beam: int, rules: Rules
) -> Beams:
    """Fill place after place; all items with a place left go on together."""
    beams = new_beams(num_places_N, beam=beam)
    for step in range(beams.token_NBM.shape[2]):
        going_on = num_places_N > step
        is_all = bool(going_on.all())
        if watch := getattr(predict, "watch", None):
            watch(beams)
        current = beams if is_all else Beams(*(part[going_on] for part in beams))
        items = going_on.nonzero()[:, 0]
        chosen = _step(predict, current, items, asked, step=step, rules=rules)
        beams = chosen if is_all else _replaced(beams, items, chosen)
    return ranked(beams, rules)


def _replaced(beams: Beams, items: Tensor, chosen: Beams) -> Beams:
    pairs = zip(beams, chosen, strict=True)
    return Beams(*(old.to(new.dtype).index_copy(0, items, new) for old, new in pairs))


class _Children(NamedTuple):
    """The candidates of each item, (N, C): the child of which slot, which token at which place."""

    slot_NC: Tensor
    place_NC: Tensor
    token_NC: Tensor
    log_prob_NC: Tensor


def _step(
    predict: Predict,
    beams: Beams,
    items: Tensor,
    asked: Callable[[Tensor], Tensor],
    *,
    step: int | Tensor,
    rules: Rules,
) -> Beams:
    """Fill one more place of every item's states. step: its number, of all items or of each."""
    children = _children(predict, beams, items, asked, rules)
    parent_NCM = _rows(beams.token_NBM, children.slot_NC)
    child_NCM = parent_NCM.scatter(2, children.place_NC[..., None], children.token_NC[..., None])
    picked_NC = beams.picked_NB.gather(1, children.slot_NC) + children.log_prob_NC
    order_NC = _best_first(picked_NC, child_NCM, exact=rules.exact)
    children = _Children(*(part.gather(1, order_NC) for part in children))
    child_NCM, picked_NC = _rows(child_NCM, order_NC), picked_NC.gather(1, order_NC)
    pick_NB, path_NB = _pick(children, child_NCM, picked_NC, beams, rules)
    # The picked children, each with the steps and scores of its best path.
    taken_NB, is_empty_NB = pick_NB.clamp(min=0), pick_NB < 0
    place_NB1 = children.place_NC.gather(1, path_NB)[..., None]
    log_prob_NB = children.log_prob_NC.gather(1, path_NB)
    parent_NB = children.slot_NC.gather(1, path_NB)
    steps_NBM = _rows(beams.step_NBM, parent_NB)
    log_probs_NBM = _rows(beams.log_prob_NBM, parent_NB).to(log_prob_NB.dtype)
    step_N = torch.as_tensor(step, device=place_NB1.device).expand(len(place_NB1))
    return Beams(
        _rows(child_NCM, taken_NB),
        steps_NBM.scatter(2, place_NB1, step_N[:, None, None].expand_as(place_NB1)),
        log_probs_NBM.scatter(2, place_NB1, log_prob_NB[..., None]),
        (beams.score_NB.gather(1, parent_NB) + log_prob_NB).masked_fill(is_empty_NB, -torch.inf),
        picked_NC.gather(1, taken_NB).masked_fill(is_empty_NB, -torch.inf),
    )


def _children(
    predict: Predict, beams: Beams, items: Tensor, asked: Callable[[Tensor], Tensor], rules: Rules
) -> _Children:
    """Ask for the best tokens of every state, each distinct one once, and keep the best `beam` of each."""
    num_items, beam = beams.score_NB.shape
    item_R, slot_R = (beams.score_NB > -torch.inf).nonzero(as_tuple=True)
    token_RM = beams.token_NBM[item_R, slot_R]
    if rules.duplicates:
        rows = torch.cat([item_R[:, None], token_RM], dim=1)
        distinct, where_R = torch.unique(rows, dim=0, return_inverse=True)
        found = predict(items[distinct[:, 0]], distinct[:, 1:], asked(distinct[:, 1:]))
        found = BestTokens(*(part[where_R] for part in found))
    else:
        found = predict(items[item_R], token_RM, asked(token_RM))
    num_best = found.token_RMK.shape[2]
    flat_R = found.log_prob_RMK.flatten(1)
    # Twice the beam, so that ties at its end are broken by token ids and not by chance.
    kept = min(beam if rules.exact else 2 * beam, flat_R.shape[1])
    log_prob_RC, index_RC = flat_R.topk(kept, dim=1)
    token_RC = found.token_RMK.flatten(1).gather(1, index_RC)

    def spread(values_RC: Tensor, empty: float) -> Tensor:
        whole = values_RC.new_full((num_items, beam, kept), empty)
        whole[item_R, slot_R] = values_RC
        return whole.flatten(1)

    slots = torch.arange(beam, device=token_RM.device)[None, :, None].expand(num_items, beam, kept)
    return _Children(
        slots.flatten(1),
        spread(index_RC // num_best, 0),
        spread(token_RC, 0),
        spread(log_prob_RC, -torch.inf),
    )


def _best_first(score_NC: Tensor, token_NCM: Tensor, *, exact: bool) -> Tensor:
    """Return the order of the candidates: by score, then by token ids, or as they are if `exact`."""
    if exact:
        return score_NC.argsort(dim=1, descending=True, stable=True)
    order_NC = torch.arange(score_NC.shape[1], device=score_NC.device).expand_as(score_NC)
    rounded_NC = (score_NC.double() * -ROUNDED).round()
    for key_NC in [*reversed(_packed(token_NCM)), rounded_NC]:
        order_NC = order_NC.gather(1, key_NC.gather(1, order_NC).argsort(dim=1, stable=True))
    return order_NC


def _packed(token_NCM: Tensor) -> list[Tensor]:
    """Return the token ids as few numbers, whose order is that of the ids from left to right."""
    ids = token_NCM - NO_PLACE  # none below zero
    keys = []
    for start in range(0, ids.shape[-1], 3):
        key = ids[..., start]
        for place in range(start + 1, min(start + 3, ids.shape[-1])):
            key = (key << _BITS) | ids[..., place]
        keys.append(key)
    return keys


def _pick(
    children: _Children, child_NCM: Tensor, picked_NC: Tensor, beams: Beams, rules: Rules
) -> tuple[Tensor, Tensor]:
    """Return which candidate each slot takes, (N, B), and by which candidate its best path comes, (N, B).

    The candidates stand best first. A slot for which none is left takes a candidate of score -inf.
    """
    # A step a slot over all candidates, twice the square of the beam: `Decoder` bounds the beam.
    beam = beams.score_NB.shape[1]
    path_NC = beams.score_NB.gather(1, children.slot_NC) + children.log_prob_NC
    if not rules.exact:  # equal paths differ by the batch: of these the first
        path_NC = (path_NC.double() * ROUNDED).round()
    keys_NCX = torch.stack(_packed(child_NCM), dim=2)
    is_free_NC = picked_NC > -torch.inf
    picks, paths = [], []
    for slot in range(beam):
        may_NC = is_free_NC & (children.slot_NC <= slot) if rules.slots else is_free_NC
        found_N1 = may_NC.any(1, keepdim=True)
        pick_N1 = torch.where(found_N1, may_NC.int().argmax(1, keepdim=True), -1)
        taken_N1 = pick_N1.clamp(min=0)
        is_same_NC = (keys_NCX == _rows(keys_NCX, taken_N1)).all(2)
        if rules.duplicates:
            is_same_NC = torch.zeros_like(is_free_NC).scatter(1, taken_N1, True)
        is_free_NC = is_free_NC & ~(is_same_NC & found_N1)
        picks.append(pick_N1)
        paths.append(path_NC.masked_fill(~is_same_NC, -torch.inf).argmax(1, keepdim=True))
    return torch.cat(picks, 1), torch.cat(paths, 1)


def ranked(beams: Beams, rules: Rules) -> Beams:
    """Return the beams with the slots of each item best first."""
    order_NB = _best_first(beams.score_NB, beams.token_NBM, exact=rules.exact)
    parts = (_rows(part, order_NB) if part.dim() == 3 else part.gather(1, order_NB) for part in beams)
    return Beams(*parts)


def _rows(values_NCX: Tensor, index_ND: Tensor) -> Tensor:
    """Return rows of the second dimension: (N, C, X) and (N, D) give (N, D, X)."""
    return values_NCX.gather(1, index_ND[..., None].expand(-1, -1, values_NCX.shape[2]))
