"""Sequences of a corpus on disk: made once for a corpus and a tokenizer, then mapped into memory.

A folder a shard of the corpus, with an Arrow file for training and one for what is held out, so memory does
not grow with the corpus and any sequence can be read at any time. Each folder appears whole or not at all,
with the hashes of its files; what is damaged is made again. They live in the cache (docs/FORMATS.md).
"""

import json
import zlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet

from kebench.bounded import parse_json, read_within
from kebench.corpus.linked import LinkedCorpus, LinkedPassage
from kebench.errors import UserError
from kebench.files import atomic_folder, cache_folder, hash_of, remove_if_broken, sweep_temporaries
from kebench.leases import share_one
from kebench.pretrain.encode import Ints, PackedSequence, Packer, encode_passages
from kebench.progress import progress

ENCODING_VERSION = 1  # raised by every change that can move a piece, a mention or what is held out
FOLDER_VERSION = 2  # raised by every change of how a folder in the cache is laid out
CORPUS, MANIFEST, COUNTS = "corpus", "sequences.json", "counts.json"
SPLITS = ("train", "held-out")
_SCHEMA = pa.schema(
    [
        ("pieces", pa.list_(pa.int32())),
        ("starts_word", pa.list_(pa.uint8())),
        ("mentions", pa.list_(pa.int32())),  # start, end, entity; start, end, entity; ...
        ("documents", pa.list_(pa.string())),
    ]
)


class Shard(NamedTuple):
    """Columns of one file, as arrays that stay on disk, with where each sequence's values begin."""

    piece: Ints
    starts_word: Any
    piece_begin: Ints
    mention: Ints
    mention_begin: Ints
    documents: pa.ListArray


class Sequences:
    """The sequences of one split, by number."""

    def __init__(self, paths: list[Path]) -> None:
        self._shards: list[Shard] = []
        for path in paths:
            batch = pyarrow.ipc.open_file(pa.memory_map(str(path))).get_batch(0)
            piece, starts_word, mention, documents = batch.columns
            self._shards.append(
                Shard(
                    piece.values.to_numpy(),
                    starts_word.values.to_numpy(),
                    piece.offsets.to_numpy(),
                    mention.values.to_numpy(),
                    mention.offsets.to_numpy(),
                    documents,
                )
            )
        sizes = [len(shard.documents) for shard in self._shards]
        self._begin = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)

    def __len__(self) -> int:
        return int(self._begin[-1])

    def num_pieces(self, number: int) -> int:
        """Return the length of a sequence, which is not read."""
        shard, row = self._find(number)
        return int(shard.piece_begin[row + 1] - shard.piece_begin[row])

    def _find(self, number: int) -> tuple[Shard, int]:
        place = int(np.searchsorted(self._begin, number, side="right")) - 1
        return self._shards[place], number - int(self._begin[place])

    def __getitem__(self, number: int) -> PackedSequence:
        shard, row = self._find(number)
        start, end = shard.piece_begin[row : row + 2]
        first, last = shard.mention_begin[row : row + 2]
        return PackedSequence(
            shard.piece[start:end],
            shard.starts_word[start:end].astype(bool),
            shard.mention[first:last].reshape(-1, 3),
            tuple(shard.documents[row].as_py()),
        )


class EncodedCorpus(NamedTuple):
    """A corpus as sequences. cuis: of each entity row. counts: of each split, and what was dropped."""

    folder: Path
    cuis: pa.StringArray
    counts: dict[str, dict[str, int]]

    def split(self, name: str) -> Sequences:
        """Open the sequences of a split."""
        # without what a kill has left unfinished, whose name begins with a dot
        return Sequences(sorted(self.folder.glob(f"[!.]*/{name}.arrow")))


