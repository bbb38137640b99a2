"""Names of a knowledge base found in text: longest match of whole words, left to right.

Text and names are cut into words alike: runs of letters and digits, and every other sign by itself. Hyphens
and blanks only separate, case counts for nothing, "'s" is passed over; so "Crohn's disease" is found as
"crohn disease", "type-2 diabetes" as "type 2 diabetes". Signs count: no name reaches across a full stop.

An Aho-Corasick automaton would find a name within a word and would let two neighbours fight for the blank
between them. Hence every word stands between two blanks of its own, in the names and in the text that is
searched: a leftmost longest match is then one of whole words.
"""

import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from itertools import accumulate
from pathlib import Path
from typing import Any, NamedTuple

from ahocorasick_rs import BytesAhoCorasick, MatchKind

from kebench.corpus.linking import Linked
from kebench.corpus.passage import Mention, Passage
from kebench.umls.database import connect
from kebench.umls.knowledge_base import KnowledgeBase

MIN_CHARACTERS = 3  # letters and digits of a name; ours: two letters are nearly always something else
MAX_WORDS = 15  # of a name; ours: longer names are systematic ones of chemicals, written in no abstract
CASED_CHARACTERS = 5  # a word of at most so many with capitals within counts only as it is spelt: AIDS; ours
_COMMON_WORDS = Path(__file__).with_name("common_words.txt")
_POSSESSIVE = ("'s", "’s")
_WORD = re.compile(r"['’]s\b|[^\W_]+|[^\w\s\-\u2010-\u2015\u2212]|_")


class NamedConcept(NamedTuple):
    """A name of a concept. The better the concept for the name, the earlier it comes."""

    name: str
    cui: str


class Dictionary:
    """Names in an automaton. Of one name's concepts the first that is given counts.

    counts: what became of the names; "ambiguous" are those of several concepts.
    """

    def __init__(self, names: Iterable[NamedConcept]) -> None:
        self._cuis: list[str] = []
        self._spellings: dict[int, set[str]] = {}
        places: dict[str, int] = {}
        ambiguous: set[int] = set()
        left_out = dict.fromkeys(("short", "common", "long"), 0)
        for name, cui in names:
            found = [one for one in _WORD.finditer(_lower(name)) if one[0] not in _POSSESSIVE]
            words = [one[0] for one in found]
            letters, reason = "".join(words), ""
            if len(words) > MAX_WORDS:
                reason = "long"
            elif sum(map(str.isalnum, letters)) < MIN_CHARACTERS or not any(map(str.isalpha, letters)):
                reason = "short"
            elif len(words) == 1 and words[0] in common_words():
                reason = "common"
            if reason:
                left_out[reason] += 1
                continue
            place = places.setdefault(_joined(words), len(places))
            if place == len(self._cuis):
                self._cuis.append(cui)
            elif self._cuis[place] != cui:
                ambiguous.add(place)
            if len(words) == 1 and len(words[0]) <= CASED_CHARACTERS:
                short = name[slice(*found[0].span())]
                has_capitals = any(map(str.isupper, short[1:]))  # AIDS, GnRH; Gout is a word
                spelling = short if has_capitals else short.lower()
                self._spellings.setdefault(place, set()).add(spelling)
        self.counts = {"names": len(places), "ambiguous": len(ambiguous), **left_out}
        patterns = [pattern.encode() for pattern in places] or [b"\0"]
        self._automaton = BytesAhoCorasick(patterns, matchkind=MatchKind.LeftmostLongest)

    def find(self, text: str) -> list[Mention]:
        """Return the names in a text, in order; they do not overlap, and their score is 1."""
        lower = _lower(text)
        found = list(_WORD.finditer(lower))
        words = [one[0] for one in found]
        if "'s" in lower or "’s" in lower:
            found = [one for one in found if one[0] not in _POSSESSIVE]
            words = [word for word in words if word not in _POSSESSIVE]
        joined = _joined(words).encode()
        matches = self._automaton.find_matches_as_indexes(joined)
        if not matches:
            return []
        # A word begins in `joined` behind a blank and, for each word before it, two more.
        ascii_only = lower.isascii()
        lengths = [len(word) + 2 for word in words] if ascii_only else [len(w.encode()) + 2 for w in words]
        begins = list(accumulate(lengths, initial=0))
        spelt = []
        for place, begin, end in matches:
            start = found[bisect_left(begins, begin)].start()
            stop = found[bisect_left(begins, end) - 1].end()
            # A short name counts as it is spelt, or in lower case if it is spelt so.
            written, spellings = text[start:stop], self._spellings.get(place)
            if spellings is None or written in spellings or written.lower() in spellings:
                spelt.append(Mention(start, stop, self._cuis[place], 1.0))
        return spelt


def names_of(knowledge_base: KnowledgeBase) -> Iterator[NamedConcept]:
    """Yield every name with its concepts, the best concept for a name first.

    Better is a concept whose preferred name it is, then one with more names, then the lower CUI: the same
    thing may stand in a release twice, once without synonyms.
    """
    tables = knowledge_base.tables()
    with connect() as connection:
        rows = connection.execute(
            f"""WITH sizes AS (SELECT cui, count(*) AS size FROM {tables["names"]} GROUP BY cui)
            SELECT names.name, cui FROM {tables["names"]} AS names
            JOIN {tables["concepts"]} AS concepts USING (cui) JOIN sizes USING (cui)
            GROUP BY names.name, cui
            ORDER BY bool_or(lower(concepts.name) = lower(names.name)) DESC, any_value(size) DESC,
                cui, names.name"""
        )
        while batch := rows.fetchmany(100_000):
            yield from (NamedConcept(*row) for row in batch)


def _joined(words: list[str]) -> str:
    return f" {'  '.join(words)} "


def _lower(text: str) -> str:
    """Return a text in lower case, character for character: "İ" alone would become two."""
    lower = text.lower()
    if len(lower) == len(text):
        return lower
    return "".join(one.lower() if len(one.lower()) == 1 else one for one in text)


@cache
def common_words() -> frozenset[str]:
    """Return the words that are no names by themselves: function words, and those of research prose."""
    lines = _COMMON_WORDS.read_text(encoding="utf-8").splitlines()
    return frozenset(word for line in lines if not line.startswith("#") for word in line.split())


class DictionaryLinker:
    """Links every name that stands in a text, of its best concept."""

    def __init__(self, knowledge_base: KnowledgeBase) -> None:
        self._dictionary = Dictionary(names_of(knowledge_base))

    def link(self, passages: Sequence[Passage]) -> list[Linked]:
        """Return the names in each passage."""
        found = (self._dictionary.find(passage.text) for passage in passages)
        return [Linked(mentions, len(mentions)) for mentions in found]

    def about(self) -> dict[str, Any]:
        """Return what became of the names."""
        return {"names": self._dictionary.counts}
