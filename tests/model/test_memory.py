from collections.abc import Callable

import pytest
import torch

from kebench.model.optimizer import halving


def room_for(most: int) -> tuple[list[int], Callable[[int], str]]:
    tried: list[int] = []

    def compute(size: int) -> str:
        tried.append(size)
        if size > most:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")
        return f"{size} at once"

    return tried, compute


def test_a_size_is_halved_until_memory_suffices_and_each_time_what_was_left_is_dropped() -> None:
    tried, compute = room_for(5)
    dropped: list[int] = []
    assert halving(compute, 32, before_retry=lambda: dropped.append(len(tried))) == ("4 at once", 4)
    assert tried == [32, 16, 8, 4]
    assert dropped == [1, 2, 3]


def test_one_example_that_memory_has_no_room_for_is_an_error() -> None:
    tried, compute = room_for(0)
    with pytest.raises(torch.cuda.OutOfMemoryError):
        halving(compute, 3)
    assert tried == [3, 1]


def test_a_size_that_may_not_be_halved_is_tried_once() -> None:
    tried, compute = room_for(5)
    with pytest.raises(torch.cuda.OutOfMemoryError):
        halving(compute, 8, may_halve=False)
    assert tried == [8]


def test_a_new_size_is_said(caplog: pytest.LogCaptureFixture) -> None:
    halving(room_for(2)[1], 4)
    assert caplog.messages == ["CUDA out of memory; 2 at once from here on"]
