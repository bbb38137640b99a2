"""Sequences of a corpus on disk: made once for a corpus and a tokenizer, then mapped into memory.

One Arrow file a shard of the corpus, one for training and one for what is held out, so memory does not grow
with the corpus and any sequence can be read at any time. They live in the cache (docs/FORMATS.md).
"""

import hashlib
import json
import logging
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
from kebench.files import cache_folder, hash_of, sha256_of, sweep_temporaries, write_atomically
from kebench.leases import share_one
from kebench.pretrain.encode import Ints, PackedSequence, Packer, encode_passages
from kebench.progress import progress

ENCODING_VERSION = 1  # raised by every change that can move a piece, a mention or what is held out
MANIFEST = "sequences.json"
SPLITS = ("train", "held-out")
_SCHEMA = pa.schema(
    [
        ("pieces", pa.list_(pa.int32())),
        ("starts_word", pa.list_(pa.uint8())),
        ("mentions", pa.list_(pa.int32())),  # start, end, entity; start, end, entity; ...
        ("documents", pa.list_(pa.string())),
    ]
)

_log = logging.getLogger(__name__)


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

    def __getitem__(self, number: int) -> PackedSequence:
        place = int(np.searchsorted(self._begin, number, side="right")) - 1
        shard, row = self._shards[place], number - int(self._begin[place])
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
        return Sequences(sorted(self.folder.glob(f"{name}-*.arrow")))


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
    identity = hash_of([ENCODING_VERSION, corpus.manifest.content_hash, spelling, max_tokens, held_out_share])
    folder = cache_folder() / "sequences" / identity[:16]
    share_one(
        folder.with_suffix(".running"),
        is_done=lambda: _is_whole(folder),
        work=lambda: _encode(corpus, tokenizer, folder, max_tokens=max_tokens, held_out_share=held_out_share),
    )
    stated = parse_json(read_within(folder / MANIFEST))
    if not stated["counts"]["train"]["sequences"]:
        raise UserError(f"{corpus.folder}: no text to train on; choose a corpus with documents")
    return EncodedCorpus(folder, pa.array(stated["cuis"], pa.string()), stated["counts"])


def _encode(
    corpus: LinkedCorpus, tokenizer: Any, folder: Path, *, max_tokens: int, held_out_share: float
) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    sweep_temporaries(folder)
    cuis = sorted(corpus.cuis())
    row_of = {cui: row for row, cui in enumerate(cuis)}
    counts: dict[str, Counter[str]] = {name: Counter() for name in (*SPLITS, "dropped")}
    shards: dict[str, Any] = {}
    with progress("sequences", total=corpus.manifest.counts.documents, unit="documents") as advance:
        for shard, path in zip(corpus.manifest.shards, corpus.paths(), strict=True):
            done = folder / f"{path.stem}.json"
            if not _is_whole_shard(done):
                found = _encode_shard(
                    corpus.passages_of(shard), path, tokenizer, row_of, folder, max_tokens, held_out_share
                )
                write_atomically(done, json.dumps(found), point="sequences")
            shards[done.stem] = parse_json(read_within(done))
            for name in counts:
                counts[name].update(shards[done.stem][name])
            advance(shard.documents)
    hashes = {name: one["sha256"] for name, one in shards.items()}
    stated = {"schema": 1, "counts": counts, "cuis": cuis, "sha256": hashes}
    text = json.dumps(stated | {"seal": _seal_of(stated)})
    write_atomically(folder / MANIFEST, text, point="sequences")


def _encode_shard(
    passages: Iterator[LinkedPassage],
    path: Path,
    tokenizer: Any,
    row_of: dict[str, int],
    folder: Path,
    max_tokens: int,
    held_out_share: float,
) -> dict[str, Any]:
    """Write the sequences of one shard of a corpus, `path`; return what they are."""
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
    hashes = {}
    for split in SPLITS:
        rows[split] += packers[split].flush()
        content = _arrow_file(rows[split])
        write_atomically(_arrow_path(folder, split, path.stem), content, point="sequences")
        hashes[split] = hashlib.sha256(content).hexdigest()
    counts = {
        split: Counter(
            sequences=len(rows[split]),
            pieces=sum(len(one.piece_T) for one in rows[split]),
            mentions=sum(len(one.mention_M3) for one in rows[split]),
        )
        for split in SPLITS
    }
    return {**counts, "dropped": dropped, "sha256": hashes}


def _arrow_path(folder: Path, split: str, shard: str) -> Path:
    return folder / f"{split}-{shard}.arrow"


def _is_whole_shard(done: Path) -> bool:
    """Whether the sequences of a shard are there, as they were written."""
    try:
        hashes = parse_json(read_within(done))["sha256"]
        return _are_as_written(done.parent, done.stem, hashes)
    except FileNotFoundError:
        return False
    except (ValueError, KeyError, TypeError, AttributeError):  # damaged, or of an older version
        return False


def _is_whole(folder: Path) -> bool:
    """Whether the sequences of a corpus are there, as they were written; what is damaged is made again."""
    try:
        stated = parse_json(read_within(folder / MANIFEST))
        if stated["seal"] == _seal_of(stated) and all(
            _are_as_written(folder, shard, hashes) for shard, hashes in stated["sha256"].items()
        ):
            return True
    except FileNotFoundError:
        return False
    except (ValueError, KeyError, TypeError, AttributeError):
        pass
    _log.warning("%s: damaged, or of an older version; what is wrong in it is made again", folder)
    return False


def _are_as_written(folder: Path, shard: str, hashes: dict[str, str]) -> bool:
    return all(sha256_of(_arrow_path(folder, split, shard)) == hashes[split] for split in SPLITS)


def _seal_of(stated: dict[str, Any]) -> str:
    """Return the hash of what sequences.json says."""
    return hash_of({name: value for name, value in stated.items() if name != "seal"})


def is_held_out(document: str, share: float) -> bool:
    """Tell by a document's id whether it is held out."""
    return zlib.crc32(document.encode()) < share * 2**32


def _arrow_file(sequences: list[PackedSequence]) -> bytes:
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
    sink = pa.BufferOutputStream()
    with pyarrow.ipc.new_file(sink, _SCHEMA) as writer:
        writer.write_batch(pa.record_batch(columns, schema=_SCHEMA))
    content: bytes = sink.getvalue().to_pybytes()
    return content
