"""The nouns that every source is read into: a term with its names and references, and a vocabulary."""

import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from kebench.errors import counted, counted_kind
from kebench.files import sha256_of
from kebench.umls.open.ids import prefix_of

SCOPES = ("EXACT", "BROAD", "NARROW", "RELATED")  # what an ontology may say of a synonym

# The branches of the Gene Ontology are kinds of things: UMLS gives them these semantic types.
TYPES_OF_BRANCH = {
    "biological_process": ("T038",),  # Biologic Function
    "molecular_function": ("T044",),  # Molecular Function
    "cellular_component": ("T026",),  # Cell Component
}
LICENCE = re.compile(r"licen[cs]e", re.IGNORECASE)  # what in an ontology's header speaks of its licence
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")


class Synonym(NamedTuple):
    """Another name of a term. scope: one of `SCOPES`, or "" if the source states none."""

    name: str
    scope: str = ""


class Term(NamedTuple):
    """One entry of a source.

    id: as `kebench.umls.open.ids` spells it.
    types: semantic types (TUI); none means those of the id's namespace.
    xrefs: ids of other sources that the source gives as the same or nearly the same thing.
    relations: (relation, id) pairs, to be read "this term, relation, the term of that id".
    alternates: ids under which the term was known before.
    """

    id: str
    name: str
    synonyms: tuple[Synonym, ...] = ()
    types: tuple[str, ...] = ()
    xrefs: tuple[str, ...] = ()
    relations: tuple[tuple[str, str], ...] = ()
    alternates: tuple[str, ...] = ()
    is_obsolete: bool = False


class Triple(NamedTuple):
    """A relation between two terms, each given by an id or a name. line: where it stands in its file."""

    head: str
    relation: str
    tail: str
    line: int = 0


class Content(NamedTuple):
    """What a file says: parts of a `Vocabulary`; its own name, version and licence where it has them.

    noted: how much of an ontology was passed over, and what was read from addresses, by kind
    (docs/FORMATS.md, Knowledge base), facts first. examples: of each kind the first line, or term; OBO-JSON
    has no lines.
    """

    terms: list[Term] = []
    triples: list[Triple] = []
    mappings: list[tuple[str, str]] = []
    name: str = ""
    version: str = ""
    licence: str = ""
    noted: dict[str, int] = {}
    examples: dict[str, str] = {}


class SourceFile(NamedTuple):
    """A file that was read: its name, its content's hash and its size."""

    name: str
    sha256: str
    bytes: int


class Vocabulary(NamedTuple):
    """All that one source says.

    name: SAB of its relations.
    mappings: pairs of ids that the source gives as the same thing, without being terms of its own.
    strict: a triple that refers to nothing is a mistake of the user, not a gap between two sources.
    noted, examples: what of its file was passed over, as in `Content`.
    drugs_by_name: its drugs are joined to other sources' drugs by name, where no id joins them.
    """

    name: str
    title: str
    files: tuple[SourceFile, ...]
    terms: list[Term]
    triples: list[Triple] = []
    mappings: list[tuple[str, str]] = []
    version: str = ""
    licence: str = ""
    homepage: str = ""
    citation: str = ""
    note: str = ""
    strict: bool = False
    noted: dict[str, int] = {}
    examples: dict[str, str] = {}
    drugs_by_name: bool = False


def describe_noted(number: int, kind: str) -> str:
    """Return a count of `Content.noted` in words: "1 synonym line not read", "2 xrefs without id"."""
    clause, found, _ = kind.partition("_not_read")
    if not found or clause == "dates":
        return counted_kind(number, kind.replace("_", " "))
    return f"{counted(number, f'{clause} line')} not read"


def source_file(path: Path) -> SourceFile:
    """Return what a manifest says of a file."""
    return SourceFile(path.name, sha256_of(path), path.stat().st_size)


def clean_name(name: str) -> str:
    """Return a name on one line, single-spaced, without "|", which closes a field in RRF files."""
    return " ".join(name.replace("|", "/").split())


def plain_synonyms(names: Iterable[str], *, but: str) -> tuple[Synonym, ...]:
    """Return the names of a term other than its first, cleaned, each once, where no scope is stated."""
    distinct = dict.fromkeys(clean_name(name) for name in names)
    return tuple(Synonym(name) for name in distinct if name and name != but)


def relation_name(name: str) -> str:
    """Return a relation as a release writes it: is_a and subClassOf are "isa", spaces are underscores."""
    written = "_".join(name.split())
    return "isa" if written in ("is_a", "isa", "subClassOf", "rdfs:subClassOf") else written


def date_or_whole(version: str) -> str:
    """Return the date in a version, as in hp/releases/2025-01-16, or all of it if there is none."""
    date = _DATE.search(version)
    return date[0] if date else version


def cleaned_term(raw: Term, noted: Counter[str], *, namespace: str) -> Term | None:
    """Return a term as read with its names cleaned and without what has no id; None without name or id.

    noted: counts what has no id with a prefix, or no name. namespace: as OBO has it; GO's are its branches.
    """
    name = clean_name(raw.name)
    if not raw.id or not name:
        noted["terms_without_name" if raw.id else "terms_without_prefix"] += 1
        return None
    noted["xrefs_without_id"] += raw.xrefs.count("")
    noted["relations_without_id"] += sum(not tail for _, tail in raw.relations)
    noted["alternates_without_id"] += raw.alternates.count("")
    others = dict.fromkeys(Synonym(clean_name(synonym.name), synonym.scope) for synonym in raw.synonyms)
    return raw._replace(
        name=name,
        synonyms=tuple(other for other in others if other.name),
        types=TYPES_OF_BRANCH.get(namespace, ()) if prefix_of(raw.id) == "GO" else (),
        xrefs=tuple(dict.fromkeys(filter(None, raw.xrefs))),
        relations=tuple(dict.fromkeys(relation for relation in raw.relations if relation[1])),
        alternates=tuple(filter(None, raw.alternates)),
    )
