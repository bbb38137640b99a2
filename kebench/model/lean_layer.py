"""BERT's layer, keeping less for the backward pass: what GELU gives is computed again.

It is four times as wide as the layer, so what is kept shrinks by a quarter.
"""

# X any leading dimensions, I intermediate, D hidden

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import gelu, linear
from transformers.models.bert.modeling_bert import BertLayer


class LeanLayer(BertLayer):
    """BERT's layer; parameters, values and gradients are its own."""

    def feed_forward_chunk(self, attention_output: Tensor) -> Tensor:
        """Apply the feed-forward part."""
        if type(self.intermediate.intermediate_act_fn).__name__ != "GELUActivation":
            plain_states: Tensor = super().feed_forward_chunk(attention_output)
            return plain_states
        dense = self.output.dense
        states = gelu_then_linear(self.intermediate.dense(attention_output), dense.weight, dense.bias)
        normed: Tensor = self.output.LayerNorm(self.output.dropout(states) + attention_output)
        return normed


def gelu_then_linear(value_XI: Tensor, weight_DI: Tensor, bias_D: Tensor) -> Tensor:
    """Return linear(gelu(value), weight, bias), which keeps only what it is given."""
    weight_DI, bias_D = weight_DI.to(value_XI.dtype), bias_D.to(value_XI.dtype)  # under autocast
    with torch.autocast(value_XI.device.type, enabled=False):
        states: Tensor = _GeluLinear.apply(value_XI, weight_DI, bias_D)
    return states


class _GeluLinear(torch.autograd.Function):
    """`gelu_then_linear` in one number format."""

    @staticmethod
    def forward(ctx: Any, value_XI: Tensor, weight_DI: Tensor, bias_D: Tensor) -> Tensor:
        ctx.save_for_backward(value_XI, weight_DI)
        return linear(gelu(value_XI), weight_DI, bias_D)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        (grad_XD,) = gradients
        value_XI, weight_DI = ctx.saved_tensors
        rows_XD = grad_XD.flatten(0, -2)
        weight_grad_DI = rows_XD.T @ gelu(value_XI).flatten(0, -2)
        value_grad_XI = torch.ops.aten.gelu_backward(grad_XD @ weight_DI, value_XI)
        return value_grad_XI, weight_grad_DI, rows_XD.sum(0)
