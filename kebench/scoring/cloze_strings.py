"""Strings of cloze answers: what token ids read as, and the string rules of the code released with KeBioLM.

The released metric (docs/FIDELITY.md, Probing) compares decoded strings, and copies of them without white
space, with the gold strings of a query, all in lower case.
"""

from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from typing import Protocol

# What transformers' clean_up_tokenization_spaces replaces, in this order. It was the default when the
# released code was written; the tokenizers library alone does not do it.
_CLEAN_UPS = (
    (" .", "."),
    (" ?", "?"),
    (" !", "!"),
    (" ,", ","),
    (" ' ", "'"),
    (" n't", "n't"),
    (" 'm", "'m"),
    (" 's", "'s"),
    (" 've", "'ve"),
    (" 're", "'re"),
)


class Decoder(Protocol):
    """What is needed of a tokenizers.Tokenizer to read token ids."""

    def decode_batch(self, sequences: list[list[int]], skip_special_tokens: bool = True) -> list[str]:
        """Return the string of each sequence of token ids."""
        ...


def clean_up(text: str) -> str:
    """Return a decoded string without the blanks that tokenising put before punctuation."""
    for before, after in _CLEAN_UPS:
        text = text.replace(before, after)
    return text


def decode(sequences: Sequence[Sequence[int]], tokenizer: Decoder) -> list[str]:
    """Return what each sequence of token ids reads as, special tokens left out, cleaned up.

    The same as transformers' decode(..., skip_special_tokens=True, clean_up_tokenization_spaces=True) did
    for every tokenizer when the released code was written; by now it leaves byte-level BPE as it is.
    """
    decoded = tokenizer.decode_batch([list(ids) for ids in sequences], skip_special_tokens=True)
    return [clean_up(text) if " " in text else text for text in decoded]


def released_gold(names: Iterable[str], cuis: Iterable[str]) -> frozenset[str]:
    """Return what the released metric accepts: the answers' strings and their very CUIs, in lower case."""
    return frozenset(string.lower() for strings in (names, cuis) for string in strings)


def is_released_hit(decoded: Iterable[str], gold: AbstractSet[str]) -> bool:
    """Tell whether the released metric counts a query as answered.

    decoded: the strings of all lengths and beams, in the order of the released output, which joins them
    with | into a line; so a | within a string cuts it, and the white space at both ends of the line goes.
    """
    answers = "|".join(decoded).strip().lower().split("|")
    return any(answer in gold or "".join(answer.split()) in gold for answer in answers)
