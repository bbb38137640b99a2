"""BioC, XML or JSON, through the library bioc: a passage of ours a passage of a document.

BioC's offsets run over the document; a passage and a sentence say where they begin. Some files count bytes
instead of characters: a mention that fits only so is taken so. JSON is a collection, PubTator's
{"PubTator3": [documents]}, or a document a line; a file that is one collection is in memory as a whole. JSON
may leave lists out that would be empty, as PubTator's does.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from kebench.bounded import parse_json
from kebench.corpus.extras import imported
from kebench.corpus.passage import Fault, GoldMention, Passage, Read, mention_problem, split_ids
from kebench.corpus.readers.stream import elements_of, first_bytes, lines_of

_ID_KEYS = ("identifier", "MESH", "MeSH", "mesh", "OMIM", "UMLS", "cui", "CUI", "concept_id", "database_id")
_COLLECTIONS = ("documents", "PubTator3")
_LISTS = ("passages", "sentences", "annotations")
_WIDEST_GAP = 100  # blanks between two sentences; ours: more is an offset that counts otherwise


def read_bioc(path: Path) -> Iterator[Read]:
    """Yield the passages of each document, with their annotations; a bad document is a fault of its own."""
    is_json = first_bytes(path).lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{")
    number = 0
    for written in _json_documents(path) if is_json else elements_of(path, ("document",)):
        if isinstance(written, Fault):
            yield written if written.where else written._replace(where=f"after document {number}")
            continue
        number += 1
        try:
            if not is_json:
                content = ElementTree.tostring(written, encoding="unicode")
                xml = f"<collection>{content}</collection>"
                (document,) = imported("bioc.biocxml").loads(xml).documents
            elif isinstance(written, dict) and "passages" not in written:
                raise KeyError("passages")
            else:
                document = imported("bioc.biocjson").fromJSON(_completed(written), "BioCDocument")
            reads = list(_passages(document, number))
        except (ValueError, SyntaxError, KeyError, TypeError, AttributeError) as error:
            # lxml's XMLSyntaxError is a SyntaxError
            problem = f"no {error}" if isinstance(error, KeyError) else str(error)
            if isinstance(error, TypeError | AttributeError):
                problem = f"a field is missing or of a wrong type: {problem}"
            yield Fault(f"document {number}", f"not valid BioC ({problem})")
        else:
            yield from reads


def _completed(written: Any) -> dict[str, Any]:
    """Return an object with all that the library asks for; of relations it has none."""
    if not isinstance(written, dict):
        raise TypeError(f"{type(written).__name__} where an object was expected")
    empty: dict[str, Any] = {"id": "", "text": None, "locations": []}
    lists = {name: [_completed(one) for one in written.get(name) or []] for name in _LISTS}
    return empty | written | lists | {"infons": written.get("infons") or {}, "relations": []}


def _json_documents(path: Path) -> Iterator[Any]:
    """Yield the documents of a file, of each of its lines an object or all of them one; and faults."""
    lines: list[str] = []  # of the one object
    is_first = True
    for read in lines_of(path):
        if isinstance(read, Fault):
            yield read
            if read.ends_file:
                return
        elif lines:
            lines.append(read[1])
        elif read[1].strip():
            try:
                yield from _documents_of(parse_json(read[1]))
            except ValueError as error:
                if is_first and not read[1].rstrip().endswith("}"):
                    lines.append(read[1])
                else:
                    yield Fault(f"line {read[0]}", f"not JSON ({error})")
            is_first = False
    if lines:
        try:
            yield from _documents_of(parse_json("\n".join(lines)))
        except ValueError as error:
            yield Fault("", f"not JSON ({error})", ends_file=True)


def _documents_of(found: Any) -> list[Any]:
    """Return the documents of a collection; anything else is to be a document itself."""
    several = [found[key] for key in _COLLECTIONS if isinstance(found, dict) and key in found]
    return several[0] if several and isinstance(several[0], list) else [found]


def _passages(document: Any, place: int) -> Iterator[Read]:
    number = 0
    if not document.id:
        yield Fault(f"document {place}", "no id")
        return
    for passage in document.passages:
        # The texts that are annotated: annotations, text, and where that begins in the document and in ours.
        text, pieces = passage.text, []
        if text:
            inside = [one for sentence in passage.sentences for one in sentence.annotations]
            pieces.append(([*passage.annotations, *inside], text, passage.offset, 0))
        else:  # that of its sentences, with as many blanks between as their offsets say
            text = ""
            for sentence in passage.sentences:
                gap = sentence.offset - passage.offset - len(text)
                text += " " * (gap if 0 <= gap <= _WIDEST_GAP else min(len(text), 1))
                pieces.append((sentence.annotations, sentence.text or "", sentence.offset, len(text)))
                text += sentence.text or ""
            pieces.insert(0, (passage.annotations, text, passage.offset, 0))
        if not text.strip():
            continue
        gold = []
        where = f"document {document.id}, passage {number}"
        for annotations, own_text, offset, begin in pieces:
            for annotation in annotations:
                mention = _mention(annotation, own_text, offset, begin)
                if isinstance(mention, str):
                    yield Fault(where, f"annotation {annotation.id}: {mention}")
                else:
                    gold.append(mention)
        yield Passage(str(document.id), number, text, tuple(gold))
        number += 1
    if number == 0:
        yield Fault(f"document {document.id}", "no text")


def _mention(annotation: Any, text: str, offset: int, begin: int) -> GoldMention | str:
    """Return a mention, or what is wrong. Of one in several pieces, from the first to the last character."""
    if not annotation.locations:
        return "no location"
    start = min(place.offset for place in annotation.locations) - offset
    end = max(place.offset + place.length for place in annotation.locations) - offset
    written = next((annotation.infons[key] for key in _ID_KEYS if annotation.infons.get(key)), "")
    mention = GoldMention(start, end, str(annotation.infons.get("type") or ""), split_ids(str(written)))
    said = annotation.text if len(annotation.locations) == 1 else None
    problem = mention_problem(text, mention, said)
    if problem and said and not text.isascii():
        raw = text.encode(errors="surrogatepass")
        counted = mention._replace(
            char_start=len(raw[: max(start, 0)].decode(errors="ignore")),
            char_end=len(raw[: max(end, 0)].decode(errors="ignore")),
        )
        if mention_problem(text, counted, said) is None:
            mention, problem = counted, None
    return problem or mention._replace(
        char_start=mention.char_start + begin, char_end=mention.char_end + begin
    )
