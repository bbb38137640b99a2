"""The miniature world: a few hundred concepts and the true facts between them, written by us as data.

`concepts.tsv` and `triples.txt` beside this file say in their first lines how they are read. Everything
else of the miniature (release, corpus, tasks, language model) is made from the `World` that they hold.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from kebench.errors import UserError, did_you_mean

FOLDER = Path(__file__).parent


class SemanticType(NamedTuple):
    """A UMLS semantic type: its place in the semantic network, its name, and what we call its concepts."""

    tree_number: str
    name: str
    kind: str


# The semantic types used here (UMLS semantic network, table SRDEF).
TYPES = {
    "T004": SemanticType("A1.1.3.2", "Fungus", "organism"),
    "T005": SemanticType("A1.1.4", "Virus", "organism"),
    "T007": SemanticType("A1.1.2", "Bacterium", "organism"),
    "T023": SemanticType("A1.2.3.1", "Body Part, Organ, or Organ Component", "anatomy"),
    "T024": SemanticType("A1.2.3.2", "Tissue", "anatomy"),
    "T025": SemanticType("A1.2.3.3", "Cell", "cell"),
    "T028": SemanticType("A1.2.3.5", "Gene or Genome", "gene"),
    "T042": SemanticType("B2.2.1.1.2", "Organ or Tissue Function", "process"),
    "T043": SemanticType("B2.2.1.1.3", "Cell Function", "process"),
    "T044": SemanticType("B2.2.1.1.4", "Molecular Function", "process"),
    "T047": SemanticType("B2.2.1.2.1", "Disease or Syndrome", "disease"),
    "T048": SemanticType("B2.2.1.2.1.1", "Mental or Behavioral Dysfunction", "disease"),
    "T059": SemanticType("B1.3.1.1", "Laboratory Procedure", "procedure"),
    "T060": SemanticType("B1.3.1.2", "Diagnostic Procedure", "procedure"),
    "T061": SemanticType("B1.3.1.3", "Therapeutic or Preventive Procedure", "procedure"),
    "T109": SemanticType("A1.4.1.2.1", "Organic Chemical", "drug"),
    "T116": SemanticType("A1.4.1.2.1.7", "Amino Acid, Peptide, or Protein", "protein"),
    "T121": SemanticType("A1.4.1.1.1", "Pharmacologic Substance", "drug"),
    "T123": SemanticType("A1.4.1.1.3", "Biologically Active Substance", "drug"),
    "T125": SemanticType("A1.4.1.1.3.2", "Hormone", "drug"),
    "T126": SemanticType("A1.4.1.1.3.3", "Enzyme", "protein"),
    "T127": SemanticType("A1.4.1.1.3.4", "Vitamin", "drug"),
    "T129": SemanticType("A1.4.1.1.3.5", "Immunologic Factor", "protein"),
    "T184": SemanticType("A2.2.2", "Sign or Symptom", "symptom"),
    "T191": SemanticType("B2.2.1.2.1.2", "Neoplastic Process", "disease"),
    "T192": SemanticType("A1.4.1.1.3.6", "Receptor", "protein"),
    "T195": SemanticType("A1.4.1.1.1.1", "Antibiotic", "drug"),
    "T197": SemanticType("A1.4.1.2.2", "Inorganic Chemical", "drug"),
    "T204": SemanticType("A1.1.3", "Eukaryote", "organism"),
}
# Concepts of two types, where the first one alone would call a biological drug a protein.
_DRUG_TYPES = {"T121", "T125"}
LANGUAGES = ("SPA", "GER")


class Concept(NamedTuple):
    """One concept. `names` are its current English names, the preferred one first, abbreviations included."""

    cui: str
    types: tuple[str, ...]
    names: tuple[str, ...]
    abbreviations: tuple[str, ...]
    foreign: tuple[tuple[str, str], ...]  # (language, name)
    obsolete: tuple[str, ...]

    @property
    def name(self) -> str:
        """The preferred name."""
        return self.names[0]

    @property
    def kind(self) -> str:
        """disease, symptom, drug, gene, protein, anatomy, cell, procedure, organism or process."""
        if _DRUG_TYPES & set(self.types):
            return "drug"
        return TYPES[self.types[0]].kind


class Relation(NamedTuple):
    """A relation as UMLS names it. `rel` is the REL column of the row that states the fact (RO or CHD)."""

    name: str
    inverse: str
    rel: str


class Triple(NamedTuple):
    """A fact, by CUI: head relation tail. `manner` is how a drug affects a protein, "" elsewhere."""

    head: str
    relation: str
    tail: str
    manner: str = ""


@dataclass(frozen=True, eq=False)  # so that what is made of it can be cached
class World:
    """All concepts, relations and facts."""

    concepts: tuple[Concept, ...]
    relations: tuple[Relation, ...]
    triples: tuple[Triple, ...]

    @cached_property
    def by_cui(self) -> dict[str, Concept]:
        """The concepts by CUI."""
        return {concept.cui: concept for concept in self.concepts}

    @cached_property
    def by_name(self) -> dict[str, Concept]:
        """The concepts by preferred name."""
        return {concept.name: concept for concept in self.concepts}

    @cached_property
    def _by_kind(self) -> dict[str, list[Concept]]:
        by_kind: dict[str, list[Concept]] = {}
        for concept in self.concepts:
            by_kind.setdefault(concept.kind, []).append(concept)
        return by_kind

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of concept, in order of appearance."""
        return tuple(self._by_kind)

    def of_kind(self, *kinds: str) -> list[Concept]:
        """Return the concepts of these kinds, kind by kind, in file order."""
        return [concept for kind in kinds for concept in self._by_kind[kind]]

    def facts(self, relation: str, manner: str = "") -> list[Triple]:
        """Return the facts of a relation, in file order; of one manner, if given."""
        return [t for t in self.triples if t.relation == relation and manner in ("", t.manner)]


