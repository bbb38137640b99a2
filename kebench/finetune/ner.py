"""NER as BIO tagging (KeBioLM, section 4.3): one decision a word, read at its first word piece.

Words that the maximum length cuts off, and words of which the tokenizer leaves nothing, get no
decision and count as O: the gold stays whole, and the number of cut words is recorded.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from kebench.finetune.encode import Encoded, Ragged, was_cut
from kebench.finetune.loop import Answer
from kebench.tasks.readers import Sentence

TAGS = "OBI"  # the label's index is its place here


def encode_sentences(tokenizer: Any, sentences: Sequence[Sentence], *, max_length: int) -> Encoded:
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
    rows = [_first_places(batch.word_ids(row)) for row in range(len(sentences))]
    labels = [
        [TAGS.index(sentence.tags[word]) for word in words]
        for sentence, (words, _) in zip(sentences, rows, strict=True)
    ]
    return Encoded(
        pieces=Ragged.of(batch["input_ids"]),
        places=Ragged.of([np.reshape(places, (-1, 1)) for _, places in rows]),
        units=Ragged.of([words for words, _ in rows]),
        labels=Ragged.of(labels),
        was_cut=was_cut(batch),
        num_missing=Ragged.of([[0]] * len(sentences)),
    )


def _first_places(word_ids: Sequence[int | None]) -> tuple[list[int], list[int]]:
    """Return the words that have a piece, and the place of each one's first piece."""
    first: dict[int, int] = {}
    for place, word in enumerate(word_ids):
        if word is not None:
            first.setdefault(word, place)
    return list(first), list(first.values())


def predicted_split(
    sentences: Sequence[Sentence], encoded: Encoded, answers: Sequence[Answer]
) -> dict[str, Any]:
    """Return what is stored of one split: ids, gold and predicted tags, confidences, words kept; no text."""
    predicted, confidences, num_kept = [], [], []
    for row, (sentence, answer) in enumerate(zip(sentences, answers, strict=True)):
        words = encoded.units.row(row)
        tags = ["O"] * len(sentence.words)
        permille: list[int | None] = [None] * len(sentence.words)
        for word, label, confidence in zip(words, answer.labels, answer.permille, strict=True):
            tags[word] = TAGS[label]
            permille[word] = int(confidence)
        predicted.append("".join(tags))
        confidences.append(permille)
        is_cut = encoded.was_cut.row(row)[0]
        num_kept.append(int(words.max(initial=-1)) + 1 if is_cut else len(sentence.words))
    return {
        "ids": [sentence.id for sentence in sentences],
        "gold": [sentence.tags for sentence in sentences],
        "predicted": predicted,
        "num_kept": num_kept,
        "confidence_permille": confidences,
    }
