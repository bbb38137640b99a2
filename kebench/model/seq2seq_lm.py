"""Names in statements scored by an encoder-decoder model: its encoder reads both sides, its decoder fills in.

Models that were trained to fill blanks are asked in the form of that training:

  T5, mT5, UMT5  The encoder reads a sentinel where the name stood; the decoder writes the sentinel and the
                 name (Raffel et al. 2020, section 3.1.4).
  BART           The encoder reads a mask where the name stood; the decoder writes the whole text. The name's
                 tokens are scored behind what stands before them (Lewis et al. 2020, text infilling).

For all names of a statement the encoder runs once, and the decoder once over what it writes before the name;
names go on from there in batches. Before the first is asked, that is compared with one name at a time.
"""

# B names of a batch, T tokens of a name, V vocabulary, X texts

import copy
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy
import torch
from torch import Tensor
from transformers.modeling_outputs import BaseModelOutput

from kebench.errors import UserError, first_line
from kebench.model.masked_lm import BATCH_TOKENS
from kebench.model.spans import encode_spans
from kebench.model.statements import Family, NameScores, Statement

TOGETHER, ALONE = "encoder states and the decoder's cache shared by names", "one name at a time"
_LARGEST_DIFFERENCE = 1e-3  # nats, between two ways of computing one probability in fp32; ours
_VALUES = {"cpu": 2**24, "cuda": 2**28}  # logits in memory at once; ours

Tokens = tuple[int, ...]


class Blank(NamedTuple):
    """A statement as the model is asked. read: by the encoder. written: by the decoder, before the name."""

    read: Tokens
    written: Tokens


def _sentinel(tokens: Tokens, start: int, end: int, token: int) -> Blank:
    return Blank((*tokens[:start], token, *tokens[end:]), (token,))


def _infilling(tokens: Tokens, start: int, end: int, token: int) -> Blank:
    return Blank((*tokens[:start], token, *tokens[end:]), tokens[:start])


class Filling(NamedTuple):
    """How a type of model fills a blank. tokens: what a blank may be called in its vocabulary.

    blank_of: makes a blank of a text's tokens, the name's start and end, and the blank's token.
    """

    blank_of: Callable[[Tokens, int, int, int], Blank]
    tokens: tuple[str, ...]


_T5 = Filling(_sentinel, ("<extra_id_0>", "▁<extra_id_0>"))  # the second in mT5's vocabulary
FILLINGS = {"bart": Filling(_infilling, ("<mask>",)), "mt5": _T5, "t5": _T5, "umt5": _T5}


def filling_of(config: Any, tokenizer: Any) -> tuple[Callable[[Tokens, int, int, int], Blank], int]:
    """Return how a model's blanks are made of its texts, and the id of the blank's token.

    Raises UserError for a type whose way of filling is not known, and for a tokenizer without its blank.
    """
    if (filling := FILLINGS.get(config.model_type)) is None:
        raise UserError(
            f"a model of type '{config.model_type}': how it was trained to fill a blank is not known; "
            f"choose one of type {', '.join(sorted(FILLINGS))}"
        )
    vocabulary = tokenizer.get_vocab()
    blanks = [vocabulary[token] for token in filling.tokens if token in vocabulary]
    if not blanks:
        raise UserError(
            f"its tokenizer has no {filling.tokens[0]}, which a model of type '{config.model_type}' "
            "fills; take the tokenizer that it was trained with"
        )
    if config.decoder_start_token_id is None:
        raise UserError("config.json names no decoder_start_token_id, with which the decoder begins; add it")
    return filling.blank_of, blanks[0]


