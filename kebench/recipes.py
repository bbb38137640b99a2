"""How any recipe is found and read: a TOML file of settings, which may extend another one.

A recipe in the folder of that name in the working directory comes before a shipped one.
"""

import tomllib
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from pydantic import ValidationError

from kebench.cards import Card
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
        paths: dict[str, Path] = {}
        for folder in (Path(self.folder), shipped(self.folder)):
            for path in sorted(folder.glob(self.pattern)):
                if path.stem not in self.others:
                    paths.setdefault(path.stem, path)
        return paths

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


def read_settings(kind: type[AnySettings], shelf: Shelf, name_or_path: str, **changes: Any) -> AnySettings:
    """Return the settings of a recipe, with single values replaced by those of `changes` that are not None.

    A recipe may name another that it `extends`; it then states only what differs. Raises UserError with the
    file and the field if there is no such recipe or if it is not a valid one.
    """
    path = shelf.find(name_or_path)
    fields = read_toml(path)
    if base := fields.pop("extends", None):
        fields = _base_fields(path, base, shelf) | fields
    replaced = {name: value for name, value in changes.items() if value is not None}
    try:
        return kind.model_validate(fields | replaced)
    except ValidationError as error:
        fault = first_fault(error, whole="the recipe", shows_value=True)
        raise UserError(f"{path}: {fault}; mend this field") from None


def _base_fields(path: Path, base: Any, shelf: Shelf) -> dict[str, Any]:
    if not isinstance(base, str):
        raise UserError(f"{path}: extends = {base!r}: expected the name of a recipe; mend this field")
    fields = read_toml(shelf.find(base))
    if "extends" in fields:
        raise UserError(f"{path}: extends = '{base}', which itself extends another; name that one instead")
    return fields


def read_toml(path: Path) -> dict[str, Any]:
    """Return what a TOML file holds. Raises UserError if it cannot be read."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not valid TOML ({error}); mend the file") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); check the path") from None
