"""PubTator: PMID|t|title, PMID|a|abstract, then a line a mention; documents with blank lines between.

A mention's line: PMID, start, end, text, type, ids. Offsets run over title, one blank, abstract. Ids of a
composite mention are joined by | or + or a comma, and a seventh column may repeat its parts; -1 is none.
Lines of relations are passed over: PMID, type (BC5CDR: CID), two ids, in BioRED whether it is Novel. An id
may be a number, as those of genes are.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from kebench.corpus.passage import Fault, GoldMention, Passage, Read, mention_problem, split_ids
from kebench.corpus.readers.stream import lines_of

_TEXT_LINE = re.compile(r"([^|\t]+)\|([ta])\|(.*)", re.DOTALL)
_RELATION = re.compile(r"[A-Za-z][\w :-]*")
_OFFSET = re.compile(r"[0-9]{1,9}")
_SHOWN = 20
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
            if texts and found[1] != document_id and found[2] == "a":
                yield _other_document(number, found[1], document_id)
                continue
            if found[2] in texts or (texts and found[1] != document_id):
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
        if _is_relation(fields, text):
            continue
        mention = _mention(fields)
        if fields[0] != document_id:
            yield _other_document(number, fields[0], document_id)
        elif mention is None:
            yield Fault(f"line {number}", "expected PMID, start, end, text, type, id, with tabs between")
        elif problem := mention_problem(text, mention, fields[3]):
            yield Fault(f"line {number}", problem)
        else:
            gold.append(mention)
    yield Passage(document_id, 0, text, tuple(gold))


def _is_relation(fields: list[str], text: str) -> bool:
    """Say whether a line is of a relation: a word after the PMID, not a mention with a damaged start."""
    if len(fields) < 4 or not _RELATION.fullmatch(fields[1]):
        return False
    return not (_OFFSET.fullmatch(fields[2]) and text[: int(fields[2])].endswith(fields[3]))


def _other_document(number: int, pmid: str, document_id: str) -> Fault:
    return Fault(f"line {number}", f"PMID {pmid[:_SHOWN]} within document {document_id[:_SHOWN]}")


def _mention(fields: list[str]) -> GoldMention | None:
    if len(fields) < 5 or not (_OFFSET.fullmatch(fields[1]) and _OFFSET.fullmatch(fields[2])):
        return None
    ids = split_ids(fields[5]) if len(fields) > 5 else ()
    return GoldMention(int(fields[1]), int(fields[2]), fields[4], ids)
