"""Statements with names put in, as tokens: which tokens are the name's, which stand before and behind it.

Each text is tokenised once and whole, so that a name has the tokens which it has in running text; characters
say whose a token is. The space before a name is its first token's, as byte-level vocabularies have it.
"""

# X texts, statement by statement, each with every name; T tokens of all texts, one text behind the other
# P texts whose name has tokens

from collections.abc import Iterator, Sequence
from itertools import chain, product
from typing import Any, NamedTuple

import numpy
from numpy.typing import NDArray

from kebench.errors import UserError
from kebench.model.statements import Statement

_AT_ONCE = 1024  # texts that the tokenizer has in hand: what it keeps of each is a hundred times our arrays


class Spans(NamedTuple):
    """Texts as tokens.

    token_T: ids. special_T: put there by the tokenizer, as [CLS] is. word_T: the tokenizer's number of the
    word that a token is of, counted in each text; -1 for special tokens.
    bound_X: where in T each text begins; one more, the end of the last. start_X, end_X: the name's tokens
    as places in their text, half-open. straddles_X: a token of the name has letters beside it.
    unknown_X: tokens of the name that stand for what the vocabulary lacks ([UNK]).
    """

    token_T: NDArray[numpy.int32]
    special_T: NDArray[numpy.bool_]
    word_T: NDArray[numpy.int32]
    bound_X: NDArray[numpy.int64]
    start_X: NDArray[numpy.int64]
    end_X: NDArray[numpy.int64]
    straddles_X: NDArray[numpy.bool_]
    unknown_X: NDArray[numpy.int16]

    def tokens_of(self, text: int) -> list[int]:
        """Return the ids of one text."""
        ids: list[int] = self.token_T[self.bound_X[text] : self.bound_X[text + 1]].tolist()
        return ids


def encode_spans(
    tokenizer: Any,
    statements: Sequence[Statement],
    names: Sequence[str],
    *,
    max_tokens: int | None,
    special_tokens: bool = True,
) -> Spans:
    """Tokenise every statement with every name; see `encode_pairs`."""
    pairs = list(product(statements, names))
    return encode_pairs(tokenizer, pairs, max_tokens=max_tokens, special_tokens=special_tokens)


def encode_pairs(
    tokenizer: Any,
    pairs: Sequence[tuple[Statement, str]],
    *,
    max_tokens: int | None,
    special_tokens: bool = True,
) -> Spans:
    """Tokenise statements, each with a name put in.

    special_tokens: with those that the tokenizer puts around a text. What looks like one in a text is text.
    Raises UserError for a text of more than max_tokens, for a name without tokens, and for a text that
    cannot be told from a special token.
    """
    parts: list[Spans] = []
    own = [token for token in tokenizer.all_special_ids if token != tokenizer.unk_token_id]
    for asked in (pairs[first : first + _AT_ONCE] for first in range(0, len(pairs), _AT_ONCE)):
        parts.append(_encode(tokenizer, asked, special_tokens=special_tokens))
        length_X = numpy.diff(parts[-1].bound_X)
        for text in numpy.flatnonzero(parts[-1].start_X == parts[-1].end_X):
            raise UserError(
                f"name {asked[text][1]!r}: this model's tokenizer makes no token of it; leave it out"
            )
        is_special_T = ~parts[-1].special_T & numpy.isin(parts[-1].token_T, own)
        for token in numpy.flatnonzero(is_special_T):  # SentencePiece models find them in texts, too
            worst = int(numpy.searchsorted(parts[-1].bound_X, token, side="right")) - 1
            raise UserError(
                f"'{_shortened(_text(*asked[worst]))}': holds "
                f"'{tokenizer.convert_ids_to_tokens(int(parts[-1].token_T[token]))}', which this model's "
                "tokenizer takes for a token of its own; leave it out"
            )
        if max_tokens is not None and length_X.max(initial=0) > max_tokens:
            worst = int(length_X.argmax())
            raise UserError(
                f"'{_shortened(_text(*asked[worst]))}': {length_X[worst]:,} tokens, and this model takes "
                f"{max_tokens:,}; shorten it, or put fewer examples before it"
            )
    return _joined(parts)


def _text(statement: Statement, name: str) -> str:
    return f"{statement.before} {name}{statement.after}" if statement.before else name + statement.after


def _shortened(text: str, most: int = 60) -> str:
    return text if len(text) <= most else f"{text[:most]}..."


