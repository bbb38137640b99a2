"""Causal and encoder-decoder models: which kind a directory is, and that it loads whole or not at all."""

import json
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
import transformers

from kebench.model.checkpoint import load_causal_lm, load_lm_tokenizer, load_seq2seq_lm
from kebench.model.layout import family_kind
from tests.tiny_checkpoints import (
    CAUSAL_FAMILIES,
    ENCODER_DECODER_FAMILIES,
    write_tiny_lm,
)

FAMILIES = [*CAUSAL_FAMILIES, *ENCODER_DECODER_FAMILIES]


def load(folder: Path, **options: Any) -> transformers.PreTrainedModel:
    if family_kind(folder) == "causal":
        return load_causal_lm(folder, **options)
    return load_seq2seq_lm(folder, **options)


def change_config(folder: Path, **settings: Any) -> Path:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | settings))
    return folder


def change_weights(folder: Path, change: Any) -> Path:
    tensors = safetensors.torch.load_file(folder / "model.safetensors")
    safetensors.torch.save_file(change(tensors), folder / "model.safetensors", metadata={"format": "pt"})
    return folder


@pytest.mark.parametrize("family", FAMILIES)
def test_a_model_loads_with_every_weight_of_its_file(tmp_path: Path, family: str) -> None:
    folder = write_tiny_lm(tmp_path, family)
    assert family_kind(folder) == ("encoder-decoder" if family in ENCODER_DECODER_FAMILIES else "causal")
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    model = load(folder)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert not model.training
    assert model.dtype == torch.float32
    model.save_pretrained(tmp_path / "again")
    saved, again = (
        safetensors.torch.load_file(f / "model.safetensors") for f in (folder, tmp_path / "again")
    )
    assert saved.keys() == again.keys()
    assert all(torch.equal(again[name], tensor) for name, tensor in saved.items())
    tokenizer = load_lm_tokenizer(folder)
    encoding = tokenizer("The gene of patients", return_tensors="pt", return_token_type_ids=False)
    more = {"decoder_input_ids": encoding["input_ids"]} if model.config.is_encoder_decoder else {}
    with torch.no_grad():
        logits = model(**encoding, **more).logits
    assert logits.shape[:2] == encoding["input_ids"].shape
    assert load(folder, without_numbers=True).device.type == "meta"
