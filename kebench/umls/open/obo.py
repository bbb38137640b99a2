"""Ontologies as OBO files, in any version of the format from 1.0 to 1.4.

They are read a line at a time, and of the lines only the clauses that we use: what is wrong with a definition
or a comment does no harm. A line that states no fact (a cross-reference, a date) and cannot be read is passed
over and counted; one that does (a name, a synonym, a relation) is refused, or counted too if so asked.
fastobo, the parser beneath pronto, refuses the whole file for any such line, and dies of a tag of OBO 1.0.
"""

import re
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from typing import IO, NoReturn

from kebench.errors import UserError
from kebench.umls.open.ids import id_of_address, read_id
from kebench.umls.open.terms import (
    LICENCE,
    SCOPES,
    Content,
    Synonym,
    Term,
    cleaned_term,
    date_or_whole,
    relation_name,
)

_SCOPE_OF_TAG = {f"{scope.lower()}_synonym": scope for scope in SCOPES}  # of OBO 1.0
_XREFS = ("xref", "xref_analog", "xref_unk")
_STANZAS = ("Term", "Typedef", "Instance")
_WITHOUT_ID = {
    "is_a": "relations_without_id",
    "relationship": "relations_without_id",
    "alt_id": "alternates_without_id",
    **dict.fromkeys(_XREFS, "xrefs_without_id"),
}
_NO_FACTS = ("dates_not_read", *(f"{tag}_not_read" for tag in _XREFS))
_READ = (
    "id", "name", "namespace", "alt_id", "is_a", "relationship", "synonym", "is_obsolete",
    *_SCOPE_OF_TAG, *_XREFS,
)  # fmt: skip
_UNUSED = (
    b"is_anonymous", b"def", b"comment", b"subset", b"builtin", b"property_value", b"intersection_of",
    b"union_of", b"equivalent_to", b"disjoint_from", b"replaced_by", b"consider", b"created_by",
    b"creation_date", b"use_term", b"instance_of",
)  # fmt: skip
_RELATION_ID = re.compile(r"^[A-Za-z]+[:_]\d+$")  # RO:0004029: its name says more
_BEHIND_IDS = re.compile(r"(?<!\\)[!{\"].*")  # a comment, qualifiers, what the id is called
_COMMENT = re.compile(r"(?<!\\)!.*")
_QUALIFIERS = re.compile(r"\s\{[^{}]*=[^{}]*\}\s*$")
_SYNONYM = re.compile(rf'"((?:[^"\\]|\\.)*)"\s*(?:({"|".join(SCOPES)})(?!\w)|(?=[\[{{!]|$))', re.IGNORECASE)


@dataclass
class _Frame:
    """A term or a kind of relation, as far as its lines have been read."""

    kind: str
    line: str  # that of its id; until there is one, where it begins
    examples: dict[str, str] = field(default_factory=dict)  # of kinds in `Content.noted`, if the term is kept
    id: str = ""  # as it is written
    last_id: str = ""  # that a clause named, "" if none could be read
    name: str = ""
    namespace: str = ""
    is_obsolete: bool = False
    synonyms: list[Synonym] = field(default_factory=list)
    xrefs: list[str] = field(default_factory=list)
    relations: list[tuple[str, str]] = field(default_factory=list)
    alternates: list[str] = field(default_factory=list)


def read_obo(file: IO[bytes], where: str, *, skip_faults: bool = False) -> Content:
    """Read an OBO file. where: what errors call it. skip_faults: count the facts that cannot be read."""
    header: list[tuple[str, str]] = []
    frames: list[_Frame] = []
    noted: Counter[str] = Counter()
    examples: dict[str, str] = {}
    first_lines: dict[str, int] = {}

    def refuse(why: str) -> NoReturn:
        raise UserError(f"{where} line {number}: {why}")

    def pass_over(kind: str) -> None:
        noted[kind] += 1
        examples.setdefault(kind, f"line {number}: {line}")

    for number, raw in enumerate(file, start=1):
        row = raw.removeprefix(b"\xef\xbb\xbf").strip()
        if not row or (frames and row.partition(b":")[0].strip() in _UNUSED):
            continue
        try:
            line = row.decode()
        except UnicodeDecodeError as error:
            refuse(f"not UTF-8 ({error.reason}); convert the file")
        tag, colon, value = (part.strip() for part in line.partition(":"))
        if line.startswith("!"):
            pass_over("comment_lines")
        elif line.startswith("["):
            frames.append(_Frame(line[1:].partition("]")[0].strip().capitalize(), f"line {number}: {line}"))
            if frames[-1].kind not in _STANZAS:
                pass_over("unknown_stanzas")
        elif not colon or not tag:
            if not header and not frames:
                refuse(f"not OBO (expected a tag and a colon): {line!r}; mend the line")
            pass_over("lines_without_tag")
        elif not frames:
            header.append((tag, value))
            if tag == "date" and not _iso_date(value):
                pass_over("dates_not_read")
        elif frames[-1].kind == "Term" and tag not in _READ:
            pass_over("unknown_tags")
        elif frames[-1].kind == "Term" or (frames[-1].kind == "Typedef" and tag in ("id", "name")):
            if expected := _read_clause(frames[-1], tag, value):
                if not skip_faults and tag not in _XREFS:
                    refuse(
                        f"not OBO (expected {expected}): {line!r}; mend the line, or leave such lines out: "
                        "--on-error skip"
                    )
                pass_over(f"{tag}_not_read")
            elif tag == "id" and frames[-1].kind == "Term":
                term_id = frames[-1].id
                if term_id in first_lines:
                    refuse(f"the term {term_id} is in line {first_lines[term_id]} already; remove one")
                first_lines[term_id] = number
                frames[-1].line = f"line {number}: {line}"
            elif tag in _WITHOUT_ID and not frames[-1].last_id:
                frames[-1].examples.setdefault(_WITHOUT_ID[tag], f"line {number}: {line}")
    return _content(header, frames, noted, examples)


