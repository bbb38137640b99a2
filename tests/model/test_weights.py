"""The real small models. Fetched once by `kebench model get minilm bert-tiny`; skipped where they are not."""

from pathlib import Path

import pytest
import torch

from kebench.cards import read_model_card
from kebench.model.checkpoint import load_encoder, load_tokenizer
from kebench.model.layout import describe_checkpoint
from kebench.model.source import cached_folder

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
