"""What stands before a text that a causal model reads: it moves every score, and few files say it rightly.

A tokenizer's bos_token says nothing: of models tuned for chat it is often the mark of a turn (SmolLM2's is,
and triples the perplexity of English), of others it was never seen in training (Qwen's).
"""

import logging
import math
from pathlib import Path
from typing import Any, NamedTuple

import torch
import transformers

from kebench.cards import ModelCard
from kebench.errors import UserError

NONE = "none"  # a card's word for nothing
PUT = "put by the tokenizer"  # the role of a token that needs no card
# What documents are parted by in training, beside the special tokens that a tokenizer names.
_DOCUMENT_MARKS = ("<|endoftext|>", "<|begin_of_text|>", "<|end_of_text|>", "<bos>", "<s>", "</s>")
# Plain English on which a right start token shows; ours.
SENTENCES = (
    "The doctor examined the patient and ordered a blood test.",
    "Paris is the capital of France, and it lies on the river Seine.",
    "Water boils at one hundred degrees at sea level.",
    "My brother went to the market yesterday to buy bread and milk.",
)

_log = logging.getLogger(__name__)


def start_token(
    folder: Path, card: ModelCard, tokenizer: transformers.PreTrainedTokenizerFast, *, asked: str = ""
) -> tuple[int, ...]:
    """Return the ids that stand before a text for a causal model.

    asked: the user's own, as the card's `start_token`, before which it comes. Else it is the card's, else
    what the tokenizer puts by itself. Raises UserError if none of the three says it, and for what is not one
    token of the vocabulary.
    """
    own = tokens_put(tokenizer)
    named = asked or card.start_token
    if not named and not own:
        raise UserError(
            f"{folder}: nothing says what stands before a text: its tokenizer puts nothing there. Write "
            f'start_token = "<|endoftext|>" (or another token, or "{NONE}") into its card, or pass '
            "--start-token; 'kebench model show NAME' measures which fits"
        )
    if not named:
        return own
    chosen: tuple[int, ...] = ()
    if named != NONE:
        number = tokenizer.get_vocab().get(named)
        if number is None:
            where = "--start-token" if asked else f"the card of '{card.name}', start_token"
            raise UserError(
                f"{where}: {named!r} is no token of the vocabulary of {folder}; name one as the tokenizer "
                f'writes it, or "{NONE}"'
            )
        chosen = (number,)
    if own and own != chosen:
        shown = " ".join(tokenizer.convert_ids_to_tokens(own))
        said = "--start-token" if asked else "its card"
        _log.warning(
            "%s: a text begins with %s, as %s says; its tokenizer puts %s", card.name, named, said, shown
        )
    return chosen


def tokens_put(tokenizer: transformers.PreTrainedTokenizerFast) -> tuple[int, ...]:
    """Return the ids that a tokenizer puts before a text by itself (its post-processor)."""
    encoding = tokenizer.backend_tokenizer.encode("a")
    put = []
    for number, is_special in zip(encoding.ids, encoding.special_tokens_mask, strict=True):
        if not is_special:
            break
        put.append(number)
    return tuple(put)


class StartPerplexity(NamedTuple):
    """How well a model reads English behind a token.

    roles: what the tokenizer calls it (bos_token, eos_token ...), and `PUT`.
    perplexity: a token, over `SENTENCES`, without the first token of each, which nothing tells of "none".
    """

    token: str
    roles: tuple[str, ...]
    perplexity: float


def measure_start_tokens(
    model: transformers.PreTrainedModel, tokenizer: transformers.PreTrainedTokenizerFast
) -> list[StartPerplexity]:
    """Measure how well a causal model reads English behind each token that may stand there, best first."""
    vocabulary = tokenizer.get_vocab()
    roles: dict[tuple[int, ...], list[str]] = {(): []}
    for role, token in tokenizer.special_tokens_map.items():
        if isinstance(token, str) and role != "mask_token" and token in vocabulary:
            roles.setdefault((vocabulary[token],), []).append(role)
    for token in _DOCUMENT_MARKS:
        if token in vocabulary:
            roles.setdefault((vocabulary[token],), [])
    if own := tokens_put(tokenizer):
        roles.setdefault(own, []).append(PUT)
    measured = [
        StartPerplexity(
            " ".join(tokenizer.convert_ids_to_tokens(start)) or NONE,
            tuple(names),
            perplexity(model, tokenizer, start),
        )
        for start, names in roles.items()
    ]
    return sorted(measured, key=lambda one: one.perplexity)


def perplexity(
    model: Any,
    tokenizer: transformers.PreTrainedTokenizerFast,
    start: tuple[int, ...],
    *,
    sentences: tuple[str, ...] = SENTENCES,
) -> float:
    """Return a causal model's perplexity a token of sentences, each read alone behind `start`.

    The first token of each sentence is read and not counted, so that it is the same tokens for any start.
    """
    total, num_tokens = 0.0, 0
    for sentence in sentences:
        pieces = tokenizer(sentence, add_special_tokens=False)["input_ids"]
        ids = torch.tensor([[*start, *pieces]], device=model.device)
        with torch.inference_mode():
            logits = model(input_ids=ids, use_cache=False).logits[0, len(start) : -1]
        log_probabilities = logits.float().log_softmax(-1)
        wanted = ids[0, len(start) + 1 :, None]
        total -= float(log_probabilities.gather(1, wanted).double().sum())
        num_tokens += len(pieces) - 1
    return math.exp(total / num_tokens)
