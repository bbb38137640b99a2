"""What a reader makes of a file: passages with the mentions that the file states, and what went wrong.

Offsets are half-open and count characters (Unicode code points) of the passage's own text.
"""

import re
from typing import NamedTuple

MAX_CHARACTERS = 1_000_000  # of a passage; what spaCy takes (Language.max_length)
_SHOWN = 30
_SHOWN_BEFORE = 10  # characters in front of the first that differs
_NO_ID = ("", "-", "-1", "None")


class GoldMention(NamedTuple):
    """A mention that the file states. ids: as it writes them: D003924, OMIM:114480, C0006142; () if none."""

    char_start: int
    char_end: int
    kind: str
    ids: tuple[str, ...]


class Mention(NamedTuple):
    """A mention that is linked. score: between 0 and 1; 1 where a name or the file says it."""

    char_start: int
    char_end: int
    cui: str
    score: float


class Passage(NamedTuple):
    """A text. number: its place in the document, 0 for the first or only one.

    version: of the document, where its file states one; the highest counts. notes: what a reader of counts
    should know of how the text was put together.
    """

    document_id: str
    number: int
    text: str
    gold: tuple[GoldMention, ...] = ()
    version: int = 1
    notes: tuple[str, ...] = ()


class Removed(NamedTuple):
    """A document that is not to be in a corpus, wherever this version or a lower one stands before.

    why: "deleted", "retracted" or "without text".
    """

    document_id: str
    why: str
    version: int = 1
    notes: tuple[str, ...] = ()


class Fault(NamedTuple):
    """A record that cannot be used.

    where: as a reader of the file counts, "line 7". ends_file: nothing of the file after it can be read.
    """

    where: str
    problem: str
    ends_file: bool = False


Read = Passage | Removed | Fault


def split_ids(written: str) -> tuple[str, ...]:
    """Return the ids of a mention that a file writes as one string, with |, +, comma or semicolon between."""
    return tuple(one.strip() for one in re.split(r"[|+,;]", written) if one.strip() not in _NO_ID)


def passage_problem(passage: Passage) -> str | None:
    """Say why a passage cannot be used; None if it can."""
    text = passage.text
    if not text.strip():
        return "no text"
    if len(text) > MAX_CHARACTERS:
        return f"a text of {len(text):,} characters, at most {MAX_CHARACTERS:,} are taken; split it"
    if "\0" in text:
        return f"a NUL character at character {text.index(chr(0)):,} of the text"
    return None


def mention_problem(text: str, mention: GoldMention, said: str | None) -> str | None:
    """Say why a mention does not fit its text; None if it does.

    said: what the file says the mention's text is, where it does.
    """
    start, end = mention.char_start, mention.char_end
    if not 0 <= start < end <= len(text):
        return f"mention {start}-{end} is not within its text of {len(text):,} characters"
    here = text[start:end]
    if said is not None and here != said:
        pairs = enumerate(zip(here, said, strict=False))
        differs = next((place for place, (a, b) in pairs if a != b), min(len(here), len(said)))
        shown = (_around(here, differs), _around(said, differs))
        return (
            f"mention {start}-{end} is not what the file says: {shown[0]} in the text, {shown[1]} in the file"
        )
    return None


def _around(text: str, place: int) -> str:
    """Return what stands around a place, in quotes, with dots where it was cut."""
    start = max(0, place - _SHOWN_BEFORE)
    end = start + _SHOWN
    return f"'{'...' * (start > 0)}{text[start:end]}{'...' * (end < len(text))}'"
