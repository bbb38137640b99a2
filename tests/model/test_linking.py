"""Linking in parts: values and gradients of the plain formula."""

import pytest
import torch
from torch import Tensor

from kebench.model import soft_max
from kebench.model.linking import NO_ENTITY, link


def plain(
    query: Tensor, entity: Tensor, right: Tensor | None, num: int, excluded: tuple[int, ...]
) -> tuple[Tensor, Tensor]:
    logits = query @ entity.T
    logits[:, list(excluded)] = -torch.inf
    best = logits.topk(min(num, entity.shape[0] - len(excluded)))
    vector = (best.values.softmax(1)[..., None] * entity[best.indices]).sum(1)
    if right is None:
        return vector, torch.zeros(len(query), dtype=query.dtype)
    loss = torch.nn.functional.cross_entropy(logits, right, ignore_index=NO_ENTITY, reduction="none")
    return vector, loss


def drawn(mentions: int, entities: int, size: int, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    query, entity = (
        torch.randn(rows, size, generator=generator, dtype=torch.float64).requires_grad_()
        for rows in (mentions, entities)
    )
    right = torch.randint(3, entities, (mentions,), generator=generator)
    right[::4] = NO_ENTITY
    return query, entity, right


@pytest.mark.parametrize("excluded", [(), (0, 2)])
@pytest.mark.parametrize("with_loss", [False, True])
@pytest.mark.parametrize("values", [1, 200, 2**24])
def test_values_and_gradients_are_those_of_the_plain_formula(
    values: int, with_loss: bool, excluded: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(soft_max._VALUES, "cpu", values)
    monkeypatch.setitem(soft_max._LEAST_ROWS, "cpu", 1)
    query, entity, right = drawn(9, 57, 6)
    given = right if with_loss else None
    weights = [torch.randn(9, 6, dtype=torch.float64), torch.rand(9, dtype=torch.float64)]
    results = []
    for function in (link, plain):
        vector, loss, *_ = function(query, entity, given, 5, excluded)
        total = (vector * weights[0]).sum() + (loss * weights[1]).sum()
        results.append((vector, loss, *torch.autograd.grad(total, (query, entity))))
    for ours, theirs in zip(*results, strict=True):
        assert torch.allclose(ours, theirs, atol=1e-10)


def test_at_full_size_in_single_precision_the_loss_is_exact_to_1e_5() -> None:
    query, entity, right = drawn(40, 60_000, 100)
    query, entity = ((part.detach() * 0.3).float().requires_grad_() for part in (query, entity))
    loss = link(query, entity, right, 100).loss_M.sum()
    expected = plain(query.double(), entity.double(), right, 100, ())[1].sum()
    assert abs(loss / expected - 1) < 1e-5
    ours = torch.autograd.grad(loss, (query, entity))
    theirs = torch.autograd.grad(expected, (query, entity))
    for one, other in zip(ours, theirs, strict=True):
        assert (one - other).abs().max() < 1e-5 * max(1, other.abs().max())


def test_a_frozen_memory_gets_no_gradient() -> None:
    query, entity, right = drawn(5, 20, 4)
    entity.requires_grad_(False)
    linked = link(query, entity, right, 3)
    (linked.vector_MF.sum() + linked.loss_M.sum()).backward()
    assert entity.grad is None
    assert query.grad is not None


def test_more_candidates_than_entities_are_all_entities() -> None:
    query, entity, _ = drawn(5, 20, 4)
    everything = (query @ entity.T).softmax(1) @ entity
    assert torch.allclose(link(query, entity, None, 100).vector_MF, everything)


def test_no_mention_is_no_work_and_no_error() -> None:
    query, entity, right = drawn(4, 20, 4)
    linked = link(query[:0], entity, right[:0], 3)
    linked.vector_MF.sum().backward()
    assert linked.vector_MF.shape == (0, 4)
    assert entity.grad is not None
    assert entity.grad.abs().max() == 0