def _encode(tokenizer: Any, asked: Sequence[tuple[Statement, str]], *, special_tokens: bool) -> Spans:
    for statement, _ in asked:
        assert statement.before == statement.before.rstrip(), "a space follows what stands before a blank"
    texts = [_text(*one) for one in asked]
    encoded = tokenizer(
        texts, add_special_tokens=special_tokens, split_special_tokens=True, verbose=False
    ).encodings
    length_X = numpy.array([len(encoding) for encoding in encoded], dtype=numpy.int64)
    bound_X = numpy.concatenate([[0], length_X.cumsum()])

    def flat(lists: Iterator[list[Any]], kind: Any) -> NDArray[Any]:
        return numpy.fromiter(chain.from_iterable(lists), dtype=kind, count=int(bound_X[-1]))

    token_T = flat((encoding.ids for encoding in encoded), numpy.int32)
    special_T = flat((encoding.special_tokens_mask for encoding in encoded), numpy.bool_)
    word_T = flat(([-1 if w is None else w for w in e.word_ids] for e in encoded), numpy.int32)
    offset_T = flat((encoding.offsets for encoding in encoded), numpy.dtype((numpy.int32, 2)))
    start_X, end_X, straddles_X = _names_in(asked, texts, offset_T, special_T, bound_X)
    unknown_T = numpy.zeros(len(token_T) + 1, dtype=numpy.int64)  # how many stand before each token
    if tokenizer.unk_token_id is not None:
        unknown_T[1:] = numpy.cumsum(token_T == tokenizer.unk_token_id)
    unknown_X = (unknown_T[bound_X[:-1] + end_X] - unknown_T[bound_X[:-1] + start_X]).astype(numpy.int16)
    return Spans(token_T, special_T, word_T, bound_X, start_X, end_X, straddles_X, unknown_X)


def _names_in(
    asked: Sequence[tuple[Statement, str]],
    texts: Sequence[str],
    offset_T: NDArray[numpy.int32],
    special_T: NDArray[numpy.bool_],
    bound_X: NDArray[numpy.int64],
) -> tuple[NDArray[numpy.int64], NDArray[numpy.int64], NDArray[numpy.bool_]]:
    """Return where each text's name starts and ends, in tokens, and whether a token straddles its bounds.

    offset_T: the characters of each token, (T, 2), half-open. A name without tokens starts and ends at 0.
    """
    first_T, last_T = offset_T[:, 0], offset_T[:, 1]
    text_T = numpy.repeat(numpy.arange(len(asked)), numpy.diff(bound_X))
    name_start_X = numpy.array([len(s.before) + bool(s.before) for s, _ in asked], dtype=numpy.int64)
    name_end_X = name_start_X + numpy.array([len(name) for _, name in asked], dtype=numpy.int64)
    space_X = numpy.maximum(name_start_X - 1, 0)
    # The name's characters, and the space before them. A token without characters is where it says.
    is_name_T = (first_T < name_end_X[text_T]) & (numpy.maximum(last_T, first_T + 1) > space_X[text_T])
    is_name_T &= ~special_T
    straddles_X = numpy.zeros(len(asked), dtype=numpy.bool_)
    reaches_out_T = (first_T < space_X[text_T]) | (last_T > name_end_X[text_T])
    for token in numpy.flatnonzero(is_name_T & reaches_out_T):
        text, (first, last) = text_T[token], offset_T[token]
        start, end = name_start_X[text], name_end_X[text]
        parts = (
            texts[text][first : min(start, last)],
            texts[text][max(first, start) : min(end, last)],
            texts[text][end:last],
        )
        has_before, has_name, has_after = (bool(part.strip()) for part in parts)
        is_name_T[token] = has_name or (has_before and has_after)  # else it has but a space of the name's
        straddles_X[text] |= is_name_T[token] and (has_before or has_after)
    # A space may be a token, but it is no name.
    has_letters_T = is_name_T & (first_T < name_end_X[text_T]) & (last_T > name_start_X[text_T])
    is_name_T &= (numpy.bincount(text_T[has_letters_T], minlength=len(asked)) > 0)[text_T]

    place = numpy.flatnonzero(is_name_T)
    text_P, first_P, count_P = numpy.unique(text_T[place], return_index=True, return_counts=True)
    assert (place[first_P + count_P - 1] - place[first_P] == count_P - 1).all(), "a name's tokens are apart"
    start_X, end_X = (numpy.zeros(len(asked), dtype=numpy.int64) for _ in range(2))
    start_X[text_P] = place[first_P] - bound_X[text_P]
    end_X[text_P] = start_X[text_P] + count_P
    return start_X, end_X, straddles_X


def _joined(parts: Sequence[Spans]) -> Spans:
    first = numpy.cumsum([0, *(part.bound_X[-1] for part in parts)])
    bounds = [part.bound_X[:-1] + start for part, start in zip(parts, first[:-1], strict=True)]
    columns = {
        name: numpy.concatenate([getattr(part, name) for part in parts])
        for name in Spans._fields
        if name != "bound_X"
    }
    return Spans(**columns, bound_X=numpy.concatenate([*bounds, first[-1:]]))
