"""Linkers: from passages to mentions with concepts: as scispaCy does it, by names, or as the file says.

A linker is made once in each process and takes passages a shard at a time.
"""

import logging
from collections.abc import Callable, Sequence
from typing import Any

from kebench.corpus.dictionary import Dictionary, names_of
from kebench.corpus.gold import GoldConcepts
from kebench.corpus.linking import Linked, Linker, LinkerFiles, LinkingSettings
from kebench.corpus.passage import Mention, Passage
from kebench.umls.knowledge_base import KnowledgeBase

_log = logging.getLogger(__name__)


class DictionaryLinker:
    """Links every name that stands in a text; kebench.corpus.dictionary says which concept a name is of."""

    def __init__(self, knowledge_base: KnowledgeBase, settings: LinkingSettings, files: LinkerFiles) -> None:
        self._dictionary = Dictionary(names_of(knowledge_base))

    def link(self, passages: Sequence[Passage]) -> list[Linked]:
        """Return the names in each passage; a name's score is 1."""
        found = (self._dictionary.find(passage.text) for passage in passages)
        return [Linked([Mention(*match, 1.0) for match in matches], len(matches)) for matches in found]

    def about(self) -> dict[str, Any]:
        """Return what became of the names."""
        return {"names": self._dictionary.counts._asdict()}


class GoldLinker:
    """Links the mentions that the file states, by the ids that it states."""

    def __init__(self, knowledge_base: KnowledgeBase, settings: LinkingSettings, files: LinkerFiles) -> None:
        self._concepts = GoldConcepts(knowledge_base, id_map=files.id_map)
        self._has_warned = False

    def link(self, passages: Sequence[Passage]) -> list[Linked]:
        """Return the stated mentions of each passage, one for each concept; a link's score is 1."""
        concepts = self._concepts.of(one for passage in passages for gold in passage.gold for one in gold.ids)
        linked = []
        for passage in passages:
            mentions = [
                Mention(gold.char_start, gold.char_end, cui, 1.0)
                for gold in sorted(passage.gold)
                for cui in dict.fromkeys(concepts[one] for one in gold.ids)
                if cui is not None
            ]
            linked.append(Linked(mentions, len(passage.gold)))
        if passages and not self._has_warned and not any(one.mentions for one in linked):
            self._has_warned = True
            why = "the file states no mention; choose another --linker"
            if unknown := next(iter(concepts), None):
                known = f"none of the {len(concepts)} ids, such as {unknown}"
                why = f"the knowledge base knows {known}; see --id-map"
            elif any(one.detected for one in linked):
                why = "none of the stated mentions has an id"
            _log.warning("--linker gold links nothing in %d passages: %s", len(passages), why)
        return linked

    def about(self) -> dict[str, Any]:
        """Return nothing: the file decides."""
        return {}


def _scispacy(knowledge_base: KnowledgeBase, settings: LinkingSettings, files: LinkerFiles) -> Linker:
    # SciPy and scikit-learn, seconds of imports, are of use to this linker alone.
    from kebench.corpus.scispacy_linker import ScispacyLinker

    return ScispacyLinker(knowledge_base, settings, files.definitions)


LINKERS: dict[str, Callable[[KnowledgeBase, LinkingSettings, LinkerFiles], Linker]] = {
    "scispacy": _scispacy,
    "dictionary": DictionaryLinker,
    "gold": GoldLinker,
}