def _read_clause(frame: _Frame, tag: str, value: str) -> str:
    """Add what a clause says to its frame; return "" or, if it cannot be read, what was expected."""
    if tag == "name":
        name = _unescaped(_QUALIFIERS.sub("", _COMMENT.sub("", value)))
        if frame.name or not name.strip():
            return "one name"
        frame.name = name
    elif tag == "namespace":
        frame.namespace = " ".join(_words(value))
    elif tag == "synonym" or tag in _SCOPE_OF_TAG:
        if not (found := _SYNONYM.match(value)):
            return "a name in quotes, then EXACT, BROAD, NARROW or RELATED"
        # Without a scope it is RELATED, says OBO 1.2; a tag of OBO 1.0 is its own scope.
        scope = _SCOPE_OF_TAG.get(tag) or (found[2] or "RELATED").upper()
        frame.synonyms.append(Synonym(_unescaped(found[1]), scope))
    elif tag == "is_obsolete":
        if _words(value) not in (["true"], ["false"]):
            return "true or false"
        frame.is_obsolete = _words(value) == ["true"]
    else:
        words = _words(value)
        if len(words) != (2 if tag == "relationship" else 1):
            return "a relation and an id" if tag == "relationship" else "one id"
        frame.last_id = read_id(words[0]) if tag in _XREFS else id_of_address(words[-1])
        if tag == "id":
            frame.id = words[0]
        elif tag == "alt_id":
            frame.alternates.append(frame.last_id)
        elif tag in _XREFS:
            frame.xrefs.append(frame.last_id)
        else:
            frame.relations.append(("isa" if tag == "is_a" else words[0], frame.last_id))
    return ""


def _words(value: str) -> list[str]:
    return [_unescaped(word) for word in _BEHIND_IDS.sub("", value).split()]


def _unescaped(text: str) -> str:
    return re.sub(r"\\(.)", lambda found: {"n": "\n", "t": "\t", "W": " "}.get(found[1], found[1]), text)


def _content(
    header: list[tuple[str, str]], frames: list[_Frame], noted: Counter[str], examples: dict[str, str]
) -> Content:
    names = {frame.id: frame.name for frame in frames if frame.kind == "Typedef"}
    terms = []
    for frame in frames:
        if frame.kind == "Term":
            term_id = id_of_address(frame.id)
            before = Counter(noted)
            noted["ids_from_urls"] += bool(term_id and "://" in frame.id)
            relations = []
            for relation, tail in frame.relations:  # by its name, where its id is a number or an address
                is_named = _RELATION_ID.match(relation) or "://" in relation
                called = (is_named and names.get(relation)) or re.split(r"[/#]", relation)[-1]
                relations.append((relation_name(called), tail))
            raw = Term(
                id=term_id,
                name=frame.name,
                synonyms=tuple(frame.synonyms),
                xrefs=tuple(frame.xrefs),
                relations=tuple(relations),
                alternates=tuple(frame.alternates),
                is_obsolete=frame.is_obsolete,
            )
            if term := cleaned_term(raw, noted, namespace=frame.namespace):
                terms.append(term)
            for kind in noted - before:
                examples.setdefault(kind, frame.examples.get(kind, frame.line))
    kinds = sorted(
        +noted,
        key=lambda kind: kind in _NO_FACTS or not (kind.endswith("_not_read") or kind == "unknown_stanzas"),
    )
    first = dict(reversed(header))
    licences = [value for _, value in header if LICENCE.search(value)]
    return Content(
        name=first.get("ontology", ""),
        version=date_or_whole(first.get("data-version", "")) or _iso_date(first.get("date", "")),
        licence=licences[0].replace("\\", "") if licences else "",
        terms=terms,
        noted={kind: noted[kind] for kind in kinds},
        examples={kind: examples[kind] for kind in kinds},
    )


def _iso_date(date: str) -> str:
    """Return "14:05:2015 16:40", as OBO writes dates, as "2015-05-14"; "" if it is none."""
    try:
        return datetime.strptime(date.partition(" ")[0], "%d:%m:%Y").strftime("%Y-%m-%d")
    except ValueError:
        return ""
