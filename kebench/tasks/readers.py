"""Readers of the three BLURB file forms, one function each, strict and with line numbers.

iob: `token TAB tag`, a blank line between sentences, `-DOCSTART-` lines skipped. Tags are of any scheme of
     `kebench.tasks.schemes` and become B, I and O. Types (`B-DNA`) tell mentions apart and are cut, since
     they are not scored: a file of several is refused, unless the card says that it ignores them, as BLURB
     does for JNLPBA (KeBioLM, section 4.2.1).
pairs: `id TAB text TAB label`, no header (ChemProt, DDI).
gad: a header line, then `index TAB sentence TAB label`.
CRLF, a byte order mark and a last line without newline are read like any other; what is not UTF-8 is refused.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from kebench.errors import UserError
from kebench.tasks.card import TaskCard
from kebench.tasks.schemes import MisfitError, Scheme, Tag, bio_string, parse_tag, read_tagging

FETCH_AGAIN = "fetch the file again"
MEND = "mend the file"  # of a user's own, which nobody else has
LOOKS_LIKE_A_MARKER = r"@[^\s@$]+\$"
MEND_TYPES = "keep one type, or write ignore_types = true into the task's card"


class Sentence(NamedTuple):
    """One NER example: words, and a string of as many letters B, I or O. `id` is its 0-based row."""

    id: str
    words: tuple[str, ...]
    tags: str


class Pair(NamedTuple):
    """One relation example: a text with both entities replaced by markers, and its label."""

    id: str
    text: str
    label: str


class LineError(UserError):
    """A line that cannot be read; `line` is its 1-based number."""

    def __init__(self, path: Path, line: int, what: str, remedy: str = FETCH_AGAIN) -> None:
        super().__init__(f"{path} line {line}: {what}; {remedy}")
        self.line, self.what, self.remedy = line, what, remedy


class TaggedFile(NamedTuple):
    """What an iob file holds. scheme: None where nothing is tagged. types: of mentions, a line of each."""

    sentences: list[Sentence]
    scheme: Scheme | None
    types: dict[str, int]


def read_sentences(path: Path) -> list[Sentence]:
    """Read an iob file. Raises UserError with file and line for a wrong column or tag."""
    return read_tagged(path).sentences


def read_tagged(
    path: Path, *, scheme: Scheme | None = None, ignore_types: bool = False, remedy: str = FETCH_AGAIN
) -> TaggedFile:
    """Read an iob file and recognise its scheme. Raises UserError with file and line as `read_sentences`.

    scheme: the one that the file must be in. ignore_types: mentions may be of several types.
    """
    words: list[list[str]] = [[]]
    tags: list[list[Tag]] = [[]]
    first_lines = [1]
    known: dict[str, Tag] = {}  # what stands behind the tab of lines so far: most lines need no second look
    for number, line in _lines(path, remedy):
        if line.strip() and not line.startswith("-DOCSTART-"):
            word, _, behind = line.partition("\t")
            tag = known.get(behind) if word.strip() else None
            if tag is None:
                tag = known[behind] = _tag_of(line, path, number, remedy)
            words[-1].append(word)
            tags[-1].append(tag)
            continue
        if words[-1]:
            words.append([])
            tags.append([])
            first_lines.append(number + 1)
        first_lines[-1] = number + 1
    if not words[-1]:
        del words[-1], tags[-1]
    try:
        found, mentions = read_tagging(tags, scheme)
    except MisfitError as misfit:
        raise LineError(path, first_lines[misfit.sentence] + misfit.word, str(misfit), remedy) from None
    types: dict[str, int] = {}
    for first, row in zip(first_lines, mentions, strict=False):
        for mention in row:
            types.setdefault(mention.type, first + mention.start)
    if len(types) > 1 and not ignore_types:
        # The rarest is named first: it may be a slip. Of equals, the later ones.
        counts = Counter(mention.type for row in mentions for mention in row)
        rarest = sorted(types, key=lambda name: (counts[name], -types[name]))
        raise LineError(path, types[rarest[0]], several_types(rarest), MEND_TYPES)
    if not words:
        raise UserError(f"{path}: holds no example; {remedy}")
    sentences = [
        Sentence(str(at), tuple(row), bio_string(spans, len(row)))
        for at, (row, spans) in enumerate(zip(words, mentions, strict=True))
    ]
    return TaggedFile(sentences, found, types)


def several_types(types: Iterable[str], where: str = "of this file") -> str:
    """Say that a mention is of another type than others: "a mention of type 'Disease', others ..."."""
    first, *others = (f"type '{name}'" if name else "no type" for name in types)
    rest = f"{', '.join(others[:3])}{' ...' if len(others) > 3 else ''}"
    return f"a mention of {first}, others {where} are of {rest}, and types are not scored"


def _tag_of(line: str, path: Path, number: int, remedy: str) -> Tag:
    fields = line.split("\t")
    if len(fields) != 2:
        raise LineError(path, number, _wrong_columns(line, fields), remedy)
    if not fields[0].strip():
        raise LineError(path, number, "no token before the tab", remedy)
    word, words = fields[0], fields[1].strip()
    tag = parse_tag(words)
    if tag is None:
        swapped = "; the columns look swapped" if re.fullmatch("[BIO](-.*)?", word.strip()) else ""
        raise LineError(path, number, f"tag '{words[:20]}', expected B, I or O{swapped}", remedy)
    return tag


def _wrong_columns(line: str, fields: list[str]) -> str:
    """Say how many columns a line has instead of two, and what that looks like."""
    what = f"{_columns(fields)}, expected 2 (token TAB tag)"
    if len(fields) == 1 and len(words := line.split()) > 1 and parse_tag(words[-1]):
        return f"{what}; it looks cut by blanks, put a tab between token and tag"
    if len(fields) > 3 and parse_tag(fields[-1].strip()):
        return f"{what}; it looks like CoNLL's form, keep its first and last column"
    return what


def read_pairs(
    path: Path,
    *,
    labels: tuple[str, ...],
    header: str = "",
    markers: tuple[str, ...] = (),
    remedy: str = FETCH_AGAIN,
) -> list[Pair]:
    """Read a three-column file. Raises UserError with file and line for a wrong column or label.

    header: the first line that the form prescribes (`gad`), or "" for none (`pairs`).
    markers: the entity indicators; a text with none of them is refused.
    remedy: what to do about a damaged file, as the message of an error says it.
    """
    pairs: list[Pair] = []
    if path.stem.startswith("dev") and path.is_file() and not path.read_bytes().strip():
        what = "empty, as BioBERT's dev.tsv is"
        raise UserError(f"{path}: {what}; {_or_fetch('make one of a part of train', remedy)}")
    for number, line in _lines(path, remedy):
        if number == 1 and header:
            if line != header:
                _refuse_header(line, path, header, labels=labels, remedy=remedy)
        elif number == 1 and line == GAD_HEADER:
            what = f"the header {GAD_HEADER!r} of BLUE's and BioBERT's files"
            raise LineError(path, 1, what, _or_fetch("remove it, or make a card of format gad", remedy))
        elif line.strip():
            pairs.append(_read_pair(line, path, number, labels=labels, markers=markers, remedy=remedy))
    if not pairs:
        raise UserError(f"{path}: holds no example; {remedy}")
    return pairs


def _refuse_header(line: str, path: Path, header: str, *, labels: tuple[str, ...], remedy: str) -> None:
    *texts, label = line.split("\t")
    if label.strip() in labels and len(texts) == 1:
        what = "no header, and sentence TAB label alone, as BioBERT's train and dev files have"
        how = f"begin with {header!r}, and each line with an index"
        raise LineError(path, 1, what, _or_fetch(how, remedy))
    if label.strip() in labels and len(texts) == 2:
        raise LineError(path, 1, "an example where the header should be", f"put {header!r} before it")
    raise LineError(path, 1, f"header {line[:40]!r}, expected {header!r}", remedy)


def _read_pair(
    line: str, path: Path, number: int, *, labels: tuple[str, ...], markers: tuple[str, ...], remedy: str
) -> Pair:
    fields = line.split("\t")
    if len(fields) == 2 and fields[1].strip() in labels and _has(fields[0], markers):
        what = "sentence TAB label alone, as BioBERT's train and dev files have"
        raise LineError(path, number, what, _or_fetch("begin each line with an id and a tab", remedy))
    if len(fields) != 3:
        is_csv = len(fields) == 1 and line.count(",") > 1
        form = "; it looks like CSV, put tabs between the columns" if is_csv else ""
        what = f"{_columns(fields)}, expected 3 (id TAB text TAB label){form}"
        raise LineError(path, number, what, remedy)
    pair_id, text, label = (field.strip() for field in fields)
    if label not in labels:
        swapped = (
            "; the columns look swapped" if {pair_id, text} & set(labels) and _has(label, markers) else ""
        )
        what = f"label '{label[:20]}', expected one of {', '.join(labels)}{swapped}"
        raise LineError(path, number, what, remedy)
    if markers and not _has(text, markers):
        hint = "; the columns look swapped" if _has(pair_id, markers) else ""
        if others := re.findall(LOOKS_LIKE_A_MARKER, text):
            hint = f", which holds {', '.join(others)}"
        what = f"no {' or '.join(markers)} in the text '{text[:20]}'{hint}"
        raise LineError(path, number, what, remedy)
    return Pair(pair_id, text, label)


def _or_fetch(how: str, remedy: str) -> str:
    """Say how to change a file that is in another layout; where one is published, its examples are others."""
    return how if remedy == MEND else f"fetch this task's own files ('kebench data get' says where), or {how}"


def _has(text: str, markers: tuple[str, ...]) -> bool:
    return any(marker in text for marker in markers)


def _columns(fields: list[str]) -> str:
    return "1 column" if len(fields) == 1 else f"{len(fields)} columns"


GAD_HEADER = "index\tsentence\tlabel"


def read_split(card: TaskCard, path: Path) -> list[Sentence] | list[Pair]:
    """Read one split's file in the form that the card names."""
    if card.format == "iob":
        return read_tagged_split(card, path).sentences
    header = GAD_HEADER if card.format == "gad" else ""
    remedy = FETCH_AGAIN if card.is_published else MEND
    return read_pairs(path, labels=card.labels, header=header, markers=card.markers, remedy=remedy)


def read_tagged_split(card: TaskCard, path: Path) -> TaggedFile:
    """Read one split's file of a task with tags, with its scheme and types."""
    remedy = FETCH_AGAIN if card.is_published else MEND
    return read_tagged(path, scheme=card.scheme, ignore_types=card.ignore_types, remedy=remedy)


def _lines(path: Path, remedy: str) -> Iterator[tuple[int, str]]:
    """Yield (1-based number, line without its end). Only LF and CRLF end a line: U+2028 is text."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); check the path") from None
    if not content:
        raise UserError(f"{path}: empty; {remedy}")
    if b"\0" in content:
        raise UserError(f"{path}: a binary file, expected tab-separated text; {remedy}")
    content = content.removeprefix(b"\xef\xbb\xbf")
    try:
        lines = content.decode("utf-8").split("\n")
    except UnicodeDecodeError as error:
        number = content.count(b"\n", 0, error.start) + 1
        raise LineError(path, number, f"not UTF-8 ({error.reason})", remedy) from None
    for number, line in enumerate(lines, 1):
        yield number, line.removesuffix("\r")
