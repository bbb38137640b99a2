"""Plain text: a document a line, called by file and line. Blank lines are nothing."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from kebench.corpus.passage import Fault, Passage, Read
from kebench.corpus.readers.stream import lines_of
from kebench.errors import UserError


def read_plain(path: Path) -> Iterator[Read]:
    """Yield a passage a line."""
    for read in lines_of(path):
        if isinstance(read, Fault):
            yield read
        elif read[1].strip():
            yield Passage(f"{path.name}:{read[0]}", 0, read[1])


def refuse_equal_names(paths: Sequence[Path]) -> None:
    """Raise UserError if two files have one name: their documents would be called alike."""
    by_name: dict[str, Path] = {}
    for path in paths:
        other = by_name.setdefault(path.name, path)
        if other != path:
            raise UserError(
                f"{other} and {path}: two plain text files of one name, by which their documents are called "
                "(NAME:LINE); rename one"
            )
