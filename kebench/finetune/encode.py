"""Tokenised splits in the cache, subsets of rows, and what decides how a tokenizer cuts text."""

import io
import logging
import zipfile
from collections.abc import Callable
from typing import Any

import numpy as np

from kebench.files import cache_folder, hash_of, write_atomically
from kebench.kinds.encoded import Encoded, Ragged

# Raised when a kind of task encodes otherwise than before.
ENCODING_VERSION = 2
_log = logging.getLogger(__name__)


def cached(key: dict[str, Any], make: Callable[[], Encoded]) -> Encoded:
    """Return `make()`, or what it returned before for an equal key (content hashes, never names)."""
    path = cache_folder() / "features" / f"{hash_of({'version': ENCODING_VERSION, **key})}.npz"
    try:
        with np.load(path, allow_pickle=False) as stored:
            return Encoded(*(Ragged(stored[name], stored[f"{name}_offsets"]) for name in Encoded._fields))
    except FileNotFoundError:
        pass
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        _log.warning("%s: unreadable (%s); tokenising again", path, error)
    made, arrays, buffer = make(), {}, io.BytesIO()
    for name, ragged in made._asdict().items():
        arrays |= {name: ragged.values, f"{name}_offsets": ragged.offsets}
    np.savez(buffer, **arrays)
    write_atomically(path, buffer.getvalue(), point="features")
    return made


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
