"""PubTator: PMID|t|title, PMID|a|abstract, then a line a mention; documents with blank lines between.

A mention's line: PMID, start, end, text, type, ids. Offsets run over title, one blank, abstract. Ids of a
composite mention are joined by | or +; -1 is none. Lines of relations (PMID, CID, ...) are passed over.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from kebench.corpus.passage import Fault, GoldMention, Passage, Read, mention_problem
from kebench.corpus.readers.stream import lines_of

_TEXT_LINE = re.compile(r"([^|\t]+)\|([ta])\|(.*)", re.DOTALL)
_NO_ID = ("", "-", "-1", "None")
Lines = list[tuple[int, str]]


def read_pubtator(path: Path) -> Iterator[Read]:
    """Yield a passage a document, with its mentions; a mention that does not fit is a fault of its own."""
    block: Lines = []
    for read in lines_of(path):
        if isinstance(read, Fault):
            yield read
        elif read[1].strip():
            block.append(read)
        elif block:
            yield from _read_block(block)
            block = []
    if block:
        yield from _read_block(block)


def _read_block(block: Lines) -> Iterator[Read]:
    """Yield what one document's lines say. Two documents without a blank line between are told apart too."""
    texts: dict[str, str] = {}
    document_id = ""
    mentions: Lines = []
    for number, line in block:
        if found := _TEXT_LINE.fullmatch(line):
            if found[2] in texts:
                yield from _document(document_id, texts, mentions)
                texts, mentions = {}, []
            document_id = found[1]
            texts[found[2]] = found[3]
        elif texts:
            mentions.append((number, line))
        else:
            yield Fault(f"line {number}", "expected PMID|t|title")
    yield from _document(document_id, texts, mentions)


def _document(document_id: str, texts: dict[str, str], lines: Lines) -> Iterator[Read]:
    if not texts:
        return
    text = " ".join(texts.get(part, "") for part in "ta")
    gold = []
    for number, line in lines:
        fields = line.split("\t")
        if len(fields) >= 4 and not fields[1].isdecimal() and not fields[2].isdecimal():
            continue  # a relation
        mention = _mention(fields)
        if mention is None:
            yield Fault(f"line {number}", "expected PMID, start, end, text, type, id, with tabs between")
        elif problem := mention_problem(text, mention, fields[3]):
            yield Fault(f"line {number}", problem)
        else:
            gold.append(mention)
    yield Passage(document_id, 0, text, tuple(gold))


def _mention(fields: list[str]) -> GoldMention | None:
    if len(fields) < 5 or not (fields[1].isdecimal() and fields[2].isdecimal()):
        return None
    written = fields[5] if len(fields) > 5 else ""
    ids = tuple(one.strip() for one in re.split(r"[|+,;]", written) if one.strip() not in _NO_ID)
    return GoldMention(int(fields[1]), int(fields[2]), fields[4], ids)
