"""How any recipe is found and read: a TOML file of settings, which may extend another one.

A recipe in the folder of that name in the working directory comes before a shipped one.
"""

from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from pydantic import ValidationError

from kebench.bounded import read_toml
from kebench.cards import Card, files_by_name
from kebench.errors import UserError, did_you_mean, first_fault
from kebench.files import expand_home
from kebench.shipped import shipped

AnySettings = TypeVar("AnySettings", bound=Card)


class Shelf(NamedTuple):
    """Where the recipes of one kind stand: a folder, a pattern, and names in it that are no recipes."""

    folder: str
    pattern: str = "*.toml"
    others: tuple[str, ...] = ()

    def paths(self) -> dict[str, Path]:
        """Return the recipes by name: those in the working directory first, then the shipped ones."""
        paths = files_by_name(Path(self.folder), shipped(self.folder), pattern=self.pattern)
        return {name: path for name, path in paths.items() if name not in self.others}

    def find(self, name_or_path: str) -> Path:
        """Return a recipe's file: a path to a .toml as it is, else the recipe of that name."""
        if name_or_path.endswith(".toml"):
            return expand_home(name_or_path)
        paths = self.paths()
        if name_or_path not in paths:
            known = ", ".join(sorted(paths))
            raise UserError(
                f"no recipe '{name_or_path}'{did_you_mean(name_or_path, paths)} there are {known}"
            )
        return paths[name_or_path]


def read_settings(kind: type[AnySettings], shelf: Shelf, name_or_path: str, **changes: object) -> AnySettings:
    """Return the settings of a recipe, with single values replaced by those of `changes` that are not None.

    A recipe may name another that it `extends`; it then states only what differs. Raises UserError with the
    file and the field if there is no such recipe or if it is not a valid one; with the option if that is
    what is wrong.
    """
    path = shelf.find(name_or_path)
    fields: dict[str, Any] = {}
    for stated in reversed(stated_fields(path, shelf)):
        fields |= stated
    fields.pop("extends", None)
    replaced = {name: value for name, value in changes.items() if value is not None}
    try:
        return kind.model_validate(fields | replaced)
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0]) if first["loc"] else ""
        fault = f"{path}: {first_fault(error, whole='the recipe', shows_value=True)}; mend this field"
        if first["type"] == "extra_forbidden":
            fault = f"{path}: no field '{name}'{did_you_mean(name, kind.model_fields)} mend this field"
        elif name in replaced:
            fault = f"--{name.replace('_', '-')} {replaced[name]}: {first['msg']}; pass another"
        raise UserError(fault) from None


def stated_fields(path: Path, shelf: Shelf) -> list[dict[str, Any]]:
    """Return the fields of a recipe, and of each that it extends in turn, as their files state them."""
    stated, seen = [], set[Path]()
    while True:
        if path.resolve() in seen:
            raise UserError(f"{path}: extends itself, by way of others; mend the field extends")
        seen.add(path.resolve())
        stated.append(read_toml(path))
        if "extends" not in stated[-1]:
            return stated
        path = base_path(path, stated[-1]["extends"], shelf)


def base_path(path: Path, base: Any, shelf: Shelf) -> Path:
    """Return the file that a recipe's `extends` names: a recipe's name, or a .toml beside the recipe."""
    if not isinstance(base, str):
        raise UserError(f"{path}: extends = {base!r}: expected the name of a recipe; mend this field")
    if base.endswith(".toml"):
        beside = path.parent / expand_home(base)
        if not beside.is_file():
            raise UserError(f"{path}: extends = '{base}': no such file beside it; mend this field")
        return beside
    try:
        return shelf.find(base)
    except UserError as error:
        raise UserError(f"{path}: extends: {error}") from None
