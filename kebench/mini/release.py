"""The RRF files that a UMLS release of the miniature would have: MRCONSO, MRREL and MRSTY.

Columns as in the UMLS Reference Manual, chapter 3, each field closed by "|". Every CUI is ours (M and
seven digits), so that no row can be taken for one of the real UMLS.
"""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from kebench.mini.world import TYPES, World

SOURCE = "MINI"
_INVERSE_REL = {"RO": "RO", "CHD": "PAR"}


def write_release(world: World, folder: Path) -> None:
    """Write MRCONSO.RRF, MRREL.RRF and MRSTY.RRF into a folder that exists."""
    types = [(concept.cui, tui, TYPES[tui]) for concept in world.concepts for tui in concept.types]
    tables: dict[str, Iterable[Sequence[str]]] = {
        "MRCONSO": _conso_rows(world),
        "MRREL": _rel_rows(world),
        "MRSTY": (
            (cui, tui, kind.tree_number, kind.name, f"AT{number:08d}", "256")
            for number, (cui, tui, kind) in enumerate(types, 1)
        ),
    }
    for name, rows in tables.items():
        lines = "".join("|".join(row) + "|\n" for row in rows)
        (folder / f"{name}.RRF").write_text(lines, encoding="utf-8", newline="\n")


def _conso_rows(world: World) -> Iterator[list[str]]:
    """Yield the names of each concept, the preferred English one first."""
    lexical: dict[tuple[str, str], int] = {}  # (language, lower-cased name) -> LUI
    strings: dict[tuple[str, str], int] = {}  # (language, name) -> SUI
    number = 0
    for concept in world.concepts:
        # PT preferred, SY synonym, AB abbreviation, OP obsolete; N current, O obsolete, Y suppressed.
        kinds = dict.fromkeys(concept.names, "SY") | dict.fromkeys(concept.abbreviations, "AB")
        kinds[concept.name] = "PT"
        atoms = [("ENG", name, kinds[name], "N") for name in concept.names]
        # A real release suppresses names of two letters because they mean too much; a reader must leave
        # them out.
        atoms += [("ENG", name.lower(), "AB", "Y") for name in concept.abbreviations if len(name) == 2]
        atoms += [("ENG", name, "OP", "O") for name in concept.obsolete]
        atoms += [(tag, name, "PT", "N") for tag, name in concept.foreign]
        seen_languages: set[str] = set()
        for language, name, kind, suppress in atoms:
            number += 1
            lui = lexical.setdefault((language, name.lower()), len(lexical) + 1)
            sui = strings.setdefault((language, name), len(strings) + 1)
            status = "S" if language in seen_languages else "P"
            seen_languages.add(language)
            source = SOURCE if language == "ENG" else SOURCE + language
            yield [
                concept.cui, language, status, f"L{lui:07d}", "PF", f"S{sui:07d}", "Y", f"A{number:07d}", "",
                concept.cui, "", source, kind, concept.cui, name, "0", suppress, "",
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
