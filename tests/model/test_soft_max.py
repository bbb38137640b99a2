"""Soft-max in parts: values and gradients of the plain formula, whatever the parts."""

import pytest
import torch

from kebench.model import soft_max
from kebench.model.soft_max import cross_entropy_in_parts


@pytest.mark.parametrize("with_bias", [False, True])
@pytest.mark.parametrize("values", [1, 500, 2**24])
def test_values_and_gradients_are_those_of_the_plain_formula(
    values: int, with_bias: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(soft_max._VALUES, "cpu", values)
    monkeypatch.setitem(soft_max._LEAST_ROWS, "cpu", 1)
    drawn = torch.Generator().manual_seed(0)
    query, weight, bias = (
        torch.randn(shape, generator=drawn, dtype=torch.float64).requires_grad_()
        for shape in ((11, 6), (83, 6), (83,))
    )
    right = torch.randint(83, (11,), generator=drawn)
    scale = torch.rand(11, generator=drawn, dtype=torch.float64)
    given = bias if with_bias else None
    inputs = (query, weight, bias) if with_bias else (query, weight)
    told = cross_entropy_in_parts(query, weight, given, right)
    logits = torch.nn.functional.linear(query, weight, given)
    plain = torch.nn.functional.cross_entropy(logits, right, reduction="none")
    assert torch.allclose(told.loss_P, plain)
    assert torch.equal(told.best_P, logits.argmax(1))
    ours = torch.autograd.grad((told.loss_P * scale).sum(), inputs)
    theirs = torch.autograd.grad((plain * scale).sum(), inputs)
    for one, other in zip(ours, theirs, strict=True):
        assert torch.allclose(one, other, atol=1e-12)


def test_under_autocast_it_is_a_linear_layer_under_autocast() -> None:
    drawn = torch.Generator().manual_seed(0)
    query, weight = (torch.randn(shape, generator=drawn).requires_grad_() for shape in ((9, 32), (300, 32)))
    right = torch.randint(300, (9,), generator=drawn)
    with torch.autocast("cpu", torch.bfloat16):
        loss = cross_entropy_in_parts(query, weight, None, right).loss_P.sum()
        logits = torch.nn.functional.linear(query, weight).float()
    plain = torch.nn.functional.cross_entropy(logits, right, reduction="sum")
    assert loss.dtype == torch.float32
    assert torch.allclose(loss, plain, rtol=1e-3)
    exact = torch.nn.functional.cross_entropy(query @ weight.T, right, reduction="sum")
    for ours, linear, true in zip(
        *(torch.autograd.grad(one, (query, weight)) for one in (loss, plain, exact)), strict=True
    ):
        assert ours.dtype == torch.float32
        assert (ours - true).norm() < 1.2 * (linear - true).norm()  # no worse than a linear layer


def test_no_row_is_no_work_and_no_error() -> None:
    query, weight = torch.randn(0, 4, requires_grad=True), torch.randn(7, 4, requires_grad=True)
    told = cross_entropy_in_parts(query, weight, None, torch.zeros(0, dtype=torch.int64))
    told.loss_P.sum().backward()
    assert weight.grad is not None
    assert weight.grad.abs().max() == 0
