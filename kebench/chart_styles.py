"""How a model looks in every chart of a page: one colour, shape and dash, told apart by the colour-blind.

Charts differ in the models that they show; a model looks alike in all of them.
"""

from collections.abc import Iterable
from typing import NamedTuple

# Okabe and Ito's palette; yellow is left out, which white swallows.
PALETTE = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
SHAPES = ("circle", "square", "triangle-up", "diamond", "cross", "triangle-down")
# Of lines; the first six models have whole ones, the next six the next, and so on.
DASHES = ((1, 0), (6, 3), (2, 2), (10, 3, 2, 3), (10, 3), (4, 1, 1, 1))


class ModelStyle(NamedTuple):
    """A model's colour, the shape of its points and the dash of its lines: lengths drawn and left out."""

    colour: str
    shape: str
    dash: tuple[int, ...]


def model_styles(models: Iterable[str]) -> dict[str, ModelStyle]:
    """Return each model's style; of up to 36 models no two have colour and shape, or colour and dash, alike.

    ModelStyles follow the names and not their order, so that a page that is made again keeps them.
    """
    styles = {}
    for number, model in enumerate(sorted(set(models))):
        place, turn = number % len(PALETTE), number // len(PALETTE)
        shape = SHAPES[(place + turn) % len(SHAPES)]
        styles[model] = ModelStyle(PALETTE[place], shape, DASHES[turn % len(DASHES)])
    return styles


def integer_ticks(last: int, *, most: int = 10) -> list[int]:
    """Return whole numbers from 1 to `last` for the ticks of an axis, about `most` of them at round steps."""
    steps = (step * 10**power for power in range(10) for step in (1, 2, 5))
    step = next(step for step in steps if last <= step * most)
    return sorted({1, *range(step, last + 1, step)})
