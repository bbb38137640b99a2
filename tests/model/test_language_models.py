"""Causal and encoder-decoder models: which kind a directory is, and that it loads whole or not at all."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
import transformers

from kebench.errors import UserError
from kebench.model import layout
from kebench.model.checkpoint import (
    load_causal_lm,
    load_lm_tokenizer,
    load_masked_lm,
    load_seq2seq_lm,
    load_tokenizer,
)
from kebench.model.layout import family_kind, max_tokens_of
from kebench.model.source import card_of_source, model_hash, resolve_model
from tests.tiny_checkpoints import (
    CAUSAL_FAMILIES,
    ENCODER_DECODER_FAMILIES,
    write_tiny_bert,
    write_tiny_lm,
    write_tiny_roberta,
)

FAMILIES = [*CAUSAL_FAMILIES, *ENCODER_DECODER_FAMILIES]


def load(folder: Path, **options: Any) -> transformers.PreTrainedModel:
    if family_kind(folder) == "causal":
        return load_causal_lm(folder, **options)
    return load_seq2seq_lm(folder, **options)


def change_json(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def change_config(folder: Path, **settings: Any) -> Path:
    change_json(folder / "config.json", **settings)
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


HEADS = {"biogpt": "output_projection", "gpt_neox": "embed_out"}  # as they are called in files; else lm_head


@pytest.mark.parametrize("family", FAMILIES)
def test_a_model_without_the_head_of_its_kind_is_refused_with_its_name(tmp_path: Path, family: str) -> None:
    head = f"{HEADS.get(family, 'lm_head')}.weight"
    folder = change_config(write_tiny_lm(tmp_path, family), tie_word_embeddings=False)
    change_weights(folder, lambda tensors: {name: one for name, one in tensors.items() if name != head})
    with pytest.raises(
        UserError, match=rf"no language modelling head: the weights lack .*(lm_head|{head}).*;"
    ):
        load(folder)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_model_that_was_saved_without_its_head_is_refused(tmp_path: Path, family: str) -> None:
    folder = write_tiny_lm(tmp_path, family)
    transformers.AutoModel.from_pretrained(folder).save_pretrained(folder)
    with pytest.raises(
        UserError, match=r"no .* language modelling head: config.json says it was saved as \w+Model"
    ):
        load(folder)


@pytest.mark.parametrize("family", ["gpt2", "llama", "t5"])
def test_a_head_in_the_file_is_not_tied_away(tmp_path: Path, family: str) -> None:
    folder = write_tiny_lm(tmp_path, family, tie_word_embeddings=True)
    own = torch.arange(276.0 * 16).reshape(276, 16)
    change_weights(folder, lambda tensors: tensors | {"lm_head.weight": own})
    model = load(folder)
    assert torch.equal(model.get_output_embeddings().weight, own)
    assert not torch.equal(model.get_input_embeddings().weight, own)


def test_a_tensor_that_is_left_over_or_missing_or_of_another_shape_is_named(tmp_path: Path) -> None:
    name = "model.layers.1.mlp.up_proj.weight"
    changes = {
        r"weights hold score\.weight \(1 such\), which the language model of": lambda tensors: (
            tensors | {"score.weight": torch.ones(2, 16)}
        ),
        r"weights hold an adapter \(model\.layers\.1\.lora_A\.weight": lambda tensors: (
            tensors | {"model.layers.1.lora_A.weight": torch.ones(2, 16)}
        ),
        rf"weights lack {name} \(1 missing\)": lambda tensors: {
            one: tensor for one, tensor in tensors.items() if one != name
        },
        rf"{name} is \(31, 16\) in the weights, \(32, 16\) by config.json": lambda tensors: (
            tensors | {name: tensors[name][1:].clone()}
        ),
        r"lm_head\.weight is \(275, 16\) in the weights, \(276, 16\)": lambda tensors: (
            tensors | {"lm_head.weight": torch.ones(275, 16)}
        ),
    }
    for number, (said, change) in enumerate(changes.items()):
        folder = change_weights(write_tiny_lm(tmp_path / str(number), "llama"), change)
        for without_numbers in (True, False):
            with pytest.raises(UserError, match=said):
                load(folder, without_numbers=without_numbers)


def test_a_model_of_another_kind_is_refused_by_each_loader(tmp_path: Path) -> None:
    of_kind = {
        "masked": write_tiny_bert(tmp_path / "bert"),
        "causal": write_tiny_lm(tmp_path / "gpt2", "gpt2"),
        "encoder-decoder": write_tiny_lm(tmp_path / "t5", "t5"),
    }
    loaders = {"masked": load_masked_lm, "causal": load_causal_lm, "encoder-decoder": load_seq2seq_lm}
    for kind, folder in of_kind.items():
        assert family_kind(folder) == kind
        for other in of_kind:
            if other != kind:
                with pytest.raises(UserError, match=f"{layout.KINDS[kind]}"):  # type: ignore[index]
                    loaders[other](folder)


def test_a_family_with_models_of_two_kinds_is_told_by_its_config(tmp_path: Path) -> None:
    folder = write_tiny_roberta(tmp_path / "roberta")
    assert family_kind(folder) == "masked"
    assert family_kind(change_config(folder, is_decoder=True)) == "causal"
    assert load_causal_lm(folder).config.is_decoder
    change_config(folder, is_decoder=False, architectures=["RobertaForCausalLM"])
    with pytest.raises(UserError, match=r"saved as RobertaForCausalLM, and without is_decoder = true"):
        family_kind(folder)
    change_config(folder, is_decoder=True, add_cross_attention=True)
    with pytest.raises(UserError, match="add_cross_attention = true, so its layers would look at another"):
        load_causal_lm(folder)


@pytest.mark.parametrize(
    ("family", "changes", "kind"),
    [
        ("distilbert", {}, "masked"),
        ("camembert", {}, "masked"),
        ("camembert", {"is_decoder": True}, "causal"),
        ("codegen", {}, "causal"),
        ("xlm", {"causal": True}, "causal"),
        ("xlm", {}, None),
        ("xlnet", {}, None),
        ("marian", {}, "encoder-decoder"),
        ("bart", {"is_encoder_decoder": False, "is_decoder": True}, "causal"),
        ("vit", {}, None),
        ("", {}, None),
    ],
)
def test_the_kind_of_a_family_is_told_or_asked_for(
    tmp_path: Path, family: str, changes: dict[str, Any], kind: str | None
) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": family} | changes))
    if kind:
        assert family_kind(tmp_path) == kind
        assert family_kind(tmp_path, stated=kind) == kind
        other = next(one for one in layout.KINDS if one != kind)
        with pytest.raises(UserError, match=f'the card says kind = "{other}", and by config.json it is'):
            family_kind(tmp_path, stated=other)
    else:
        with pytest.raises(UserError, match=r"does not tell whether .* write it into a card: kind = "):
            family_kind(tmp_path)
        assert family_kind(tmp_path, stated="causal") == "causal"


def test_the_code_that_comes_with_a_checkpoint_says_its_kind(tmp_path: Path) -> None:
    stated = {"model_type": "of-ours", "auto_map": {"AutoConfig": "a.B", "AutoModelForCausalLM": "a.C"}}
    (tmp_path / "config.json").write_text(json.dumps(stated))
    assert family_kind(tmp_path) == "causal"
    stated["auto_map"] = {"AutoModelForCausalLM": "a.C", "AutoModelForMaskedLM": "a.D"}
    (tmp_path / "config.json").write_text(json.dumps(stated))
    with pytest.raises(UserError, match="does not tell"):
        family_kind(tmp_path)


def test_a_card_that_contradicts_the_files_is_refused(tmp_path: Path) -> None:
    folder = write_tiny_lm(tmp_path, "gpt2")
    card = card_of_source(f"path:{folder}").model_copy(update={"kind": "masked"})
    with pytest.raises(UserError, match=r'card says kind = "masked", and by config\.json it is a causal'):
        resolve_model(card)
    with pytest.raises(UserError, match='card says kind = "masked"'):
        load_causal_lm(folder, kind="masked")


def test_a_causal_model_may_be_one_of_text_and_images(tmp_path: Path) -> None:
    folder = write_tiny_lm(tmp_path, "llama")
    text = {"vocab_size": 276, "num_hidden_layers": 2, "hidden_size": 16, "num_attention_heads": 2,
            "num_key_value_heads": 1, "head_dim": 8, "intermediate_size": 32, "sliding_window": 8,
            "max_position_embeddings": 96}  # fmt: skip
    images = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16,
              "image_size": 28, "patch_size": 14}  # fmt: skip
    config = transformers.Gemma3Config(text_config=text, vision_config=images, mm_tokens_per_image=4)
    model = transformers.Gemma3ForConditionalGeneration(config).eval()
    model.save_pretrained(folder)
    facts = layout.describe_checkpoint(folder)
    assert (facts.kind, facts.layers, facts.vocabulary, facts.max_tokens) == ("causal", 2, 276, 96)
    ids = load_lm_tokenizer(folder)("The gene of patients", return_tensors="pt")["input_ids"]
    with torch.inference_mode():
        assert torch.equal(load_causal_lm(folder)(ids).logits, model(ids).logits)


def test_kinds_of_known_families_are_told_without_torch(tmp_path: Path) -> None:
    folders = [str(write_tiny_lm(tmp_path / family, family)) for family in ("llama", "t5")]
    script = """
