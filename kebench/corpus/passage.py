"""What a reader makes of a file: passages with the mentions that the file states, and what went wrong.

Offsets are half-open and count characters (Unicode code points) of the passage's own text.
"""

from typing import NamedTuple

MAX_CHARACTERS = 1_000_000  # of a passage; what spaCy takes (Language.max_length)
_SHOWN = 30


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
    """A text. number: its place in the document, 0 for the first or only one."""

    document_id: str
    number: int
    text: str
    gold: tuple[GoldMention, ...] = ()


class Removed(NamedTuple):
    """A document that is not to be in a corpus, wherever a version of it stands before this place.

    why: "deleted" or "retracted".
    """

    document_id: str
    why: str


class Fault(NamedTuple):
    """A record that cannot be used.

    where: as a reader of the file counts, "line 7". ends_file: nothing of the file after it can be read.
    """

    where: str
    problem: str
    ends_file: bool = False


Read = Passage | Removed | Fault


def text_problem(text: str) -> str | None:
    """Say why a text cannot be a passage's; None if it can."""
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
    if said is not None and text[start:end] != said:
        here = text[start:end]
        place = next((place for place, (a, b) in enumerate(zip(here, said, strict=False)) if a != b), 0)
        place = max(0, place - 10)
        return (
            f"mention {start}-{end} is not what the file says: '{here[place : place + _SHOWN]}' in the text, "
            f"'{said[place : place + _SHOWN]}' in the file"
        )
    return None
