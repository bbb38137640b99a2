"""GGUF files: the model that comes of one is the one it was written from, and what is unknown is refused."""

import io
import json
import struct
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch

from kebench.cards import ModelCard
from kebench.errors import UserError
from kebench.files import sha256_of
from kebench.model.checkpoint import load_causal_lm, load_lm_tokenizer
from kebench.model.gguf import ARCHITECTURES, convert_gguf, read_gguf
from kebench.model.source import FETCHED, card_of, model_hash, resolve_model
from tests.tiny_checkpoints import write_tiny_lm
from tests.tiny_gguf import write_tiny_gguf

gguf = pytest.importorskip("gguf", reason="pip install 'kebench[gguf]'")
# Heads of several sizes, keys of fewer heads: a tensor in another order shows.
SIZES = {"hidden_size": 32, "num_attention_heads": 4, "num_key_value_heads": 2}
# transformers takes what all published ones have for the positions of a GPT-2 and the heads of a Qwen3
OTHER_SIZES = {
    "gpt2": {"n_embd": 32, "n_head": 4, "n_positions": 1024},
    "qwen3": SIZES | {"head_dim": 128},
}


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny Llama, not to be written to."""
    return write_tiny_lm(tmp_path_factory.mktemp("llama"), "llama", **SIZES)


def convert(file: Path, folder: Path) -> dict[str, Any]:
    folder.mkdir()
    return convert_gguf(file, folder, shown="the file")


@pytest.mark.parametrize("architecture", list(ARCHITECTURES))
def test_a_model_computes_what_the_one_did_that_the_file_was_written_from(
    tmp_path: Path, architecture: str
) -> None:
    source = write_tiny_lm(tmp_path / "source", architecture, **OTHER_SIZES.get(architecture, SIZES))
    facts = convert(write_tiny_gguf(tmp_path / "a.gguf", source, architecture), tmp_path / "made")
    assert (facts["architecture"], set(facts["stored_as"])) == (architecture, {"F32"})
    ids = torch.arange(40)[None]
    with torch.inference_mode():
        expected, found = (load_causal_lm(one)(ids).logits for one in (source, tmp_path / "made"))
    assert torch.equal(found, expected)
    tokenizers = [load_lm_tokenizer(one) for one in (source, tmp_path / "made")]
    for text in ("The cancer gene, in TNF-α 12", " the", "<|endoftext|>can"):
        assert len({tuple(one(text)["input_ids"]) for one in tokenizers}) == 1


@pytest.mark.parametrize(("stored_as", "error"), [("F16", 1e-3), ("Q8_0", 0.05), ("Q4_1", 0.5)])
def test_weights_are_as_their_quantisation_left_them(
    tmp_path: Path, model: Path, stored_as: str, error: float
) -> None:
    file = write_tiny_gguf(tmp_path / "a.gguf", model, "llama", stored_as=stored_as)
    assert convert(file, tmp_path / "made")["stored_as"][stored_as] == 16
    tensor = next(one for one in gguf.GGUFReader(file).tensors if one.name == "blk.1.ffn_up.weight")
    stored = torch.from_numpy(gguf.dequantize(tensor.data, tensor.tensor_type).astype(numpy.float32))
    made = load_causal_lm(tmp_path / "made").model.layers[1].mlp.up_proj.weight
    assert torch.equal(made, stored)
    original = load_causal_lm(model).model.layers[1].mlp.up_proj.weight
    assert 0 < (made - original).abs().max() < error * original.abs().max()


def test_each_digit_stands_alone_where_the_file_says_so(tmp_path: Path, model: Path) -> None:
    for split in ("gpt-2", "smollm", "llama-bpe", "qwen2"):
        convert(write_tiny_gguf(tmp_path / f"{split}.gguf", model, "llama", split=split), tmp_path / split)
    parts = {
        split: [
            part
            for part, _ in load_lm_tokenizer(
                tmp_path / split
            ).backend_tokenizer.pre_tokenizer.pre_tokenize_str("CD4567 cells")
        ]
        for split in ("gpt-2", "smollm", "llama-bpe", "qwen2")
    }
    assert parts == {
        "gpt-2": ["CD", "4567", "Ġcells"],
        "smollm": ["CD", "4", "5", "6", "7", "Ġcells"],
        "llama-bpe": ["CD", "456", "7", "Ġcells"],
        "qwen2": ["CD", "4", "5", "6", "7", "Ġcells"],
    }


def test_a_sentencepiece_vocabulary_gives_the_pieces_that_sentencepiece_does(tmp_path: Path) -> None:
    sentencepiece = pytest.importorskip("sentencepiece")
    texts = (Path(__file__).parents[2] / "CONTRIBUTING.md").read_text().split("\n")
    trained = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter([text for text in texts if text]), model_writer=trained, vocab_size=700,
        model_type="bpe", byte_fallback=True, split_digits=True, normalization_rule_name="identity",
        remove_extra_whitespaces=False, minloglevel=2,
    )  # fmt: skip
    pieces = sentencepiece.SentencePieceProcessor(model_proto=trained.getvalue())
    source = write_tiny_lm(tmp_path / "source", "llama", vocab_size=700)
    convert(write_tiny_gguf(tmp_path / "a.gguf", source, "llama", pieces_of=pieces), tmp_path / "made")
    tokenizer = load_lm_tokenizer(tmp_path / "made")
    compared = [text for text in texts if text.strip() == text != ""]
    assert len(compared) > 100
    for text in [*compared, "β-catenin in E. coli O157:H7, 10^9/L"]:
        assert tokenizer(text)["input_ids"] == [pieces.bos_id(), *pieces.encode(text)]


def add_tensor(name: str) -> Callable[[Any], None]:
    return lambda writer: writer.add_tensor(name, numpy.ones(4, numpy.float32))


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ({"stored_as": "Q8_1"}, r"stored as Q8_1; known are F32, .*: take another file of this model"),
        ({"split": "chatglm"}, "its tokenizer is 'gpt2', and splits text as 'chatglm'; known are llama"),
        ({"rope__scaling__factor": 8.0}, r"llama\.rope\.scaling\.factor, a setting that the conversion"),
        (
            {"change": add_tensor("rope_freqs.weight")},
            r"rope_freqs\.weight, which the conversion does not know",
        ),
        ({"attention__value_length": 4.0}, r"llama\.attention\.value_length = 4\.0, and .* made it 8"),
    ],
)
def test_what_would_be_left_out_in_silence_is_refused(
    tmp_path: Path, model: Path, written: dict[str, Any], said: str
) -> None:
    if written.get("stored_as") == "Q8_1":  # nothing writes it: plain values under its number
        written = {"change": store_as(gguf.GGMLQuantizationType.Q8_1)}
    file = write_tiny_gguf(tmp_path / "a.gguf", model, "llama", **written)
    with pytest.raises(UserError, match=said):
        convert(file, tmp_path / "made")


def store_as(kind: Any) -> Callable[[Any], None]:
    def change(writer: Any) -> None:
        _, num_bytes = gguf.GGML_QUANT_SIZES[kind]
        writer.add_tensor("extra", numpy.zeros((1, num_bytes), numpy.uint8), raw_dtype=kind)

    return change


def test_another_architecture_is_refused_by_name(tmp_path: Path, model: Path) -> None:
    file = write_tiny_gguf(tmp_path / "a.gguf", model, "llama")
    file.write_bytes(file.read_bytes().replace(b"llama", b"mamba"))
    with pytest.raises(UserError, match="the architecture 'mamba'; those that are converted are gpt2, llama"):
        read_gguf(file, shown="the file")


def test_a_file_that_is_cut_off_anywhere_is_refused(tmp_path: Path, model: Path) -> None:
    whole = write_tiny_gguf(tmp_path / "a.gguf", model, "llama").read_bytes()
    ends = [4, 7, 23, 40, *range(100, len(whole), len(whole) // 40), len(whole) - 1]
    for end in ends:
        (tmp_path / "cut.gguf").write_bytes(whole[:end])
        with pytest.raises(UserError, match=r"the file: cut off or damaged; fetch it again"):
            read_gguf(tmp_path / "cut.gguf", shown="the file")


def test_a_length_beyond_the_file_is_refused_at_once(tmp_path: Path) -> None:
    key = b"tokenizer.ggml.scores"
    head = b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + struct.pack("<Q", len(key)) + key
    (tmp_path / "a.gguf").write_bytes(head + struct.pack("<IIQ", 9, 6, 1 << 60))  # that many floats
    with pytest.raises(UserError, match="cut off or damaged"):
        read_gguf(tmp_path / "a.gguf", shown="the file")


def test_what_is_no_gguf_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.gguf").write_bytes(b"PK\x03\x04" + bytes(100))
    with pytest.raises(UserError, match=r"the file: no GGUF file \(it does not begin with GGUF\)"):
        read_gguf(tmp_path / "a.gguf", shown="the file")
    (tmp_path / "a.gguf").write_bytes(b"GGUF" + struct.pack("<I", 1))
    with pytest.raises(UserError, match="GGUF of version 1, expected 2 or 3"):
        read_gguf(tmp_path / "a.gguf", shown="the file")


def test_without_the_package_the_command_that_installs_it_is_named(
    tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write_tiny_gguf(tmp_path / "a.gguf", model, "llama")
    monkeypatch.setitem(sys.modules, "gguf", None)
    with pytest.raises(UserError, match=r"needs the package gguf; pip install 'kebench\[gguf\]'"):
        read_gguf(file, shown="the file")


def test_a_tensor_that_came_out_otherwise_is_named(
    tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write_tiny_gguf(tmp_path / "a.gguf", model, "llama")
    monkeypatch.setitem(ARCHITECTURES, "llama", lambda name, values, config: values)
    with pytest.raises(UserError, match=r"blk\.0\.attn_[qk]\.weight is not in the model as gguf"):
        convert(file, tmp_path / "made")


def test_a_file_is_converted_once_and_says_of_what(tmp_path: Path, model: Path, cache: Path) -> None:
    file = write_tiny_gguf(tmp_path / "My Model.gguf", model, "llama", stored_as="Q8_0")
    resolved = resolve_model(str(file))
    assert resolved.card.name == "my-model"
    assert resolved.card.kind == "causal"
    assert resolved.card.sha256 == sha256_of(file)
    assert cache in resolved.folder.parents
    converted = json.loads((resolved.folder / FETCHED).read_text())["converted_from"]
    assert converted["file"] == "My Model.gguf"
    assert converted["sha256"] == sha256_of(file)
    assert converted["stored_as"] == {"F32": 5, "Q8_0": 16}
    made = (resolved.folder / "model.safetensors").stat().st_mtime_ns
    again = resolve_model(str(file))
    assert again.folder == resolved.folder
    assert (again.folder / "model.safetensors").stat().st_mtime_ns == made
    assert load_causal_lm(again.folder) is not None
    # other weights at the same place are another model
    write_tiny_gguf(file, model, "llama", stored_as="F16")
    assert model_hash(resolve_model(str(file)).folder) != model_hash(resolved.folder)


def test_another_file_than_the_card_s_is_not_converted(tmp_path: Path, model: Path, cache: Path) -> None:
    file = write_tiny_gguf(tmp_path / "a.gguf", model, "llama")
    card = card_of(str(file)).model_copy(update={"sha256": "0" * 64})
    with pytest.raises(UserError, match="the card says 0000"):
        resolve_model(ModelCard.model_validate(card.model_dump()))
    assert not list(cache.glob("models/*/*"))


def test_a_file_that_is_not_there_is_named(tmp_path: Path, cache: Path) -> None:
    with pytest.raises(UserError, match=r"path:.*none\.gguf: no such file"):
        resolve_model(f"path:{tmp_path}/none.gguf")
