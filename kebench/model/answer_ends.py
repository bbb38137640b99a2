"""Where an answer ends that a language model writes, and which tokens of its vocabulary end one.

An answer is the first line of what is written, up to the first end sign: a full stop, a semicolon, a line
break. A point between two digits is a decimal point and ends nothing. So of "type 2" and a point only the
next token tells whether the answer goes on ("type 2.5") or has ended ("type 2. It"). A special token, as
</s> and the sentinels of T5, ends an answer, too: the text is over.
"""

# V vocabulary, E tokens that end an answer, G what they leave of it

import re
from typing import Any, NamedTuple

import numpy
from numpy.typing import NDArray

from kebench.errors import UserError

_END = re.compile(r"[\n\r;]|\.(?![0-9])|(?<![0-9])\.")
_SURE_END = re.compile(r"[\n\r;]|\.(?=[^0-9])|(?<![0-9])\.")  # whatever may follow
_POINT = re.compile(r"[0-9]\.$")
# What an answer may end with so far, each with an example: anything else, a digit, a point behind a digit.
OTHER, DIGIT, POINT = range(3)
_EXAMPLES = ("a", "0", "0.")


def first_answer(text: str) -> str:
    """Return what of a text stands before its first end sign, without blanks around it."""
    return _END.split(text, maxsplit=1)[0].strip()


class Ends(NamedTuple):
    """What a token does to an answer that ends in one way (OTHER, DIGIT, POINT).

    end_E: ids of the tokens that end it; group_E: of each, which of `left` it leaves. left: what such tokens
    add to the answer before its end; group 0 is of those that add nothing.
    goes_on_V: tokens that an answer goes on with. next_V: what it ends with then, of all tokens.
    points: of tokens that an answer goes on with, those that are a point alone: it may be over with them.
    """

    end_E: NDArray[numpy.int64]
    group_E: NDArray[numpy.int64]
    left: tuple[str, ...]
    goes_on_V: NDArray[numpy.bool_]
    next_V: NDArray[numpy.int8]
    points: tuple[int, ...]


def answer_ends(tokenizer: Any, size: int) -> tuple[Ends, Ends, Ends]:
    """Return what each token does to answers that end with OTHER, DIGIT and POINT.

    tokenizer: of transformers, a fast one. size: of the model's vocabulary; tokens that the tokenizer lacks,
    and the one for what it does not know, are no text and are never written.
    Raises UserError for a tokenizer of which tokens cannot be read one by one, or without a special token.
    """
    pieces = _pieces(tokenizer, size)
    special = {*tokenizer.all_special_ids}
    special |= {number for number, token in tokenizer.added_tokens_decoder.items() if token.special}
    special -= {tokenizer.unk_token_id}
    if not special:
        raise UserError("its tokenizer has no special token, with which a text could be over; add one")
    found = []
    for example in _EXAMPLES:
        bare = first_answer(example)
        groups: dict[str, int] = {bare: 0}
        ends: dict[int, int] = {}
        next_V = numpy.zeros(size, dtype=numpy.int8)
        goes_on_V = numpy.zeros(size, dtype=numpy.bool_)
        for token, piece in enumerate(pieces):
            if token in special:
                ends[token] = 0
            elif piece is not None:
                text = example + piece
                next_V[token] = POINT if _POINT.search(text) else DIGIT if text[-1] in "0123456789" else OTHER
                if _SURE_END.search(text):
                    ends[token] = groups.setdefault(_END.split(text, maxsplit=1)[0].rstrip(), len(groups))
                else:
                    goes_on_V[token] = True
        left = tuple(text.removeprefix(example) if text.startswith(example) else "" for text in groups)
        numbers = numpy.array(list(ends.values()), dtype=numpy.int64)
        points = tuple(token for token, piece in enumerate(pieces) if piece == "." and goes_on_V[token])
        found.append(Ends(numpy.array(list(ends)), numbers, left, goes_on_V, next_V, points))
    other, digit, point = found
    return other, digit, point


def _pieces(tokenizer: Any, size: int) -> list[str | None]:
    """Return what each token reads as within a text; None for one that is no text."""
    backend = tokenizer.backend_tokenizer
    if backend.decoder is None:  # it would put a blank between any two tokens, as BioGPT's would
        raise UserError(
            "its tokenizer does not say how tokens are joined to text, so it cannot be said what was "
            "written; rank names instead ('kebench probe rank')"
        )
    anchor = backend.encode("a", add_special_tokens=False).ids
    before = backend.decode(anchor, skip_special_tokens=False)
    number = min(size, len(tokenizer))
    read = backend.decode_batch([[*anchor, token] for token in range(number)], skip_special_tokens=False)
    pieces: list[str | None] = [None] * size
    for token, text in enumerate(read):
        if not text.startswith(before):
            raise UserError(
                f"its tokenizer reads {before!r} and token {token} as {text!r}, so it cannot be said which "
                "tokens end an answer; rank names instead ('kebench probe rank')"
            )
        if token != tokenizer.unk_token_id:
            pieces[token] = text[len(before) :]
    return pieces