import sys
from pathlib import Path
from kebench.model.layout import describe_checkpoint, family_kind
from kebench.model.source import model_hash, resolve_model
for name in sys.argv[1:]:
    print(family_kind(Path(name)))
resolved = resolve_model(sys.argv[1])
print(resolved.card.kind, model_hash(resolved.folder) != "", describe_checkpoint(resolved.folder).kind)
print([name for name in ("torch", "transformers") if name in sys.modules])
"""
    command = [sys.executable, "-c", script, *folders]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert printed.splitlines() == ["causal", "encoder-decoder", "causal True causal", "[]"]


def test_a_quantised_model_is_refused(tmp_path: Path) -> None:
    folder = write_tiny_lm(tmp_path, "llama")
    change_config(folder, quantization_config={"quant_method": "bitsandbytes", "load_in_4bit": True})
    with pytest.raises(UserError, match=r"its weights are quantised .* take the unquantised model"):
        load_causal_lm(folder)


@pytest.mark.parametrize(
    ("family", "longest"),
    [("biogpt", 96), ("gpt2", 96), ("llama", 96), ("opt", 96), ("bloom", None), ("t5", None), ("bart", 96)],
)
def test_the_limit_of_a_text_is_the_config_s_and_not_the_tokenizer_s(
    tmp_path: Path, family: str, longest: int | None
) -> None:
    folder = write_tiny_lm(tmp_path, family)
    change_json(folder / "tokenizer_config.json", model_max_length=7)
    assert max_tokens_of(folder) == longest
    model, tokenizer = load(folder), load_lm_tokenizer(folder)
    text = "gene " * 200
    ids = tokenizer(text, return_tensors="pt")["input_ids"]
    assert ids.shape[1] > 400, "nothing is cut off"
    ids = ids[:, : longest or 400]
    more = {"decoder_input_ids": ids} if model.config.is_encoder_decoder else {}
    with torch.inference_mode():
        assert model(input_ids=ids, **more).logits.isfinite().all()


def test_a_large_vocabulary_may_have_rows_without_a_piece(tmp_path: Path) -> None:
    rows = 10_000
    for unused in (300, 301):  # three in a hundred
        folder = write_tiny_lm(tmp_path / str(unused), "llama", vocab_size=rows)
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
        tokenizer.add_tokens([f"piece{number}" for number in range(rows - unused - len(tokenizer))])
        tokenizer.save_pretrained(folder)
    assert len(load_lm_tokenizer(tmp_path / "300")) == 9_700
    with pytest.raises(
        UserError, match=r"9,699 pieces and the embedding 10,000 rows; that is another model's"
    ):
        load_lm_tokenizer(tmp_path / "301")
    with pytest.raises(UserError, match="another model's vocabulary"):
        load_tokenizer(tmp_path / "300")
    folder = write_tiny_lm(tmp_path / "fewer", "llama", vocab_size=270)
    with pytest.raises(UserError, match=r"6 pieces \('.*' \.\.\.\) beyond the 270 rows"):
        load_lm_tokenizer(folder)


def test_the_hash_knows_weights_and_tokenizer_and_no_form_of_a_chat(tmp_path: Path) -> None:
    folder = write_tiny_lm(tmp_path, "llama")
    before = model_hash(folder)
    change_json(folder / "tokenizer_config.json", chat_template="{{ messages }}")
    (folder / "chat_template.jinja").write_text("{{ messages }}")
    change_json(folder / "generation_config.json", temperature=0.7)
    assert model_hash(folder) == before
    change_json(folder / "tokenizer_config.json", bos_token="</s>")
    assert (second := model_hash(folder)) != before
    change_weights(folder, lambda tensors: tensors | {"model.norm.weight": torch.full((16,), 2.0)})
    assert model_hash(folder) not in (before, second)
