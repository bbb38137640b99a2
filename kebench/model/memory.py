"""How much of a batch is in memory at once: halved whenever CUDA runs out of it."""

import logging
from collections.abc import Callable
from typing import TypeVar

import torch

Result = TypeVar("Result")
_log = logging.getLogger(__name__)


def halving(
    compute: Callable[[int], Result],
    size: int,
    *,
    may_halve: bool = True,
    before_retry: Callable[[], None] = lambda: None,
) -> tuple[Result, int]:
    """Return compute(size), and the size that memory sufficed for, which is halved until it does.

    before_retry: drops what a computation that was cut short has left. A CUDA error of a size of 1, or of one
    that may not be halved because somebody chose it or other processes have their own, is raised.
    """
    while True:
        try:
            return compute(size), size
        except torch.cuda.OutOfMemoryError:
            if not may_halve or size == 1:
                raise
        # Out of the handler: the error would keep alive what the computation held.
        size //= 2
        _log.warning("CUDA out of memory; %d at once from here on", size)
        before_retry()
        torch.cuda.empty_cache()
