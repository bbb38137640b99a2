"""Tokenised splits in the cache, subsets of rows, and how many words of a split a tokenizer does not know.

Of an unknown word a model sees that there is one and nothing else.
"""

import io
import json
import logging
import unicodedata
import zipfile
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from kebench.files import cache_folder, hash_of, write_atomically
from kebench.kinds.card import TaskCard
from kebench.kinds.encoded import Encoded, Numbers, Ragged
from kebench.kinds.kind import Examples
from kebench.kinds.registry import KINDS

# Raised when a kind of task encodes otherwise than before.
ENCODING_VERSION = 3
# Raised when `count_unknown` counts otherwise.
COUNTING_VERSION = 1
# ours: BERT's vocabularies leave less than 0.1% of BLURB's words unknown
UNKNOWN_SHARE = 0.01
LONGEST_WORD = 100  # characters; of a longer one WordPiece makes no pieces

REASONS = {
    "capitals": "known in small letters: the vocabulary is uncased, and capitals are kept; mend "
    "do_lower_case in tokenizer_config.json, or casing in the model's card",
    "accents": "known without accents; mend strip_accents in tokenizer_config.json",
    "length": f"longer than {LONGEST_WORD} characters, of which no pieces are made",
    "characters": "or hold characters that the vocabulary lacks; it was made for other texts, or is "
    "another model's",
    "pieces": "made of characters that are known by themselves alone; the vocabulary lacks pieces, or is "
    "another model's",
}

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
    made, buffer = make(), io.BytesIO()
    arrays: dict[str, Numbers] = {}
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


class UnknownWords(NamedTuple):
    """The words of a split, those that are unknown, and these by reason (`REASONS`).

    examples: for a reason, its most frequent words; for `characters` the characters.
    """

    num_words: int
    num_unknown: int
    by_reason: dict[str, int]
    examples: dict[str, list[str]]

    @property
    def percent(self) -> float:
        """The share of unknown words."""
        return 100 * self.num_unknown / max(self.num_words, 1)

    @property
    def warning(self) -> str:
        """What to say if the share is above 1%, with the likeliest reason; else ""."""
        if self.num_unknown <= UNKNOWN_SHARE * self.num_words:
            return ""
        reason = max(self.by_reason, key=self.by_reason.__getitem__)
        of_them = self.by_reason[reason] / self.num_unknown
        return (
            f"{self.num_unknown:,} of {self.num_words:,} words ({self.percent:.1f}%) are unknown to its "
            f"tokenizer; {of_them:.0%} of them ({', '.join(self.examples[reason])}) are {REASONS[reason]}"
        )


def count_unknown(
    tokenizer: Any, card: TaskCard, read: Callable[[], Examples], *, data_sha256: str
) -> UnknownWords:
    """Count a split's words, and those with an unknown piece; from the cache if they were counted before.

    Words are those of the kind of task: of the file, or between blanks, but for entity indicators.
    read: returns the split's examples, of the file with that hash.
    """
    key = {
        "version": COUNTING_VERSION,
        "tokenizer": tokenizer_hash(tokenizer),
        "data": data_sha256,
        "form": KINDS[card.kind].hashed(card),
    }
    path = cache_folder() / "features" / f"{hash_of(key)}.words"
    try:
        return UnknownWords(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        pass
    words_of = KINDS[card.kind].words_of
    words = Counter(word for example in read() for word in words_of(card, example))
    unknown = {word: words[word] for word in _unknown_among(tokenizer, list(words))}
    reasons = _reasons(tokenizer, list(unknown))
    by_reason, named = Counter[str](), {reason: Counter[str]() for reason in REASONS}
    for word, number in unknown.items():
        reason, shown = reasons[word]
        by_reason[reason] += number
        named[reason].update(dict.fromkeys(shown, number))
    examples = {reason: [name for name, _ in named[reason].most_common(3)] for reason in by_reason}
    found = UnknownWords(words.total(), sum(unknown.values()), dict(by_reason), examples)
    write_atomically(path, json.dumps(found._asdict()), point="features")
    return found


def _unknown_among(tokenizer: Any, words: Sequence[str]) -> list[str]:
    """Return the words of which the tokenizer makes an unknown piece."""
    if tokenizer.unk_token_id is None:
        return []
    batch = tokenizer.backend_tokenizer.encode_batch(
        [[word] for word in words], is_pretokenized=True, add_special_tokens=False
    )
    return [word for word, found in zip(words, batch, strict=True) if tokenizer.unk_token_id in found.ids]


def _reasons(tokenizer: Any, unknown: Sequence[str]) -> dict[str, tuple[str, list[str]]]:
    """Return for each unknown word the first reason that holds, and what to show of it."""
    changed = {}
    for word in unknown:
        letters = unicodedata.normalize("NFD", word)
        changed[word] = (word.lower(), "".join(one for one in letters if not unicodedata.combining(one)))
    characters = {character for word in unknown for character in word}
    asked = {*characters, *(form for forms in changed.values() for form in forms)}
    still_unknown = set(_unknown_among(tokenizer, sorted(asked)))
    reasons = {}
    for word, (small, plain) in changed.items():
        lacking = [character for character in dict.fromkeys(word) if character in still_unknown]
        if len(word) > LONGEST_WORD:
            reasons[word] = ("length", [f"{word[:20]}..."])
        elif small not in still_unknown and small != word:
            reasons[word] = ("capitals", [word])
        elif plain not in still_unknown and plain != word:
            reasons[word] = ("accents", [word])
        else:
            reasons[word] = ("characters", lacking) if lacking else ("pieces", [word])
    return reasons
