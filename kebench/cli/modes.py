"""`--mode` and `--fidelity`: which of paper, released and fixed a command has, and where the others are."""

from typing import Any

import click

WHERE = "docs/FIDELITY.md says which mode exists where"


class Modes(click.Choice[str]):
    """A choice of modes of fidelity; asked for one that it lacks, it says why there is none."""

    def __init__(self, *modes: str, without: dict[str, str]) -> None:
        """without: why there is none, of each of the other modes."""
        super().__init__(modes)
        self.without = without

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the mode, or fail with the reason."""
        if value in self.without:
            here = " and ".join(self.choices)
            self.fail(f"no mode '{value}' here: {self.without[value]}. There are {here}; {WHERE}", param, ctx)
        return super().convert(value, param, ctx)