def encode_corpus(
    corpus: LinkedCorpus, tokenizer: Any, *, max_tokens: int, held_out_share: float
) -> EncodedCorpus:
    """Return a corpus as sequences, from the cache or made now; a kill loses one shard's work.

    held_out_share: of the documents, by a hash of their ids.

    Raises UserError if the corpus is empty, or if a tokenizer lacks a token that sequences need.
    """
    if None in (tokenizer.cls_token_id, tokenizer.sep_token_id, tokenizer.mask_token_id):
        raise UserError("the backbone's tokenizer has no [CLS], [SEP] or [MASK]; choose another backbone")
    spelling = tokenizer.backend_tokenizer.to_str()
    decides = [ENCODING_VERSION, corpus.manifest.content_hash, spelling, max_tokens, held_out_share]
    identity = hash_of([FOLDER_VERSION, *decides])
    folder = cache_folder() / "sequences" / identity[:16]
    places = [folder / path.stem for path in corpus.paths()]
    whole = folder / CORPUS  # written last

    def is_done() -> bool:
        for place in (*places, whole):
            remove_if_broken(place)
        return all(place.is_dir() for place in (*places, whole))

    def encode() -> None:
        folder.mkdir(parents=True, exist_ok=True)
        sweep_temporaries(folder)
        cuis = sorted(corpus.cuis())
        row_of = {cui: row for row, cui in enumerate(cuis)}
        counts: dict[str, Counter[str]] = {name: Counter() for name in (*SPLITS, "dropped")}
        with progress("sequences", total=corpus.manifest.counts.documents, unit="documents") as advance:
            for shard, place in zip(corpus.manifest.shards, places, strict=True):
                if not place.is_dir():
                    with atomic_folder(place, point="sequences", sealed=True) as made:
                        passages = corpus.passages_of(shard)
                        _encode_shard(passages, made, tokenizer, row_of, max_tokens, held_out_share)
                of_shard = parse_json(read_within(place / COUNTS))
                for name in counts:
                    counts[name].update(of_shard[name])
                advance(shard.documents)
        with atomic_folder(whole, point="sequences", sealed=True) as made:
            stated = {"schema": 1, "counts": counts, "cuis": cuis}
            (made / MANIFEST).write_text(json.dumps(stated), encoding="utf-8")

    share_one(folder.with_suffix(".running"), is_done=is_done, work=encode)
    stated = parse_json(read_within(whole / MANIFEST))
    if not stated["counts"]["train"]["sequences"]:
        raise UserError(f"{corpus.folder}: no text to train on; choose a corpus with documents")
    return EncodedCorpus(folder, pa.array(stated["cuis"], pa.string()), stated["counts"])


def _encode_shard(
    passages: Iterator[LinkedPassage],
    folder: Path,
    tokenizer: Any,
    row_of: dict[str, int],
    max_tokens: int,
    held_out_share: float,
) -> None:
    """Write the sequences of one shard of a corpus, and how many they are, into a folder that exists."""
    dropped: Counter[str] = Counter()
    rows: dict[str, list[PackedSequence]] = {}
    packers: dict[str, Packer] = {}
    for split in SPLITS:
        rows[split] = []
        packers[split] = Packer(
            max_tokens, first_id=tokenizer.cls_token_id, separator_id=tokenizer.sep_token_id
        )
    for document, pieces in encode_passages(
        passages, tokenizer.backend_tokenizer, row_of.__getitem__, dropped
    ):
        split = SPLITS[is_held_out(document, held_out_share)]
        rows[split] += packers[split].add(document, pieces)
    counts: dict[str, dict[str, int]] = {"dropped": dropped}
    for split in SPLITS:
        rows[split] += packers[split].flush()
        _write_arrow(rows[split], folder / f"{split}.arrow")
        counts[split] = {
            "sequences": len(rows[split]),
            "pieces": sum(len(one.piece_T) for one in rows[split]),
            "mentions": sum(len(one.mention_M3) for one in rows[split]),
        }
    (folder / COUNTS).write_text(json.dumps(counts), encoding="utf-8")


def is_held_out(document: str, share: float) -> bool:
    """Tell by a document's id whether it is held out."""
    return zlib.crc32(document.encode()) < share * 2**32


def _write_arrow(sequences: list[PackedSequence], path: Path) -> None:
    def lists(values: Iterator[Any], kind: pa.DataType) -> pa.ListArray:
        parts = list(values)
        offsets = np.concatenate([[0], np.cumsum([len(part) for part in parts])]).astype(np.int32)
        flat = np.concatenate(parts) if parts else np.zeros(0)
        return pa.ListArray.from_arrays(pa.array(offsets), pa.array(flat, kind))

    columns = [
        lists((one.piece_T for one in sequences), pa.int32()),
        lists((one.starts_word_T.astype(np.uint8) for one in sequences), pa.uint8()),
        lists((one.mention_M3.ravel() for one in sequences), pa.int32()),
        pa.array([list(one.documents) for one in sequences], pa.list_(pa.string())),
    ]
    with pyarrow.ipc.new_file(str(path), _SCHEMA) as writer:
        writer.write_batch(pa.record_batch(columns, schema=_SCHEMA))
