"""Adam that visits only the rows of a batch, and yet does what dense Adam does.

A step of dense Adam moves every row of a table, also those without a gradient: their momentum carries
them on, less in each step. With hundreds of thousands of entities nearly all of the time would go into
such coasting. But a row is looked at only when a batch holds it. So we leave the others where they are,
note in which step each was last touched, and make up for the steps it missed when it is next read: its
moments have decayed by powers of beta, and the way it has coasted is a sum that depends only on the two
step numbers. With m, v the moments after step s, and b1, b2 the betas, dense Adam adds in step s + i

    -rate * b1^i m / (1 - b1^(s+i)) / sqrt(b2^i v / (1 - b2^(s+i))) = -rate * m / sqrt(v) * r^i c(s+i),

    r = b1 / sqrt(b2),    c(j) = sqrt(1 - b2^j) / (1 - b1^j).

The sum of r^i c(s+i) over i = 1, 2 ... without end is `coast_ahead[s]`; what a row has coasted before step
t is coast_ahead[s] less r^(t-1-s) coast_ahead[t-1]. Two things are not exactly dense Adam's: epsilon enters
all terms as it does the first, and a table of unit vectors is normalised once after the sum, not between its
terms. docs/FIDELITY.md says how much that is.

torch.optim.SparseAdam forgets the missed steps instead: a row that comes up rarely then moves a fraction of
the way, and held-out triples rank lower (benchmarks/results/transe.md).
"""

# N rows of a table, U rows that a batch uses, D dimensions

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8  # Kingma and Ba 2015, sec. 2; the default everywhere
DECAY = BETA1 / BETA2**0.5  # r above
NEGLIGIBLE_STEPS = 512  # r^512 < 1e-23: beyond the last digit of float64
SMALLEST_LENGTH = 1e-12  # a zero vector stays zero when normalised
BLOCK_ROWS = 1 << 14  # of a pass over the whole table: 6.5 MB at 100 dimensions


class Table(NamedTuple):
    """One table of vectors, and what Adam remembers of each row.

    mean_ND, square_ND: the two moments as of the step in `touched_N`, int32, 0 where there was none.
    is_unit: whether rows are kept at length one.
    """

    vector_ND: Tensor
    mean_ND: Tensor
    square_ND: Tensor
    touched_N: Tensor
    is_unit: bool


class Rows(NamedTuple):
    """Some rows of a table as they stand before a step; the moments as of that step, without its gradient."""

    number_U: Tensor
    vector_UD: Tensor
    mean_UD: Tensor
    square_UD: Tensor


def new_table(vector_ND: Tensor, *, is_unit: bool) -> Table:
    """Return a table that no step has touched. The vectors are kept, not copied, and normalised in place."""
    if is_unit:
        normalise_(vector_ND)
    touched_N = torch.zeros(len(vector_ND), dtype=torch.int32, device=vector_ND.device)
    return Table(vector_ND, torch.zeros_like(vector_ND), torch.zeros_like(vector_ND), touched_N, is_unit)


def normalise_(vector_UD: Tensor) -> Tensor:
    """Scale each row to length one, in place."""
    return vector_UD.div_(
        torch.linalg.vector_norm(vector_UD, dim=1, keepdim=True).clamp_min_(SMALLEST_LENGTH)
    )


def coast_ahead(num_steps: int) -> Tensor:
    """Return, for s from 0 to num_steps, the sum over i = 1, 2 ... of r^i c(s+i); float64."""
    step = np.arange(1, num_steps + NEGLIGIBLE_STEPS + 1, dtype=np.float64)
    correction = np.sqrt(1 - BETA2**step) / (1 - BETA1**step)
    powers = DECAY ** np.arange(1, NEGLIGIBLE_STEPS + 1)
    return torch.from_numpy(np.correlate(correction, powers, mode="valid"))


class RowAdam:
    """Adam for tables of which each step uses a few rows. Steps are numbered from 1."""

    def __init__(self, *, learning_rate: float, num_steps: int, device: str = "cpu") -> None:
        self.learning_rate = learning_rate
        self.coast_ahead = coast_ahead(num_steps).to(device)

    def read(self, table: Table, number_U: Tensor, *, step: int) -> Rows:
        """Return rows as dense Adam would have them before this step."""
        vector_UD, mean_UD, square_UD, touched_U = (part.index_select(0, number_U) for part in table[:4])
        missed_U = (step - 1 - touched_U).double()
        coast_U = self.coast_ahead[touched_U] - DECAY**missed_U * self.coast_ahead[step - 1]
        epsilon_U = EPSILON * ((1 - BETA2 ** (touched_U + 1).double()) / BETA2).sqrt()
        way_UD, root_UD = mean_UD * _column(coast_U, mean_UD), square_UD.sqrt()
        vector_UD.addcdiv_(way_UD, root_UD.add_(_column(epsilon_U, root_UD)), value=-self.learning_rate)
        if table.is_unit:
            normalise_(vector_UD)
        mean_UD.mul_(_column(BETA1 ** (missed_U + 1), mean_UD))
        square_UD.mul_(_column(BETA2 ** (missed_U + 1), square_UD))
        return Rows(number_U, vector_UD, mean_UD, square_UD)

    def write(self, table: Table, rows: Rows, gradient_UD: Tensor, *, step: int) -> None:
        """Take this step with rows that were read for it; no other row of the table is touched."""
        mean_UD = rows.mean_UD.add_(gradient_UD, alpha=1 - BETA1)
        square_UD = rows.square_UD.addcmul_(gradient_UD, gradient_UD, value=1 - BETA2)
        table.mean_ND.index_copy_(0, rows.number_U, mean_UD)
        table.square_ND.index_copy_(0, rows.number_U, square_UD)
        table.touched_N.index_fill_(0, rows.number_U, step)
        root_UD = square_UD.sqrt_().div_((1 - BETA2**step) ** 0.5).add_(EPSILON)
        vector_UD = rows.vector_UD.addcdiv_(mean_UD, root_UD, value=-self.learning_rate / (1 - BETA1**step))
        table.vector_ND.index_copy_(0, rows.number_U, normalise_(vector_UD) if table.is_unit else vector_UD)

    def finish(self, table: Table, *, step: int) -> None:
        """Bring every row to where dense Adam has it after the last step."""
        for start in range(0, len(table.vector_ND), BLOCK_ROWS):
            end = min(start + BLOCK_ROWS, len(table.vector_ND))
            number_U = torch.arange(start, end, device=table.vector_ND.device)
            table.vector_ND.index_copy_(0, number_U, self.read(table, number_U, step=step + 1).vector_UD)


def _column(value_U: Tensor, like: Tensor) -> Tensor:
    """Return one factor a row, worked out in float64, in the precision of the table."""
    return value_U.to(like.dtype).unsqueeze(1)
