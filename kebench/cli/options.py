"""How a command declares its options and gets them: as the fields of one frozen dataclass.

```python
@dataclass(frozen=True, kw_only=True)
class DemoOptions:
    out: Path = option(help="Where records go.")


@click.command()
@takes(DemoOptions)
def demo(options: DemoOptions) -> None: ...
```

--help shows them in the order of the fields.
"""

import dataclasses
import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args, get_origin

import click

FOLDER = click.Path(path_type=Path)
FILE = click.Path(path_type=Path, exists=True, dir_okay=False)

Options = TypeVar("Options")
Command = Callable[..., None]


class Modes(click.Choice[str]):
    """A choice of modes of fidelity; asked for one that it lacks, it says why there is none."""

    def __init__(self, *modes: str, without: dict[str, str]) -> None:
        """without: why there is none, of each of the other modes."""
        super().__init__(modes)
        self.without = without

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the mode, or fail with the reason."""
        if value in self.without:
            there = f"There are {' and '.join(self.choices)}; docs/FIDELITY.md says which mode exists where"
            self.fail(f"no mode '{value}' here: {self.without[value]}. {there}", param, ctx)
        return super().convert(value, param, ctx)


def takes(
    kind: type[Options], *, within: Callable[[Command], Command] = lambda command: command
) -> Callable[[Callable[[Options], None]], Command]:
    """Give a command the options that the fields of a dataclass declare, and hand it their values as one.

    within: what is put around it, with options of its own, which come last.
    """

    def decorate(command: Callable[[Options], None]) -> Command:
        @functools.wraps(command)
        def call(**given: object) -> None:
            command(kind(**given))

        return declare(kind, within(call))

    return decorate


def declare(kind: type, command: Command) -> Command:
    """Give a command the options that the fields of a dataclass declare."""
    for field in reversed(dataclasses.fields(kind)):
        if "declare" in field.metadata:
            command = field.metadata["declare"](field)(command)
    return command


def option(*names: str, changes: bool = False, **attributes: Any) -> Any:
    """Return a field that is an option, by default --NAME-OF-THE-FIELD.

    Its type says whether it is a flag, is repeatable (a tuple), or is required (not None, without a default),
    and, unless a `type` does, what it takes. changes: it takes the place of a setting of that name; None
    leaves that. attributes: of `click.option`.
    """

    def declare(field: dataclasses.Field[Any]) -> Callable[[Command], Command]:
        kinds = get_args(field.type) or (field.type,)
        stated = _type_of(field) | attributes
        if get_origin(field.type) is tuple:
            stated["multiple"] = True
        elif bool in kinds:
            stated |= {"default": None} if type(None) in kinds else {}
            stated |= {} if any("/" in name for name in names) else {"is_flag": True}
        elif type(None) not in kinds and "default" not in stated:
            stated["required"] = True
        if "default" in stated and bool not in kinds:
            stated.setdefault("show_default", stated["default"] != "")
        return click.option(*(names or (f"--{field.name.replace('_', '-')}",)), field.name, **stated)

    return dataclasses.field(metadata={"declare": declare, "changes": changes})


def argument(**attributes: Any) -> Any:
    """Return a field that is an argument. attributes: of `click.argument`; the type is as of an option."""

    def declare(field: dataclasses.Field[Any]) -> Callable[[Command], Command]:
        return click.argument(field.name, **_type_of(field) | attributes)

    return dataclasses.field(metadata={"declare": declare})


def _type_of(field: dataclasses.Field[Any]) -> dict[str, Any]:
    kinds = get_args(field.type) or (field.type,)
    for kind in (field.type, *kinds):
        if get_origin(kind) is Literal:
            return {"type": click.Choice(get_args(kind))}
    types = ((Path, FOLDER), (int, int), (float, float))
    return next(({"type": parameter} for kind, parameter in types if kind in kinds), {})


def added_by(decorator: Callable[[Command], Command]) -> Any:
    """Return a field whose value a decorator of commands passes, with options of its own."""
    return dataclasses.field(metadata={"declare": lambda field: decorator})


def changes_of(options: Any) -> dict[str, object]:
    """Return those options that take the place of settings, by name."""
    fields = [field for field in dataclasses.fields(options) if field.metadata.get("changes")]
    return {field.name: getattr(options, field.name) for field in fields}


def device_option(purpose: str) -> Any:
    """Return the field of --device."""
    return option(type=click.Choice(["auto", "cpu", "cuda"]), default="auto", help=purpose)


def precision_option(purpose: str) -> Any:
    """Return the field of --precision."""
    return option(type=click.Choice(["auto", "fp32", "bf16"]), default="auto", help=purpose)


def log_option(what: str) -> Any:
    """Return the field of --log. what: is logged."""
    kinds = click.Choice(["tensorboard", "wandb"])
    return option("--log", type=kinds, help=f"Log {what}; repeatable.")


def log_dir_option(default: str) -> Any:
    """Return the field of --log-dir. default: where loggers write without it, in words."""
    return option(help=f"What loggers write.  [default: {default}]")
