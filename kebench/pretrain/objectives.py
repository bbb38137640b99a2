"""The three losses (KeBioLM, section 3.2, eqs. 6 to 10), as sums over what they are counted over.

The vocabulary's soft-max sees masked pieces only, and both soft-maxes are computed in parts
(`kebench.model.soft_max`, `linking`), so neither vocabulary nor entities decide memory.
"""

# B batch, T tokens, P masked pieces, D hidden

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from kebench.model.masked_lm import HEADS
from kebench.model.soft_max import cross_entropy_in_parts
from kebench.pretrain.batches import IGNORED, Batch


class Losses(NamedTuple):
    """loss_3: the sums of the three losses, in the order of LOSSES.

    To look at: correct_P, whether the best piece is right; label_BT, the best of O, B, I; entity_M, the best
    entity.
    """

    loss_3: Tensor
    correct_P: Tensor
    label_BT: Tensor | None
    entity_M: Tensor | None


class Objectives(nn.Module):
    """A model with its losses: a KeBioLM with three, any other masked language model with the first."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model
        self.is_kebiolm = model.config.model_type == "kebiolm"

    def forward(self, batch: Batch) -> Losses:
        """Return the summed losses of a batch."""
        given = {"mentions": batch.mentions, "mention_entities": batch.entity_M} if self.is_kebiolm else {}
        mask = batch.is_token_BT.long() if batch.has_padding else None
        output = self.model.base_model(input_ids=batch.input_BT, attention_mask=mask, **given)
        head = HEADS[self.model.config.model_type](self.model)
        hidden_PD = head.transform(output.last_hidden_state[batch.row_P, batch.place_P])
        weight, bias = head.decoder.weight, head.decoder.bias
        told = cross_entropy_in_parts(hidden_PD, weight, bias, batch.piece_P)
        mlm, correct_P = told.loss_P.sum(), told.best_P == batch.piece_P
        if not self.is_kebiolm:
            none = mlm.new_zeros(())
            return Losses(torch.stack([mlm, none, none]), correct_P, None, None)
        logit_BT3 = output.mention_logits.float()
        detection = cross_entropy(
            logit_BT3.flatten(0, 1), batch.label_BT.flatten(), ignore_index=IGNORED, reduction="sum"
        )
        losses = torch.stack([mlm, detection, output.linking_loss.sum()])
        return Losses(losses, correct_P, logit_BT3.detach().argmax(-1), output.linked_entities)
