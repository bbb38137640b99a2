"""Tagging schemes: which mentions the tags of a sentence mark, and which scheme a file is in.

IOB2   a mention begins with B and goes on with I (BLURB's files).
IOB1   I alone; B where a mention stands right behind one of its type (CoNLL 2003).
IO     I alone: two mentions of a type that touch cannot be told apart.
IOBES  B, I, E; one of a single word is S. BILOU, BMES and BMEWO are the same in other letters.

The file tells them apart. E, L, S, U, W and M stand in the last four only. With B and I alone the tag behind
an O decides: only IOB2 begins a mention with B there, only IOB1 and IO with I. A file that does both fits
none: an I without its B may be a mention or a slip. One exception is public (SciBERT's BC5CDR): single words
have I, several words B and I; it is read as conlleval reads it, which is IOB1 with B allowed anywhere.
"""

import functools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Literal, NamedTuple

from kebench.errors import counted
from kebench.scoring.entities import Tags

Scheme = Literal["IOB2", "IOB1", "IO", "IOBES", "BILOU", "BMES", "BMEWO"]
# The letters of a mention's first word, of one inside, of its last, and of one alone; O is outside.
CLOSED: dict[Scheme, tuple[str, str, str, str]] = {
    "IOBES": ("B", "I", "E", "S"),
    "BILOU": ("B", "I", "L", "U"),
    "BMES": ("B", "M", "E", "S"),
    "BMEWO": ("B", "M", "E", "W"),
}
LETTERS: dict[Scheme, tuple[str, ...]] = {"IOB2": ("B", "I"), "IOB1": ("B", "I"), "IO": ("I",), **CLOSED}
# So many mentions of each kind must show that B stands before several words alone; ours. In IOB2 with a third
# of its mentions of one word, 20 of several words in a row happen once in 3,000 times.
ENOUGH_MENTIONS = 20


class Tag(NamedTuple):
    """A letter, and the type behind it ("DNA" of B-DNA) or ""."""

    letter: str
    type: str

    def __str__(self) -> str:
        return f"{self.letter}-{self.type}" if self.type else self.letter


class Mention(NamedTuple):
    """A half-open span of words with its type, "" for none."""

    start: int
    end: int
    type: str


class MisfitError(Exception):
    """A tag that fits no scheme, or not the one stated: `sentence` and `word` count from 0."""

    def __init__(self, sentence: int, word: int, what: str) -> None:
        super().__init__(what)
        self.sentence, self.word = sentence, word


@functools.cache
def parse_tag(words: str) -> Tag | None:
    """Read "B", "O" or "I-cell_line"; None for what is no tag. O has no type, whatever stands behind it."""
    letter, dash, kind = words[:1], words[1:2], words[2:]
    if letter not in tuple("OBIESLUMW") or dash not in ("", "-"):
        return None
    return Tag(letter, "" if letter == "O" else kind)


def read_tagging(
    sentences: Sequence[Sequence[Tag]], stated: Scheme | None = None
) -> tuple[Scheme | None, list[list[Mention]]]:
    """Return a file's scheme, None where nothing is tagged, and its mentions by sentence.

    stated: the scheme that it must be in. Raises MisfitError at the first tag that fits none, or not that.
    """
    letters = {tag.letter for tags in sentences for tag in tags} - {"O"}
    if not letters:
        return None, [[] for _ in sentences]
    placed = ((at, place, tag) for at, tags in enumerate(sentences) for place, tag in enumerate(tags))
    fitting = [scheme for scheme, own in CLOSED.items() if letters <= set(own)]
    is_open = stated not in CLOSED if stated else letters <= set("BI")
    if stated:
        expected = {*LETTERS[stated], "O"}
        for at, place, tag in placed:
            if tag.letter not in expected:
                raise MisfitError(at, place, f"tag '{tag}', expected {_listed(expected)} ({stated})")
    elif not is_open and letters <= {"I", "E"}:
        at, place, tag = next(one for one in placed if one[2].letter == "E")
        what = f"tag '{tag}' in a file without B, as IOE1 and IOE2 have"
        raise MisfitError(at, place, f"{what}, which are not read; convert the file to IOB2")
    elif not is_open and not fitting:
        seen = {"O"}
        for at, place, tag in placed:
            if not any(seen | {tag.letter} <= {*own, "O"} for own in CLOSED.values()):
                what = f"tag '{tag}' stands in no scheme beside {_listed(seen - {'O'})}"
                raise MisfitError(at, place, what)
            seen.add(tag.letter)
    if is_open:
        begun = [list(_begun(tags)) for tags in sentences]
        return _open_scheme(sentences, begun, stated), [[one.mention for one in row] for row in begun]
    scheme = stated or fitting[0]
    return scheme, [_closed_mentions(tags, scheme, at) for at, tags in enumerate(sentences)]


class _Begun(NamedTuple):
    """A mention of B and I, the letter of its first word, and whether one stands right before it."""

    mention: Mention
    letter: str
    touches: bool


