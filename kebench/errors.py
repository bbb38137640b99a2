"""The one exception a user meets: what is wrong, where, and what to do about it.

`kebench.cli` turns a `UserError` into one line on stderr and exit code 2. A broken promise
of our own is an `assert`, never a `UserError`.
"""

import re
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from pydantic import ValidationError

_Given = TypeVar("_Given")
_Made = TypeVar("_Made")


class UserError(Exception):
    """A mistake the user can mend; its text is one line (several mistakes: one each): what, where, remedy."""

    def __init__(self, *messages: str) -> None:
        super().__init__("\n".join(printable(" ".join(message.split())) for message in messages))


class Refusals:
    """Gathers what is wrong with several things, so that all is refused at once."""

    def __init__(self) -> None:
        self.messages: list[str] = []

    def of_each(
        self, given: Iterable[_Given], act: Callable[[_Given], _Made], *, name: Callable[[_Given], str] = str
    ) -> list[_Made]:
        """Return what a function makes of each thing that it does not refuse; a refusal names the thing."""
        made = []
        for one in given:
            try:
                made.append(act(one))
            except UserError as error:
                called = "" if name(one) in str(error) else f"{name(one)}: "
                self.messages += [called + line for line in str(error).split("\n")]
        return made

    def raise_all(self) -> None:
        """Raise UserError if anything was refused: a line each, and the same line once."""
        if self.messages:
            raise UserError(*dict.fromkeys(self.messages))


def printable(text: str) -> str:
    """Return text with its control characters spelt out: names come from files, and could move a cursor."""
    return re.sub(r"[\x00-\x1f\x7f-\x9f]", lambda found: f"\\x{ord(found[0]):02x}", text)


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return "; did you mean 'x'?" for the closest known name, or ";" if none is close."""
    import difflib  # only for mistakes: every command starts through this module

    close = difflib.get_close_matches(name, list(known), n=1)
    return f"; did you mean '{close[0]}'?" if close else ";"


def counted(number: int, noun: str) -> str:
    """Return "1 run", "2 runs", "1,234 runs"."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def counted_kind(number: int, kind: str) -> str:
    """Return "1 relation passed over", "2 relations passed over" of a kind that is written in the plural."""
    return f"{number:,} " + (re.sub(r"(?<=[a-z]{2})s(?= |$)", "", kind) if number == 1 else kind)


def first_fault(error: "ValidationError", *, whole: str, shows_value: bool = False) -> str:
    """Return the first thing that is wrong as "field: why".

    whole: what to call it if no single field is to blame.
    shows_value: say "field = value: why" where there is a value, for what people write by hand.
    """
    first = error.errors()[0]
    field = ".".join(str(part) for part in first["loc"]) or whole
    has_value = first["loc"] and first["type"] != "missing"
    value = f" = {first['input']!r}" if shows_value and has_value else ""
    return f"{field}{value}: {first['msg'].removeprefix('Value error, ')}"


def first_line(error: BaseException) -> str:
    """Return the first line of what a library says of its error; the error's name if it says nothing."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
