"""The model of a probe that scores names: its family, what stands before its texts, and how it is loaded.

Probes that rank and probes that choose ask alike; what they ask is no matter of this module.
"""

from pathlib import Path
from typing import Any, NamedTuple

from kebench.cards import ModelCard
from kebench.errors import UserError
from kebench.model.causal_lm import CausalLM
from kebench.model.checkpoint import load_causal_lm, load_lm_tokenizer, load_seq2seq_lm, load_tokenizer
from kebench.model.layout import family_kind
from kebench.model.masked_lm import MaskedLM, check_masked_lm
from kebench.model.masked_ranks import MaskedRanks, Pll
from kebench.model.seq2seq_lm import Seq2SeqLM
from kebench.model.source import ResolvedModel
from kebench.model.start_token import start_token
from kebench.model.statements import Family

PLL: Pll = "answer-l2r"  # of masked models, unless another is asked for
NameScorer = CausalLM | MaskedRanks | Seq2SeqLM


class Asked(NamedTuple):
    """How a model is asked. start: the tokens before its texts, as its tokenizer writes them; "" for none.

    pll: which pseudo-log-likelihood of a masked model; None of others.
    """

    family: Family
    start: str
    pll: Pll | None


def how_asked(model: ResolvedModel, *, start: str = "", pll: Pll | None = None, trusted: bool) -> Asked:
    """Return how a model is asked. start, pll: as the user has them; what is not given is as its card says.

    Raises UserError for a model of no known family, and for an option that is not for its family.
    """
    card, folder = model.card, model.folder
    family = family_kind(folder, stated=card.kind)
    for option, is_given, only in (("--start-token", start, "causal"), ("--pll", pll, "masked")):
        if is_given and family != only:
            raise UserError(
                f"{option} is for {only} models, and {card.name} is {family}; leave it out, or ask the "
                "models apart"
            )
    begins = ""
    if family == "causal":
        tokenizer = tokenizer_of(card, folder, family, trusted=trusted)
        ids = start_token(folder, card, tokenizer, asked=start)
        begins = " ".join(tokenizer.convert_ids_to_tokens(list(ids)))
    return Asked(family, begins, (pll or PLL) if family == "masked" else None)


def tokenizer_of(card: ModelCard, folder: Path, family: Family, *, trusted: bool) -> Any:
    """Return the tokenizer by which a model of a family is asked."""
    stated: Any = {"family": card.family, "casing": card.casing, "trust_remote_code": trusted}
    if family == "masked":
        return load_tokenizer(folder, split_words=False, **stated)
    return load_lm_tokenizer(folder, **stated)


def check_model(card: ModelCard, folder: Path, family: Family, *, trusted: bool) -> list[str]:
    """Return what is out of the common in a model, its weights unread; UserError if any is missing."""
    stated: Any = {"family": card.family, "trust_remote_code": trusted}
    if family == "masked":
        remarks = check_masked_lm(folder, casing=card.casing, **stated)
        return [f"{card.name}: WARNING: {remark}" for remark in remarks]
    load = load_causal_lm if family == "causal" else load_seq2seq_lm
    load(folder, kind=card.kind, without_numbers=True, **stated)
    return []


def load_model(
    card: ModelCard, folder: Path, asked: Asked, *, device: str, precision: str, trusted: bool
) -> NameScorer:
    """Load a model to score names with."""
    stated: Any = {"family": card.family, "trust_remote_code": trusted}
    on: Any = {"device": device, "precision": precision}
    tokenizer = tokenizer_of(card, folder, asked.family, trusted=trusted)
    if asked.family == "masked":
        assert asked.pll, "a masked model is asked by a pseudo-log-likelihood"
        return MaskedRanks(MaskedLM.load(folder, **stated, **on), tokenizer, pll=asked.pll)
    if asked.family == "causal":
        start = tuple(tokenizer.convert_tokens_to_ids(asked.start.split()))
        return CausalLM(load_causal_lm(folder, kind=card.kind, **stated), tokenizer, start=start, **on)
    return Seq2SeqLM(load_seq2seq_lm(folder, kind=card.kind, **stated), tokenizer, **on)
