"""The peer of the knowledge base import: a plain reader, a line at a time, into dictionaries.

It builds what the code released with KeBioLM builds to make its queries: names by concept and concepts by
name (as written, in lower case, and cleaned), the same for LUIs, concepts by code, all relations, and for
each concept its partners by relation, in both directions. Written anew from what that code does, without its
progress bars; it reads gzip too, which the original does not.
"""

import gzip
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

_BRACKETS = re.compile(r"\(.*?\)")


class ReleasedReader:
    """The dictionaries, by the names of what they hold."""

    def __init__(self, folder: Path) -> None:
        self.names: defaultdict[str, set[str]] = defaultdict(set)
        self.concepts: dict[str, str] = {}
        self.code_concepts: dict[str, str] = {}
        self.lui_names: dict[str, list[str]] = {}
        self.name_luis: defaultdict[str, set[str]] = defaultdict(set)
        self.concept_luis: defaultdict[str, list[str]] = defaultdict(list)
        self.lui_concepts: dict[str, str] = {}
        self.relations: set[str] = set()
        self.tails: defaultdict[str, defaultdict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
        self.heads: defaultdict[str, defaultdict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
        self.types: dict[str, str] = {}
        self._read_names(folder)
        self._read_relations(folder)
        self._read_types(folder)

    def _read_names(self, folder: Path) -> None:
        for row in rows(folder, "MRCONSO"):
            cui, language, status, lui, code, name = row[0], row[1], row[2], row[3], row[13], row[14]
            if status.lower() != "p" or language != "ENG" or lui in self.lui_concepts:
                continue
            forms = [name, name.lower(), clean(name)]
            for form in forms:
                self.concepts[form] = cui
                self.name_luis[form].add(lui)
            self.names[cui].add(forms[2])
            self.code_concepts[code] = cui
            self.lui_names[lui] = forms
            self.lui_concepts[lui] = cui
            self.concept_luis[cui].append(lui)

    def _read_relations(self, folder: Path) -> None:
        for row in rows(folder, "MRREL"):
            first, rel, second, rela = row[0], row[3], row[4], row[7]
            if first == second or first not in self.names or second not in self.names:
                continue
            relation = f"{first}\t{second}\t{rel}\t{rela}"
            if relation not in self.relations:
                self.relations.add(relation)
                self.tails[first][rela].add(second)
                self.heads[second][rela].add(first)

    def _read_types(self, folder: Path) -> None:
        for row in rows(folder, "MRSTY"):
            if row[0] in self.names:
                self.types[row[0]] = row[3]


def rows(folder: Path, table: str) -> Iterator[list[str]]:
    """Yield the fields of each line of a table, plain or gzipped."""
    path = folder / f"{table}.RRF"
    with (
        path.open(encoding="utf-8")
        if path.exists()
        else gzip.open(f"{path}.gz", "rt", encoding="utf-8") as file
    ):
        for line in file:
            yield line.strip().split("|")


def clean(name: str) -> str:
    """Return the released code's normal form of a name."""
    padded = f" {name} ".lower().replace(" nos ", " ")
    return " ".join(_BRACKETS.sub("", padded).replace("-", " ").split())
