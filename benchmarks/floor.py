"""The floor under a training's time: what its arithmetic and its bytes cost at the least."""

# D hidden, I intermediate, L layers, T word pieces of a sentence

import time
from collections.abc import Callable
from typing import Any, NamedTuple

from kebench.model.source import resolve_model

CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}


class Sizes(NamedTuple):
    """The sizes of an encoder that its cost follows from."""

    layers: int
    hidden: int
    intermediate: int
    parameters: int


def sizes_of(model: str) -> Sizes:
    """Read a model's sizes from its files."""
    from kebench.model.layout import describe_checkpoint, read_config

    folder = resolve_model(model).folder
    facts = describe_checkpoint(folder)
    return Sizes(facts.layers, facts.hidden, read_config(folder)["intermediate_size"], facts.parameters)


def training_flops(sizes: Sizes, *, pieces: float, squared_lengths: float) -> float:
    """Count the floating-point operations of training on real word pieces, none on padding.

    6 a weight and word piece (2 forward, 4 backward) in the layers' matrices, L(4DD + 2DI): 12 LDD where
    I = 4D. Attention: 4TTD a layer forward, thrice that in all. Head, norms and softmax are left out.
    """
    weights = sizes.layers * (4 * sizes.hidden**2 + 2 * sizes.hidden * sizes.intermediate)
    return 6.0 * weights * pieces + 12.0 * sizes.layers * sizes.hidden * squared_lengths


def optimizer_bytes(sizes: Sizes) -> float:
    """AdamW's bytes a step in fp32: read weight, gradient, two moments; write weight, two moments."""
    return 7 * 4.0 * sizes.parameters


def measure_machine(model: str, *, pieces: int, clock: str) -> dict[str, Any]:
    """Measure fp32 products (pieces, D) x (D, I), and the bandwidth of copying the weights."""
    import torch

    sizes = sizes_of(model)
    left, right = torch.rand(pieces, sizes.hidden), torch.rand(sizes.hidden, sizes.intermediate)
    source, target = torch.rand(sizes.parameters), torch.zeros(sizes.parameters)
    product, copy = (
        best_seconds(lambda: left @ right, 300, clock),
        best_seconds(lambda: target.copy_(source), 50, clock),
    )
    return {
        "matrix_pieces": pieces,
        "flops_per_second": 2.0 * left.shape[0] * right.numel() / product,
        "bytes_per_second": 8.0 * sizes.parameters / copy,
    }


def best_seconds(call: Callable[[], Any], tries: int, clock: str) -> float:
    """Return the shortest of many timings of a call, by the clock that the trainings are timed by."""
    now = CLOCKS[clock]
    seconds = []
    for _ in range(tries):
        started = now()
        call()
        seconds.append(now() - started)
    return min(seconds)


def matrix_peak() -> float:
    """Return the machine's fastest fp32 product of two square matrices, in FLOP/s."""
    import torch

    found = 0.0
    for size in (1024, 2048, 4096):
        left, right = torch.rand(size, size), torch.rand(size, size)
        seconds = best_seconds(lambda left=left, right=right: left @ right, 10, "wall")
        found = max(found, 2.0 * size**3 / seconds)
    return found
