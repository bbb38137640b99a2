"""The row-wise Adam against torch's dense one, and what it leaves alone."""

import pytest
import torch
from torch import Tensor

from kebench.transe.row_adam import RowAdam, Table, coast_ahead, new_table

RATE, STEPS, ROWS = 0.01, 60, 12


def sparse_gradients() -> list[tuple[Tensor, Tensor]]:
    """Rows and their gradients for each step; the first four rows come up often, the last hardly ever."""
    draw = torch.Generator().manual_seed(0)
    gradients = []
    for step in range(STEPS):
        rows = torch.arange(4) if step % 3 else torch.tensor([0, 4 + step % 7])
        gradients.append((rows, torch.randn(len(rows), 5, generator=draw, dtype=torch.float64)))
    return gradients


def start(is_unit: bool) -> Tensor:
    vectors = torch.randn(ROWS, 5, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    return torch.nn.functional.normalize(vectors) if is_unit else vectors


def dense(is_unit: bool) -> Tensor:
    """Return the vectors after all steps of torch's own Adam, normalised after each."""
    vectors = torch.nn.Parameter(start(is_unit))
    adam = torch.optim.Adam([vectors], lr=RATE)
    for rows, gradient in sparse_gradients():
        vectors.grad = torch.zeros_like(vectors).index_copy_(0, rows, gradient)
        adam.step()
        if is_unit:
            vectors.data = torch.nn.functional.normalize(vectors.data)
    return vectors.data


def row_wise(is_unit: bool) -> Table:
    table = new_table(start(is_unit), is_unit=is_unit)
    adam = RowAdam(learning_rate=RATE, num_steps=STEPS)
    for step, (rows, gradient) in enumerate(sparse_gradients(), start=1):
        adam.write(table, adam.read(table, rows, step=step), gradient, step=step)
    adam.finish(table, step=STEPS)
    return table


def test_row_wise_steps_end_where_dense_adam_ends() -> None:
    torch.testing.assert_close(row_wise(is_unit=False).vector_ND, dense(is_unit=False), rtol=0, atol=1e-6)


def test_of_unit_vectors_they_differ_only_in_when_they_are_normalised() -> None:
    moved = (dense(is_unit=True) - start(is_unit=True)).abs().max()
    apart = (row_wise(is_unit=True).vector_ND - dense(is_unit=True)).abs().max()
    assert apart < 0.02 * moved


def test_a_row_read_before_its_step_is_where_dense_adam_has_it() -> None:
    table = new_table(start(is_unit=False), is_unit=False)
    adam = RowAdam(learning_rate=RATE, num_steps=STEPS)
    vectors = torch.nn.Parameter(start(is_unit=False))
    theirs = torch.optim.Adam([vectors], lr=RATE)
    for step, (rows, gradient) in enumerate(sparse_gradients(), start=1):
        read = adam.read(table, rows, step=step)
        torch.testing.assert_close(read.vector_UD, vectors.data[rows], rtol=0, atol=1e-6)
        adam.write(table, read, gradient, step=step)
        vectors.grad = torch.zeros_like(vectors).index_copy_(0, rows, gradient)
        theirs.step()


def test_a_step_touches_only_the_rows_of_its_batch() -> None:
    table = new_table(start(is_unit=True), is_unit=True)
    before = [part.clone() for part in table[:4]]
    adam = RowAdam(learning_rate=RATE, num_steps=1)
    adam.write(table, adam.read(table, torch.tensor([2, 5]), step=1), torch.ones(2, 5).double(), step=1)
    others = [row for row in range(ROWS) if row not in (2, 5)]
    for old, new in zip(before, table[:4], strict=True):
        assert torch.equal(old[others], new[others])
        assert not torch.equal(old[[2, 5]], new[[2, 5]])


def test_rows_of_a_unit_table_keep_length_one() -> None:
    length = torch.linalg.vector_norm(row_wise(is_unit=True).vector_ND, dim=1)
    torch.testing.assert_close(length, torch.ones(ROWS).double(), rtol=0, atol=1e-12)


@pytest.mark.parametrize("step", [0, 1, 7, 2000])
def test_the_way_ahead_is_the_sum_of_what_each_later_step_adds(step: int) -> None:
    ratio = 0.9 / 0.999**0.5
    terms = [ratio**i * (1 - 0.999 ** (step + i)) ** 0.5 / (1 - 0.9 ** (step + i)) for i in range(1, 1000)]
    assert float(coast_ahead(2000)[step]) == pytest.approx(sum(terms), rel=1e-12)