def _begun(tags: Sequence[Tag]) -> Iterator[_Begun]:
    """Yield mentions as IOB2, IOB1 and IO have them: B begins one, and so does I of another type."""
    start, kind = -1, ""
    touches = False
    for place, tag in enumerate((*tags, Tag("O", ""))):  # which ends the last one
        if tag.letter == "I" and start >= 0 and _is_one_type(kind, tag.type):
            kind = kind or tag.type
            continue
        if start >= 0:
            yield _Begun(Mention(start, place, kind), tags[start].letter, touches)
        touches = start >= 0
        start, kind = (place, tag.type) if tag.letter != "O" else (-1, "")


def _is_one_type(one: str, other: str) -> bool:
    """Say whether two tags may be of one mention: one without a type contradicts none."""
    return one == other or not one or not other


def _open_scheme(
    sentences: Sequence[Sequence[Tag]], begun: Sequence[Sequence[_Begun]], stated: Scheme | None
) -> Scheme:
    """Tell IOB2, IOB1 and IO apart. Raises MisfitError where behind an O now B begins a mention, now I."""
    placed = [(at, one) for at, row in enumerate(begun) for one in row]
    by_b = [(at, one) for at, one in placed if one.letter == "B" and not one.touches]
    by_i = [(at, one) for at, one in placed if one.letter == "I"]
    if stated:
        wrong, others = (by_i, by_b) if stated == "IOB2" else (by_b, by_i)
    else:
        wrong, others = sorted((by_i, by_b), key=len)
    if wrong and (stated == "IOB2" or not _b_means_several_words(by_b, by_i)):
        at, one = wrong[0]
        tag = sentences[at][one.mention.start]
        if one.letter == "I" and one.touches:
            what = f"tag '{tag}' goes on with a mention of another type"
        elif stated:
            what = f"tag '{tag}' begins a mention, expected {'B' if stated == 'IOB2' else 'I'} ({stated})"
        else:
            elsewhere = counted(len(others), "other place")
            what = f"tag '{tag}' begins a mention, which {others[0][1].letter} does in {elsewhere}"
        raise MisfitError(at, one.mention.start, what)
    if stated:
        return stated
    return "IOB2" if not by_i else "IOB1" if any(one.letter == "B" for _, one in placed) else "IO"


def _b_means_several_words(by_b: Sequence[tuple[int, _Begun]], by_i: Sequence[tuple[int, _Begun]]) -> bool:
    lengths_b, lengths_i = ([one.mention.end - one.mention.start for _, one in row] for row in (by_b, by_i))
    if min(len(lengths_b), len(lengths_i)) < ENOUGH_MENTIONS or min(lengths_b) == 1:
        return False
    return lengths_i.count(1) >= 0.9 * len(lengths_i)  # two of one word that touch look like one of two


def _closed_mentions(tags: Sequence[Tag], scheme: Scheme, sentence: int) -> list[Mention]:
    """Return the mentions of a sentence in which a last word, and one alone, has a letter of its own."""
    first, inside, last, alone = CLOSED[scheme]
    mentions: list[Mention] = []
    start, kind = -1, ""
    for place, tag in enumerate(tags):
        if tag.letter in (inside, last):
            if start < 0:
                raise MisfitError(sentence, place, f"tag '{tag}' without {first} before it ({scheme})")
            if not _is_one_type(kind, tag.type):
                raise MisfitError(sentence, place, f"tag '{tag}' goes on with a mention of type '{kind}'")
            kind = kind or tag.type
            if tag.letter == last:
                mentions.append(Mention(start, place + 1, kind))
                start = -1
            continue
        if start >= 0:
            raise MisfitError(sentence, place, f"tag '{tag}' where a mention has no {last} yet ({scheme})")
        if tag.letter == first:
            start, kind = place, tag.type
        elif tag.letter == alone:
            mentions.append(Mention(place, place + 1, tag.type))
    if start >= 0:
        raise MisfitError(
            sentence, len(tags) - 1, f"the sentence ends where a mention has no {last} yet ({scheme})"
        )
    return mentions


def _listed(letters: Iterable[str]) -> str:
    *most, last = sorted(letters, key="BIMELSUWO".index)
    return f"{', '.join(most)} and {last}" if most else last


def bio_tags(mentions: Sequence[Mention], num_words: int, *, has_types: bool) -> Tags:
    """Return mentions as a sentence's tags in IOB2: B-DNA, I-DNA, O, or without types a string of B, I, O."""
    tags = ["O"] * num_words
    for start, end, kind in mentions:
        behind = f"-{kind}" if has_types else ""
        tags[start:end] = [f"B{behind}"] + [f"I{behind}"] * (end - start - 1)
    return tuple(tags) if has_types else "".join(tags)


def one_scheme(schemes: Mapping[str, Scheme | None]) -> dict[str, Scheme | None]:
    """Name the schemes of a task's files alike: a file of IO beside one of IOB1 is IOB1 without its B."""
    has_iob1 = "IOB1" in schemes.values()
    return {split: "IOB1" if has_iob1 and name == "IO" else name for split, name in schemes.items()}
