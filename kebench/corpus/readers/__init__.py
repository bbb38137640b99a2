"""Readers: one function a format, from a path to what stands in it, as a stream in constant memory.

`read_passages` finds the format, and counts and reports what cannot be used.
"""

import logging
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

from kebench.corpus.passage import Fault, Passage, Read, Removed, text_problem
from kebench.corpus.readers.bioc_files import read_bioc
from kebench.corpus.readers.jsonl import read_jsonl, read_pubmedds
from kebench.corpus.readers.plain import read_plain
from kebench.corpus.readers.pubmed import read_pubmed
from kebench.corpus.readers.pubtator import read_pubtator
from kebench.corpus.readers.stream import first_bytes
from kebench.errors import UserError

READERS: dict[str, Callable[[Path], Iterator[Read]]] = {
    "pubmed": read_pubmed,
    "pubmedds": read_pubmedds,
    "pubtator": read_pubtator,
    "bioc": read_bioc,
    "jsonl": read_jsonl,
    "text": read_plain,
}
ON_ERROR = ("stop", "skip")
SHOWN_FAULTS = 20  # of a file; the rest is only counted

_log = logging.getLogger(__name__)


def detect_format(path: Path) -> str:
    """Return the format of a file by its first bytes. Raises UserError where they do not tell."""
    begin = first_bytes(path)
    text = begin.lstrip(b"\xef\xbb\xbf \t\r\n")
    if text.startswith(b"<"):
        if b"<collection" in begin or b"BioC.dtd" in begin:
            return "bioc"
        if b"<PubmedArticleSet" in begin or b"<MedlineCitationSet" in begin or b"pubmed" in begin.lower():
            return "pubmed"
    if text.startswith(b"{"):
        if b'"documents"' in begin or b'"bioctype"' in begin:
            return "bioc"
        return "pubmedds" if b'"link_id"' in begin else "jsonl"
    title = text.split(b"\n", 1)[0]
    if title.partition(b"|")[2].startswith(b"t|"):
        return "pubtator"
    if ".txt" in path.suffixes[-2:]:
        return "text"
    raise UserError(f"{path}: no known format in its first bytes; name it with --format {'|'.join(READERS)}")


def read_passages(
    path: Path, form: str, *, on_error: str, faults: Counter[str]
) -> Iterator[Passage | Removed]:
    """Yield the passages of a file, and the documents that it takes back.

    on_error: "stop" raises UserError at the first record that cannot be used; "skip" leaves it out. Each is
    counted in `faults` by what is wrong with it, and logged with file and place.
    """
    assert on_error in ON_ERROR, on_error
    for read in READERS[form](path):
        if isinstance(read, Passage) and (problem := text_problem(read.text)):
            read = Fault(f"document {read.document_id}", problem)
        if not isinstance(read, Fault):
            yield read
            continue
        rest = "; nothing after it can be read" if read.ends_file else ""
        message = f"{path} {read.where}: {read.problem}{rest}"
        if on_error == "stop":
            raise UserError(f"{message}; mend it, or leave such records out with --on-error skip")
        faults["cut off" if read.ends_file else "record"] += 1
        _report(message, faults.total())


def _report(message: str, count: int) -> None:
    if count <= SHOWN_FAULTS:
        _log.warning("%s; left out", message)
    if count == SHOWN_FAULTS:
        _log.warning("more of this file are counted and not shown")
