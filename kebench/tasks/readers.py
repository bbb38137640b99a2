"""Readers of the three BLURB file forms, one function each, strict and with line numbers.

iob: `token TAB tag`, a blank line between sentences, `-DOCSTART-` lines skipped. Tags are B, I or O;
     a type behind the letter (`B-DNA`) is cut, since BLURB ignores entity types (KeBioLM, section 4.2.1).
pairs: `id TAB text TAB label`, no header (ChemProt, DDI).
gad: a header line, then `index TAB sentence TAB label`.
CRLF and a last line without newline are read like any other; invalid UTF-8 is refused.
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


_Example = TypeVar("_Example", Sentence, Pair)


def read_sentences(path: Path) -> list[Sentence]:
    """Read an iob file. Raises UserError with file and line for a wrong column or tag."""
    sentences: list[Sentence] = []
    words: list[str] = []
    tags: list[str] = []
    for number, line in _lines(path):
        if line.strip() and not line.startswith("-DOCSTART-"):
            word, tag = _word_and_tag(line, f"{path.name} line {number}", path)
            words.append(word)
            tags.append(tag)
        elif words:
            sentences.append(Sentence(str(len(sentences)), tuple(words), "".join(tags)))
            words, tags = [], []
    if words:
        sentences.append(Sentence(str(len(sentences)), tuple(words), "".join(tags)))
    return _not_empty(sentences, path)


def _word_and_tag(line: str, where: str, path: Path) -> tuple[str, str]:
    fields = line.split("\t")
    if len(fields) != 2 or not fields[0].strip():
        raise UserError(
            f"{path.parent / where}: {len(fields)} columns, expected 2 (token TAB tag); fetch the file again"
        )
    word, tag = fields
    if tag.strip()[:1] not in tuple("BIO") or tag.strip()[1:2] not in ("", "-"):
        raise UserError(f"{path.parent / where}: tag '{tag[:20]}', expected B, I or O; fetch the file again")
    return word, tag.strip()[0]


def read_pairs(path: Path, *, labels: tuple[str, ...], header: str = "") -> list[Pair]:
    """Read a three-column file. Raises UserError with file and line for a wrong column or label.

    header: the first line that the form prescribes (`gad`), or "" for none (`pairs`).
    """
    pairs: list[Pair] = []
    for number, line in _lines(path):
        where = f"{path} line {number}"
        if number == 1 and header:
            if line != header:
                raise UserError(f"{where}: header {line[:40]!r}, expected {header!r}; fetch the file again")
            continue
        if not line.strip():
            continue
        fields = line.split("\t")
        if len(fields) != 3:
            raise UserError(
                f"{where}: {len(fields)} columns, expected 3 (id TAB text TAB label); fetch the file again"
            )
        pair_id, text, label = (field.strip() for field in fields)
        if label not in labels:
            raise UserError(
                f"{where}: label '{label[:20]}', expected one of {', '.join(labels)}; fetch the file again"
            )
        pairs.append(Pair(pair_id, text, label))
    return _not_empty(pairs, path)


GAD_HEADER = "index\tsentence\tlabel"


def read_split(card: TaskCard, path: Path) -> list[Sentence] | list[Pair]:
    """Read one split's file in the form that the card names."""
    if card.format == "iob":
        return read_sentences(path)
    return read_pairs(path, labels=card.labels, header=GAD_HEADER if card.format == "gad" else "")


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield (1-based number, line without its end). Only LF and CRLF end a line: U+2028 is text."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); check the path") from None
    if b"\0" in content:
        raise UserError(f"{path}: a binary file, expected tab-separated text; fetch the file again")
    for number, line in enumerate(content.split(b"\n"), 1):
        try:
            yield number, line.decode("utf-8").removesuffix("\r")
        except UnicodeDecodeError as error:
            raise UserError(
                f"{path} line {number}: not UTF-8 ({error.reason}); fetch the file again"
            ) from None


def _not_empty(examples: list[_Example], path: Path) -> list[_Example]:
    if not examples:
        raise UserError(f"{path}: holds no example; fetch the file again")
    return examples
