"""Plain text: a document a line, called by file and line. Blank lines are nothing."""

from collections.abc import Iterator
from pathlib import Path

from kebench.corpus.passage import Fault, Passage, Read
from kebench.corpus.readers.stream import lines_of


def read_plain(path: Path) -> Iterator[Read]:
    """Yield a passage a line."""
    for read in lines_of(path):
        if isinstance(read, Fault):
            yield read
        elif read[1].strip():
            yield Passage(f"{path.name}:{read[0]}", 0, read[1])
