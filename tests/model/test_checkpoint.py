"""Loading: every weight comes from the file, and every word keeps the first piece it has in running text."""

import json
import os
import pickle
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from kebench.errors import UserError
from kebench.model.checkpoint import load_encoder, load_tokenizer
from kebench.model.layout import describe_checkpoint
from tests.model.conftest import LAYOUTS
from tests.tiny_checkpoints import write_tiny_bert, write_tiny_old_bert

# A word that BERT's normalisation deletes, words outside ASCII, and a word of several pieces.
WORDS = ["the", "\u200b", "naïve", "α-synuclein", "cancer", "IL-2"]
every_layout = pytest.mark.parametrize("layout", list(LAYOUTS))


@every_layout
def test_an_encoder_loads_from_its_own_files_and_runs(checkpoints: dict[str, Path], layout: str) -> None:
    encoder = load_encoder(checkpoints[layout])
    encoding = load_tokenizer(checkpoints[layout])([WORDS], is_split_into_words=True, return_tensors="pt")
    with torch.no_grad():
        hidden = encoder(**encoding).last_hidden_state
    assert hidden.shape == (1, encoding["input_ids"].shape[1], 16)
    assert hidden.dtype == torch.float32
    assert not any(name.startswith("pooler") for name, _ in encoder.named_parameters())


@every_layout
def test_every_parameter_gets_a_gradient(checkpoints: dict[str, Path], layout: str) -> None:
    encoder = load_encoder(checkpoints[layout]).train()
    encoding = load_tokenizer(checkpoints[layout])([WORDS], is_split_into_words=True, return_tensors="pt")
    encoder(**encoding).last_hidden_state.pow(3).sum().backward()
    assert [name for name, parameter in encoder.named_parameters() if parameter.grad is None] == []


@every_layout
def test_words_have_the_pieces_they_have_in_running_text(checkpoints: dict[str, Path], layout: str) -> None:
    tokenizer = load_tokenizer(checkpoints[layout])
    words = ["in", "the", "cancer", "cancers", "naïve", "α-synuclein"]
    split = tokenizer([words], is_split_into_words=True)
    running = tokenizer([" ".join(words)])
    assert split["input_ids"] == running["input_ids"]
    assert [number for number in dict.fromkeys(split.word_ids(0)) if number is not None] == list(
        range(len(words))
    )


@pytest.mark.parametrize("layout", ["bert", "old-bert", "electra"])
def test_a_word_that_normalisation_deletes_has_no_piece(checkpoints: dict[str, Path], layout: str) -> None:
    encoding = load_tokenizer(checkpoints[layout])([WORDS], is_split_into_words=True)
    assert set(encoding.word_ids(0)) == {None, 0, 2, 3, 4, 5}


@pytest.mark.parametrize("layout", ["roberta", "modernbert"])
def test_a_byte_level_word_begins_with_a_space(checkpoints: dict[str, Path], layout: str) -> None:
    tokenizer = load_tokenizer(checkpoints[layout])
    encoding = tokenizer([["the", "cancer"]], is_split_into_words=True)
    assert tokenizer.convert_ids_to_tokens(encoding["input_ids"][0])[1:-1] == ["Ġthe", "Ġcancer"]


@every_layout
def test_what_is_described_is_what_is_loaded(checkpoints: dict[str, Path], layout: str) -> None:
    facts = describe_checkpoint(checkpoints[layout])
    encoder = load_encoder(checkpoints[layout])
    assert facts.parameters == sum(parameter.numel() for parameter in encoder.parameters())
    assert (facts.layers, facts.hidden) == (2, 16)
    assert facts.family == layout.removeprefix("old-")
    assert facts.max_tokens == 128
    assert facts.casing == ("uncased" if layout in ("bert", "electra") else "cased")
    assert facts.has_mlm_head == (layout != "electra")


@pytest.mark.parametrize("write", [write_tiny_bert, write_tiny_old_bert])
def test_a_file_without_mlm_head_is_told_from_one_with(tmp_path: Path, write: Any) -> None:
    assert describe_checkpoint(write(tmp_path / "without", mlm_head=False)).has_mlm_head is False
    assert describe_checkpoint(write(tmp_path / "with")).has_mlm_head is True


def test_the_longest_input_of_a_checkpoint_fits(checkpoints: dict[str, Path]) -> None:
    for layout, folder in checkpoints.items():
        tokenizer = load_tokenizer(folder)
        encoding = tokenizer(["the " * 500], truncation=True, return_tensors="pt")
        assert encoding["input_ids"].shape == (1, 128), layout
        load_encoder(folder)(**encoding)


def test_old_layer_norm_names_are_loaded_not_drawn(tmp_path: Path) -> None:
    old = load_encoder(write_tiny_old_bert(tmp_path / "old", seed=1)).state_dict()
    new = load_encoder(write_tiny_bert(tmp_path / "new", cased=True, seed=1)).state_dict()
    assert [name for name in new if not torch.equal(old[name], new[name])] == []


def test_the_card_decides_the_casing_of_a_bare_vocabulary(checkpoints: dict[str, Path]) -> None:
    bare = checkpoints["old-bert"]
    assert load_tokenizer(bare, casing="cased").tokenize("The") == ["T", "##h", "##e"]
    assert load_tokenizer(bare, casing="uncased").tokenize("The") == ["the"]
    assert load_tokenizer(bare).tokenize("The") == ["T", "##h", "##e"], "its vocabulary has capitals"


