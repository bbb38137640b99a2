"""Which documents hold a benchmark's test examples, so that they can be kept out of a corpus.

By PMID, where it is known: in the identifiers of relation examples (10076535.T1.T2), and in files that the
user names. By text, for all: a document that holds a test sentence, letters and digits alone compared, since
test files are tokenised. A sentence counts from `MIN_CHARACTERS` on; shorter ones stand in many documents. Of
a sentence whose mentions are blinded (@GENE$) the longest part between them counts: if every part is shorter
than that, the sentence keeps nothing out.
"""

import logging
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from kebench.corpus.passage import Passage
from kebench.corpus.readers.stream import lines_or_refusal
from kebench.errors import UserError
from kebench.kinds.card import TaskCard
from kebench.kinds.registry import KINDS
from kebench.tasks.card import require_splits

MIN_CHARACTERS = 40  # letters and digits; ours: about seven words
_MARKER = re.compile(r"@[A-Za-z-]+\$")
_PMID_EXAMPLE = re.compile(r"(\d{5,8})\.T\d+\.T\d+")
_ID_LINE = re.compile(r"\s*([A-Za-z0-9_.:-]+)\s*(?:$|[|\t,])")
_SHOWN = 30
_NOT_COMPARED = re.compile(r"[\W_]+")

_log = logging.getLogger(__name__)


class HeldOut(NamedTuple):
    """What tells a document that is to be kept out.

    tests: names of tasks. files: names of files of ids. ids: PMIDs. texts: sentences, letters and digits.
    """

    tests: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    ids: frozenset[str] = frozenset()
    texts: frozenset[str] = frozenset()


NOTHING_HELD_OUT = HeldOut()


class HeldOutFilter:
    """Says which passages are of a test document, and why."""

    def __init__(self, tests: HeldOut) -> None:
        from ahocorasick_rs import BytesAhoCorasick

        self._ids = tests.ids
        texts = [text.encode() for text in sorted(tests.texts)]
        self._texts = BytesAhoCorasick(texts) if texts else None

    def reason(self, passage: Passage) -> str | None:
        """Return "id" or "text" for a passage that is to be kept out, None for any other."""
        if passage.document_id in self._ids:
            return "id"
        if self._texts and self._texts.find_matches_as_indexes(compared(passage.text).encode()):
            return "text"
        return None


def compared(text: str) -> str:
    """Return the letters and digits of a text, in lower case."""
    return _NOT_COMPARED.sub("", text).lower()


def find_held_out(tasks: Sequence[TaskCard], data: Path, files_of_ids: Iterable[Path] = ()) -> HeldOut:
    """Return what tells the test documents of some tasks, and the documents that some files name.

    data: the folder of the tasks' data. files_of_ids: PubTator files, or lists of an id a line.
    Raises UserError if a task's test file is missing, or a file cannot be read.
    """
    require_splits(tasks, data, ("test",))
    ids: set[str] = set()
    texts: set[str] = set()
    for task in tasks:
        for example in KINDS[task.kind].read(task, task.find_split(data, "test")).examples:
            if found := _PMID_EXAMPLE.fullmatch(example.id):
                ids.add(found[1])
            longest = max(map(compared, _MARKER.split(example.text)), key=len)
            if len(longest) >= MIN_CHARACTERS:
                texts.add(longest)
    files = tuple(files_of_ids)
    for path in files:
        ids |= read_ids(path)
    names = (tuple(task.name for task in tasks), tuple(path.name for path in files))
    return HeldOut(*names, frozenset(ids), frozenset(texts))


def read_ids(path: Path) -> set[str]:
    """Return the ids in front of a file's lines; lines without one are counted and passed over.

    Raises UserError if most lines have none: the file is no list of ids.
    """
    ids: list[str] = []
    number_without, first = 0, "the file is empty"
    for number, line in enumerate(lines_or_refusal(path), start=1):
        if found := _ID_LINE.match(line):
            ids.append(found[1])
        elif line.strip():
            first = first if number_without else f"line {number} is '{line.strip()[:_SHOWN]}'"
            number_without += 1
    if len(ids) <= number_without:
        raise UserError(
            f"{path}: no list of ids ({first}); name a file with an id a line, or a PubTator file"
        )
    if number_without:
        _log.warning("%s: %d lines without an id are passed over; %s", path, number_without, first)
    return set(ids)
