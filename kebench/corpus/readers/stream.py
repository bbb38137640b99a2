"""Files as streams, plain or gzipped: bytes, lines, XML elements, and what to say when they break off."""

import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast
from xml.etree import ElementTree

from isal import igzip, isal_zlib

from kebench.corpus.passage import Fault
from kebench.errors import UserError

# What reading a gzip file that is cut off or damaged raises.
BROKEN_GZIP: tuple[type[Exception], ...] = (EOFError, zlib.error, isal_zlib.error, igzip.BadGzipFile)  # type: ignore[assignment]
_LOOKED_AT = 4096


_open: dict[Path, BinaryIO] = {}  # what is being read in this process


@contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """Open a file, unpacking gzip as it is read. Its name may say anything: how it begins counts."""
    with path.open("rb") as raw:
        is_gzipped = raw.peek(2).startswith(b"\x1f\x8b")
        _open[path] = raw
        try:
            yield cast(BinaryIO, igzip.GzipFile(fileobj=raw)) if is_gzipped else raw
        finally:
            _open.pop(path, None)


def bytes_read(path: Path) -> int:
    """Return how far into a file its reader is, in bytes on disk; 0 if nobody is reading it."""
    return _open[path].tell() if path in _open else 0


def first_bytes(path: Path) -> bytes:
    """Return the first bytes of a file, unpacked; of a damaged gzip file what can be had."""
    with opened(path) as file:
        try:
            return file.read(_LOOKED_AT)
        except BROKEN_GZIP:
            return b""


def broken_gzip(where: str) -> Fault:
    """Say that the gzip file ends here. It unpacks 8 KB at a time, so up to so much before is lost too."""
    return Fault(where, "the gzip file is cut off or damaged", ends_file=True)


def lines_or_refusal(path: Path) -> Iterator[str]:
    """Yield the lines of a file that is of use only as a whole. Raises UserError at the first fault."""
    for read in lines_of(path):
        if isinstance(read, Fault):
            raise UserError(f"{path} {read.where}: {read.problem}; mend it")
        yield read[1]


def lines_of(path: Path) -> Iterator[tuple[int, str] | Fault]:
    """Yield (number, line without its end) of a UTF-8 file; a line that is not UTF-8 is a fault."""
    number = 0
    with opened(path) as file:
        try:
            for number, raw in enumerate(file, start=1):
                try:
                    line = raw.decode("utf-8-sig" if number == 1 else "utf-8")
                except UnicodeDecodeError as error:
                    yield Fault(f"line {number}", f"not UTF-8 at byte {error.start + 1} of the line")
                else:
                    yield number, line.rstrip("\r\n")
        except BROKEN_GZIP:
            yield broken_gzip(f"line {number + 1}")


def elements_of(path: Path, tags: tuple[str, ...]) -> Iterator[ElementTree.Element | Fault]:
    """Yield the elements of an XML file with these tags; each is emptied when the next one is asked for.

    A fault ends the file; of a broken gzip file, it does not say where.
    """
    with opened(path) as file:
        try:
            root = None
            for event, element in ElementTree.iterparse(file, events=("start", "end")):
                root = element if root is None else root
                if event == "end" and element.tag in tags:
                    yield element
                    element.clear()
                    root.clear()  # or the parser keeps an empty element for each
        except ElementTree.ParseError as error:
            line, column = error.position
            reason = str(error).partition(":")[0]
            yield Fault(f"line {line}", f"not valid XML at column {column + 1} ({reason})", ends_file=True)
        except (LookupError, ValueError) as error:
            yield Fault("line 1", f"XML in an encoding that cannot be read ({error})", ends_file=True)
        except BROKEN_GZIP:
            yield broken_gzip("")
