"""The RRF files that a UMLS release of the miniature would have: MRCONSO, MRREL and MRSTY.

Columns as in the UMLS Reference Manual, chapter 3, each field closed by "|". Every CUI is ours (M and
seven digits), so that no row can be taken for one of the real UMLS.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from kebench.mini.world import TYPES, Concept, World

SOURCE = "MINI"
_INVERSE_REL = {"RO": "RO", "CHD": "PAR"}


class Atom(NamedTuple):
    """One name of one concept, as a row of MRCONSO sees it."""

    name: str
    language: str
    source: str
    term_type: str  # PT preferred, SY synonym, AB abbreviation, OP obsolete preferred
    suppress: str  # N no, O obsolete, Y suppressed by the editors


def write_release(world: World, folder: Path) -> None:
    """Write MRCONSO.RRF, MRREL.RRF and MRSTY.RRF into a folder that exists."""
    tables = {"MRCONSO": _conso_rows(world), "MRREL": _rel_rows(world), "MRSTY": _sty_rows(world)}
    for name, rows in tables.items():
        lines = "".join("|".join(row) + "|\n" for row in rows)
        (folder / f"{name}.RRF").write_text(lines, encoding="utf-8", newline="\n")


def atoms(concept: Concept) -> list[Atom]:
    """Return the rows that a concept has in MRCONSO, the preferred English name first.

    An abbreviation of two letters also comes as a suppressed row: a real release suppresses such
    names because they mean too much, and a reader of RRF must leave them out.
    """
    term_types = dict.fromkeys(concept.names, "SY") | dict.fromkeys(concept.abbreviations, "AB")
    term_types[concept.name] = "PT"
    current = [Atom(name, "ENG", SOURCE, term_types[name], "N") for name in concept.names]
    short = [Atom(name.lower(), "ENG", SOURCE, "AB", "Y") for name in concept.abbreviations if len(name) == 2]
    obsolete = [Atom(name, "ENG", SOURCE, "OP", "O") for name in concept.obsolete]
    foreign = [Atom(name, tag, SOURCE + tag, "PT", "N") for tag, name in concept.foreign]
    return current + short + obsolete + foreign


def _conso_rows(world: World) -> Iterator[list[str]]:
    lexical: dict[tuple[str, str], int] = {}  # (language, lower-cased name) -> LUI
    strings: dict[tuple[str, str], int] = {}  # (language, name) -> SUI
    number = 0
    for concept in world.concepts:
        seen_languages: set[str] = set()
        for atom in atoms(concept):
            number += 1
            lui = lexical.setdefault((atom.language, atom.name.lower()), len(lexical) + 1)
            sui = strings.setdefault((atom.language, atom.name), len(strings) + 1)
            is_first = atom.language not in seen_languages
            seen_languages.add(atom.language)
            yield [
                concept.cui, atom.language, "P" if is_first else "S", f"L{lui:07d}", "PF", f"S{sui:07d}",
                "Y", f"A{number:07d}", "", concept.cui, "", atom.source, atom.term_type, concept.cui,
                atom.name, "0", atom.suppress, "",
            ]  # fmt: skip


def _rel_rows(world: World) -> Iterator[list[str]]:
    """Yield each fact twice. A row (CUI1, REL, CUI2, RELA) reads "CUI2 RELA CUI1", as in the UMLS."""
    relations = {relation.name: relation for relation in world.relations}
    number = 0
    for triple in world.triples:
        relation = relations[triple.relation]
        directions = (
            (triple.tail, relation.rel, triple.head, relation.name),
            (triple.head, _INVERSE_REL[relation.rel], triple.tail, relation.inverse),
        )
        for first, rel, second, rela in directions:
            number += 1
            yield [
                first, "", "CUI", rel, second, "", "CUI", rela, f"R{number:08d}", "", SOURCE, SOURCE,
                "", "", "N", "",
            ]  # fmt: skip


def _sty_rows(world: World) -> Iterator[list[str]]:
    number = 0
    for concept in world.concepts:
        for tui in concept.types:
            number += 1
            kind = TYPES[tui]
            yield [concept.cui, tui, kind.tree_number, kind.name, f"AT{number:08d}", "256"]
