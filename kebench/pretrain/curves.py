"""Learning curves: what each step did, for TensorBoard or to be looked at later."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from kebench.errors import UserError
from kebench.pretrain.state import Row


@contextmanager
def tensorboard_events(folder: Path) -> Iterator[Callable[[Row], None]]:
    """Yield a function that writes the numbers of a step as events. Raises UserError without TensorBoard."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise UserError(
            "--tensorboard: the package tensorboard is not installed; pip install tensorboard"
        ) from None
    writer = SummaryWriter(str(folder))

    def write(row: Row) -> None:
        for name, value in row.items():
            if name != "step":
                writer.add_scalar(name, value, row["step"])

    try:
        yield write
    finally:
        writer.close()
