"""Strings of cloze answers: what token ids read as, and the string rules of the code released with KeBioLM.

The released metric (docs/FIDELITY.md, Probing) compares decoded strings, and copies of them without white
space, with the gold strings of a query, all in lower case.
"""

from collections.abc import Callable, Iterable
from collections.abc import Set as AbstractSet
from functools import cache, partial
from itertools import count
from typing import Any

# What transformers' clean_up_tokenization_spaces replaces, in this order. It was the default when the
# released code was written; the tokenizers library alone does not do it.
_CLEAN_UPS = (" .", " ?", " !", " ,", " ' ", " n't", " 'm", " 's", " 've", " 're")


def clean_up(text: str) -> str:
    """Return a decoded string without the blanks that tokenising put before punctuation."""
    for spaced in _CLEAN_UPS:
        text = text.replace(spaced, spaced.strip())
    return text


def reader(tokenizer: Any) -> Callable[[Iterable[list[int]]], list[str]]:
    """Return a function that says what sequences of token ids read as, special tokens left out, cleaned up.

    The same as transformers' decode(..., skip_special_tokens=True, clean_up_tokenization_spaces=True) did
    for every tokenizer when the released code was written; by now it leaves byte-level BPE as it is.
    tokenizer: of the library tokenizers.
    """
    is_pieces = type(tokenizer.decoder).__name__ == "WordPiece"
    join = (
        _piece_joiner(tokenizer) if is_pieces else partial(tokenizer.decode_batch, skip_special_tokens=True)
    )

    def read(sequences: Iterable[list[int]]) -> list[str]:
        return [clean_up(text) if " " in text else text for text in join(list(sequences))]

    return read


def _piece_joiner(tokenizer: Any) -> Callable[[list[list[int]]], list[str]]:
    """Return what decodes word pieces ten times as fast as the library.

    What a piece adds to a string hangs on whether it stands first, and on nothing else, so the library is
    asked twice for each piece that occurs.
    """
    added = tokenizer.get_added_tokens_decoder()
    special = frozenset(token for token, about in added.items() if about.special)
    anchor = next(token for token in count() if token not in special)
    anchor_length = len(tokenizer.decode([anchor]))

    @cache
    def as_first(token: int) -> str:
        return str(tokenizer.decode([token]))

    @cache
    def as_later(token: int) -> str:
        return str(tokenizer.decode([anchor, token]))[anchor_length:]

    def join(sequences: list[list[int]]) -> list[str]:
        strings = []
        for sequence in sequences:
            tokens = sequence if special.isdisjoint(sequence) else [t for t in sequence if t not in special]
            strings.append(as_first(tokens[0]) + "".join(map(as_later, tokens[1:])) if tokens else "")
        return strings

    return join


def released_gold(names: Iterable[str], cuis: Iterable[str]) -> frozenset[str]:
    """Return what the released metric accepts: the answers' strings and their very CUIs, in lower case."""
    return frozenset(string.lower() for strings in (names, cuis) for string in strings)


def is_released_hit(decoded: Iterable[str], gold: AbstractSet[str]) -> bool:
    """Tell whether the released metric counts a query as answered.

    decoded: the strings of all lengths and beams, the longest first as in the released output, which joins
    them with | into a line; so a | within a string cuts it, and white space at both ends of the line goes.
    """
    answers = "|".join(decoded).strip().lower().split("|")
    return any(answer in gold or "".join(answer.split()) in gold for answer in answers)
