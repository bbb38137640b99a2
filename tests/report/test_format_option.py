"""`--format` is the same on every command that prints tables."""

import importlib

import click
import pytest
from click.testing import CliRunner

from kebench.cli import COMMANDS
from kebench.cli.tables import FORMATS

PRINT_TABLES = (
    "compare", "corpus score", "corpus stats", "curves", "data check", "errors", "kb stats", "leaderboard",
    "model list", "model show", "overlap", "probe compare", "probe scores", "probe show", "probe stats",
    "recipe list", "recipe show", "records", "rescore", "significance", "table", "task list", "task show",
)  # fmt: skip


def command(name: str) -> click.Command:
    first, *rest = name.split()
    module = importlib.import_module(f"kebench.cli.{first}")
    found: click.Command = getattr(module, first)
    for one in rest:
        assert isinstance(found, click.Group)
        found = found.commands[one]
    return found


def options_of(one: click.Command) -> list[click.Parameter]:
    return [option for option in one.params if "--format" in option.opts]


@pytest.mark.parametrize("name", PRINT_TABLES)
def test_a_command_that_prints_tables_takes_the_five_formats(name: str) -> None:
    (option,) = options_of(command(name))
    assert isinstance(option.type, click.Choice)
    assert tuple(option.type.choices) == FORMATS
    assert option.default == "terminal"


def test_what_some_commands_called_the_terminal_is_still_taken() -> None:
    for word in ("table", "text", "terminal"):
        shown = CliRunner().invoke(command("task list"), ["--format", word])
        assert shown.exit_code == 0
        assert shown.stdout.startswith("task ")


def test_no_other_command_calls_a_format_of_tables_otherwise() -> None:
    others = {"annotate"}  # of its inputs
    for name in COMMANDS:
        module, attribute = importlib.import_module(f"kebench.cli.{name}"), name
        found = getattr(module, attribute)
        listed = {
            name: found,
            **{f"{name} {one}": sub for one, sub in getattr(found, "commands", {}).items()},
        }
        for full, one in listed.items():
            if options_of(one) and full not in others:
                assert full in PRINT_TABLES
