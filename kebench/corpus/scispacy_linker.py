"""scispaCy's way of linking, against any knowledge base, a shard at a time.

As scispaCy's EntityLinker: the names nearest to a mention, a concept's score the best similarity of its
names, those above the threshold, best first. Of equal ones the concept with more names comes first, since
the same thing may stand in a release twice, once without synonyms; scispaCy takes the lower CUI (ties "cui").
Every distinct string is looked up once, strings in large batches, and scores are taken with arrays instead of
a loop over mentions.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy

from kebench.corpus.dictionary import Dictionary, names_of
from kebench.corpus.linking import Linked, LinkingSettings
from kebench.corpus.mentions import Detector
from kebench.corpus.name_index import NameIndex
from kebench.corpus.nearest import SEARCHES
from kebench.corpus.passage import Mention, Passage
from kebench.corpus.readers.stream import lines_or_refusal
from kebench.umls.knowledge_base import KnowledgeBase

MOST_KEPT = 2_000_000  # strings whose links are remembered


Links = tuple[tuple[str, float], ...]  # CUI and score of each concept of a string


class StringLinker:
    """Links strings: what is between detecting mentions and writing them down."""

    def __init__(self, index: NameIndex, settings: LinkingSettings, definitions: Path | None = None) -> None:
        self._index, self._settings = index, settings
        self._most = settings.max_entities or 1
        # For each concept its place among those with the same score: by names, or by CUI alone.
        self._order = numpy.arange(len(index.cuis))
        if settings.ties == "names":
            self._order[numpy.lexsort((self._order, -index.names_of_cuis))] = numpy.arange(len(self._order))
        self._needed: Any = None  # for each concept the score it needs, if that depends on its definition
        if definitions is not None:
            # MRDEF.RRF, or any text whose lines begin with a CUI; it may be gzipped
            defined = {line.partition("|")[0].strip() for line in lines_or_refusal(definitions)}
            has_one = numpy.array([cui in defined for cui in index.cuis.to_pylist()])
            least = settings.no_definition_threshold or 0.0
            self._needed = numpy.where(has_one, 0.0, least).astype(numpy.float32)
        self._known: dict[str, Links] = {}

    def link(self, strings: Iterable[str]) -> list[Links]:
        """Return the concepts of each string, the best first."""
        asked = [string.lower() for string in strings]  # as the vectors do
        new = list(dict.fromkeys(string for string in asked if string not in self._known))
        if new:
            if len(self._known) > MOST_KEPT:
                self._known = {string: self._known[string] for string in asked if string in self._known}
            self._known |= zip(new, self._look_up(new), strict=True)
        return [self._known[string] for string in asked]

    def _look_up(self, strings: list[str]) -> list[Links]:
        settings, index = self._settings, self._index
        found = SEARCHES[str(settings.search)](
            index.vectors(strings), index, k=settings.k, threshold=settings.threshold
        )
        # Every concept, a place in `index.cuis`, of every name that was found, if its score is what it needs.
        begins, concepts = index.cuis_of_names
        counts = begins[found.name + 1] - begins[found.name]
        pair = numpy.repeat(numpy.arange(len(counts)), counts)
        within = numpy.arange(len(pair)) - numpy.repeat(numpy.cumsum(counts) - counts, counts)
        concept = concepts[begins[found.name[pair]] + within]
        mention, score = found.mention[pair], found.similarity[pair]
        if self._needed is not None:
            passing = score >= self._needed[concept]
            mention, concept, score = mention[passing], concept[passing], score[passing]
        # Of a concept's names the best one counts.
        by_concept = numpy.lexsort((-score, concept, mention))
        mention, concept, score = mention[by_concept], concept[by_concept], score[by_concept]
        is_best = numpy.ones(len(mention), dtype=bool)
        is_best[1:] = (mention[1:] != mention[:-1]) | (concept[1:] != concept[:-1])
        mention, concept, score = mention[is_best], concept[is_best], score[is_best]
        # The best concepts of each mention, in order.
        by_score = numpy.lexsort((self._order[concept], -score, mention))
        mention, concept, score = mention[by_score], concept[by_score], score[by_score]
        kept = numpy.arange(len(mention)) - numpy.searchsorted(mention, mention) < self._most
        links: list[list[tuple[str, float]]] = [[] for _ in strings]
        cuis = index.cuis.take(concept[kept]).to_pylist()
        for place, cui, value in zip(mention[kept].tolist(), cuis, score[kept].tolist(), strict=True):
            links[place].append((cui, value))
        return [tuple(one) for one in links]


class ScispacyLinker:
    """Detects mentions and links them."""

    def __init__(
        self, knowledge_base: KnowledgeBase, settings: LinkingSettings, definitions: Path | None = None
    ) -> None:
        assert settings.mentions, "the plan says how mentions are found"
        self._index = NameIndex.open(knowledge_base)
        self._strings = StringLinker(self._index, settings, definitions)
        self._detector = Detector(
            settings.mentions,
            model=settings.spacy_model,
            abbreviations=bool(settings.abbreviations),
            dictionary=Dictionary(names_of(knowledge_base)) if settings.mentions == "dictionary" else None,
        )

    def link(self, passages: Sequence[Passage]) -> list[Linked]:
        """Return the mentions of each passage that are linked, one for each concept, the best first."""
        detected = list(self._detector.detect([passage.text for passage in passages]))
        links = iter(self._strings.link(one.sought for mentions in detected for one in mentions))
        return [
            Linked(
                [
                    Mention(one.char_start, one.char_end, cui, score)
                    for one in mentions
                    for cui, score in next(links)
                ],
                len(mentions),
            )
            for mentions in detected
        ]

    def about(self) -> dict[str, Any]:
        """Return the size of the index."""
        manifest = self._index.manifest
        return {"index_names": manifest.names, "index_version": manifest.version}
