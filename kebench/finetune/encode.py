"""Examples as word pieces, in flat arrays that load from the cache in milliseconds.

Every example is a row of word pieces and some *decisions*: places whose hidden states the
classifier reads, and the label it should give. NER decides once a word, at its first piece; a
relation is one decision at two places. So both kinds share arrays, batches, loop and cache.
"""

import io
import logging
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from kebench.files import cache_folder, hash_of, write_atomically

# Raised when encode_sentences or encode_pairs changes what it returns.
ENCODING_VERSION = 2
_log = logging.getLogger(__name__)

Ints = npt.NDArray[np.integer[Any]]


class Ragged(NamedTuple):
    """Rows of different length: row i is values[offsets[i]:offsets[i + 1]]."""

    values: Ints
    offsets: npt.NDArray[np.int64]

    @classmethod
    def of(cls, rows: list[Any]) -> "Ragged":
        """Pack a list of integer sequences, or of equally wide 2-d ones."""
        arrays = [np.asarray(row, dtype=np.int32) for row in rows]
        lengths = np.array([len(array) for array in arrays], dtype=np.int64)
        offsets = np.concatenate([np.zeros(1, dtype=np.int64), lengths.cumsum()])
        filled = [array for array in arrays if len(array)]
        return cls(np.concatenate(filled) if filled else np.zeros(0, dtype=np.int32), offsets)

    def row(self, place: int) -> Ints:
        """Return one row, a view."""
        return self.values[self.offsets[place] : self.offsets[place + 1]]

    def lengths(self) -> npt.NDArray[np.int64]:
        """Return the length of every row."""
        return np.diff(self.offsets)


class Encoded(NamedTuple):
    """One split as arrays.

    pieces: word pieces of each example, special tokens included, cut at the maximum length.
    places: for each decision, the (1 or 2) places in `pieces` that the classifier reads.
    units: for each decision, which word (NER) or which instance (0, relation) it is about.
    labels: for each decision, the index of its gold label.
    was_cut: for each example, 1 if the maximum length cut pieces off, else 0.
    num_missing: for each example, how many of its two entity indicators it lacks (relations; NER 0).
    """

    pieces: Ragged
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
        return Encoded(*(Ragged.of([ragged.row(row) for row in rows]) for ragged in self))


def cached(key: dict[str, Any], make: Callable[[], Encoded]) -> Encoded:
    """Return `make()`, or what it returned before for an equal key (content hashes, never names)."""
    path = cache_folder() / "features" / f"{hash_of({'version': ENCODING_VERSION, **key})}.npz"
    found = _load(path)
    if found is None:
        found = make()
        write_atomically(path, _dump(found), point="features")
    return found


def _load(path: Path) -> Encoded | None:
    try:
        with np.load(path, allow_pickle=False) as arrays:
            parts = {name: Ragged(arrays[name], arrays[f"{name}_offsets"]) for name in Encoded._fields}
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        _log.warning("%s: unreadable (%s); tokenising again", path, error)
        return None
    return Encoded(**parts)


def _dump(encoded: Encoded) -> bytes:
    arrays: dict[str, npt.NDArray[Any]] = {}
    for name, ragged in zip(Encoded._fields, encoded, strict=True):
        arrays[name] = ragged.values
        arrays[f"{name}_offsets"] = ragged.offsets
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def was_cut(batch: Any) -> Ragged:
    """Tell for each text of a tokenised batch whether the maximum length cut pieces off."""
    return Ragged.of([[int(bool(encoding.overflowing))] for encoding in batch.encodings])


def choose_rows(num_rows: int, limit: int | None, *, seed: int) -> list[int]:
    """Return the rows of a subset, ascending: the `limit` first in the order of a hash of (seed, row).

    The order does not depend on `limit`, so a smaller subset lies within a larger one.
    """
    if limit is None or limit >= num_rows:
        return list(range(num_rows))
    by_hash = sorted(range(num_rows), key=lambda row: hash_of([seed, row]))
    return sorted(by_hash[:limit])


def tokenizer_hash(tokenizer: Any) -> str:
    """Hash all that decides how a fast tokenizer cuts text, added markers included."""
    return hash_of(
        [tokenizer.backend_tokenizer.to_str(), tokenizer.all_special_ids, tokenizer.model_max_length]
    )
