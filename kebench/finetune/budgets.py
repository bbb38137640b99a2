"""Budgets: how much training a score may cost. The numbers and their reasons are in budgets.toml."""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import ConfigDict, Field, ValidationError

from kebench.cards import Card, LearningRate
from kebench.errors import UserError, did_you_mean
from kebench.records import Settings


class Budget(Card):
    """One budget: what `Settings` needs, for several learning rates at once, and the rows used.

    takes_suggested_rates: whether rates that a model's card suggests replace the budget's.

    Upper bounds are ours: beyond them a value is a slip of the hand.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    name: str
    summary: str
    learning_rates: Annotated[tuple[LearningRate, ...], Field(min_length=1)]
    takes_suggested_rates: bool = True
    epochs: int = Field(ge=1, le=1000)
    batch_size: int = Field(ge=1, le=4096)
    patience: int = Field(ge=0, le=1000)
    warmup_fraction: float = Field(ge=0, le=1)
    weight_decay: float = Field(ge=0, le=1)
    max_grad_norm: float = Field(gt=0)
    order: Literal["shuffled", "length-pools"]
    train_rows: int | None = Field(None, ge=1)
    dev_rows: int | None = Field(None, ge=1)

    def settings(self, *, learning_rate: float, max_length: int) -> Settings:
        """Return the hyper-parameters of one run."""
        shared = {name: getattr(self, name) for name in Settings.model_fields if hasattr(self, name)}
        return Settings(**shared, learning_rate=learning_rate, max_length=max_length)


def read_budget(name: str, overrides: Mapping[str, object]) -> Budget:
    """Return a budget, with single values replaced. Raises UserError for an unknown name or bad value."""
    budgets = tomllib.loads(Path(__file__).with_name("budgets.toml").read_text())
    if name not in budgets:
        raise UserError(f"no budget '{name}'{did_you_mean(name, budgets)} there are {', '.join(budgets)}")
    given = {key: value for key, value in overrides.items() if value is not None}
    try:
        return Budget.model_validate({"name": name, **budgets[name], **given})
    except ValidationError as error:
        first = error.errors()[0]
        option = str(first["loc"][0]).replace("_", "-")
        raise UserError(f"--{option} {first['input']}: {first['msg']}") from None
