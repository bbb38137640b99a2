"""The options of commands that train: which loggers are told, and where they write."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


def logging_options(what: str, *, beside: str) -> Decorator:
    """Return --log and --log-dir. what: is logged; beside: where it goes by default, in words."""

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        kinds = click.Choice(["tensorboard", "wandb"])
        folder = click.Path(path_type=Path)
        where = click.option("--log-dir", type=folder, help=f"What loggers write.  [default: {beside}]")
        which = click.option("--log", "loggers", multiple=True, type=kinds, help=f"Log {what}; repeatable.")
        return which(where(function))

    return decorate
