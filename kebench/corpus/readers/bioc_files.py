"""BioC, XML or JSON, through the library bioc: a passage of ours a passage of a document.

BioC's offsets run over the document; a passage says where it begins. Some files count bytes instead of
characters: a mention that fits only so is taken so.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from kebench.corpus.passage import Fault, GoldMention, Passage, Read, mention_problem
from kebench.corpus.readers.stream import BROKEN_GZIP, broken_gzip, first_bytes, opened

_ID_KEYS = ("identifier", "MESH", "MeSH", "mesh", "OMIM", "UMLS", "cui", "CUI", "concept_id", "database_id")
_NO_ID = ("", "-", "-1", "None")


def read_bioc(path: Path) -> Iterator[Read]:
    """Yield the passages of each document, with their annotations."""
    number = 0
    is_json = first_bytes(path).lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{")
    try:
        for document in _json_documents(path) if is_json else _xml_documents(path):
            number += 1
            yield from _document(document)
    except BROKEN_GZIP:
        yield broken_gzip(f"after document {number}")
    except (ValueError, SyntaxError, KeyError, TypeError, AttributeError) as error:
        # lxml's XMLSyntaxError is a SyntaxError; what bioc raises for a missing field is of these too
        problem = " ".join(str(error).split()) or type(error).__name__
        yield Fault(f"after document {number}", f"not valid BioC ({problem})", ends_file=True)


def _xml_documents(path: Path) -> Iterator[Any]:
    from bioc import biocxml

    with opened(path) as file, biocxml.iterparse(file) as reader:
        yield from reader


def _json_documents(path: Path) -> Iterator[Any]:
    from bioc import biocjson

    with opened(path) as file:
        yield from biocjson.load(file).documents


def _document(document: Any) -> Iterator[Read]:
    number = 0
    for passage in document.passages:
        text = passage.text or " ".join(sentence.text or "" for sentence in passage.sentences)
        if not text.strip():
            continue
        gold = []
        where = f"document {document.id}, passage {number}"
        inside = [annotation for sentence in passage.sentences for annotation in sentence.annotations]
        for annotation in [*passage.annotations, *inside]:
            mention, problem = _mention(annotation, text, passage.offset)
            if mention is None:
                yield Fault(where, f"annotation {annotation.id}: {problem}")
            else:
                gold.append(mention)
        yield Passage(str(document.id), number, text, tuple(gold))
        number += 1
    if number == 0:
        yield Fault(f"document {document.id}", "no text")


def _mention(annotation: Any, text: str, offset: int) -> tuple[GoldMention | None, str | None]:
    """Return a mention, or what is wrong. Of one in several pieces, from the first to the last character."""
    if not annotation.locations:
        return None, "no location"
    start = min(place.offset for place in annotation.locations) - offset
    end = max(place.offset + place.length for place in annotation.locations) - offset
    written = next((annotation.infons[key] for key in _ID_KEYS if annotation.infons.get(key)), "")
    ids = tuple(one.strip() for one in re.split(r"[|,;+]", str(written)) if one.strip() not in _NO_ID)
    mention = GoldMention(start, end, annotation.infons.get("type", ""), ids)
    said = annotation.text if len(annotation.locations) == 1 else None
    problem = mention_problem(text, mention, said)
    if problem and said and not text.isascii():
        raw = text.encode()
        counted = mention._replace(
            char_start=len(raw[: max(start, 0)].decode(errors="ignore")),
            char_end=len(raw[: max(end, 0)].decode(errors="ignore")),
        )
        if mention_problem(text, counted, said) is None:
            return counted, None
    return (None, problem) if problem else (mention, None)
