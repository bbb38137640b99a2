"""Readers of the three BLURB file forms, one function each, strict and with line numbers.

iob: `token TAB tag`, a blank line between sentences, `-DOCSTART-` lines skipped. Tags are B, I or O;
     a type behind the letter (`B-DNA`) is cut, since BLURB ignores entity types (KeBioLM, section 4.2.1).
     Adjacent B tags are two mentions.
pairs: `id TAB text TAB label`, no header (ChemProt, DDI).
gad: a header line, then `index TAB sentence TAB label`.
CRLF, a byte order mark and a last line without newline are read like any other; what is not UTF-8 is refused.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, TypeVar

from kebench.errors import UserError
from kebench.tasks.card import TaskCard


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

    def __init__(self, path: Path, line: int, what: str) -> None:
        super().__init__(f"{path} line {line}: {what}; fetch the file again")
        self.line = line


_Example = TypeVar("_Example", Sentence, Pair)


def read_sentences(path: Path) -> list[Sentence]:
    """Read an iob file. Raises UserError with file and line for a wrong column or tag."""
    sentences: list[Sentence] = []
    words: list[str] = []
    tags: list[str] = []
    for number, line in _lines(path):
        if line.strip() and not line.startswith("-DOCSTART-"):
            word, tag = _word_and_tag(line, path, number)
            words.append(word)
            tags.append(tag)
        elif words:
            sentences.append(Sentence(str(len(sentences)), tuple(words), "".join(tags)))
            words, tags = [], []
    if words:
        sentences.append(Sentence(str(len(sentences)), tuple(words), "".join(tags)))
    return _not_empty(sentences, path)


def _word_and_tag(line: str, path: Path, number: int) -> tuple[str, str]:
    fields = line.split("\t")
    if len(fields) != 2 or not fields[0].strip():
        raise LineError(path, number, f"{_columns(fields)}, expected 2 (token TAB tag)")
    word, tag = fields[0], fields[1].strip()
    if not _is_tag(tag):
        swapped = "; the columns look swapped" if _is_tag(word.strip()) else ""
        raise LineError(path, number, f"tag '{tag[:20]}', expected B, I or O{swapped}")
    return word, tag[0]


def _is_tag(field: str) -> bool:
    return field[:1] in tuple("BIO") and field[1:2] in ("", "-")


def read_pairs(
    path: Path, *, labels: tuple[str, ...], header: str = "", markers: tuple[str, ...] = ()
) -> list[Pair]:
    """Read a three-column file. Raises UserError with file and line for a wrong column or label.

    header: the first line that the form prescribes (`gad`), or "" for none (`pairs`).
    markers: the entity indicators; a text with none of them is refused.
    """
    pairs: list[Pair] = []
    for number, line in _lines(path):
        if number == 1 and header:
            if line != header:
                raise LineError(path, number, f"header {line[:40]!r}, expected {header!r}")
        elif line.strip():
            pairs.append(_read_pair(line, path, number, labels=labels, markers=markers))
    return _not_empty(pairs, path)


def _read_pair(
    line: str, path: Path, number: int, *, labels: tuple[str, ...], markers: tuple[str, ...]
) -> Pair:
    fields = line.split("\t")
    if len(fields) != 3:
        raise LineError(path, number, f"{_columns(fields)}, expected 3 (id TAB text TAB label)")
    pair_id, text, label = (field.strip() for field in fields)
    if label not in labels:
        swapped = (
            "; the columns look swapped" if {pair_id, text} & set(labels) and _has(label, markers) else ""
        )
        raise LineError(path, number, f"label '{label[:20]}', expected one of {', '.join(labels)}{swapped}")
    if markers and not _has(text, markers):
        swapped = "; the columns look swapped" if _has(pair_id, markers) else ""
        raise LineError(path, number, f"no {' or '.join(markers)} in the text '{text[:20]}'{swapped}")
    return Pair(pair_id, text, label)


def _has(text: str, markers: tuple[str, ...]) -> bool:
    return any(marker in text for marker in markers)


def _columns(fields: list[str]) -> str:
    return "1 column" if len(fields) == 1 else f"{len(fields)} columns"


GAD_HEADER = "index\tsentence\tlabel"


def read_split(card: TaskCard, path: Path) -> list[Sentence] | list[Pair]:
    """Read one split's file in the form that the card names."""
    if card.format == "iob":
        return read_sentences(path)
    header = GAD_HEADER if card.format == "gad" else ""
    return read_pairs(path, labels=card.labels, header=header, markers=card.markers)


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield (1-based number, line without its end). Only LF and CRLF end a line: U+2028 is text."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); check the path") from None
    if not content:
        raise UserError(f"{path}: empty; fetch the file again")
    if b"\0" in content:
        raise UserError(f"{path}: a binary file, expected tab-separated text; fetch the file again")
    for number, line in enumerate(content.removeprefix(b"\xef\xbb\xbf").split(b"\n"), 1):
        try:
            yield number, line.decode("utf-8").removesuffix("\r")
        except UnicodeDecodeError as error:
            raise LineError(path, number, f"not UTF-8 ({error.reason})") from None


def _not_empty(examples: list[_Example], path: Path) -> list[_Example]:
    if not examples:
        raise UserError(f"{path}: holds no example; fetch the file again")
    return examples