def test_the_files_decide_the_casing_where_they_state_it(checkpoints: dict[str, Path]) -> None:
    assert load_tokenizer(checkpoints["bert"], casing="cased").tokenize("The") == ["the"]


def test_loading_leaves_the_random_state_alone(tmp_path: Path) -> None:
    folder = write_tiny_bert(tmp_path / "bert")  # its file has no pooler, which is drawn and dropped
    before = torch.get_rng_state()
    load_encoder(folder)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_missing_weight_is_an_error(tmp_path: Path) -> None:
    folder = write_tiny_old_bert(tmp_path / "bert")
    tensors = torch.load(folder / "pytorch_model.bin", weights_only=True)
    del tensors["bert.encoder.layer.1.output.dense.bias"]
    torch.save(tensors, folder / "pytorch_model.bin")
    with pytest.raises(
        UserError, match=r"the weights lack encoder\.layer\.1\.output\.dense\.bias \(1 missing\)"
    ):
        load_encoder(folder)


def test_a_weight_of_another_shape_is_an_error(tmp_path: Path) -> None:
    folder = write_tiny_old_bert(tmp_path / "bert")
    config = (
        (folder / "config.json").read_text().replace('"intermediate_size": 32', '"intermediate_size": 64')
    )
    (folder / "config.json").write_text(config)
    with pytest.raises(UserError, match=r"in the weights, \(.*64.*\) by config\.json"):
        load_encoder(folder)


def test_a_truncated_file_is_an_error(tmp_path: Path) -> None:
    weights = write_tiny_bert(tmp_path / "bert") / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-8])
    with pytest.raises(UserError, match="the file is cut off, save or copy the checkpoint again"):
        load_encoder(tmp_path / "bert")


def test_only_what_was_fetched_is_to_be_fetched_again(tmp_path: Path, cache: Path) -> None:
    for parent, remedy in (
        (tmp_path, "save or copy the checkpoint again"),
        (cache / "models" / "manual", "save or copy the checkpoint again"),
        (cache / "models" / "minilm", "fetch the checkpoint again"),
    ):
        folder = write_tiny_bert(parent / "bert")
        (folder / "model.safetensors").write_bytes(b"cut off")
        with pytest.raises(UserError, match=rf"not a safetensors file; {remedy}$"):
            load_encoder(folder)
        (folder / "config.json").write_text("{")
        with pytest.raises(UserError, match=rf"cannot be read as JSON .*; {remedy}$"):
            load_encoder(folder)


class Malicious:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("read", [describe_checkpoint, load_encoder])
def test_a_pickle_that_runs_code_is_refused_unrun(tmp_path: Path, zipped: bool, read: Any) -> None:
    folder = write_tiny_old_bert(tmp_path / "bert")
    malicious = {"bert.pooler.dense.bias": Malicious(tmp_path / "it-ran")}
    torch.save(malicious, folder / "pytorch_model.bin", _use_new_zipfile_serialization=zipped)
    with pytest.raises(UserError, match=r"this pickle holds more than tensors .* and is not loaded"):
        read(folder)
    assert not (tmp_path / "it-ran").exists()


def test_a_plain_pickle_is_refused(tmp_path: Path) -> None:
    folder = write_tiny_old_bert(tmp_path / "bert")
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps({"weights": 1}))
    with pytest.raises(UserError, match=r"pytorch_model\.bin: "):
        load_encoder(folder)


def test_safetensors_come_before_a_pickle(tmp_path: Path) -> None:
    folder = write_tiny_bert(tmp_path / "bert")
    (folder / "pytorch_model.bin").write_bytes(b"never read")
    assert load_encoder(folder) is not None


def test_a_folder_without_weights_says_what_is_expected(tmp_path: Path, checkpoints: dict[str, Path]) -> None:
    shutil.copytree(checkpoints["bert"], tmp_path / "bert")
    (tmp_path / "bert" / "model.safetensors").unlink()
    with pytest.raises(UserError, match=r"no weights; expected model\.safetensors \(or pytorch_model\.bin\)"):
        load_encoder(tmp_path / "bert")


def test_remote_code_is_not_run_unless_asked_for(tmp_path: Path) -> None:
    folder = write_tiny_bert(tmp_path / "bert")
    (folder / "config.json").write_text(
        '{"model_type": "own", "auto_map": {"AutoConfig": "own.Own", "AutoModel": "own.OwnModel"}}'
    )
    (folder / "own.py").write_text(f"import os; os.mkdir({str(tmp_path / 'it-ran')!r})")
    with pytest.raises(UserError, match=r"config\.json: "):
        load_encoder(folder)
    assert not (tmp_path / "it-ran").exists()


def test_a_tokenizer_that_would_fail_in_the_middle_of_a_run_is_refused(tmp_path: Path) -> None:
    folder = write_tiny_bert(tmp_path / "bert")
    path = folder / "tokenizer_config.json"
    config = json.loads(path.read_text())
    path.write_text(json.dumps(config | {"model_max_length": [512]}))
    with pytest.raises(UserError, match=r"its tokenizer takes \[512\] tokens, expected a number"):
        load_tokenizer(folder)
    path.write_text(json.dumps(config))
    path = folder / "tokenizer.json"
    tokenizer = json.loads(path.read_text())
    del tokenizer["model"]["vocab"]["[UNK]"]
    path.write_text(json.dumps(tokenizer))
    with pytest.raises(UserError, match=r"its tokenizer cannot be used \(.*\[UNK\]"):
        load_tokenizer(folder)
