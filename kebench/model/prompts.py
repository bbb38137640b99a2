"""What stands before an answer that a causal or encoder-decoder model writes into a blank, in tokens."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy

from kebench.errors import UserError
from kebench.model.seq2seq_lm import Blank, filling_of
from kebench.model.spans import encode_spans
from kebench.model.statements import Statement

_STAND_INS = ("x", "it", "this", "unknown")  # for a name, to see where a blank's tokens begin and end

Tokens = tuple[int, ...]
Shown = tuple[str, str]  # a name as it stands in a statement, and as it is called


class NameTrie:
    """Names by their tokens. below: by the next token. name: what has been written here, "" for no name.

    over: the name that has been written before the tokens by which the text behind the blank is known.
    """

    def __init__(self) -> None:
        self.below: dict[int, NameTrie] = {}
        self.name = self.over = ""

    def add(self, tokens: Sequence[int], name: str, *, resumed: Tokens) -> None:
        """Add a name, and it with what stands behind it. Of two with the same tokens the first stays."""
        node = self
        for token in tokens:
            node = node.below.setdefault(token, NameTrie())
        node.name = node.name or name
        for token in resumed:
            node = node.below.setdefault(token, NameTrie())
        if resumed:
            node.over = node.over or name


class Prompt(NamedTuple):
    """What stands before an answer, in tokens.

    read: by the encoder, () of a causal model. written: by the decoder, start tokens included.
    resumed: the first word behind the blank, before which an answer ends; () if there is none, or the decoder
    writes the blank alone.
    names: an answer is one of these; None for any text.
    """

    read: Tokens
    written: Tokens
    resumed: Tokens = ()
    names: NameTrie | None = None


class Prompts:
    """Makes the prompts of one model; it needs no weights.

    tokenizer: of transformers, a fast one. start: ids that stand before a causal model's text. config: of an
    encoder-decoder model, None of a causal one. limit: most tokens of a text, None for no limit.
    """

    def __init__(
        self, tokenizer: Any, *, start: Tokens = (), config: Any = None, limit: int | None = None
    ) -> None:
        self.tokenizer, self.start, self.limit = tokenizer, start, limit
        self.blank_of: Callable[[Tokens, int, int, int], Blank] | None = None
        if config is not None:
            self.blank_of, self.blank = filling_of(config, tokenizer)
            self.decoder_start: int = config.decoder_start_token_id

    def prompt(
        self, shots: str, statement: Statement, *, names: Sequence[Shown] | None, max_new_tokens: int
    ) -> Prompt:
        """Return the tokens of a statement. shots: what stands before it, with what parts them.

        names: those that may be written, but for `unwritable` ones; None for any text.
        Raises UserError if prompt and answer are longer than the model takes, for words behind the blank of a
        causal model, and for a name that shares a token with what stands beside it.
        """
        if self.blank_of is None:
            prompt = self._behind(shots, statement)
        else:
            prompt = self._with_blank(shots, statement)
        length = max(len(prompt.read), len(prompt.written) + max_new_tokens)
        if self.limit is not None and length > self.limit:
            text = statement.before or statement.after
            raise UserError(
                f"'{text[:60]}': {length:,} tokens with its shots and an answer, and this model takes "
                f"{self.limit:,}; give fewer --shots"
            )
        return (
            prompt if names is None else prompt._replace(names=self._trie(statement, names, prompt.resumed))
        )

    def _ids(self, texts: Sequence[str]) -> list[list[int]]:
        ids: list[list[int]] = self.tokenizer(
            list(texts), add_special_tokens=False, split_special_tokens=True, verbose=False
        )["input_ids"]
        return ids

    def _behind(self, shots: str, statement: Statement) -> Prompt:
        """Return what a causal model goes on from."""
        if any(letter.isalnum() for letter in statement.after):
            raise UserError(f"'{statement.after}': a causal model does not see what stands behind a blank")
        (tokens,) = self._ids([shots + statement.before])
        if not (self.start or tokens):
            raise UserError("nothing stands before the blank; give the model a start token")
        return Prompt((), (*self.start, *tokens))

    def _with_blank(self, shots: str, statement: Statement) -> Prompt:
        """Return a statement with a blank, beside which tokens are as they are beside a name."""
        assert self.blank_of, "an encoder-decoder model"
        text = Statement((shots + statement.before).rstrip(" "), statement.after)
        spans = encode_spans(self.tokenizer, [text], _STAND_INS, max_tokens=None)
        if spans.straddles_X.all():
            raise UserError(f"'{text.before[-60:]} ...{text.after}': its blank shares a token with its text")
        place = int(numpy.flatnonzero(~spans.straddles_X)[0])
        tokens = tuple(spans.tokens_of(place))
        start, end = int(spans.start_X[place]), int(spans.end_X[place])
        blank = self.blank_of(tokens, start, end, self.blank)
        resumed: Tokens = ()
        if blank.written == tokens[:start] and any(letter.isalnum() for letter in text.after):
            # A decoder that writes the whole text goes on with what stands behind the blank.
            words = spans.word_T[spans.bound_X[place] :][: len(tokens)]
            resumed = tuple(tokens[at] for at in range(end, len(tokens)) if words[at] == words[end])
        return Prompt(blank.read, (self.decoder_start, *blank.written), resumed)

    def _trie(self, statement: Statement, names: Sequence[Shown], resumed: Tokens) -> NameTrie:
        """Return names by the tokens that they have in a statement."""
        trie, shown = NameTrie(), [one for one, _ in names]
        if self.blank_of is None:
            before, *texts = self._ids([statement.before, *(f"{statement.before} {one}" for one in shown)])
            of_names = [text[len(before) :] * (text[: len(before)] == before) for text in texts]
        else:
            spans = encode_spans(self.tokenizer, [statement], shown, max_tokens=None)
            bounds = zip(spans.start_X, spans.end_X, spans.straddles_X, strict=True)
            of_names = [
                [] if straddles else spans.tokens_of(place)[start:end]
                for place, (start, end, straddles) in enumerate(bounds)
            ]
        for (_, name), tokens in zip(names, of_names, strict=True):
            if not tokens:
                raise UserError(
                    f"name {name!r}: this model's tokenizer joins it with what stands beside it, so it "
                    "cannot be written into the blank; ask without --constrained"
                )
            if not self._holds_unknown(tokens):
                trie.add(tokens, name, resumed=resumed)
        return trie

    def unwritable(self, names: Sequence[str]) -> list[str]:
        """Return names with letters that the vocabulary lacks, which a model cannot write."""
        return [
            name for name, tokens in zip(names, self._ids(names), strict=True) if self._holds_unknown(tokens)
        ]

    def _holds_unknown(self, tokens: Sequence[int]) -> bool:
        return self.tokenizer.unk_token_id is not None and self.tokenizer.unk_token_id in tokens
