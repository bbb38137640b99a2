"""The best few of many, against a plain selection."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kebench.model.soft_max import best_of


@settings(deadline=None, max_examples=60)
@given(
    rows=st.integers(1, 5), size=st.integers(2, 3000), num_best=st.integers(1, 12), seed=st.integers(0, 999)
)
def test_the_best_of_blocks_are_the_best_of_all(rows: int, size: int, num_best: int, seed: int) -> None:
    logits = torch.randn(rows, size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    expected = logits.log_softmax(-1).topk(min(num_best, size))
    best, index, normaliser = best_of(logits.clone(), num_best)
    assert torch.allclose(best - normaliser[:, None], expected.values)
    assert torch.equal(index, expected.indices)


def test_a_banned_index_is_no_answer_and_keeps_its_share() -> None:
    logits = torch.tensor([[3.0, 1.0, 2.0, 0.0]])
    best, index, normaliser = best_of(logits.clone(), 4, torch.tensor([0, 3]))
    assert index.tolist() == [[2, 1]]
    assert torch.allclose(best - normaliser[:, None], logits.log_softmax(-1)[:, [2, 1]])
