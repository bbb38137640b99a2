"""Recipes: how a variant is pretrained, one TOML file each. Every number stands there and nowhere else."""

from itertools import takewhile
from typing import Any, Literal

from pydantic import ConfigDict, Field, model_validator

from kebench.bounded import read_toml
from kebench.cards import Card, LearningRate
from kebench.errors import UserError
from kebench.recipes import Shelf, base_path, read_settings
from kebench.transe.recipe import SHELF as TRANSE_SHELF


class Pretraining(Card):
    """What decides a pretraining, besides corpus, vectors and backbone.

    `pretraining/kebiolm.toml` gives the reason of each value.

    label: the variant, for people.
    architecture: "kebiolm", or "backbone" for the backbone as it is, masked language modelling only.
    context_layers: layers below the entities; the backbone's other layers are above.
    entities: "embeddings" starts from trained vectors, "random" from drawn ones (+rand).
    freeze_entities: vectors stay as they are at the start (+frz).
    masking_unit: what is masked as a whole: "entity" (and words outside of entities), "word", "piece".
    mask_share, random_share, keep_share: of a sequence's pieces, replaced by [MASK] or drawn ones, or left as
        they are; all are to be told.
    steps: updates in all; 0 for as many as `epochs` make.
    short_run_steps, short_run_warmup_share: a run under so many updates warms up for that share of them.
    held_out_share: of the documents, never trained on; held_out_sequences: most that are looked at at a time.

    Upper bounds are ours, as in `finetune.plan`: beyond them a value is a slip of the hand.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    label: str
    architecture: Literal["kebiolm", "backbone"]
    context_layers: int = Field(ge=0)
    max_mentions: int = Field(ge=1)
    candidates: int = Field(ge=1)
    fusion_layer_norm: bool
    entities: Literal["embeddings", "random"]
    entity_size: int = Field(ge=1)
    freeze_entities: bool

    mlm_weight: float = Field(ge=0)
    detection_weight: float = Field(ge=0)
    linking_weight: float = Field(ge=0)
    masking_unit: Literal["entity", "word", "piece"]
    mask_share: float = Field(ge=0, le=1)
    random_share: float = Field(ge=0, le=1)
    keep_share: float = Field(ge=0, le=1)

    max_tokens: int = Field(ge=8)
    batch_size: int = Field(ge=1, le=100_000)
    epochs: int = Field(ge=1, le=1000)
    steps: int = Field(ge=0)
    learning_rate: LearningRate
    warmup_steps: int = Field(ge=0)
    short_run_steps: int = Field(ge=0)
    short_run_warmup_share: float = Field(ge=0, le=1)
    weight_decay: float = Field(ge=0, le=1)
    max_grad_norm: float = Field(gt=0)
    dropout: float | None = Field(None, ge=0, lt=1, description="None: the backbone's own")
    gradient_checkpointing: bool
    compile: bool

    held_out_share: float = Field(ge=0, lt=1)
    held_out_sequences: int = Field(ge=1)
    evaluate_every: int = Field(ge=1)
    checkpoint_every: int = Field(ge=1)
    keep_checkpoints: int = Field(ge=1)
    seed: int = Field(ge=0)

    @model_validator(mode="after")
    def _teaches_something(self) -> "Pretraining":
        if not 0 < self.chosen_share <= 1:
            raise ValueError(
                "mask_share, random_share and keep_share: expected more than 0 and at most 1 together"
            )
        if self.mlm_weight + self.detection_weight + self.linking_weight == 0:
            raise ValueError("mlm_weight, detection_weight and linking_weight: expected one above 0")
        return self

    @property
    def chosen_share(self) -> float:
        """The share of the pieces that are to be told."""
        return self.mask_share + self.random_share + self.keep_share

    def warmup(self, steps: int) -> int:
        """Return for how many of the updates of a run the learning rate rises."""
        if steps < self.short_run_steps:
            return round(self.short_run_warmup_share * steps)
        return self.warmup_steps


SHELF = Shelf("pretraining", "*.toml", others=tuple(TRANSE_SHELF.paths()))


def read_recipe(name_or_path: str, **changes: object) -> Pretraining:
    """Return the settings of a recipe, with single values replaced by those of `changes` that are not None.

    name_or_path: a name in ./pretraining or among the shipped, or a path to a .toml. Epochs that are asked
    for count, also where the recipe states steps. Raises UserError if both are.
    """
    if changes.get("epochs") is not None:
        if changes.get("steps"):
            raise UserError("--epochs and --steps: each says how long; pass one of them")
        changes["steps"] = 0
    return read_settings(Pretraining, SHELF, name_or_path, **changes)


def about(name_or_path: str) -> list[str]:
    """Return what a recipe's file says of itself: the comment that it begins with."""
    path = SHELF.find(name_or_path)
    read_toml(path)  # refuses what is no recipe
    lines = path.read_text(encoding="utf-8").splitlines()
    return [line.removeprefix("#").strip() for line in takewhile(lambda line: line.startswith("#"), lines)]


def base_of(name_or_path: str) -> str | None:
    """Return the recipe that a recipe extends."""
    path = SHELF.find(name_or_path)
    base = read_toml(path).get("extends")
    if base is None:
        return None
    found = base_path(path, base, SHELF)
    return str(found) if str(base).endswith(".toml") else str(base)


def difference(name_or_path: str) -> dict[str, tuple[Any, Any]]:
    """Return what a recipe changes of the one it extends: each setting with the base's value and its own."""
    base = base_of(name_or_path)
    if base is None:
        return {}
    before, after = read_recipe(base).model_dump(), read_recipe(name_or_path).model_dump()
    return {key: (before[key], value) for key, value in after.items() if value != before[key]}
