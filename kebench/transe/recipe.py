"""Recipes: the settings of TransE, one TOML file each. Every number stands there and nowhere else."""

from typing import Literal

from pydantic import ConfigDict, Field

from kebench.cards import Card
from kebench.recipes import Shelf, read_settings

SHELF = Shelf("pretraining", "transe*.toml")


class Settings(Card):
    """What decides the vectors, besides the graph. `pretraining/transe.toml` gives each value's reason.

    dimension, norm: of the vectors, and of the distance between them.
    num_negatives: corruptions of each triple. filtered_negatives: none of them may be a known triple.
    held_out_share: of the pairs of entities, held out by `--evaluate` where the source has no test split.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    dimension: int = Field(ge=1)
    norm: Literal[1, 2]
    margin: float = Field(gt=0)
    learning_rate: float = Field(gt=0, le=1)  # ours, as below: beyond it a slip of the hand
    batch_size: int = Field(ge=1)
    epochs: int = Field(ge=1, le=100_000)
    num_negatives: int = Field(ge=1)
    filtered_negatives: bool
    held_out_share: float = Field(gt=0, lt=1)
    seed: int = Field(ge=0)


def read_recipe(name_or_path: str, **changes: object) -> Settings:
    """Return the settings of a recipe, with single values replaced by those of `changes` that are not None.

    name_or_path: a name in ./pretraining or among the shipped, or a path to a .toml.
    """
    return read_settings(Settings, SHELF, name_or_path, **changes)
