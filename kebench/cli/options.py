"""Options that several commands have, and the one value in which a command gets all of its own."""

import dataclasses
import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

FOLDER = click.Path(path_type=Path)
FILE = click.Path(path_type=Path, exists=True, dir_okay=False)

Options = TypeVar("Options")
Command = TypeVar("Command", bound=Callable[..., Any])


def takes(kind: type[Options]) -> Callable[[Callable[[Options], None]], Callable[..., None]]:
    """Hand a command its options and arguments as one frozen value of this kind, a field each."""

    def decorate(command: Callable[[Options], None]) -> Callable[..., None]:
        @functools.wraps(command)
        def call(**given: object) -> None:
            command(kind(**given))

        return call

    return decorate


def part(options: Any, kind: type) -> dict[str, object]:
    """Return those options that a dataclass has which theirs extends, by name."""
    return {field.name: getattr(options, field.name) for field in dataclasses.fields(kind)}


def device_option(purpose: str) -> Callable[[Command], Command]:
    """Return --device."""
    kinds = click.Choice(["auto", "cpu", "cuda"])
    return click.option("--device", type=kinds, default="auto", show_default=True, help=purpose)


def precision_option(purpose: str) -> Callable[[Command], Command]:
    """Return --precision."""
    kinds = click.Choice(["auto", "fp32", "bf16"])
    return click.option("--precision", type=kinds, default="auto", show_default=True, help=purpose)


def logging_options(what: str, *, beside: str) -> Callable[[Command], Command]:
    """Return --log and --log-dir. what: is logged; beside: where it goes by default, in words."""

    def decorate(command: Command) -> Command:
        kinds = click.Choice(["tensorboard", "wandb"])
        where = click.option("--log-dir", type=FOLDER, help=f"What loggers write.  [default: {beside}]")
        which = click.option("--log", "loggers", multiple=True, type=kinds, help=f"Log {what}; repeatable.")
        return which(where(command))

    return decorate
