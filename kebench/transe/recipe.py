"""Recipes: the settings of TransE, one TOML file each. Every number stands there and nowhere else."""

import tomllib
from pathlib import Path
from typing import Any, Literal

from pydantic import ConfigDict, Field, ValidationError

from kebench.cards import Card
from kebench.errors import UserError, did_you_mean
from kebench.files import expand_home
from kebench.shipped import shipped

FOLDER = "pretraining"


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
    learning_rate: float = Field(gt=0)
    batch_size: int = Field(ge=1)
    epochs: int = Field(ge=1)
    num_negatives: int = Field(ge=1)
    filtered_negatives: bool
    held_out_share: float = Field(gt=0, lt=1)
    seed: int = Field(ge=0)


def read_recipe(name_or_path: str, **changes: Any) -> Settings:
    """Return the settings of a recipe, with single values replaced by those of `changes` that are not None.

    A recipe may name another that it `extends`; it then states only what differs. Raises UserError with the
    file and the field if there is no such recipe or if it is not a valid one.
    """
    path = find_recipe(name_or_path)
    fields = _read_toml(path)
    if base := fields.pop("extends", None):
        fields = _base_fields(path, base) | fields
    replaced = {name: value for name, value in changes.items() if value is not None}
    try:
        return Settings.model_validate(fields | replaced)
    except ValidationError as error:
        raise UserError(f"{path}: {_first_fault(error)}; mend this field") from None


def find_recipe(name_or_path: str) -> Path:
    """Return a recipe's file: a path to a .toml as it is, a name in ./pretraining or among the shipped."""
    if name_or_path.endswith(".toml"):
        return expand_home(name_or_path)
    paths = recipe_paths()
    if name_or_path not in paths:
        known = ", ".join(sorted(paths))
        raise UserError(f"no recipe '{name_or_path}'{did_you_mean(name_or_path, paths)} there are {known}")
    return paths[name_or_path]


def recipe_paths() -> dict[str, Path]:
    """Return TransE's recipes by name: `./pretraining/transe*.toml` first, then the shipped ones."""
    paths: dict[str, Path] = {}
    for folder in (Path(FOLDER), shipped(FOLDER)):
        for path in sorted(folder.glob("transe*.toml")):
            paths.setdefault(path.stem, path)
    return paths


def _base_fields(path: Path, base: Any) -> dict[str, Any]:
    if not isinstance(base, str):
        raise UserError(f"{path}: extends = {base!r}: expected the name of a recipe; mend this field")
    fields = _read_toml(find_recipe(base))
    if "extends" in fields:
        raise UserError(f"{path}: extends = '{base}', which itself extends another; name that one instead")
    return fields


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not valid TOML ({error}); mend the file") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); check the path") from None


def _first_fault(error: ValidationError) -> str:
    first = error.errors()[0]
    value = "" if first["type"] == "missing" else f" = {first['input']!r}"
    return f"{'.'.join(str(part) for part in first['loc'])}{value}: {first['msg']}"
