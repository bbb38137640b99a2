"""From linked passages to sequences of word pieces: whole sentences packed up to the length (section 4.1).

A sentence never ends within a mention, and a document is parted from the next by a separator. A sentence that
is longer than a sequence is cut between words, outside of mentions.
"""

# T word pieces of a passage, M mentions, S sentences

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from kebench.corpus.linked import LinkedPassage
from kebench.tasks.convert.sentences import sentence_spans

Ints = NDArray[np.int32]
BLOCK = 256  # passages tokenised at once


class Pieces(NamedTuple):
    """A passage in word pieces. mention_M3: start, end and entity of each mention, from left to right.

    starts_word_T: whether a piece begins a word. sentence_T: the number of its sentence.
    """

    piece_T: Ints
    starts_word_T: NDArray[np.bool_]
    sentence_T: Ints
    mention_M3: Ints


class PackedSequence(NamedTuple):
    """A sequence with its special tokens, its mentions in it, and the documents that it has text of."""

    piece_T: Ints
    starts_word_T: NDArray[np.bool_]
    mention_M3: Ints
    documents: tuple[str, ...]


def encode_passages(
    passages: Iterable[LinkedPassage], backend: Any, entity_of: Callable[[str], int], dropped: Counter[str]
) -> Iterator[tuple[str, Pieces]]:
    """Yield (document id, word pieces) of passages, in their order.

    backend: a fast tokenizer's. entity_of: the row of a CUI.
    dropped: counts mentions that cannot be used, by reason.
    """
    left = iter(passages)
    while block := list(islice(left, BLOCK)):
        encodings = backend.encode_batch([passage.text for passage in block], add_special_tokens=False)
        for passage, encoding in zip(block, encodings, strict=True):
            if encoding.ids:
                yield passage.document_id, _pieces(passage, encoding, entity_of, dropped)


def _pieces(
    passage: LinkedPassage, encoding: Any, entity_of: Callable[[str], int], dropped: Counter[str]
) -> Pieces:
    start_T, end_T = np.asarray(encoding.offsets, dtype=np.int32).T
    word_T = np.asarray(encoding.word_ids, dtype=np.float64)  # None, of a piece without a word, becomes nan
    starts_word_T = np.append(True, np.diff(word_T) != 0)
    spans = separate_mentions(passage.mentions, dropped)
    sentence_starts = np.asarray([start for start, _ in sentence_spans(passage.text)])
    mentions: list[tuple[int, int, int]] = []
    if spans:
        char_start, char_end, cuis = zip(*spans, strict=True)
        # The pieces of each mention; one that shares a piece with the mention before it is dropped.
        firsts = np.searchsorted(end_T, char_start, side="right")
        ends = np.searchsorted(start_T, char_end, side="left")
        for first, end, cui in zip(firsts.tolist(), ends.tolist(), cuis, strict=True):
            if first >= end or (mentions and first < mentions[-1][1]):
                dropped["no word piece of its own"] += 1
            else:
                mentions.append((first, end, entity_of(cui)))
        # No sentence begins within a mention: the last that began before it has ended by then.
        last = np.searchsorted(char_start, sentence_starts, side="left") - 1
        sentence_starts = sentence_starts[(last < 0) | (np.asarray(char_end)[last] <= sentence_starts)]
    sentence_T = np.searchsorted(sentence_starts, start_T, side="right").astype(np.int32)
    for first, end, _ in mentions:  # a piece may lie over a sentence's border
        sentence_T[first:end] = sentence_T[first]
    mention_M3 = np.asarray(mentions, dtype=np.int32).reshape(-1, 3)
    return Pieces(np.asarray(encoding.ids, dtype=np.int32), starts_word_T, sentence_T, mention_M3)