def load_world(folder: Path = FOLDER) -> World:
    """Read the world. Raises UserError with file and line for anything that does not fit."""
    concepts = list(_read_concepts(folder / "concepts.tsv"))
    relations, triples = _read_triples(folder / "triples.txt", {c.name: c.cui for c in concepts})
    return World(tuple(concepts), tuple(relations), tuple(triples))


def _read_concepts(path: Path) -> Iterator[Concept]:
    seen: set[str] = set()
    for where, line in numbered_lines(path):
        fields = line.split("\t")
        if len(fields) not in (3, 4):
            raise UserError(
                f"{where}: {len(fields)} columns, expected 3 or 4 (CUI, types, names, other names)"
            )
        types = tuple(fields[1].split(","))
        if unknown := [tui for tui in types if tui not in TYPES]:
            raise UserError(f"{where}: semantic type '{unknown[0]}' is not in world.TYPES; add it there")
        written = fields[2].split(" | ")
        if not 2 <= len(written) <= 4:
            raise UserError(f"{where}: {len(written)} names, expected 2 to 4")
        bare = {name: name[1:-1] for name in written if name.startswith("(") and name.endswith(")")}
        others = [tuple(name.split(" ", 1)) for name in fields[3].split(" | ")] if len(fields) == 4 else []
        concept = Concept(
            cui=fields[0],
            types=types,
            names=tuple(bare.get(name, name) for name in written),
            abbreviations=tuple(bare.values()),
            foreign=tuple((tag, name) for tag, name in others if tag in LANGUAGES),
            obsolete=tuple(name for tag, name in others if tag == "OLD"),
        )
        if seen & {concept.cui, concept.name}:
            raise UserError(f"{where}: {concept.cui} '{concept.name}' is there twice; remove one")
        seen |= {concept.cui, concept.name}
        yield concept


_SECTION = re.compile(r"\[(\w+) / (\w+) (RO|CHD)(?: (\w+))?\]")


def _read_triples(path: Path, cui_of: dict[str, str]) -> tuple[list[Relation], list[Triple]]:
    relations: dict[str, Relation] = {}
    triples: dict[tuple[str, str, str], Triple] = {}
    relation, manner = "", ""
    for where, line in numbered_lines(path):
        if line.startswith("["):
            section = _SECTION.fullmatch(line)
            if not section:
                raise UserError(f"{where}: '{line}' is no section; expected [name / inverse REL manner]")
            relation, manner = section[1], section[4] or ""
            relations.setdefault(relation, Relation(section[1], section[2], section[3]))
            continue
        head, _, tails = line.partition(": ")
        for tail in tails.split(" | "):
            triple = Triple(_cui(head, cui_of, where), relation, _cui(tail, cui_of, where), manner)
            if triples.setdefault(triple[:3], triple) is not triple:
                raise UserError(f"{where}: '{head} {relation} {tail}' is there twice; remove one")
    return list(relations.values()), list(triples.values())


def _cui(name: str, cui_of: dict[str, str], where: str) -> str:
    if name not in cui_of:
        raise UserError(f"{where}: no concept '{name}'{did_you_mean(name, cui_of)} add it to concepts.tsv")
    return cui_of[name]


def numbered_lines(path: Path) -> Iterator[tuple[str, str]]:
    """Yield ("file line 7", line) for every line that is neither empty nor a comment."""
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if line and not line.startswith("#"):
            yield f"{path} line {number}", line
