"""PubTator: PMID|t|title, PMID|a|abstract, then a line a mention; documents with blank lines between.

A mention's line: PMID, start, end, text, type, ids. Offsets run over title, one blank, abstract. Ids of a
composite mention are joined by | or + or a comma, and a seventh column may repeat its parts; -1 is none.
Lines of relations are passed over and counted: PMID, type (BC5CDR: CID), two ids, in BioRED whether it is
Novel. An id may be a number, as those of genes are; a line is a relation's only where its ids say so.
"""

import re
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

from kebench.corpus.passage import Fault, GoldMention, Passage, Read, mention_problem, split_ids
from kebench.corpus.readers.stream import lines_of

_TEXT_LINE = re.compile(r"([^|\t]+)\|([ta])\|(.*)", re.DOTALL)
_RELATION = re.compile(r"[A-Za-z][\w :-]*")
_ID = re.compile(r"[0-9]+|[A-Za-z]{1,6}_?[0-9]{4,}|[A-Za-z][\w.]*[:|]\S*[0-9]\S*")  # 672, D006073, Gene|672
_OFFSET = re.compile(r"[0-9]{1,9}")
RELATIONS = "relations passed over"
_SHOWN = 20
Lines = list[tuple[int, str]]


def read_pubtator(path: Path) -> Iterator[Read]:
    """Yield a passage a document, with its mentions; a mention that does not fit is a fault of its own."""
    block: Lines = []
    for read in chain(lines_of(path), [(0, "")]):  # a blank line ends the last one
        if isinstance(read, Fault):
            yield read
        elif read[1].strip():
            block.append(read)
        elif block:
            yield from _read_block(block)
            block = []


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
    rows = [(number, fields := line.split("\t"), _mention(fields)) for number, line in lines]
    ids = {one for *_, mention in rows if mention for one in mention.ids}
    num_relations = 0
    for number, fields, mention in rows:
        if fields[0] != document_id:
            yield _other_document(number, fields[0], document_id)
        elif mention is None and _is_relation(fields, ids):
            num_relations += 1
        elif mention is None:
            yield Fault(
                f"line {number}",
                "expected PMID, start, end, text, type, id, with tabs between, or of a relation PMID, a "
                "word, two ids",
            )
        elif problem := mention_problem(text, mention, fields[3]):
            yield Fault(f"line {number}", problem)
        else:
            gold.append(mention)
    yield Passage(document_id, 0, text, tuple(gold), notes=(RELATIONS,) * num_relations)


def _is_relation(fields: list[str], ids: set[str]) -> bool:
    """Say whether a line is of a relation, and not of a mention whose numbers are damaged.

    ids: of the document's mentions. Two numbers alone could be an end and a text.
    """
    if len(fields) not in (4, 5) or not _RELATION.fullmatch(fields[1]):
        return False
    ends = [field.strip() for field in fields[2:4]]
    are_known = [bool(parts := split_ids(end)) and ids.issuperset(parts) for end in ends]
    are_ids = all(known or _ID.fullmatch(end) for known, end in zip(are_known, ends, strict=True))
    return are_ids and (any(are_known) or not any(end.isdecimal() for end in ends))


def _other_document(number: int, pmid: str, document_id: str) -> Fault:
    return Fault(f"line {number}", f"PMID {pmid[:_SHOWN]} within document {document_id[:_SHOWN]}")


def _mention(fields: list[str]) -> GoldMention | None:
    if len(fields) < 5 or not (_OFFSET.fullmatch(fields[1]) and _OFFSET.fullmatch(fields[2])):
        return None
    ids = split_ids(fields[5]) if len(fields) > 5 else ()
    return GoldMention(int(fields[1]), int(fields[2]), fields[4], ids)
