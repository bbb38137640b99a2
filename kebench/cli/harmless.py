"""What is printed cannot command a terminal: names come from records, ontologies and files of strangers.

Colours of our own tables pass; any other control character is spelt out, as `\\x1b`.
"""

import logging
import re
from collections.abc import Iterable
from typing import Any, TextIO

from kebench.errors import printable

# A colour or weight (rich writes nothing else into a table), a line's end, a tab; else a control character.
_SIGNS = re.compile(r"(\x1b\[(?!(?:\d+;)*8(?:;|m))[\d;]*m|\r?\n|\t)|[\x00-\x1f\x7f-\x9f]")


def spelt_out(text: str) -> str:
    """Return text with what could command a terminal spelt out."""
    return _SIGNS.sub(lambda found: found[1] or printable(found[0]), text)


class Harmless:
    """A text stream that spells out, in what is written to it, whatever could command a terminal."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream

    def write(self, text: str) -> int:
        """Write text."""
        self.stream.write(spelt_out(text))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Write lines."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


def spell_out(record: logging.LogRecord) -> bool:
    """Make a log record harmless; let it pass."""
    record.msg, record.args = spelt_out(record.getMessage()), None
    return True
