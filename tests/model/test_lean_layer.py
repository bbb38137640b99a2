"""The lean layer is BERT's: the same parameters, values and gradients."""

import copy

import pytest
import torch
from transformers import BertConfig
from transformers.models.bert.modeling_bert import BertLayer

from kebench.model.kebiolm import LeanLayer, gelu_then_linear


@pytest.mark.parametrize("act", ["gelu", "relu"])
def test_values_and_gradients_are_those_of_bert_s_layer(act: str) -> None:
    config = BertConfig(hidden_size=16, num_attention_heads=2, intermediate_size=40, hidden_act=act)
    config._attn_implementation = "sdpa"
    torch.manual_seed(0)
    plain = BertLayer(config).double().eval()
    lean = LeanLayer(config).double().eval()
    lean.load_state_dict(copy.deepcopy(plain.state_dict()))
    hidden = torch.randn(2, 7, 16, dtype=torch.float64)
    results = []
    for layer in (plain, lean):
        inputs = (hidden.clone().requires_grad_(), *layer.parameters())
        out = layer(inputs[0])
        gradients = torch.autograd.grad((out * torch.arange(16)).sum(), inputs)
        results.append((out, *gradients))
    for one, other in zip(*results, strict=True):
        assert torch.allclose(one, other, atol=1e-12)


def test_only_its_input_is_kept() -> None:
    value = torch.randn(5, 40, requires_grad=True)
    weight, bias = torch.randn(16, 40, requires_grad=True), torch.randn(16, requires_grad=True)
    kept: list[torch.Tensor] = []
    with torch.autograd.graph.saved_tensors_hooks(lambda tensor: kept.append(tensor) or tensor, lambda x: x):
        gelu_then_linear(value, weight, bias)
    assert sorted(tuple(tensor.shape) for tensor in kept) == [(5, 40), (16, 40)]


def test_under_autocast_it_computes_in_its_format() -> None:
    value = torch.randn(5, 40).to(torch.bfloat16).requires_grad_()
    weight, bias = torch.randn(16, 40, requires_grad=True), torch.randn(16, requires_grad=True)
    with torch.autocast("cpu", torch.bfloat16):
        out = gelu_then_linear(value, weight, bias)
        plain = torch.nn.functional.linear(torch.nn.functional.gelu(value), weight, bias)
    assert out.dtype == torch.bfloat16
    assert torch.allclose(out, plain)
    out.sum().backward()
    assert weight.grad is not None
    assert weight.grad.dtype == torch.float32
