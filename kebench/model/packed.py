"""Texts of any lengths in one forward pass, without padding: one row of tokens, attention within each text.

Only attention looks from one token to another; everything else in an encoder takes tokens one by one. So
texts are laid one behind the other, and attention alone is computed for each group of equally long ones.
"""

import itertools
from typing import Any, NamedTuple

import numpy
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface

# T tokens of all texts, A attention heads, D size of a head
_NAME = "kebench_packed"


class Group(NamedTuple):
    """Texts of one length that stand together."""

    num_texts: int
    length: int


class Packed(NamedTuple):
    """Texts one behind the other. token_T: their tokens; groups: how they are cut into texts, in order."""

    token_T: Tensor
    groups: tuple[Group, ...]


def groups_of(length_B: NDArray[numpy.int64]) -> tuple[Group, ...]:
    """Return the groups of texts whose lengths are given in order."""
    bounds = numpy.flatnonzero(numpy.diff(length_B, prepend=-1, append=-1))
    return tuple(Group(int(end - start), int(length_B[start])) for start, end in itertools.pairwise(bounds))


def can_pack(model: Any) -> bool:
    """True if a model's attention can be handed in: transformers' own code does that, other code may not."""
    return type(model).__module__.startswith("transformers.") and model._supports_attention_backend


def use_packed_attention(model: Any) -> None:
    """Let a model take packed texts from now on, and nothing else."""
    AttentionInterface.register(_NAME, _attend_within_texts)
    model.set_attn_implementation(_NAME)


def encode(encoder: Any, packed: Packed, *, first_position: int) -> Tensor:
    """Return the last hidden states of packed texts, (T, hidden).

    first_position: the position number of a text's first token.
    """
    device = packed.token_T.device
    position_T = torch.cat(
        [torch.arange(group.length, device=device).repeat(group.num_texts) for group in packed.groups]
    )
    hidden_1TH: Tensor = encoder(
        input_ids=packed.token_T[None], position_ids=first_position + position_T[None], groups=packed.groups
    )[0]
    return hidden_1TH[0]


def encode_by_length(encoder: Any, packed: Packed) -> Tensor:
    """Return what `encode` returns, with a forward pass for each length: for models that cannot pack."""
    sizes = [group.num_texts * group.length for group in packed.groups]
    return torch.cat(
        [
            encoder(input_ids=token_T.view(*group))[0].flatten(0, 1)
            for token_T, group in zip(packed.token_T.split(sizes), packed.groups, strict=True)
        ]
    )


def _attend_within_texts(
    module: Any,
    query_1ATD: Tensor,
    key_1ATD: Tensor,
    value_1ATD: Tensor,
    attention_mask: Tensor | None,
    *,
    groups: tuple[Group, ...],
    scaling: float | None = None,
    sliding_window: int | None = None,
    **_: Any,
) -> tuple[Tensor, None]:
    """Attend within each text, both ways; the form is that of transformers' attention functions.

    sliding_window: how many tokens a token sees on either side, itself included (ModernBERT's local layers).
    """
    mixed_TAD = torch.empty_like(query_1ATD[0].transpose(0, 1), memory_format=torch.contiguous_format)
    start = 0
    for group in groups:
        end = start + group.num_texts * group.length
        query, key, value = (
            states[0, :, start:end].unflatten(1, group).transpose(0, 1)
            for states in (query_1ATD, key_1ATD, value_1ATD)
        )
        mask = None
        if sliding_window is not None and group.length > sliding_window:
            place = torch.arange(group.length, device=query.device)
            mask = (place[:, None] - place).abs() < sliding_window
        mixed = scaled_dot_product_attention(query, key, value, attn_mask=mask, scale=scaling)
        mixed_TAD[start:end] = mixed.transpose(1, 2).flatten(0, 1)
        start = end
    return mixed_TAD[None], None
