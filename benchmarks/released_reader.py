"""The peer of the knowledge base import: a plain reader, a line at a time, into dictionaries.

It builds what the code released with KeBioLM builds to make its queries, in the way that code does: names by
concept and concepts by name (as written, in lower case, and cleaned), the same for LUIs, concepts by code,
all relations, and for each concept its partners by relation, in both directions. Without its progress bars;
and it reads gzip, which the original does not.
"""

import gzip
import random
import re
from collections.abc import Iterator
from pathlib import Path

_BRACKETS = re.compile(r"\(.*?\)")


class ReleasedReader:
    """The dictionaries, by the names of what they hold."""

    def __init__(self, folder: Path) -> None:
        self._read_names(folder)
        self._read_relations(folder)
        self._read_types(folder)

    def _read_names(self, folder: Path) -> None:
        self.luis: set[str] = set()
        self.names: dict[str, set[str]] = {}
        self.concepts: dict[str, str] = {}
        self.code_concepts: dict[str, str] = {}
        self.lui_names: dict[str, list[str]] = {}
        self.name_luis: dict[str, set[str]] = {}
        self.concept_luis: dict[str, list[str]] = {}
        self.lui_concepts: dict[str, str] = {}
        for row in rows(folder, "MRCONSO"):
            cui, language, status, lui, code, name = row[0], row[1], row[2].lower(), row[3], row[13], row[14]
            if "p" in status and language in ["ENG"] and lui not in self.luis:
                self._add_name(cui, lui, code, name)
        self.cuis = list(self.names.keys())
        random.shuffle(self.cuis)

    def _add_name(self, cui: str, lui: str, code: str, name: str) -> None:
        forms = [name, name.lower(), clean(name)]
        for form in forms:
            self.concepts[form] = cui
            if form not in self.name_luis:
                self.name_luis[form] = set()
            self.name_luis[form].update([lui])
        if cui not in self.names:
            self.names[cui] = set()
        self.names[cui].update([forms[2]])
        self.code_concepts[code] = cui
        self.luis.update([lui])
        self.lui_names[lui] = forms
        self.lui_concepts[lui] = cui
        if cui not in self.concept_luis:
            self.concept_luis[cui] = []
        self.concept_luis[cui].append(lui)

    def _read_relations(self, folder: Path) -> None:
        found: set[str] = set()
        self.tails: dict[str, dict[str, set[str]]] = {}
        self.heads: dict[str, dict[str, set[str]]] = {}
        for row in rows(folder, "MRREL"):
            first, rel, second, rela = row[0], row[3], row[4], row[7]
            if first in self.names and second in self.names:
                relation = "\t".join([first, second, rel, rela])
                if relation not in found and first != second:
                    found.update([relation])
                    add_partner(self.tails, first, rela, second)
                    add_partner(self.heads, second, rela, first)
        self.relations = list(found)

    def _read_types(self, folder: Path) -> None:
        self.types: dict[str, str] = {}
        for row in rows(folder, "MRSTY"):
            if row[0] in self.names:
                self.types[row[0]] = row[3]


def add_partner(partners: dict[str, dict[str, set[str]]], cui: str, rela: str, other: str) -> None:
    """Note one partner of a concept."""
    if cui not in partners:
        partners[cui] = {}
    if rela not in partners[cui]:
        partners[cui][rela] = set()
    partners[cui][rela].update([other])


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
    padded = f" {name} ".lower().replace(" NOS ", " ").replace(" nos ", " ")
    return " ".join([word for word in _BRACKETS.sub("", padded).replace("-", " ").split() if word])
