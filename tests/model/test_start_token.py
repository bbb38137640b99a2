"""What stands before a text for a causal model: who says it, and how well a model reads behind it."""

import logging
import math
from pathlib import Path
from typing import Any

import pytest
import torch

from kebench.cards import ModelCard
from kebench.errors import UserError
from kebench.model.checkpoint import load_causal_lm, load_lm_tokenizer
from kebench.model.source import card_of_source
from kebench.model.start_token import (
    PUT,
    SENTENCES,
    measure_start_tokens,
    perplexity,
    start_token,
    tokens_put,
)
from tests.tiny_checkpoints import write_tiny_lm

END, TURN = 2, 3  # <|endoftext|>, and <|im_start|>, which the tokenizer calls bos_token


@pytest.fixture(scope="module")
def silent(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model whose tokenizer puts nothing before a text."""
    return write_tiny_lm(tmp_path_factory.mktemp("silent"), "llama")


@pytest.fixture(scope="module")
def putting(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model whose tokenizer puts <|im_start|> before a text."""
    return write_tiny_lm(tmp_path_factory.mktemp("putting"), "llama", start="<|im_start|>")


def card(folder: Path, **fields: Any) -> ModelCard:
    return card_of_source(f"path:{folder}", name="tiny").model_copy(update=fields)


def test_bos_token_is_never_taken_by_itself(silent: Path) -> None:
    tokenizer = load_lm_tokenizer(silent)
    assert tokenizer.bos_token_id == TURN
    with pytest.raises(UserError, match=r'nothing says .* start_token = "<\|endoftext\|>" .* --start-token'):
        start_token(silent, card(silent), tokenizer)


def test_the_card_says_it_and_what_is_asked_comes_before_the_card(silent: Path) -> None:
    tokenizer = load_lm_tokenizer(silent)
    stated = card(silent, start_token="<|endoftext|>")
    assert start_token(silent, stated, tokenizer) == (END,)
    assert start_token(silent, stated, tokenizer, asked="<|im_start|>") == (TURN,)
    assert start_token(silent, stated, tokenizer, asked="none") == ()
    assert start_token(silent, card(silent, start_token="none"), tokenizer) == ()


def test_the_tokenizer_s_own_is_taken_and_gives_way_to_the_card(
    putting: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tokenizer = load_lm_tokenizer(putting)
    with caplog.at_level(logging.WARNING):
        assert tokens_put(tokenizer) == start_token(putting, card(putting), tokenizer) == (TURN,)
        assert start_token(putting, card(putting, start_token="<|im_start|>"), tokenizer) == (TURN,)
    assert not caplog.messages
    assert start_token(putting, card(putting, start_token="<|endoftext|>"), tokenizer) == (END,)
    assert start_token(putting, card(putting), tokenizer, asked="none") == ()
    assert caplog.messages == [
        "tiny: a text begins with <|endoftext|>, as its card says; its tokenizer puts <|im_start|>",
        "tiny: a text begins with none, as --start-token says; its tokenizer puts <|im_start|>",
    ]


@pytest.mark.parametrize("named", ["<|nothing|>", "the cancer", ""])
def test_what_is_not_one_token_is_refused(silent: Path, named: str) -> None:
    tokenizer = load_lm_tokenizer(silent)
    said = "nothing says" if not named else r"is no token of the vocabulary of .*; name one as the tokenizer"
    with pytest.raises(UserError, match=said):
        start_token(silent, card(silent, start_token=named), tokenizer)


def test_perplexity_is_that_of_the_logits(silent: Path) -> None:
    model, tokenizer = load_causal_lm(silent), load_lm_tokenizer(silent)
    sentence = "The gene."
    ids = [END, *tokenizer(sentence)["input_ids"]]
    with torch.inference_mode():
        logs = model(torch.tensor([ids])).logits[0].log_softmax(-1)
    # the first token of the sentence, ids[1], is not counted
    expected = math.exp(-sum(float(logs[at - 1, ids[at]]) for at in range(2, len(ids))) / (len(ids) - 2))
    assert perplexity(model, tokenizer, (END,), sentences=(sentence,)) == pytest.approx(expected, rel=1e-5)


def test_a_model_that_knows_its_start_token_reads_best_behind_it(silent: Path) -> None:
    model, tokenizer = load_causal_lm(silent), load_lm_tokenizer(silent)
    wanted = torch.cat([torch.tensor(tokenizer(text)["input_ids"]) for text in SENTENCES]).unique()

    class Knowing(torch.nn.Module):
        """Gives the tokens of the sentences a likelihood of their own where a text begins with END."""

        device = torch.device("cpu")

        def forward(self, input_ids: torch.Tensor, use_cache: bool) -> Any:
            found = model(input_ids).logits
            found[..., wanted] += 5.0 * float(input_ids[0, 0] == END)
            return type("Output", (), {"logits": found})

    measured = measure_start_tokens(Knowing(), tokenizer)  # type: ignore[arg-type]
    assert measured[0].token == "<|endoftext|>"
    assert {one.token for one in measured} >= {"none", "<|im_start|>", "</s>", "<pad>"}
    assert [one.perplexity for one in measured] == sorted(one.perplexity for one in measured)
    assert next(one for one in measured if one.token == "<|im_start|>").roles == ("bos_token",)


def test_what_the_tokenizer_puts_is_measured_too(putting: Path) -> None:
    measured = measure_start_tokens(load_causal_lm(putting), load_lm_tokenizer(putting))
    assert [one.token for one in measured if PUT in one.roles] == ["<|im_start|>"]
