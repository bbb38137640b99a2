"""Ontologies as OBO files.

They go through fastobo, the parser beneath pronto. pronto itself builds a graph, and for that refuses
whatever leaves one incomplete: a parent that stands in an import (KeyError), or a reference of a
definition with a space in it (the Disease Ontology of 2015 has them); it merges two terms of one id
without a word, and guesses the encoding. So we take frames, and of those only the clauses we use.
"""

import io
import re
from collections.abc import Iterable
from typing import IO, Any

import fastobo

from kebench.errors import UserError
from kebench.umls.open.ids import read_id
from kebench.umls.open.terms import LICENCE, Ontology, Synonym, Term, date_or_whole, make_term, relation_name

USED_CLAUSES = (
    b"id:", b"name:", b"namespace:", b"alt_id:", b"synonym:", b"xref:", b"is_a:", b"relationship:",
    b"is_obsolete:",
)  # fmt: skip
_RELATION_ID = re.compile(r"^[A-Za-z]+[:_]\d+$")  # RO:0004029: its name says more


def read_obo(file: IO[bytes], where: str) -> Ontology:
    """Read an OBO file. where: what errors call it."""
    try:
        reader = fastobo.iter(_used_lines(file, where), ordered=True)
        name, version, licence = _obo_header(reader.header())
        relations: dict[str, str] = {}
        terms = []
        for frame in reader:
            if isinstance(frame, fastobo.term.TermFrame):
                if term := _obo_term(frame):
                    terms.append(term)
            elif isinstance(frame, fastobo.typedef.TypedefFrame):
                relations[str(frame.id)] = _typedef_name(frame)
    except SyntaxError as error:
        raise UserError(
            f"{where} line {error.lineno}: not OBO ({error.msg}): {(error.text or '').strip()!r}; "
            "mend the line"
        ) from None
    return Ontology(name, version, licence, [_with_named_relations(term, relations) for term in terms])


def _used_lines(file: IO[bytes], where: str) -> io.BytesIO:
    """Return the file with the lines that we do not use left empty, so that line numbers stay.

    Definitions, comments and dates are where real files break the format most often.
    """
    kept = io.BytesIO()
    first_lines: dict[bytes, int] = {}
    in_header, in_term = True, False
    for number, line in enumerate(file, start=1):
        if line.startswith(b"["):
            in_header, in_term = False, line.startswith(b"[Term]")
        elif in_term and line.startswith(b"id:"):
            _refuse_twice(line[3:].partition(b"!")[0].strip(), number, first_lines, where)
        kept.write(line if in_header or line.startswith((b"[", *USED_CLAUSES)) else b"\n")
    try:
        kept.getvalue().decode()
    except UnicodeDecodeError as error:
        number = kept.getvalue()[: error.start].count(b"\n") + 1
        raise UserError(f"{where} line {number}: not UTF-8 ({error.reason}); convert the file") from None
    kept.seek(0)
    return kept


def _refuse_twice(term_id: bytes, number: int, first_lines: dict[bytes, int], where: str) -> None:
    if term_id in first_lines:
        name = term_id.decode(errors="replace")
        raise UserError(
            f"{where} line {number}: the term {name} is in line {first_lines[term_id]} already; remove one"
        )
    first_lines[term_id] = number


def _obo_header(clauses: Iterable[Any]) -> tuple[str, str, str]:
    """Return (name, version, licence) of a header; the date where there is no version."""
    values = [(clause.raw_tag(), clause.raw_value()) for clause in clauses]
    by_tag = dict(reversed(values))
    licences = [value for _, value in values if LICENCE.search(value)]
    return (
        by_tag.get("ontology", ""),
        date_or_whole(by_tag.get("data-version", "")) or _iso_date(by_tag.get("date", "")),
        licences[0].replace("\\", "") if licences else "",
    )


def _iso_date(date: str) -> str:
    """Return "14:05:2015 16:40", as OBO writes dates, as "2015-05-14"."""
    day, _, rest = date.partition(":")
    month, _, year = rest.partition(":")
    return f"{year[:4]}-{month}-{day}" if year else ""


def _obo_term(frame: Any) -> Term | None:
    """Return a term of a frame, or None if it has no name or no id with a prefix."""
    term_id = read_id(str(frame.id))
    name, namespace, obsolete = "", "", False
    synonyms: list[Synonym] = []
    xrefs: list[str] = []
    relations: list[tuple[str, str]] = []
    alternates: list[str] = []
    for clause in frame:
        tag = clause.raw_tag()
        if tag == "name":
            name = clause.name
        elif tag == "namespace":
            namespace = str(clause.namespace)
        elif tag == "synonym":
            synonyms.append(Synonym(clause.synonym.desc, clause.synonym.scope))
        elif tag == "xref":
            xrefs.append(read_id(str(clause.xref.id)))
        elif tag == "is_a":
            relations.append(("isa", read_id(str(clause.term))))
        elif tag == "relationship":
            relations.append((str(clause.typedef), read_id(str(clause.term))))
        elif tag == "alt_id":
            alternates.append(read_id(str(clause.alt_id)))
        elif tag == "is_obsolete":
            obsolete = clause.obsolete
    return make_term(term_id, name, namespace, synonyms, xrefs, relations, alternates, obsolete)


def _typedef_name(frame: Any) -> str:
    return next((str(clause.name) for clause in frame if clause.raw_tag() == "name"), "")


def _with_named_relations(term: Term, names: dict[str, str]) -> Term:
    """Return a term whose relations are called by name where their id is only a number."""
    if all(relation == "isa" for relation, _ in term.relations):
        return term
    named = [
        (relation_name(names.get(relation) or relation if _RELATION_ID.match(relation) else relation), tail)
        for relation, tail in term.relations
    ]
    return term._replace(relations=tuple(dict.fromkeys(named)))