class Seq2SeqLM:
    """An encoder-decoder model that scores names in statements; see `kebench.model.statements.RanksNames`.

    The model given is moved to the device. Raises UserError for a type whose way of filling is not known, and
    for a tokenizer without its blank.
    """

    family: Family = "encoder-decoder"

    def __init__(self, model: Any, tokenizer: Any, *, device: str = "cpu", precision: str = "fp32") -> None:
        config = model.config
        self.blank_of, self.blank = filling_of(config, tokenizer)
        self.model, self.tokenizer = model.to(device).eval(), tokenizer
        self.device, self.precision = device, precision
        self.sharing, self.is_shared = "", False  # what the check has found
        # Relative positions (T5) have no limit of their own, and the config states none.
        limits = [tokenizer.model_max_length, getattr(config, "max_position_embeddings", None)]
        self.max_tokens = min(known for known in limits if known)

    @torch.inference_mode()  # type: ignore[untyped-decorator]
    def score_names(
        self,
        statements: Sequence[Statement],
        names: Sequence[str],
        *,
        with_before: bool = False,
        with_after: bool = False,
        batch_tokens: int | None = None,
    ) -> NameScores:
        """Score every name in every statement. Both sides are read, not scored, whatever is asked for."""
        spans = encode_spans(self.tokenizer, statements, names, max_tokens=self.max_tokens)
        texts_of: dict[Blank, list[int]] = defaultdict(list)
        name_X: list[Tokens] = []
        for text, (start, end) in enumerate(zip(spans.start_X, spans.end_X, strict=True)):
            tokens = tuple(spans.tokens_of(text))
            name_X.append(tokens[start:end])
            # One a statement, but for names of which a token straddles.
            texts_of[self.blank_of(tokens, int(start), int(end), self.blank)].append(text)
        first_X, sum_X = (numpy.zeros(len(name_X), dtype=numpy.float32) for _ in range(2))
        for blank, texts in texts_of.items():
            distinct = list(dict.fromkeys(name_X[text] for text in texts))
            found = dict(zip(distinct, self._score(blank, distinct, batch_tokens), strict=True))
            for text in texts:
                first_X[text], sum_X[text] = found[name_X[text]]

        shape = len(statements), len(names)
        unasked_SN = numpy.full(shape, numpy.nan, dtype=numpy.float32)
        return NameScores(
            tokens_SN=(spans.end_X - spans.start_X).astype(numpy.int16).reshape(shape),
            name_SN=sum_X.reshape(shape),
            first_SN=first_X.reshape(shape),
            before_SN=unasked_SN,
            after_SN=unasked_SN.copy(),
            straddles_SN=spans.straddles_X.reshape(shape),
            unknown_SN=spans.unknown_X.reshape(shape),
        )

    def _score(
        self, blank: Blank, names: Sequence[Tokens], batch_tokens: int | None
    ) -> list[tuple[float, float]]:
        """Return the log probabilities of each name's first token and of all its tokens."""
        if not self.sharing:
            self._check(blank, names)
        if self.is_shared:
            return self._score_together(blank, names, batch_tokens)
        return [self._score_alone(blank, name) for name in names]

    def _check(self, blank: Blank, names: Sequence[Tokens]) -> None:
        """Compare names scored together with one at a time, and decide which way is used."""
        ordered = sorted(names, key=len)
        some = list(dict.fromkeys([ordered[0], ordered[len(ordered) // 2], ordered[-1]]))
        precision, self.precision = self.precision, "fp32"
        expected = torch.tensor([self._score_alone(blank, name) for name in some])
        try:
            difference = float((torch.tensor(self._score_together(blank, some, None)) - expected).abs().max())
            reason = "" if difference <= _LARGEST_DIFFERENCE else f"differ by {difference:.2g} nats"  # or NaN
        # transformers raises what it likes where an architecture cannot do something
        except Exception as error:
            reason = f"{type(error).__name__}: {first_line(error)}"
        self.precision = precision
        self.sharing, self.is_shared = f"{ALONE}: {TOGETHER}, {reason}" if reason else TOGETHER, not reason

    def _score_alone(self, blank: Blank, name: Tokens) -> tuple[float, float]:
        """Return what `_score` does of one name, by one pass that keeps nothing."""
        with self._autocast():
            encoded_1TD = self.model.get_encoder()(input_ids=self._rows([blank.read]))[0]
            written = (self.model.config.decoder_start_token_id, *blank.written, *name[:-1])
            logit_TV = self._decode([written], encoded_1TD, None).logits[0, -len(name) :]
        log_prob_T = logit_TV.float().log_softmax(-1).gather(1, self._rows([name]).T)[:, 0]
        return float(log_prob_T[0]), float(log_prob_T.sum())

    def _score_together(
        self, blank: Blank, names: Sequence[Tokens], batch_tokens: int | None
    ) -> list[tuple[float, float]]:
        with self._autocast():
            encoded_1TD = self.model.get_encoder()(input_ids=self._rows([blank.read]))[0]
            begun = self._decode(
                [(self.model.config.decoder_start_token_id, *blank.written)], encoded_1TD, None
            )
        log_prob_V = begun.logits[0, -1].float().log_softmax(-1)
        first = log_prob_V[[name[0] for name in names]].tolist()
        sums = list(first)
        for batch in self._batches(blank, names, batch_tokens):
            cache = copy.deepcopy(begun.past_key_values)
            cache.batch_repeat_interleave(len(batch))
            # The last token is only asked for. What stands behind a shorter name's end is not looked at.
            longest = max(len(names[number]) for number in batch)
            rows = [(*names[number], *[0] * (longest - len(names[number]))) for number in batch]
            token_BT = self._rows(rows)
            with self._autocast():
                logit_BTV = self._decode([row[:-1] for row in rows], encoded_1TD, cache).logits
            log_prob_BTV = logit_BTV.float().log_softmax(-1)
            log_prob_BT = log_prob_BTV.gather(2, token_BT[:, 1:, None])[..., 0]
            length_B = torch.tensor([len(names[number]) for number in batch], device=self.device)
            is_name_BT = torch.arange(1, longest, device=self.device) < length_B[:, None]
            rest = (log_prob_BT * is_name_BT).sum(1).tolist()
            for number, of_rest in zip(batch, rest, strict=True):
                sums[number] += of_rest
        return list(zip(first, sums, strict=True))

    def _batches(
        self, blank: Blank, names: Sequence[Tokens], batch_tokens: int | None
    ) -> Iterator[list[int]]:
        """Yield the numbers of names with more than one token, by length, in batches.

        Tokens of a batch are all that each name has in memory: what is read and written before it, too.
        """
        device = self.device.partition(":")[0]
        before = len(blank.read) + 1 + len(blank.written)
        most_tokens = batch_tokens or BATCH_TOKENS[device]
        batch: list[int] = []
        for number in sorted(range(len(names)), key=lambda number: len(names[number])):
            length = len(names[number])
            values = length * self.model.config.vocab_size
            most = min(most_tokens // (before + length), _VALUES[device] // values)
            if batch and len(batch) >= most:
                yield batch
                batch = []
            if length > 1:
                batch.append(number)
        if batch:
            yield batch

    def _decode(self, rows: Sequence[Tokens], encoded_1TD: Tensor, cache: Any) -> Any:
        """Return what the model makes of tokens that the decoder writes, behind those in the cache."""
        return self.model(
            decoder_input_ids=self._rows(rows),
            encoder_outputs=BaseModelOutput(last_hidden_state=encoded_1TD.expand(len(rows), -1, -1)),
            past_key_values=cache,
            use_cache=True,
        )

    def _rows(self, rows: Sequence[Tokens]) -> Tensor:
        return torch.tensor(rows, device=self.device)

    def _autocast(self) -> torch.autocast:
        device = self.device.partition(":")[0]
        return torch.autocast(device, torch.bfloat16, enabled=self.precision == "bf16")
