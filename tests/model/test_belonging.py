"""Weights, configuration and tokenizer that do not belong together are refused, by the tensors' names."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from kebench.errors import UserError
from kebench.model.checkpoint import check_checkpoint, load_encoder, load_masked_lm, load_tokenizer
from kebench.model.layout import casing_of, describe_checkpoint, refuse_other_kinds
from tests.tiny_checkpoints import write_tiny_bert, write_tiny_old_bert, write_tiny_roberta

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


@pytest.mark.parametrize("prefixed", [True, False])
def test_a_head_beside_the_encoder_may_go_and_is_said(tmp_path: Path, prefixed: bool) -> None:
    folder = write_tiny_bert(tmp_path, mlm_head=prefixed)
    parameters = describe_checkpoint(folder).parameters
    for name in (
        "a_head_of_ours",
        "crf",
        "linear",
        "fc2",
        "ner_classifier",
        "start_logits",
        "sop_classifier",
    ):
        change_weights(folder, with_tensor(f"{name}.weight"))
    load_encoder(folder)
    if prefixed:
        load_masked_lm(folder)
    left_out = check_checkpoint(folder).left_out
    for name in ("a_head_of_ours", "crf", "linear"):
        assert f"{name} (1 tensor)" in left_out
    assert describe_checkpoint(folder).parameters == parameters


@pytest.mark.parametrize("load", [load_encoder, load_masked_lm])
@pytest.mark.parametrize(
    "name",
    ["type_embeddings.weight", "entity_fusion.layer.0.weight", "fusion_head.weight", "knowledge.weight"],
)
def test_what_stands_beside_the_encoder_and_is_no_head_is_refused(
    tmp_path: Path, name: str, load: Any
) -> None:
    folder = change_weights(write_tiny_bert(tmp_path), with_tensor(name))
    with pytest.raises(UserError, match=rf"hold {name} \(1 such\).*a head's, save the encoder without it"):
        load(folder)


def test_layers_beside_the_encoder_s_own_name_are_refused(tmp_path: Path) -> None:
    folder = change_weights(write_tiny_bert(tmp_path), with_tensor("encoder.layer.5.output.dense.weight"))
    with pytest.raises(UserError, match=r"says 2 layers, the weights have 6: mend num_hidden_layers"):
        load_encoder(folder)


@pytest.mark.parametrize("load", [load_encoder, load_masked_lm])
@pytest.mark.parametrize("family", ["roberta", "xlm-roberta", "camembert", "electra", "mpnet"])
def test_the_weights_of_another_family_are_named_as_that(tmp_path: Path, family: str, load: Any) -> None:
    folder = write_tiny_bert(tmp_path)
    change_json(folder / "config.json", model_type=family)
    with pytest.raises(UserError) as error:
        load(folder)
    assert re.search(
        rf"the weights are those of a 'bert' \(bert\..*\), and config\.json says '{family}'; mend model_type",
        str(error.value),
    )


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
    for read in (refuse_other_kinds, load_encoder, load_masked_lm):
        with pytest.raises(UserError, match=rf"config\.json: {name} = true, .*set it to false"):
            read(folder)


def add_pieces(folder: Path, *pieces: str) -> Path:
    """Add pieces at the end of a bare vocabulary."""
    with (folder / "vocab.txt").open("a") as file:
        file.write("".join(f"{piece}\n" for piece in pieces))
    return folder


def test_a_tokenizer_with_more_pieces_than_the_embedding_has_rows_is_refused(tmp_path: Path) -> None:
    folder = add_pieces(write_tiny_old_bert(tmp_path, cased=False), *(f"new{n}" for n in range(200)))
    with pytest.raises(UserError, match=r"200 pieces \('new0', 'new1', 'new10' \.\.\.\) beyond the \d+ rows"):
        load_tokenizer(folder)


def test_a_blank_line_of_a_vocabulary_is_no_piece(tmp_path: Path) -> None:
    folder = add_pieces(write_tiny_old_bert(tmp_path, cased=False), "")
    assert load_tokenizer(folder).tokenize("the") == ["the"]


@pytest.mark.parametrize(
    ("num_pieces", "rows", "is_refused"),
    [
        (120, 128, False),  # padded to a multiple of 64
        (60, 131, True),
        (120, 256, True),
        (120, 900, True),
        (2_000, 2_128, False),
        (2_000, 2_129, True),
        (49_501, 50_000, False),  # a multiple of 1,000
        (49_499, 50_000, True),
    ],
)
def test_a_vocabulary_far_smaller_than_the_embedding_is_another_models(
    tmp_path: Path, num_pieces: int, rows: int, is_refused: bool
) -> None:
    folder = write_tiny_old_bert(tmp_path, cased=False)
    pieces = (folder / "vocab.txt").read_text().split()[:num_pieces]
    pieces += [f"new{number}" for number in range(num_pieces - len(pieces))]
    (folder / "vocab.txt").write_text("\n".join(pieces))
    change_json(folder / "config.json", vocab_size=rows)
    if not is_refused:
        load_tokenizer(folder)
        return
    says = f"{num_pieces:,} pieces and the embedding {rows:,} rows; that is another model's"
    with pytest.raises(UserError, match=says):
        load_tokenizer(folder)


@pytest.mark.parametrize("read", [load_tokenizer, describe_checkpoint])
def test_a_piece_that_stands_twice_in_a_vocabulary_is_refused(tmp_path: Path, read: Any) -> None:
    folder = write_tiny_old_bert(tmp_path, cased=False)
    lines = (folder / "vocab.txt").read_text().splitlines()
    lines[40] = "cancer"
    (folder / "vocab.txt").write_text("\n".join(lines))
    earlier = lines.index("cancer") + 1
    with pytest.raises(
        UserError, match=rf"vocab\.txt:41: the piece 'cancer' of line {earlier} again; .* once"
    ):
        read(folder)


def test_rows_without_a_piece_that_are_no_padding_are_said(tmp_path: Path) -> None:
    folder = write_tiny_bert(tmp_path)
    rows = json.loads((folder / "config.json").read_text())["vocab_size"]

    def with_rows(number: int) -> Callable[[Tensors], Tensors]:
        return lambda tensors: {
            name: torch.ones(number, *tensor.shape[1:]) if tensor.shape[:1] == (rows,) else tensor
            for name, tensor in tensors.items()
        }

    change_weights(folder, with_rows(rows + 2))
    change_json(folder / "config.json", vocab_size=rows + 2)
    (remark,) = check_checkpoint(folder).remarks
    assert remark.startswith(f"its embedding has {rows + 2} rows and its tokenizer {rows} pieces")


def test_positions_counted_from_another_padding_than_the_tokenizers_are_refused(tmp_path: Path) -> None:
    folder = write_tiny_roberta(tmp_path)
    change_json(folder / "config.json", pad_token_id=0)
    with pytest.raises(UserError, match=r"padding is piece 1 of the tokenizer, and by config\.json 0"):
        load_tokenizer(folder)


def test_a_check_says_what_is_left_out_and_loads_no_numbers(tmp_path: Path) -> None:
    checked = check_checkpoint(write_tiny_bert(tmp_path / "bert"))
    assert (checked.left_out, checked.remarks) == ("cls (5 tensors)", ())
    assert load_encoder(tmp_path / "bert", without_numbers=True).device.type == "meta"
    wrapped = change_weights(write_tiny_bert(tmp_path / "wrapped", mlm_head=False), renamed("module."))
    checked = check_checkpoint(wrapped)
    assert checked.left_out == "pooler (2 tensors)"
    assert checked.remarks == ("the names of its weights begin with 'module.', which is taken off",)


@pytest.mark.parametrize(
    ("added", "casing"),
    [
        ((), "uncased"),
        (("@GENE$", "[E1]", "<e1>", "DRUG"), "uncased"),
        (tuple("ABCDEFGHIJKLMNOPQRST"), "cased"),
    ],
)
def test_the_casing_of_a_bare_vocabulary_is_that_of_its_pieces(
    tmp_path: Path, added: tuple[str, ...], casing: str
) -> None:
    folder = add_pieces(write_tiny_old_bert(tmp_path, cased=False), *added)
    assert casing_of(folder) == casing
    text = (folder / "vocab.txt").read_bytes()
    (folder / "vocab.txt").write_bytes(text.replace(b"\n", b"\r\n"))
    assert casing_of(folder) == casing


def test_a_byte_order_mark_before_a_vocabulary_is_refused(tmp_path: Path) -> None:
    folder = write_tiny_old_bert(tmp_path)
    (folder / "vocab.txt").write_bytes(b"\xef\xbb\xbf" + (folder / "vocab.txt").read_bytes())
    with pytest.raises(UserError, match=r"vocab\.txt: begins with a byte order mark; take it off"):
        load_tokenizer(folder)


@pytest.mark.parametrize(("cased", "stated", "says"), [(False, False, "keeps"), (True, True, "lower-cases")])
def test_files_that_contradict_the_vocabulary_on_casing_are_followed_with_a_word(
    tmp_path: Path, cased: bool, stated: bool, says: str
) -> None:
    folder = write_tiny_old_bert(tmp_path, cased=cased)
    assert check_checkpoint(folder, casing="cased" if cased else "uncased").remarks == ()
    (folder / "tokenizer_config.json").write_text(json.dumps({"do_lower_case": stated}))
    (remark,) = check_checkpoint(folder).remarks
    assert remark.startswith(f"it {says} ")
    assert remark.endswith("words and parts have capitals: its files (or its card) state the wrong casing")
    assert load_tokenizer(folder).tokenize("The") == (["the"] if stated else ["[UNK]"])


def test_a_vocabulary_of_sentencepiece_alone_names_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_tiny_bert(tmp_path)
    change_json(folder / "config.json", model_type="deberta-v2")
    (folder / "tokenizer.json").unlink()
    (folder / "spm.model").write_bytes(b"")
    monkeypatch.setattr("kebench.model.checkpoint.is_sentencepiece_available", lambda: False)
    monkeypatch.setattr("kebench.model.checkpoint.is_protobuf_available", lambda: True)
    with pytest.raises(UserError) as error:
        load_tokenizer(folder)
    assert str(error.value) == (
        f"{folder}: its vocabulary is in spm.model alone, which sentencepiece must read; "
        "pip install 'kebench[sentencepiece]'"
    )


@pytest.mark.parametrize(
    ("family", "name", "first"),
    [("xlm-roberta", "sentencepiece.bpe.model", 1), ("xlnet", "spiece.model", 0), ("camembert", "", 4)],
)
def test_pieces_of_sentencepiece_are_those_of_its_own_program(
    tmp_path: Path, family: str, name: str, first: int
) -> None:
    """first: how many pieces of the family's own stand before SentencePiece's (fairseq's, but for XLNet)."""
    sentencepiece = pytest.importorskip("sentencepiece")
    path = tmp_path / (name or "sentencepiece.bpe.model")
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(["the cancer of the patients", "a gene of the disease"] * 20),
        model_prefix=str(tmp_path / "tiny"),
        vocab_size=30,
        hard_vocab_limit=False,
        minloglevel=2,
    )
    (tmp_path / "tiny.model").rename(path)
    program = sentencepiece.SentencePieceProcessor(model_file=str(path))
    rows = program.get_piece_size() + max(first + 1, 4)  # XLNet has four beside them
    (tmp_path / "config.json").write_text(json.dumps({"model_type": family, "vocab_size": rows}))
    expected = program.encode("the gene of patients")
    found = load_tokenizer(tmp_path).encode("the gene of patients", add_special_tokens=False)
    assert found == [number + first for number in expected]
