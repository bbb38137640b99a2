"""Mentions as token spans: found from B/I/O labels, and back to the tokens they cover (KeBioLM, section 3.1).

A batch's mentions are three vectors, row by row and from left to right. On a GPU, counting them would make
the host wait, so there each row has as many slots as it may have mentions, and a slot without is empty.
"""

# B batch, T tokens, N slots of a row, M mentions of the batch, D hidden

from typing import NamedTuple

import torch
from torch import Tensor

OUTSIDE, BEGIN, INSIDE = 0, 1, 2


class Mentions(NamedTuple):
    """Spans of tokens, half-open; where start and end are 0 there is none."""

    row_M: Tensor
    start_M: Tensor
    end_M: Tensor


def find_mentions(
    label_BT: Tensor, may_be_BT: Tensor, *, max_mentions: int, released: bool = False
) -> Mentions:
    """Return the first mentions of each row: B opens one, I goes on, and opens one after O.

    may_be_BT: tokens that may be in a mention.
    released: as in the released code rows with fewer than the fullest get the span (0, 1) too.
    """
    batch, tokens = label_BT.shape
    inside_BT = may_be_BT & (label_BT != OUTSIDE)
    none_B1 = inside_BT.new_zeros(batch, 1)
    opens_BT = inside_BT & ((label_BT == BEGIN) | ~torch.cat([none_B1, inside_BT[:, :-1]], dim=1))
    goes_on_BT = torch.cat([(inside_BT & ~opens_BT)[:, 1:], none_B1], dim=1)
    slot_BT = opens_BT.cumsum(1) - 1  # of the mention that a token inside belongs to
    slots = min(max_mentions, tokens)
    place_BT = torch.arange(tokens, device=label_BT.device).expand(batch, -1)

    def place_of(is_chosen_BT: Tensor) -> Tensor:
        cell_BT = torch.where(is_chosen_BT & (slot_BT < slots), slot_BT, slots)  # the last is thrown away
        return place_BT.new_zeros(batch, slots + 1).scatter_(1, cell_BT, place_BT)[:, :slots]

    count_B = opens_BT.sum(1).clamp(max=slots)
    slot_N = torch.arange(slots, device=label_BT.device)
    has_BN = slot_N < count_B[:, None]
    start_BN = place_of(opens_BT)
    end_BN = torch.where(has_BN, place_of(inside_BT & ~goes_on_BT) + 1, 0)
    if released:
        end_BN = torch.where(~has_BN & (slot_N < count_B.max()), 1, end_BN)
    row_BN = torch.arange(batch, device=label_BT.device)[:, None].expand_as(start_BN)
    mentions = Mentions(row_BN.flatten(), start_BN.flatten(), end_BN.flatten())
    if not _may_wait(start_BN):
        return mentions
    is_there_M = mentions.end_M > 0
    return Mentions(*(part_M[is_there_M] for part_M in mentions))


def _may_wait(tensor: Tensor) -> bool:
    """True on the CPU, where nobody waits for a number, and empty slots would cost work."""
    return bool(tensor.device.type == "cpu")


def boundary_states(hidden_BTD: Tensor, mentions: Mentions) -> Tensor:
    """Return [h_s; h_t] of each mention, its first and last token's states, (M, 2D)."""
    first_MD = hidden_BTD[mentions.row_M, mentions.start_M]
    last_MD = hidden_BTD[mentions.row_M, (mentions.end_M - 1).clamp(min=0)]
    return torch.cat([first_MD, last_MD], dim=1)


def owners(mentions: Mentions, *, batch: int, tokens: int, released: bool = False) -> Tensor:
    """Return for each token the mention that it is in, (B, T); M, one more than the last, if in none.

    released: as in the released code a mention also has the token behind it, unless the next one begins
        there, and the padding (0, 1) has the row's first two tokens, whatever else has them.
    """
    num_mentions = len(mentions.row_M)
    number_M = torch.arange(1, num_mentions + 1, device=mentions.row_M.device)
    is_padding_M = (mentions.start_M == 0) & (mentions.end_M > 0) & released
    is_placed_M = (mentions.end_M > 0) & ~is_padding_M
    # mentions of a row come from left to right, so the one that began last is the largest so far
    cell_M = mentions.row_M * (tokens + 1) + torch.where(is_placed_M, mentions.start_M, tokens)
    begun_BT = number_M.new_zeros(batch * (tokens + 1)).scatter_(0, cell_M, number_M)
    begun_BT = begun_BT.view(batch, tokens + 1)[:, :tokens].cummax(1).values
    end_M = torch.cat([mentions.end_M.new_zeros(1), mentions.end_M + released])
    place_T = torch.arange(tokens, device=begun_BT.device)
    owner_BT = torch.where((begun_BT > 0) & (place_T < end_M[begun_BT]), begun_BT - 1, num_mentions)
    if released:
        padding_B = number_M.new_zeros(batch).scatter_reduce_(
            0, mentions.row_M, torch.where(is_padding_M, number_M, 0), "amax"
        )
        has_padding_BT = (padding_B > 0)[:, None] & (place_T < 2)
        owner_BT = torch.where(has_padding_BT, padding_B[:, None] - 1, owner_BT)
    return owner_BT
