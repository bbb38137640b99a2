"""The real small models. Fetched once by `make weights`; skipped where they are not."""

from pathlib import Path

import pytest
import torch

from kebench.cards import read_model_card
from kebench.model.checkpoint import load_causal_lm, load_encoder, load_lm_tokenizer, load_tokenizer
from kebench.model.layout import describe_checkpoint
from kebench.model.source import cached_folder
from kebench.model.start_token import SENTENCES, measure_start_tokens, perplexity, start_token

pytestmark = pytest.mark.weights


def folder_of(name: str) -> Path:
    folder = cached_folder(read_model_card(name))
    if folder is None:
        pytest.skip(f"not in the cache; 'kebench model get {name}' fetches it")
    return folder


@pytest.mark.parametrize(("name", "layers", "hidden"), [("minilm", 6, 384), ("bert-tiny", 2, 128)])
def test_a_real_small_model_loads_whole(name: str, layers: int, hidden: int) -> None:
    folder = folder_of(name)
    facts = describe_checkpoint(folder)
    encoder = load_encoder(folder)
    assert (facts.layers, facts.hidden, facts.vocabulary, facts.casing) == (layers, hidden, 30522, "uncased")
    assert facts.parameters == sum(parameter.numel() for parameter in encoder.parameters())


@pytest.mark.parametrize(("name", "has_mlm_head"), [("minilm", False), ("bert-tiny", True)])
def test_the_card_says_rightly_whether_there_is_an_mlm_head(name: str, has_mlm_head: bool) -> None:
    assert describe_checkpoint(folder_of(name)).has_mlm_head is has_mlm_head
    assert read_model_card(name).mlm_head is has_mlm_head


def test_minilm_knows_which_words_are_alike() -> None:
    encoder, tokenizer = load_encoder(folder_of("minilm")).eval(), load_tokenizer(folder_of("minilm"))
    encoding = tokenizer(
        ["myocardial infarction", "heart attack", "football match"], padding=True, return_tensors="pt"
    )
    with torch.no_grad():
        hidden = encoder(**encoding).last_hidden_state
    mask = encoding["attention_mask"].unsqueeze(-1)
    vectors = torch.nn.functional.normalize((hidden * mask).sum(1) / mask.sum(1), dim=-1)
    assert vectors[0] @ vectors[1] > vectors[0] @ vectors[2] + 0.2


def test_smollm2_reads_english_and_its_card_names_what_it_reads_best_behind() -> None:
    folder, card = folder_of("smollm2"), read_model_card("smollm2")
    facts = describe_checkpoint(folder)
    assert (facts.family, facts.kind, facts.layers, facts.hidden) == ("llama", "causal", 30, 576)
    assert (facts.vocabulary, facts.max_tokens, facts.parameters) == (49_152, 8192, 134_515_008)
    model, tokenizer = load_causal_lm(folder), load_lm_tokenizer(folder)
    measured = {one.token: one.perplexity for one in measure_start_tokens(model, tokenizer)}
    assert next(iter(measured)) == card.start_token == "<|endoftext|>"
    # 15.8 behind it, 30.4 behind nothing, 35.0 behind the mark of a chat that is called bos_token
    assert 14 < measured["<|endoftext|>"] < 18 < 28 < measured["none"] < measured[tokenizer.bos_token]
    backwards = tuple(" ".join(reversed(text.split())) for text in SENTENCES)
    assert perplexity(model, tokenizer, (), sentences=backwards) > 1000
    start = start_token(folder, card, tokenizer)
    for text, expected in {
        "The capital of France is": " Paris",
        "The chemical symbol of gold is": " Au",
    }.items():
        ids = torch.tensor([[*start, *tokenizer(text)["input_ids"]]])
        with torch.inference_mode():
            best = model(ids).logits[0, -1].argmax()
        assert tokenizer.decode(best) == expected
    parts = tokenizer.backend_tokenizer.pre_tokenizer.pre_tokenize_str("CD45 cells")
    assert [part for part, _ in parts] == ["CD", "4", "5", "Ġcells"]
