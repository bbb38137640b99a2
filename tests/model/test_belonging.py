"""Weights, configuration and tokenizer that do not belong together are refused, by the tensors' names."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from kebench.errors import UserError
from kebench.model.checkpoint import load_encoder, load_masked_lm
from kebench.model.layout import describe_checkpoint
from tests.tiny_checkpoints import write_tiny_bert, write_tiny_old_bert

Tensors = dict[str, torch.Tensor]


def change_weights(folder: Path, change: Callable[[Tensors], Tensors]) -> Path:
    path = folder / "model.safetensors"
    save_file(change(load_file(path)), path, metadata={"format": "pt"})
    return folder


def change_json(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def with_tensor(name: str) -> Callable[[Tensors], Tensors]:
    return lambda tensors: tensors | {name: torch.ones(4, 16)}


def renamed(prefix: str) -> Callable[[Tensors], Tensors]:
    return lambda tensors: {prefix + name: tensor for name, tensor in tensors.items()}


@pytest.mark.parametrize("load", [load_encoder, load_masked_lm])
def test_an_embedding_that_the_encoder_has_no_place_for_is_refused(tmp_path: Path, load: Any) -> None:
    extra = "bert.embeddings.tui_type_embeddings.weight"  # as in UmlsBERT
    folder = change_weights(write_tiny_bert(tmp_path), with_tensor(extra))
    with pytest.raises(
        UserError, match=rf"hold {extra} \(1 such\), which .* has no place for .* another kind"
    ):
        load(folder)


def test_the_same_without_the_encoder_s_own_name(tmp_path: Path) -> None:
    folder = write_tiny_bert(tmp_path, mlm_head=False)  # embeddings.word_embeddings ..., no "bert." before it
    load_encoder(change_weights(folder, with_tensor("classifier.weight")))
    for name in ("embeddings.type.weight", "fusion.weight"):
        change_weights(folder, with_tensor(name))
        with pytest.raises(UserError, match=rf"the weights hold {name} \(1 such\)"):
            load_encoder(folder)
        change_weights(folder, lambda tensors, name=name: {n: t for n, t in tensors.items() if n != name})


def test_a_config_with_fewer_layers_than_the_weights_is_refused(tmp_path: Path) -> None:
    folder = write_tiny_bert(tmp_path)
    change_json(folder / "config.json", num_hidden_layers=1)
    with pytest.raises(UserError, match=r"says 1 layers, the weights have 2: mend num_hidden_layers"):
        load_encoder(folder)


@pytest.mark.parametrize(
    "name",
    [
        "bert.encoder.layer.0.attention.self.query.lora_A.default.weight",
        "bert.encoder.layer.1.output.adapters.umls.adapter_down.0.weight",
        "adapter.down.weight",
    ],
)
def test_an_adapter_among_the_weights_is_refused(tmp_path: Path, name: str) -> None:
    folder = change_weights(write_tiny_bert(tmp_path), with_tensor(name))
    with pytest.raises(UserError, match=rf"an adapter \({name}, 1 tensors\).*merge_and_unload"):
        load_encoder(folder)


def test_a_folder_of_an_adapter_is_named_as_that(tmp_path: Path) -> None:
    folder = write_tiny_bert(tmp_path)
    (folder / "adapter_config.json").write_text("{}")
    with pytest.raises(UserError, match=r"an adapter \(adapter_config\.json\)"):
        describe_checkpoint(folder)


def test_a_head_beside_the_encoder_may_go(tmp_path: Path) -> None:
    folder = change_weights(write_tiny_bert(tmp_path), with_tensor("a_head_of_ours.weight"))
    load_encoder(folder)
    load_masked_lm(folder)


@pytest.mark.parametrize("wrapper", ["module.", "_orig_mod.", "base_model.model.", "module._orig_mod."])
def test_what_a_wrapper_puts_before_all_names_is_taken_off(tmp_path: Path, wrapper: str) -> None:
    plain, wrapped = write_tiny_bert(tmp_path / "plain"), write_tiny_bert(tmp_path / "wrapped")
    change_weights(wrapped, renamed(wrapper))
    for load in (load_encoder, load_masked_lm):
        expected = load(plain).state_dict()
        loaded = load(wrapped).state_dict()
        assert loaded.keys() == expected.keys()
        assert all(torch.equal(loaded[name], expected[name]) for name in expected)
    assert describe_checkpoint(wrapped) == describe_checkpoint(plain)


def test_the_same_with_the_old_names_of_layer_norm(tmp_path: Path) -> None:
    folder = write_tiny_old_bert(tmp_path)
    expected = load_encoder(folder).state_dict()
    tensors = torch.load(folder / "pytorch_model.bin", weights_only=True)
    torch.save({f"module.{name}": tensor for name, tensor in tensors.items()}, folder / "pytorch_model.bin")
    loaded = load_encoder(folder).state_dict()
    assert all(torch.equal(loaded[name], expected[name]) for name in expected)


@pytest.mark.parametrize("load", [load_encoder, load_masked_lm])
def test_another_name_before_all_is_named(tmp_path: Path, load: Any) -> None:
    folder = change_weights(write_tiny_bert(tmp_path), renamed("student."))
    with pytest.raises(UserError, match=r"begin with 'student\.(bert\.)?' .*; take it off"):
        load(folder)


@pytest.mark.parametrize("name", ["is_decoder", "add_cross_attention"])
def test_a_config_that_makes_a_decoder_of_an_encoder_is_refused(tmp_path: Path, name: str) -> None:
    folder = write_tiny_bert(tmp_path)
    change_json(folder / "config.json", **{name: True})
    for read in (describe_checkpoint, load_encoder, load_masked_lm):
        with pytest.raises(UserError, match=rf"config\.json: {name} = true, .*set it to false"):
            read(folder)
