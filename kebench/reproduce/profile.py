"""A profile: which stages make up a reproduction, what they need, and what they cost. One TOML file each.

A stage is one or more command lines of kebench. `{out}` in them is the reproduction's folder, `{NAME}` a
variable of the profile that its user may set, `{each}` one of the values that the stage is repeated for; a
line may end in `> FILE`, which keeps what the command prints and is one of the stage's products.
docs/FORMATS.md says what each field means.
"""

import re
from importlib import resources
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationError, model_validator

from kebench.bounded import read_toml
from kebench.cards import Card
from kebench.errors import UserError, did_you_mean, first_fault
from kebench.files import expand_home

PLACEHOLDER = re.compile(r"\{([a-z_]+)\}")
ALWAYS = frozenset({"out", "each"})
_BRACES = re.compile(r"\{([^{}]*)\}")


class Variable(Card):
    """A value that the user may set with --set NAME=VALUE. An empty default is left out of the command."""

    help: str
    default: str | None = None
    is_path: bool = False
    is_how: bool = False


class Need(Card):
    """Something that must be there before anything starts. names: may hold variables."""

    kind: Literal["release", "path", "tasks", "models", "package", "disk"]
    names: tuple[str, ...]
    remedy: str
    stages: tuple[str, ...] = ()


class Estimate(Card):
    """What a stage costs where nothing of it is cached: on the machine that the profile's `machine` names."""

    minutes: float = Field(0.0, ge=0)
    gpu_hours: float = Field(0.0, ge=0)
    disk_gib: float = Field(0.0, ge=0)
    basis: str


class Stage(Card):
    """One or more commands: one step, or one for each value of `each`.

    goes_on: the commands know what is finished in their folder, which therefore stays when inputs change, and
    may grow.
    """

    name: str = Field(pattern=r"^[a-z][a-z0-9-]*$")
    title: str
    commands: tuple[str, ...] = Field(min_length=1)
    each: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    makes: tuple[str, ...] = ()
    reads: tuple[Annotated[str, Field(pattern=r"^(recipe|model|tasks) .")], ...] = ()
    goes_on: bool = False
    launcher: str = ""
    estimate: Estimate


class Profile(Card):
    """A reproduction of the paper at one size. shows: products to name at the end."""

    title: str
    machine: str
    shows: tuple[str, ...] = ()
    variables: dict[str, Variable] = {}
    needs: tuple[Need, ...] = ()
    stages: tuple[Stage, ...]

    @model_validator(mode="after")
    def _names_what_is_there(self) -> "Profile":
        def require_known(place: str, texts: tuple[str, ...], always: frozenset[str] = ALWAYS) -> None:
            for name in _BRACES.findall(" ".join(texts)):
                if name not in self.variables and name not in always:
                    raise ValueError(f"{place}: no variable {{{name}}}")

        seen: set[str] = set()
        for stage in self.stages:
            if stage.name in seen:
                raise ValueError(f"two stages are called {stage.name}")
            if unknown := [name for name in stage.after if name not in seen]:
                raise ValueError(f"{stage.name} is after {unknown[0]}, which does not stand before it")
            if stage.launcher and stage.launcher not in self.variables:
                raise ValueError(f"{stage.name}: no variable {stage.launcher} for its launcher")
            require_known(stage.name, (*stage.commands, *stage.makes, *stage.reads))
            require_known(stage.name, stage.each, frozenset({"out"}))
            seen.add(stage.name)
        for need in self.needs:
            if missing := set(need.stages) - seen:
                raise ValueError(f"needs: no stage {missing.pop()}")
            require_known("needs", need.names, frozenset())
        return self


def profile_names() -> list[str]:
    """Return the names of the profiles that ship with kebench, the smallest first."""
    folder = resources.files("kebench.reproduce").joinpath("profiles")
    return sorted((Path(path.name).stem for path in folder.iterdir()), key=("mini", "open", "full").index)


def read_profile(name_or_path: str) -> Profile:
    """Read a profile, by name or from a .toml file. Raises UserError with file and field if it is none."""
    known = profile_names()
    if name_or_path.endswith(".toml"):
        path = expand_home(name_or_path)
    elif name_or_path in known:
        path = Path(str(resources.files("kebench.reproduce"))) / "profiles" / f"{name_or_path}.toml"
    else:
        hint = did_you_mean(name_or_path, known)
        raise UserError(
            f"no profile '{name_or_path}'{hint} there are {', '.join(known)}, or name a .toml file"
        )
    try:
        return Profile.model_validate(read_toml(path))
    except ValidationError as error:
        fault = first_fault(error, whole="the profile", shows_value=True)
        raise UserError(f"{path}: no profile of a reproduction: {fault}; mend it") from None


def values_of(profile: Profile, assignments: tuple[str, ...]) -> dict[str, str]:
    """Return every variable's value, those of `NAME=VALUE` before the defaults.

    A variable that the user must set and has not, or to nothing, is left out: `needs` says so. Raises
    UserError for a name that is none, or a word without "=".
    """
    values = {name: one.default for name, one in profile.variables.items() if one.default is not None}
    for word in assignments:
        name, is_set, value = word.partition("=")
        if not is_set:
            raise UserError(f"--set {word}: expected NAME=VALUE")
        if name not in profile.variables:
            known = ", ".join(profile.variables) or "none"
            hint = did_you_mean(name, profile.variables)
            raise UserError(f"--set {word}: no variable '{name}'{hint} there are {known}")
        values[name] = value
        if not value and profile.variables[name].default is None:
            del values[name]
    return values
