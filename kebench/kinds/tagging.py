"""Tasks that label words, one decision a word, read at its first word piece: what NER and PICO share.

Words that the maximum length cuts off, and words of which the tokenizer leaves nothing, get no decision and
count as O: the gold stays whole, and the number of cut words is recorded.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Annotated, Any, NamedTuple

import numpy as np
from pydantic import Field, model_validator

from kebench.kinds.encoded import Answer, Encoded, Ragged, was_cut
from kebench.kinds.kind import Permille, StoredSplit
from kebench.scoring.calibration import WHOLE, Judgement
from kebench.scoring.entities import Tags

TagsOf = Callable[[Any], list[str]]  # the tags of a card, in the order of their labels


class Sentence(NamedTuple):
    """A sentence: its words, and as many tags: letters of a string, or B-TYPE ... where types count.

    id: of NER its row, from 0.
    """

    id: str
    words: tuple[str, ...]
    tags: Tags

    @property
    def text(self) -> str:
        """The words with a blank between them."""
        return " ".join(self.words)

    @property
    def gold(self) -> str:
        """The tags as one string."""
        return self.tags if isinstance(self.tags, str) else " ".join(self.tags)


def tag_names(types: tuple[str, ...], *, behind: str) -> tuple[str, ...]:
    """Return the types of a card. Raises ValueError where they cannot stand behind the letters of a tag."""
    if len(set(types)) < len(types) or not all(name and name == "".join(name.split()) for name in types):
        raise ValueError(f"expected names without blanks, each once, as they stand behind {behind}")
    return types


def encode_words(
    tags_of: TagsOf, tokenizer: Any, sentences: Sequence[Sentence], card: Any, max_length: int
) -> Encoded:
    """Tokenise pre-split words and find each word's first piece.

    The tokenizer must treat a word as if a blank stood before it (`load_tokenizer` sees to that
    for byte-level BPE), or first pieces would differ from those of running text.
    """
    batch = tokenizer(
        [list(sentence.words) for sentence in sentences],
        is_split_into_words=True,
        truncation=True,
        max_length=max_length,
        return_attention_mask=False,
        return_token_type_ids=False,
    )
    number = {tag: place for place, tag in enumerate(tags_of(card))}
    first: list[dict[int, int]] = [{} for _ in sentences]  # by word that has a piece: its first one's place
    for row, places in enumerate(first):
        for place, word in enumerate(batch.word_ids(row)):
            if word is not None:
                places.setdefault(word, place)
    labels = [
        [number[sentence.tags[word]] for word in places]
        for sentence, places in zip(sentences, first, strict=True)
    ]
    return Encoded(
        pieces=Ragged.of(batch["input_ids"]),
        segments=Ragged.of([[]] * len(sentences)),
        places=Ragged.of([np.reshape(list(places.values()), (-1, 1)) for places in first]),
        units=Ragged.of([list(places) for places in first]),
        labels=Ragged.of(labels),
        was_cut=was_cut(batch),
        num_missing=Ragged.of([[0]] * len(sentences)),
    )


def predicted_tags(
    tags_of: TagsOf, card: Any, sentences: Sequence[Sentence], encoded: Encoded, answers: Sequence[Answer]
) -> dict[str, Any]:
    """Return what is stored of one split: ids, gold and predicted tags, confidences, words kept; no text."""
    predicted: list[Tags] = []
    confidences, num_kept = [], []
    names = tags_of(card)
    for row, (sentence, answer) in enumerate(zip(sentences, answers, strict=True)):
        words = encoded.units.row(row)
        tags = ["O"] * len(sentence.words)
        permille: list[int | None] = [None] * len(sentence.words)
        for word, label, confidence in zip(words, answer.labels, answer.permille, strict=True):
            tags[word] = names[label]
            permille[word] = int(confidence)
        predicted.append("".join(tags) if isinstance(sentence.tags, str) else tags)
        confidences.append(permille)
        is_cut = encoded.was_cut.row(row)[0]
        num_kept.append(int(words.max(initial=-1)) + 1 if is_cut else len(sentence.words))
    return {
        "ids": [sentence.id for sentence in sentences],
        "gold": [
            sentence.tags if isinstance(sentence.tags, str) else list(sentence.tags) for sentence in sentences
        ],
        "predicted": predicted,
        "num_kept": num_kept,
        "confidence_permille": confidences,
    }


class StoredSentences(StoredSplit):
    """Tags are a string where mentions have no types, else a list. num_kept: words that were not cut off."""

    gold: list[str | list[str]]
    predicted: list[str | list[str]]
    num_kept: list[Annotated[int, Field(ge=0)]]
    confidence_permille: list[list[Permille | None]] | None = None

    @model_validator(mode="after")
    def _has_a_tag_a_word(self) -> "StoredSentences":
        for gold, predicted, kept in zip(self.gold, self.predicted, self.num_kept, strict=True):
            if len(gold) != len(predicted) or kept > len(gold):
                raise ValueError("a sentence with more tags, or words kept, than words, or fewer tags")
        for tags, of_words in zip(self.predicted, self.confidence_permille or [], strict=False):
            if len(tags) != len(of_words) or any(
                one is None and tag != "O" for one, tag in zip(of_words, tags, strict=True)
            ):
                raise ValueError("confidence_permille does not fit what was predicted")
        return self


def cut_words(part: Mapping[str, Any]) -> dict[str, int]:
    """Return how many words of a stored split the maximum length cut off."""
    kept = zip(part["gold"], part["num_kept"], strict=True)
    return {"num_cut": sum(len(tags) - number for tags, number in kept)}


def word_judgements(part: Mapping[str, Any]) -> Iterator[Judgement]:
    """Yield every tag that was decided, O among them; words that were cut off are not."""
    lines = zip(part["gold"], part["predicted"], part["confidence_permille"], strict=True)
    for golds, predicteds, of_words in lines:
        for gold, predicted, permille in zip(golds, predicteds, of_words, strict=True):
            if permille is not None:
                yield Judgement(permille / WHOLE, gold == predicted)
