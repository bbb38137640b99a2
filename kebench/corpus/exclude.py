"""Which documents hold a benchmark's test examples, so that they can be kept out of a corpus.

By PMID, where it is known: in the identifiers of relation examples (10076535.T1.T2), and in files that the
user names. By text, for all: a document that holds a test sentence, letters and digits alone compared, since
test files are tokenised. A sentence counts from `MIN_CHARACTERS` on; shorter ones stand in many documents. Of
a sentence whose mentions are blinded (@GENE$) the longest part between them counts.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from kebench.corpus.passage import Passage
from kebench.corpus.readers.stream import lines_or_refusal
from kebench.files import hash_of
from kebench.tasks.card import TaskCard
from kebench.tasks.readers import Pair, Sentence, read_split

MIN_CHARACTERS = 40  # letters and digits; ours: about seven words
_MARKER = re.compile(r"@[A-Za-z-]+\$")
_PMID_EXAMPLE = re.compile(r"(\d{5,8})\.T\d+\.T\d+")
_ID_LINE = re.compile(r"\s*([A-Za-z0-9_.:-]+)\s*(?:$|[|\t,])")
_NOT_COMPARED = re.compile(r"[\W_]+")


class HeldOut(NamedTuple):
    """What tells a test document. tests: names of tasks. ids: PMIDs. texts: sentences, letters and digits."""

    tests: tuple[str, ...] = ()
    ids: frozenset[str] = frozenset()
    texts: frozenset[str] = frozenset()

    @property
    def content_hash(self) -> str:
        """The hash of what is kept out."""
        return hash_of([sorted(self.ids), sorted(self.texts)])


NOTHING_HELD_OUT = HeldOut()


class HeldOutFilter:
    """Says which passages are of a test document, and why."""

    def __init__(self, tests: HeldOut) -> None:
        from ahocorasick_rs import BytesAhoCorasick

        self._ids = tests.ids
        self._texts = (
            BytesAhoCorasick([text.encode() for text in sorted(tests.texts)]) if tests.texts else None
        )

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
    """Return what tells the test documents of some tasks.

    data: the folder of the tasks' data. files_of_ids: PubTator files, or lists of a PMID a line.
    Raises UserError if a task's test file is missing or cannot be read.
    """
    ids: set[str] = set()
    texts: set[str] = set()
    for task in tasks:
        for example in read_split(task, task.find_split(data, "test")):
            if isinstance(example, Pair) and (found := _PMID_EXAMPLE.fullmatch(example.id)):
                ids.add(found[1])
            texts |= _long_enough(example)
    for path in files_of_ids:
        ids |= set(_ids_of(path))
    return HeldOut(tuple(task.name for task in tasks), frozenset(ids), frozenset(texts))


def _ids_of(path: Path) -> Iterator[str]:
    for line in lines_or_refusal(path):
        if found := _ID_LINE.match(line):
            yield found[1]


def _long_enough(example: Pair | Sentence) -> set[str]:
    text = " ".join(example.words) if isinstance(example, Sentence) else example.text
    longest = max((compared(part) for part in _MARKER.split(text)), key=len)
    return {longest} if len(longest) >= MIN_CHARACTERS else set()
