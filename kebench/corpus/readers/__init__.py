"""Readers: one function a format, from a path to what stands in it, as a stream in constant memory.

Only a BioC file that is one JSON object is in memory as a whole. `detect_format` finds the format,
`read_passages` counts and reports what cannot be used.
"""

import logging
import re
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from itertools import chain, islice
from pathlib import Path

from kebench.bounded import parse_json
from kebench.corpus.passage import Fault, Passage, Read, Removed, passage_problem
from kebench.corpus.readers.bioc_files import read_bioc
from kebench.corpus.readers.jsonl import read_jsonl, read_pubmedds
from kebench.corpus.readers.pubmed import PUBMED_ROOTS, read_pubmed
from kebench.corpus.readers.pubtator import read_pubtator
from kebench.corpus.readers.stream import first_bytes, lines_of
from kebench.errors import UserError


def read_plain(path: Path) -> Iterator[Read]:
    """Yield a passage a line of plain text, called by file and line. Blank lines are nothing."""
    for read in lines_of(path):
        if isinstance(read, Fault):
            yield read
        elif read[1].strip():
            yield Passage(f"{path.name}:{read[0]}", 0, read[1])


READERS: dict[str, Callable[[Path], Iterator[Read]]] = {
    "pubmed": read_pubmed,
    "pubmedds": read_pubmedds,
    "pubtator": read_pubtator,
    "bioc": read_bioc,
    "jsonl": read_jsonl,
    "text": read_plain,
}
SHOWN_FAULTS = 20  # of a file; the rest is only counted
_LINES_LOOKED_AT = 20  # for one with a mention
_ROOT = re.compile(rb"(?>\s|<\?.*?\?>|<!--.*?-->|<![^\[>]*(?:\[.*?\]\s*)?>)*+<([\w:.-]+)", re.DOTALL)
_BIOC_JSON = re.compile(rb'"(?:documents|passages|PubTator3)"\s*:\s*\[|"bioctype"\s*:')

_log = logging.getLogger(__name__)


def detect_format(path: Path) -> str:
    """Return the format of a file by its first bytes. Raises UserError where they do not tell.

    An empty file, and a gzip file that is damaged at its beginning, are text: its reader says what is wrong.
    """
    begin = first_bytes(path)
    text = begin.lstrip(b"\xef\xbb\xbf \t\r\n")
    if root := _ROOT.match(text):
        if root[1] == b"collection":
            return "bioc"
        if root[1].decode() in PUBMED_ROOTS:
            return "pubmed"
    if text.startswith(b"{"):
        if _BIOC_JSON.search(begin):
            return "bioc"
        return "pubmedds" if _is_pubmedds(path) else "jsonl"
    if text.split(b"\n", 1)[0].partition(b"|")[2].startswith(b"t|"):
        return "pubtator"
    if not text or ".txt" in path.suffixes[-2:]:
        return "text"
    raise UserError(f"{path}: no known format in its first bytes; name it with --format {'|'.join(READERS)}")


def _is_pubmedds(path: Path) -> bool:
    """Say whether the first mention of a file of JSON lines is written as PubMedDS writes them."""
    for read in islice(lines_of(path), _LINES_LOOKED_AT):
        try:
            document = {} if isinstance(read, Fault) else parse_json(read[1] or "{}")
        except ValueError:
            return False
        mentions = document.get("mentions") if isinstance(document, dict) else None
        if isinstance(mentions, list) and mentions:
            return isinstance(mentions[0], dict) and "start_offset" in mentions[0]
    return False


def check_format(path: Path, form: str) -> None:
    """Warn where a file is to be read in another format than the one that it seems to have."""
    try:
        seems = detect_format(path)
    except UserError:
        return
    if seems != form and first_bytes(path):
        _log.warning("%s: read as %s, as --format says, but it looks like %s", path, form, seems)


def read_passages(
    path: Path, form: str, *, on_error: str, faults: Counter[str], retracted: str = "drop"
) -> Iterator[Passage | Removed]:
    """Yield the passages of a file, and the documents that it takes back.

    on_error: "stop" raises UserError at the first record that cannot be used; "skip" leaves it out. Each is
    counted in `faults` by what is wrong with it, and logged with file and place. A file without any record
    counts as one that cannot be used. retracted: "keep" yields retracted articles as any other.
    """
    assert on_error in ("stop", "skip"), on_error
    keeps_retracted = form == "pubmed" and retracted == "keep"
    reader = partial(read_pubmed, keep_retracted=True) if keeps_retracted else READERS[form]
    reads = reader(path)
    first = next(reads, None)
    if first is None:
        first = Fault("", f"no document in it, read as {form}" if first_bytes(path) else "the file is empty")
    for read in chain([first], reads):
        if isinstance(read, Passage) and (problem := passage_problem(read)):
            shown = read.document_id.encode(errors="backslashreplace").decode()
            read = Fault(f"document {shown}", problem)
        if not isinstance(read, Fault):
            yield read
            continue
        rest = "; nothing after it can be read" if read.ends_file else ""
        place = f"{path} {read.where}" if read.where else f"{path}"
        message = f"{place}: {read.problem}{rest}"
        if on_error == "stop":
            raise UserError(f"{message}; mend it, or leave such records out with --on-error skip")
        faults["cut off" if read.ends_file else "record"] += 1
        if faults.total() <= SHOWN_FAULTS:
            _log.warning("%s; left out", message)
        if faults.total() == SHOWN_FAULTS:
            _log.warning("more of this file are counted and not shown")
