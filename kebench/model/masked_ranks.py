"""Names in statements scored by a masked language model: pseudo-log-likelihood (Salazar et al. 2020).

A token's score is its log probability where it is masked. What else is masked with it is the question:

  original     nothing (Salazar et al. 2020)
  within-word  the rest of its word (Kauf and Ivanova 2023, arXiv:2305.10588): otherwise the pieces of a rare
               word give each other away, and rare names score too well
  answer-l2r   the rest of the name: all of it left to right, so the name's score is one of the whole name
  independent  all of the name, at every one of its tokens: one masked text for all names of a length

The tokens beside the name are scored as in `original`, or else by the word. Words are the tokenizer's. What
is masked together stands together, so a masked text is a text and a span of it.
"""

# X texts, T tokens of all texts, Q questions: a token asked for in a masked text, I masked texts, P places

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal, NamedTuple

import numpy
import torch
from numpy.typing import NDArray

from kebench.errors import UserError
from kebench.model.masked_lm import BATCH_TOKENS, MaskedLM, Packed, groups_of
from kebench.model.spans import Spans, encode_spans
from kebench.model.statements import Family, NameScores, Statement

Pll = Literal["original", "within-word", "answer-l2r", "independent"]
Places = NDArray[numpy.int64]  # places in a text

# From the place of a name's token, the end of its word, and the name's start and end: what is masked.
_MASKED: dict[str, Callable[[Places, Places, Places, Places], tuple[Places, Places]]] = {
    "original": lambda place, word_end, start, end: (place, place + 1),
    "within-word": lambda place, word_end, start, end: (place, word_end),
    "answer-l2r": lambda place, word_end, start, end: (place, end),
    "independent": lambda place, word_end, start, end: (start, end),
}
_IN_HAND = 2**21  # tokens of masked texts that are compared with each other; ours: some 20 MB


class Questions(NamedTuple):
    """Tokens asked for. place_Q: the token's in its text. from_Q, to_Q: what is masked there, half-open."""

    text_Q: NDArray[numpy.int64]
    place_Q: Places
    from_Q: Places
    to_Q: Places


class MaskedRanks:
    """A masked language model that scores names in statements; see `kebench.model.statements.RanksNames`."""

    family: Family = "masked"
    sharing = ""

    def __init__(self, model: MaskedLM, tokenizer: Any, *, pll: Pll) -> None:
        if model.depends_on_batch:
            raise UserError(
                "a KeBioLM that runs as released: what it says of a text depends on the texts beside it, so "
                "it cannot rank names; convert the released files with 'kebench model convert --fidelity "
                "fixed'"
            )
        if tokenizer.mask_token_id is None:
            raise UserError("its tokenizer has no mask token; it is no masked language model")
        self.model, self.tokenizer, self.pll = model, tokenizer, pll
        limit = getattr(model.model.config, "max_position_embeddings", None)
        limits = [tokenizer.model_max_length, limit and limit - model.first_position]
        self.max_tokens = min(known for known in limits if known)
        two_words = tokenizer("one two", add_special_tokens=False).encodings[0].word_ids
        self.knows_words = len(set(two_words)) > 1

    def score_names(
        self,
        statements: Sequence[Statement],
        names: Sequence[str],
        *,
        with_before: bool = False,
        with_after: bool = False,
        batch_tokens: int | None = None,
    ) -> NameScores:
        """Score every name in every statement. Masked texts that are alike are forwarded once."""
        by_word = self.pll == "within-word" or (self.pll != "original" and (with_before or with_after))
        if by_word and not self.knows_words:
            raise UserError(
                f"'{self.pll}' masks words, and this model's tokenizer does not tell where a word ends; "
                "choose 'original'"
            )
        spans = encode_spans(self.tokenizer, statements, names, max_tokens=self.max_tokens)
        questions = ask(spans, self.pll, with_before=with_before, with_after=with_after)
        log_prob_Q = self._answer(spans, questions, batch_tokens)

        text_Q, place_Q = questions.text_Q, questions.place_Q
        start_Q, end_Q = spans.start_X[text_Q], spans.end_X[text_Q]
        shape = len(statements), len(names)

        def table(value_X: NDArray[Any], kind: Any) -> NDArray[Any]:
            return value_X.astype(kind).reshape(shape)

        def summed(is_asked_Q: NDArray[numpy.bool_]) -> NDArray[numpy.float32]:
            sums_X = numpy.bincount(text_Q[is_asked_Q], log_prob_Q[is_asked_Q], minlength=len(spans.start_X))
            return table(sums_X, numpy.float32)

        unasked_SN = numpy.full(shape, numpy.nan, dtype=numpy.float32)
        return NameScores(
            tokens_SN=table(spans.end_X - spans.start_X, numpy.int16),
            name_SN=summed((place_Q >= start_Q) & (place_Q < end_Q)),
            first_SN=summed(place_Q == start_Q),
            before_SN=summed(place_Q < start_Q) if with_before else unasked_SN,
            after_SN=summed(place_Q >= end_Q) if with_after else unasked_SN.copy(),
            straddles_SN=table(spans.straddles_X, numpy.bool_),
            unknown_SN=table(spans.unknown_X, numpy.int16),
        )

    def _answer(self, spans: Spans, questions: Questions, batch_tokens: int | None) -> NDArray[numpy.float64]:
        """Return the log probability of each token asked for."""
        log_prob_Q = numpy.zeros(len(questions.text_Q))
        length_Q = numpy.diff(spans.bound_X)[questions.text_Q]
        part_Q = length_Q.cumsum() // _IN_HAND
        for part in numpy.split(numpy.arange(len(part_Q)), numpy.flatnonzero(numpy.diff(part_Q)) + 1):
            some = Questions(*(column_Q[part] for column_Q in questions))
            log_prob_Q[part] = self._answer_some(spans, some, batch_tokens)
        return log_prob_Q

    def _answer_some(
        self, spans: Spans, questions: Questions, batch_tokens: int | None
    ) -> NDArray[numpy.float64]:
        masked = mask(spans, questions, mask_id=self.tokenizer.mask_token_id)
        # A place of a masked text goes through the head once, however many tokens are asked for there.
        flat_P, row_Q = numpy.unique(masked.bound_I[masked.number_Q] + questions.place_Q, return_inverse=True)
        order_Q = numpy.argsort(row_Q, kind="stable")
        sorted_row_Q = row_Q[order_Q]
        token_Q = spans.token_T[spans.bound_X[questions.text_Q] + questions.place_Q][order_Q]
        found_Q = numpy.zeros(len(row_Q))
        budget = batch_tokens or BATCH_TOKENS[self.model.device.partition(":")[0]]
        for texts in batches(masked.bound_I, budget):
            bounds = masked.bound_I[texts.start : texts.stop + 1]
            places = slice(*numpy.searchsorted(flat_P, bounds[[0, -1]]))
            asked = slice(*numpy.searchsorted(sorted_row_Q, [places.start, places.stop]))
            packed = Packed(
                self._tensor(masked.token_T[bounds[0] : bounds[-1]]), groups_of(numpy.diff(bounds))
            )
            found = self.model.log_probs(
                packed,
                self._tensor(flat_P[places] - bounds[0]),
                self._tensor(sorted_row_Q[asked] - places.start),
                self._tensor(token_Q[asked]),
            )
            found_Q[order_Q[asked]] = found.cpu().numpy()
        return found_Q

    def _tensor(self, numbers: NDArray[Any]) -> torch.Tensor:
        return torch.from_numpy(numbers.astype(numpy.int64)).to(self.model.device)


