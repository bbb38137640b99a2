"""Examples as word pieces, in flat arrays that load from the cache in milliseconds, and a model's answers.

Every example is a row of word pieces and some *decisions*: places whose hidden states the classifier reads,
and the label it should give. Tagging decides once a word, at its first piece; a relation is one decision at
two places; a text or a pair of texts is one at its first piece. So all kinds share arrays, batches, loop and
cache.
"""

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[Any]
Ints = npt.NDArray[np.integer[Any]]


class Ragged(NamedTuple):
    """Rows of different length: row i is values[offsets[i]:offsets[i + 1]]."""

    values: Numbers
    offsets: npt.NDArray[np.int64]

    @classmethod
    def of(cls, rows: list[Any], dtype: type = np.int32) -> "Ragged":
        """Pack a list of sequences of numbers, or of equally wide 2-d ones."""
        arrays: list[Numbers] = [np.asarray(row, dtype=dtype) for row in rows]
        lengths = np.array([len(array) for array in arrays], dtype=np.int64)
        offsets = np.concatenate([np.zeros(1, dtype=np.int64), lengths.cumsum()])
        filled = [array for array in arrays if len(array)]
        return cls(np.concatenate(filled) if filled else np.zeros(0, dtype=dtype), offsets)

    def row(self, place: int) -> Numbers:
        """Return one row, a view."""
        return self.values[self.offsets[place] : self.offsets[place + 1]]

    def lengths(self) -> npt.NDArray[np.int64]:
        """Return the length of every row."""
        return np.diff(self.offsets)


class Encoded(NamedTuple):
    """One split as arrays.

    pieces: word pieces of each example, special tokens included, cut at the maximum length.
    segments: of each piece of a pair of texts which of the two it is of (`token_type_ids`), as the tokenizer
        has it; nothing where it tells none apart, or where an example is one text.
    places: for each decision, the (1 or 2) places in `pieces` that the classifier reads.
    units: for each decision, which word it is about, or 0 for the whole example.
    labels: for each decision, its gold: the index of a label, 0 or 1 for each label, or a value; as the
        kind's head takes it (`kebench.finetune.classifier`).
    was_cut: for each example, 1 if the maximum length cut pieces off, else 0.
    num_missing: for each example, how many of its entity indicators it lacks; 0 where a kind has none.
    """

    pieces: Ragged
    segments: Ragged
    places: Ragged
    units: Ragged
    labels: Ragged
    was_cut: Ragged
    num_missing: Ragged

    @property
    def num_examples(self) -> int:
        """How many examples there are (len() would count the fields)."""
        return len(self.pieces.offsets) - 1

    def take(self, rows: Sequence[int]) -> "Encoded":
        """Return some examples, in the order of `rows`."""
        return Encoded(
            *(Ragged.of([ragged.row(row) for row in rows], ragged.values.dtype.type) for ragged in self)
        )


class Answer(NamedTuple):
    """What a model says of one example: for each decision what `Encoded.labels` holds, and a confidence.

    permille: the probability of the answer in thousandths; of a value there is none, and no entry.
    """

    labels: Numbers
    permille: Ints


def was_cut(batch: Any) -> Ragged:
    """Tell for each text of a tokenised batch whether the maximum length cut pieces off."""
    return Ragged.of([[int(bool(encoding.overflowing))] for encoding in batch.encodings])


# Which text of a pair the maximum length cuts, always at its end.
Cut = Literal["longer", "second"]


def encode_texts(
    tokenizer: Any,
    texts: Sequence[str] | Sequence[tuple[str, str]],
    labels: Sequence[Any],
    *,
    max_length: int,
    label_type: type = np.int32,
    cut: Cut = "longer",
) -> Encoded:
    """Tokenise texts, or pairs of texts; of each one decision, its label, is made at its first piece.

    Pairs stand together as the tokenizer puts them, with its separators and segments. cut: the longer text of
    a pair loses pieces until both fit, or the second alone; a first one that leaves no place for any of the
    second is cut as well.
    """
    pairs = [text for text in texts if not isinstance(text, str)]
    is_long = [True] * len(texts)
    if pairs and cut == "second":
        room = max_length - tokenizer.num_special_tokens_to_add(pair=True)
        firsts = tokenizer([pair[0] for pair in pairs], add_special_tokens=False)["input_ids"]
        is_long = [len(pieces) >= room for pieces in firsts]
    rows: list[dict[str, Any]] = [{}] * len(texts)
    cuts = Ragged.of([[0]] * len(texts))
    for longer, strategy in ((True, "longest_first"), (False, "only_second")):
        places = [place for place, one in enumerate(is_long) if one is longer]
        if not places:
            continue
        batch = tokenizer(
            [texts[place] for place in places],
            truncation=strategy,
            max_length=max_length,
            return_attention_mask=False,
            return_token_type_ids=bool(pairs),
        )
        cuts.values[places] = was_cut(batch).values
        for row, place in enumerate(places):
            rows[place] = {name: batch[name][row] for name in batch}
    # A tokenizer that tells the two texts apart has a 1 somewhere.
    segments = [row.get("token_type_ids", []) for row in rows]
    if not any(any(row) for row in segments):
        segments = [[]] * len(texts)
    alone = [[0]] * len(texts)
    return Encoded(
        pieces=Ragged.of([row["input_ids"] for row in rows]),
        segments=Ragged.of(segments, np.uint8),
        places=Ragged.of([[[0]]] * len(texts)),
        units=Ragged.of(alone),
        labels=Ragged.of([[label] for label in labels], label_type),
        was_cut=cuts,
        num_missing=Ragged.of(alone),
    )
