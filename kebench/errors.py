"""The one exception a user meets: what is wrong, where, and what to do about it.

`kebench.cli` turns a `UserError` into one line on stderr and exit code 2. A broken promise
of our own is an `assert`, never a `UserError`.
"""

from collections.abc import Iterable


class UserError(Exception):
    """A mistake the user can mend; its text is one line: what, where, remedy."""

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(message.split()))


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return "; did you mean 'x'?" for the closest known name, or ";" if none is close."""
    import difflib  # only for mistakes: every command starts through this module

    close = difflib.get_close_matches(name, list(known), n=1)
    return f"; did you mean '{close[0]}'?" if close else ";"