def ask(spans: Spans, pll: Pll, *, with_before: bool, with_after: bool) -> Questions:
    """Return which tokens are asked for, text by text, and what is masked at each."""
    num_tokens = len(spans.token_T)
    text_T = numpy.repeat(numpy.arange(len(spans.start_X)), numpy.diff(spans.bound_X))
    place_T = numpy.arange(num_tokens) - spans.bound_X[text_T]
    changes_T = numpy.diff(spans.word_T, append=-2) != 0  # texts end with one where words have none
    changes_T[spans.bound_X[1:] - 1] = True
    word_ends = numpy.flatnonzero(changes_T) + 1
    word_end_T = word_ends[numpy.searchsorted(word_ends, numpy.arange(num_tokens), side="right")]

    is_before_T, is_after_T = place_T < spans.start_X[text_T], place_T >= spans.end_X[text_T]
    is_asked_T = ~spans.special_T & (with_before | ~is_before_T) & (with_after | ~is_after_T)
    text_Q, place_Q = text_T[is_asked_T], place_T[is_asked_T]
    of_token = (
        place_Q,
        (word_end_T - spans.bound_X[text_T])[is_asked_T],
        spans.start_X[text_Q],
        spans.end_X[text_Q],
    )
    is_name_Q = ~(is_before_T | is_after_T)[is_asked_T]
    name_from_Q, name_to_Q = _MASKED[pll](*of_token)
    side_from_Q, side_to_Q = _MASKED["original" if pll == "original" else "within-word"](*of_token)
    return Questions(
        text_Q,
        place_Q,
        numpy.where(is_name_Q, name_from_Q, side_from_Q),
        numpy.where(is_name_Q, name_to_Q, side_to_Q),
    )


class MaskedTexts(NamedTuple):
    """Distinct masked texts by length, one behind the other.

    token_T: ids. bound_I: where each text begins, and the end. number_Q: which text a question is asked in.
    """

    token_T: NDArray[numpy.int32]
    bound_I: NDArray[numpy.int64]
    number_Q: NDArray[numpy.int64]


def mask(spans: Spans, questions: Questions, *, mask_id: int) -> MaskedTexts:
    """Return the masked texts of some questions, those that are alike once."""
    numbers: dict[bytes, int] = {}
    number_Q = numpy.zeros(len(questions.text_Q), dtype=numpy.int64)
    length_Q = numpy.diff(spans.bound_X)[questions.text_Q]
    for length in numpy.unique(length_Q):
        asked = numpy.flatnonzero(length_Q == length)
        place_L = numpy.arange(length)
        token_QL = spans.token_T[spans.bound_X[questions.text_Q[asked], None] + place_L]
        is_masked_QL = (place_L >= questions.from_Q[asked, None]) & (place_L < questions.to_Q[asked, None])
        token_QL[is_masked_QL] = mask_id
        for question, token_L in zip(asked, token_QL, strict=True):
            number_Q[question] = numbers.setdefault(token_L.tobytes(), len(numbers))
    length_I = numpy.array([len(text) for text in numbers]) // spans.token_T.itemsize
    return MaskedTexts(
        numpy.frombuffer(b"".join(numbers), dtype=spans.token_T.dtype),
        numpy.concatenate([[0], length_I.cumsum()]),
        number_Q,
    )


def batches(bound_I: NDArray[numpy.int64], most_tokens: int) -> Iterator[slice]:
    """Yield slices of texts with at most so many tokens; a text with more stands alone."""
    first = 0
    while first < len(bound_I) - 1:
        end = int(numpy.searchsorted(bound_I, bound_I[first] + most_tokens, side="right")) - 1
        end = max(end, first + 1)
        yield slice(first, end)
        first = end
