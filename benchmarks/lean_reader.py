"""The dictionaries of released_reader.py with less to do: defaultdict, add, no second look-up."""

from collections import defaultdict
from pathlib import Path

from released_reader import clean, rows


class LeanReader:
    """The dictionaries, by the names of what they hold."""

    def __init__(self, folder: Path) -> None:
        self.luis: set[str] = set()
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
            if status.lower() != "p" or language != "ENG" or lui in self.luis:
                continue
            self.luis.add(lui)
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