def separate_mentions(mentions: Iterable[Any], dropped: Counter[str]) -> list[tuple[int, int, str]]:
    """Return spans and CUIs from left to right, each span with its best link, none over another.

    Of links of one span that with the higher score counts, of spans that overlap the longer, then the first.
    """
    best: dict[tuple[int, int], tuple[float, str]] = {}
    for start, end, cui, score in mentions:
        if (start, end) not in best or score > best[start, end][0]:
            best[start, end] = (score, cui)
    kept: list[tuple[int, int, str]] = []
    for start, end in sorted(best, key=lambda span: (span[0] - span[1], span[0])):
        if all(end <= other_start or start >= other_end for other_start, other_end, _ in kept):
            kept.append((start, end, best[start, end][1]))
        else:
            dropped["within another mention"] += 1
    return sorted(kept)


class Packer:
    """Fills sequences with sentences in the order in which they come."""

    def __init__(self, max_tokens: int, *, first_id: int, separator_id: int) -> None:
        self.max_tokens, self.first_id, self.separator_id = max_tokens, first_id, separator_id
        self._parts: list[tuple[Ints, NDArray[np.bool_]]] = []
        self._mentions: list[Ints] = []
        self._documents: list[str] = []
        self._size = 1  # [CLS]

    def add(self, document: str, pieces: Pieces) -> Iterator[PackedSequence]:
        """Add a passage; yield the sequences that are full."""
        for start, end in self._stretches(pieces):
            is_new = not self._documents or self._documents[-1] != document
            parted = is_new and self._size > 1
            if self._size + parted + end - start > self.max_tokens - 1 and self._size > 1:
                yield self._sequence()
                is_new, parted = True, False
            if parted:
                self._append(np.full(1, self.separator_id, np.int32), np.ones(1, bool))
            if is_new:
                self._documents.append(document)
            inside = (pieces.mention_M3[:, 0] >= start) & (pieces.mention_M3[:, 0] < end)
            moved = np.array([self._size - start, self._size - start, 0], dtype=np.int32)
            self._mentions.append(pieces.mention_M3[inside] + moved)
            starts_word_T = pieces.starts_word_T[start:end].copy()
            starts_word_T[:1] = True
            self._append(pieces.piece_T[start:end], starts_word_T)

    def flush(self) -> Iterator[PackedSequence]:
        """Yield what is left, a shorter sequence."""
        if self._size > 1:
            yield self._sequence()

    def _stretches(self, pieces: Pieces) -> Iterator[tuple[int, int]]:
        """Yield the sentences' bounds; a sentence that no sequence has room for in several parts."""
        room = self.max_tokens - 2
        borders = np.flatnonzero(np.diff(pieces.sentence_T, prepend=-1, append=-1))
        may_cut_T: NDArray[np.bool_] | None = None
        for start, end in zip(borders[:-1].tolist(), borders[1:].tolist(), strict=True):
            while end - start > room:
                if may_cut_T is None:
                    may_cut_T = unit_starts(pieces.starts_word_T, pieces.mention_M3)
                places = np.flatnonzero(may_cut_T[start + 1 : start + room + 1])
                cut = start + 1 + int(places[-1]) if len(places) else start + room
                yield start, cut
                start = cut
            yield start, end

    def _append(self, piece_T: Ints, starts_word_T: NDArray[np.bool_]) -> None:
        self._parts.append((piece_T, starts_word_T))
        self._size += len(piece_T)

    def _sequence(self) -> PackedSequence:
        first, last = (np.full(1, token, np.int32) for token in (self.first_id, self.separator_id))
        one = np.ones(1, bool)
        pieces, starts = zip((first, one), *self._parts, (last, one), strict=True)
        mention_M3 = np.concatenate(self._mentions)
        # a sentence of one unbroken word can be cut within a mention, which then ends with the sequence
        mention_M3[:, 1] = np.minimum(mention_M3[:, 1], self._size)
        packed = PackedSequence(
            np.concatenate(pieces), np.concatenate(starts), mention_M3, tuple(self._documents)
        )
        self._parts, self._mentions, self._documents, self._size = [], [], [], 1
        return packed


def unit_starts(starts_word_T: NDArray[np.bool_], mention_M3: Ints) -> NDArray[np.bool_]:
    """Return where a word or mention begins; a word that a mention has a part of goes with the mention."""
    starts_T = starts_word_T.copy()
    for start, end, _ in mention_M3.tolist():
        starts_T[start + 1 : end] = False
    return starts_T
