"""Links mentions to an entity memory of hundreds of thousands of rows, in memory that does not grow with it.

The soft-max over all entities (KeBioLM, eq. 10) is computed in parts and computed again for its gradient; the
best entities of a mention (eq. 3) come out of the same pass. Values and gradients are those of the plain
formula, up to rounding.
"""

# M mentions, N entities, K candidates, F entity dimension

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import embedding_bag

from kebench.model.configuration import KebiolmConfig
from kebench.model.soft_max import Best, best_of, cross_entropy_gradients, rows_at_once

NO_ENTITY = -1


class Linked(NamedTuple):
    """vector_MF: the weighted entities (e' in section 3.1); loss_M: terms of eq. 10, 0 for NO_ENTITY.

    entity_M: the best entity of each mention.
    """

    vector_MF: Tensor
    loss_M: Tensor
    entity_M: Tensor


class EntityLinker(nn.Module):
    """The entity memory, and the projection of mentions into its space."""

    def __init__(self, config: KebiolmConfig) -> None:
        super().__init__()
        self.entity_embeddings = nn.Embedding(config.num_entities, config.entity_size)
        self.mention_to_entity_projection = nn.Linear(2 * config.hidden_size, config.entity_size)
        self.num_candidates = config.max_candidate_entities
        self.excluded = () if config.fidelity == "released" else tuple(config.special_entities)

    def forward(self, state_M2D: Tensor, entity_M: Tensor | None = None) -> Linked:
        """Link mentions by their boundary states; entity_M: the right entities, or NO_ENTITY."""
        query_MF = self.mention_to_entity_projection(state_M2D)
        return link(query_MF, self.entity_embeddings.weight, entity_M, self.num_candidates, self.excluded)


def link(
    query_MF: Tensor,
    entity_NF: Tensor,
    entity_M: Tensor | None,
    num_candidates: int,
    excluded: tuple[int, ...] = (),
) -> Linked:
    """Return the weighted sum of each query's best entities, and the loss of the right ones if given.

    excluded: rows that are never candidates and have no part in the soft-max.
    """
    with torch.autocast(query_MF.device.type, enabled=False):  # logits of so many entities need all digits
        return Linked(
            *_Link.apply(query_MF.to(entity_NF.dtype), entity_NF, entity_M, num_candidates, excluded)
        )


class _Link(torch.autograd.Function):
    """`link` as one step, so that the entity memory's gradient is one buffer, written once."""

    @staticmethod
    def forward(
        ctx: Any,
        query_MF: Tensor,
        entity_NF: Tensor,
        entity_M: Tensor | None,
        num_candidates: int,
        excluded: tuple[int, ...],
    ) -> tuple[Tensor, Tensor, Tensor]:
        num_candidates = min(num_candidates, len(entity_NF) - len(excluded))
        parts = []
        for rows_F in query_MF.split(rows_at_once(entity_NF)):
            logit_PN = rows_F @ entity_NF.T
            if excluded:
                logit_PN[:, list(excluded)] = -torch.inf
            parts.append(best_of(logit_PN, num_candidates))
        best = Best(*map(torch.cat, zip(*parts, strict=True)))
        share_MK = best.value_PK.softmax(1).to(entity_NF.dtype)
        vector_MF = embedding_bag(best.index_PK, entity_NF, per_sample_weights=share_MK, mode="sum")
        loss_M = query_MF.new_zeros(len(query_MF))
        if entity_M is not None:
            logit_M = (query_MF * entity_NF[entity_M.clamp(min=0)]).sum(1)
            loss_M = torch.where(entity_M == NO_ENTITY, loss_M, best.normaliser_P - logit_M)
        ctx.save_for_backward(query_MF, entity_NF, entity_M, best.index_PK, share_MK, best.normaliser_P)
        ctx.excluded = excluded
        linked_M = best.index_PK[:, 0].clone()
        ctx.mark_non_differentiable(linked_M)
        return vector_MF, loss_M, linked_M

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor | None, None, None, None]:
        vector_grad_MF, loss_grad_M, _ = gradients
        query_MF, entity_NF, entity_M, candidate_MK, share_MK, normaliser_M = ctx.saved_tensors
        entity_grad_NF = torch.empty_like(entity_NF) if ctx.needs_input_grad[1] else None
        if entity_M is None:
            query_grad_MF = torch.zeros_like(query_MF)
            if entity_grad_NF is not None:
                entity_grad_NF.zero_()
        else:
            weight_M = torch.where(entity_M == NO_ENTITY, 0, loss_grad_M)
            right_M = entity_M.clamp(min=0)
            query_grad_MF = cross_entropy_gradients(
                query_MF, entity_NF, None, right_M, normaliser_M, weight_M, entity_grad_NF,
                excluded=ctx.excluded,
            )  # fmt: skip
        candidate_MKF = entity_NF[candidate_MK]
        share_grad_MK = (candidate_MKF @ vector_grad_MF[:, :, None])[:, :, 0]
        logit_grad_MK = share_MK * (share_grad_MK - (share_MK * share_grad_MK).sum(1, keepdim=True))
        query_grad_MF += (logit_grad_MK[:, None] @ candidate_MKF)[:, 0]
        if entity_grad_NF is not None:
            candidate_grad_MKF = share_MK[..., None] * vector_grad_MF[:, None]
            candidate_grad_MKF += logit_grad_MK[..., None] * query_MF[:, None]
            entity_grad_NF.index_add_(0, candidate_MK.flatten(), candidate_grad_MKF.flatten(0, 1))
        return query_grad_MF, entity_grad_NF, None, None, None
