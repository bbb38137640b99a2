"""Options as fields of a dataclass: a type says what an option takes, and whether it must be given."""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import click
import pytest
from click.testing import CliRunner

from kebench.cli.options import Command, added_by, argument, changes_of, option, takes


@dataclass(frozen=True, kw_only=True)
class Options:
    source: Path = argument()
    out: Path = option(help="Where to.")
    epochs: int | None = option(changes=True)
    rate: float | None = option("--learning-rate", changes=True)
    names: tuple[str, ...] = option("--name")
    budget: str = option(default="quick")
    note: str = option(default="")
    fast: bool = option()
    wait: bool = option("--wait/--no-wait", default=True)
    exact: bool | None = option("--exact/--any", changes=True)
    order: Literal["shuffled", "sorted"] | None = option()


def run(*arguments: str) -> tuple[int, Any]:
    """Return the exit code of a command with these options, and what it was handed or has said."""
    handed: list[Options] = []

    @click.command()
    @takes(Options)
    def command(options: Options) -> None:
        """Do it."""
        handed.append(options)

    done = CliRunner().invoke(command, arguments)
    return done.exit_code, handed[0] if handed else done.output


def test_a_command_gets_its_options_as_one_value() -> None:
    code, options = run("it", "--out", "o", "--epochs", "3", "--name", "a", "--name", "b", "--fast", "--any")
    assert code == 0
    assert options == Options(
        source=Path("it"), out=Path("o"), epochs=3, rate=None, names=("a", "b"), budget="quick", note="",
        fast=True, wait=True, exact=False, order=None,
    )  # fmt: skip


def test_what_cannot_be_none_and_has_no_default_must_be_given() -> None:
    assert run("it") == (2, "Usage: command [OPTIONS] SOURCE\nTry 'command --help' for help.\n\n"
                            "Error: Missing option '--out'.\n")  # fmt: skip


@pytest.mark.parametrize(
    "given", [("--epochs", "many"), ("--learning-rate", "x"), ("--order", "any"), ("--order", "Sorted")]
)
def test_numbers_are_numbers_and_words_of_a_choice_are_its_own(given: tuple[str, str]) -> None:
    assert run("it", "--out", "o", *given)[0] == 2


def test_a_word_of_a_choice_is_taken() -> None:
    assert run("it", "--out", "o", "--order", "sorted")[1].order == "sorted"


def test_help_shows_options_in_the_order_of_the_fields_with_their_defaults() -> None:
    said = run("--help")[1]
    places = [said.index(name) for name in ("--out", "--epochs", "--learning-rate", "--name", "--budget")]
    assert places == sorted(places)
    assert "[required]" in said
    assert "[default: quick]" in said
    assert said.count("[default") == 1  # an empty one says nothing, and a switch shows both its names


def test_settings_are_changed_by_those_options_alone_that_say_so() -> None:
    options = run("it", "--out", "o", "--learning-rate", "0.5")[1]
    assert changes_of(options) == {"epochs": None, "rate": 0.5, "exact": None}


def test_what_is_put_around_a_command_has_its_options_last_and_a_field_may_come_of_a_decorator() -> None:
    def doubled(command: Command) -> Command:
        @functools.wraps(command)
        def call(number: int, **given: object) -> None:
            command(twice=2 * number, **given)

        return click.option("--number", type=int)(call)

    def counted(command: Command) -> Command:
        @functools.wraps(command)
        def call(count: int, **given: object) -> None:
            order.append(count)
            command(**given)

        return click.option("--count", type=int)(call)

    @dataclass(frozen=True, kw_only=True)
    class Both:
        twice: int = added_by(doubled)
        last: bool = option()

    order: list[object] = []

    def command(options: Both) -> None:
        order.append(options)

    made: Callable[..., None] = takes(Both, within=counted)(command)
    named = click.command()(made)
    assert CliRunner().invoke(named, ["--number", "4", "--count", "1", "--last"]).exit_code == 0
    assert order == [1, Both(twice=8, last=True)]
    assert [parameter.name for parameter in named.params] == ["number", "last", "count"]
