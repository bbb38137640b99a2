"""`kebench errors --kb`: which gold mentions of a test set a knowledge base has a name for."""

from collections.abc import Sequence
from pathlib import Path

from kebench.corpus.overlap import KnownNames
from kebench.kinds.errors import Known
from kebench.kinds.iob import Sentence
from kebench.kinds.ner import mentions_of
from kebench.umls.knowledge_base import KnowledgeBase

NOTE = (
    "in the KB: letters and digits of the mention, in lower case, are those of a name of {release}, "
    "whatever the concept."
)


def known_mentions(kb_folder: Path, sentences: Sequence[Sentence]) -> Known:
    """Return which gold mentions of some sentences a knowledge base knows, as `kebench overlap` counts."""
    knowledge_base = KnowledgeBase.open(kb_folder)
    names = KnownNames(knowledge_base, (text for one in sentences for text in mentions_of(one, one.tags)))
    note = NOTE.format(release=knowledge_base.manifest.release)
    return Known(lambda words: names.has(" ".join(words)), note)
