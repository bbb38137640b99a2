"""The manifest of a knowledge base from open sources: what went in, and what unification found."""

from pydantic import BaseModel, ConfigDict


class Entry(BaseModel):
    """What every part of a manifest obeys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class FileEntry(Entry):
    """A file that was read, or a member of a wheel."""

    name: str
    sha256: str
    bytes: int


class SourceEntry(Entry):
    """One source, and what of it is in the knowledge base.

    version: as the file or the card says it; empty if neither does.
    terms, names: as the source has them, repeated names once.
    relations: facts between two different concepts, each once, in the direction of the source.
    unresolved: relations left out because one end is no concept here (an import that is not loaded, an id
        that several concepts share); example: the first of them.
    within: relations left out because both ends are one concept here.
    negations: relations left out because they say that something does not hold.
    noted: what was passed over of an ontology's file, and ids that were read from addresses, by kind;
        noted_examples: of each kind the first. noted_example: the first of all, in older manifests.
    """

    name: str
    title: str
    version: str
    licence: str
    homepage: str
    citation: str
    note: str
    files: tuple[FileEntry, ...]
    terms: int
    names: int
    relations: int
    unresolved: int
    unresolved_example: str
    within: int
    negations: int
    noted: dict[str, int] = {}
    noted_examples: dict[str, str] = {}


class Kind(Entry):
    """Cross-references between two namespaces.

    given: distinct pairs; joined: those that are now one concept; not_one_to_one: left out because an end
    has several partners; refused: left out because the concept would hold two ids of one namespace.
    """

    between: tuple[str, str]
    given: int
    joined: int
    not_one_to_one: int
    refused: int


class Unification(Entry):
    """What became of the cross-references.

    concepts: all; merged: those of several ids; with_cui: those that bear a CUI of UMLS.
    conflicts: cross-references left out; examples: the first of them, by kind.
    """

    concepts: int
    merged: int
    with_cui: int
    kinds: tuple[Kind, ...]
    conflicts: int
    examples: tuple[str, ...]


class OpenManifest(Entry):
    """All sources in order of name, and the unification; `model_dump(mode="json")` goes into kb.json.

    release: "open-kb" or "" for a knowledge base of the user's own files.
    """

    release: str
    sources: tuple[SourceEntry, ...]
    unification: Unification
    notes: tuple[str, ...] = ()
