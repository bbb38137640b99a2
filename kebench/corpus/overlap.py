"""How many mentions of the tasks a knowledge base knows (KeBioLM, Table 1), and how models do on those.

A mention is known if its letters and digits, in lower case, are those of a name: the tasks' files are cut
into words, so blanks and hyphens say nothing. Mentions of a NER task are its entities. Those of ChemProt and
DDI are the entities of their original distributions that stand in a pair of the task, since the task's files
blind them; GAD has no such distribution.
"""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import pyarrow

from kebench.corpus.exclude import compared
from kebench.errors import UserError
from kebench.kinds.card import SPLITS, TaskCard
from kebench.kinds.registry import KINDS
from kebench.kinds.tagging import Sentence
from kebench.scoring.counts import Counts
from kebench.scoring.entities import Tags, entity_spans
from kebench.tasks.convert.chemprot import read_entity_texts
from kebench.tasks.convert.ddi import read_drug_texts
from kebench.umls.database import connect
from kebench.umls.knowledge_base import KnowledgeBase

RAW: dict[str, Callable[[Path], list[str]]] = {"chemprot": read_entity_texts, "ddi": read_drug_texts}


class Overlap(NamedTuple):
    """One row of Table 1's right half. in_corpus: mentions that name a concept of the corpus."""

    task: str
    mentions: int | None
    in_kb: int | None
    in_corpus: int | None


# Kinds of mentions: whether the knowledge base has them, whether the training set has them.
BUCKETS = ("known", "unknown", "seen", "unseen", "known, unseen", "unknown, unseen")


def mention_texts(task: TaskCard, data: Path, raw: Path | None) -> list[str] | None:
    """Return the text of every mention of a task, over all splits; None where there is nothing to count.

    raw: the folder of original distributions (chemprot, ddi).
    """
    kind = KINDS[task.kind]
    if kind.mentions:
        splits = (kind.read(task, task.find_split(data, split)).examples for split in SPLITS)
        return [
            text
            for examples in splits
            for one in examples
            for text in kind.mentions(one, kind.labels_of(one))
        ]
    if task.name not in RAW or raw is None:
        return None
    folder = raw / task.name
    if not folder.exists():
        raise UserError(f"{folder}: no such folder; --raw names the one with the original chemprot and ddi")
    return RAW[task.name](folder)


class KnownNames:
    """Finds which texts are names, and of which concepts."""

    def __init__(self, knowledge_base: KnowledgeBase, texts: Iterable[str]) -> None:
        forms = sorted({form for text in texts if (form := compared(text))})
        names = knowledge_base.tables()["names"]
        with connect() as connection:
            connection.register("asked", pyarrow.table({"form": pyarrow.array(forms, pyarrow.string())}))
            rows = connection.execute(
                rf"""WITH names AS (
                    SELECT DISTINCT regexp_replace(lower(name), '[^\p{{L}}\p{{N}}]+', '', 'g') AS form, cui
                    FROM {names}
                )
                SELECT form, list(cui ORDER BY cui) FROM asked JOIN names USING (form) GROUP BY form"""
            ).fetchall()
        self._cuis: dict[str, list[str]] = dict(rows)

    def has(self, text: str) -> bool:
        """Say whether a text is a name."""
        return compared(text) in self._cuis

    def cuis(self, text: str) -> list[str]:
        """Return the concepts that a text is a name of."""
        return self._cuis.get(compared(text), [])


def overlap_of(
    task: str, texts: Sequence[str] | None, names: KnownNames, corpus_cuis: frozenset[str] | None
) -> Overlap:
    """Count the mentions of a task that the knowledge base, and the corpus, know."""
    if texts is None:
        return Overlap(task, None, None, None)
    cuis = [names.cuis(text) for text in texts]
    in_corpus = None if corpus_cuis is None else sum(not corpus_cuis.isdisjoint(found) for found in cuis)
    return Overlap(task, len(texts), sum(map(bool, cuis)), in_corpus)


def bucket_counts(
    sentences: Sequence[Sentence],
    predicted: Sequence[Tags],
    is_known: Callable[[str], bool],
    is_seen: Callable[[str], bool],
) -> dict[str, Counts]:
    """Count entities by kind; a wrong one counts under the kind of its own text.

    predicted: the tags of each sentence of the test set, in order.
    """
    totals = dict.fromkeys(BUCKETS, Counts(0, 0, 0))
    for sentence, tags in zip(sentences, predicted, strict=True):
        gold, found = set(entity_spans(sentence.tags)), set(entity_spans(tags))
        for span in gold | found:
            start, end, *_ = span
            text = " ".join(sentence.words[start:end])
            one = Counts(span in gold, span in found, span in gold & found)
            known = "known" if is_known(text) else "unknown"
            of = [known, "seen"] if is_seen(text) else [known, "unseen", f"{known}, unseen"]
            for name in of:
                totals[name] = Counts(*map(sum, zip(totals[name], one, strict=True)))
    return totals
