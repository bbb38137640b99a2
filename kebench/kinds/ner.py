"""NER as tagging (KeBioLM, section 4.3).

Mentions have one type or none: then tags are B, I and O. A card that names types has B and I of each.
"""

from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from math import prod
from pathlib import Path
from typing import Any, Literal

from pydantic import field_validator, model_validator

from kebench.kinds.card import TaskCard
from kebench.kinds.iob import MEND_TYPES, iob_form, read_tagged, several_types
from kebench.kinds.kind import Kind, Read, Stored, Words
from kebench.kinds.lines import LineError
from kebench.kinds.ner_errors import tagging_errors
from kebench.kinds.schemes import Scheme
from kebench.kinds.tagging import (
    Sentence,
    StoredSentences,
    cut_words,
    encode_words,
    predicted_tags,
    tag_names,
    word_judgements,
)
from kebench.scoring.calibration import WHOLE, Judgement
from kebench.scoring.entities import Tags, entity_spans


class NerCard(TaskCard):
    """A task of tagged mentions.

    format: iob (token TAB tag). scheme: that of the tags, where a file in another is to be refused; None
        recognises it.
    types: of mentions, as the tags name them ("DNA" of B-DNA); they are learnt and scored. None: mentions
        have no types. ignore_types: the files may tag several, which are neither learnt nor scored.
    """

    kind: Literal["ner"] = "ner"
    format: Literal["iob"]
    metric: Literal["entity_f1", "word_macro_f1"] = "entity_f1"
    scheme: Scheme | None = None
    types: tuple[str, ...] = ()
    ignore_types: bool = False

    @field_validator("types")
    @classmethod
    def _are_names(cls, types: tuple[str, ...]) -> tuple[str, ...]:
        return tag_names(types, behind="B- and I-")

    @model_validator(mode="after")
    def _has_types_or_not(self) -> "NerCard":
        if self.types and self.ignore_types:
            raise ValueError("types are either named or ignored: remove types or ignore_types")
        return self


def tags_of(task: "NerCard | StoredTagging") -> list[str]:
    """Return the tags of a task; a label's index is its place here."""
    typed = [f"{letter}-{name}" for name in task.types for letter in "BI"]
    return ["O", *(typed or "BI")]


def read_sentences(card: NerCard, path: Path) -> Read:
    """Read one split's file. Raises UserError with file and line."""
    remedy = card.remedy
    if card.scheme:
        remedy = f"mend the file, or the card's scheme, which is {card.scheme} (left out, it is recognised)"
    return read_tagged(
        path, scheme=card.scheme, types=card.types, ignore_types=card.ignore_types, remedy=remedy
    )


def refuse_other_type(card: NerCard, paths: Mapping[str, Path], read: Mapping[str, Read], split: str) -> None:
    """Raise LineError if a file's mentions are of another type than those of a file before it."""
    if card.ignore_types or card.types:
        return
    for name, line in read[split].types.items():
        for other, before in read.items():
            if name and any(before.types) and name not in before.types:
                what = several_types([name, *before.types], where=f"of {paths[other].name}")
                raise LineError(paths[split], line, what, MEND_TYPES)


encode_sentences = partial(encode_words, tags_of)
predicted_split = partial(predicted_tags, tags_of)


class StoredTagging(Stored):
    """types: those that tags may have behind B- and I-; none of untyped tasks."""

    types: list[str] = []
    dev: StoredSentences
    test: StoredSentences

    @model_validator(mode="after")
    def _knows_its_tags(self) -> "StoredTagging":
        known = set(tags_of(self))
        for part in (self.dev, self.test):
            for tags in (*part.gold, *part.predicted):
                if isinstance(tags, str) is bool(self.types) or not known.issuperset(tags):
                    raise ValueError("a tag that is none of the task's")
        return self


def entity_judgements(part: Mapping[str, Any]) -> Iterator[Judgement]:
    """Yield every predicted entity: its confidence is the product of its words', each decided by itself."""
    lines = zip(part["gold"], part["predicted"], part["confidence_permille"], strict=True)
    for gold, predicted, of_words in lines:
        golds = set(entity_spans(gold))
        for span in entity_spans(predicted):
            yield Judgement(prod(one / WHOLE for one in of_words[span[0] : span[1]]), span in golds)


def mentions_of(sentence: Sentence, tags: Tags) -> Iterator[str]:
    """Yield the text of every entity that some tags of a sentence mark."""
    for start, end, *_ in entity_spans(tags):
        yield " ".join(sentence.words[start:end])


def count_mentions(sentences: Iterable[Sentence]) -> int:
    """Count the mentions of sentences, each at the tag that begins it."""
    return sum(tag[0] == "B" for sentence in sentences for tag in sentence.tags)


NER = Kind(
    name="ner",
    short="ner",
    title="NER",
    words=Words("sentence", "mention", "mention", "tag"),
    card=NerCard,
    metrics=("entity_f1", "entity_f1_lenient", "word_macro_f1"),
    published="entity_f1_lenient",
    task_type="token-classification",
    read=read_sentences,
    # What a record of an untyped task has always been hashed of; types come in where there are such.
    hashed=lambda card: [[card.kind, card.format, card.metric, (), ""], (), (), *filter(None, [card.types])],
    encode=encode_sentences,
    num_outputs=lambda card: len(tags_of(card)),
    predicted=predicted_split,
    stored=StoredTagging,
    labels_of=lambda sentence: sentence.tags,
    loss="cross-entropy, end cut",
    header=lambda card: {"types": list(card.types)},
    count_units=count_mentions,
    count_gold=lambda card, sentences: count_mentions(sentences),
    gold_row=lambda sentence: sentence.gold,
    refuse_beside=refuse_other_type,
    cut=cut_words,
    calibrated={"predicted entities": entity_judgements, "words": word_judgements},
    trivial=lambda card, train, gold: {
        "all-negative": ["O" * len(tags) if isinstance(tags, str) else ["O"] * len(tags) for tags in gold]
    },
    errors=tagging_errors,
    mentions=mentions_of,
    words_of=lambda card, sentence: sentence.words,
    written=lambda sentences: iob_form(list(sentences)),
    has_scheme=True,
)
