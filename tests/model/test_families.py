"""Families beyond the shipped cards': sizes under other names, positions, and what is no encoder of text.

Each is a tiny random model of transformers' own class, without a tokenizer.
"""

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from kebench.errors import UserError
from kebench.model.checkpoint import load_encoder
from kebench.model.layout import describe_checkpoint, max_tokens_of, number_of, refuse_other_kinds

SIZES: dict[str, Any] = {
    "vocab_size": 50,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "max_position_embeddings": 40,
}
RELATIVE: dict[str, Any] = {
    "relative_attention": True, "pos_att_type": ["c2p", "p2c"], "position_biased_input": False
}  # fmt: skip
FIRST_IS_2 = [  # their positions are numbered from the padding's id, 1, plus 1
    "camembert", "data2vec-text", "ibert", "longformer", "luke", "mpnet", "roberta", "roberta-prelayernorm",
    "xlm-roberta", "xlm-roberta-xl", "xmod",
]  # fmt: skip
FIRST_IS_0 = [
    "albert",
    "bert",
    "distilbert",
    "electra",
    "ernie",
    "megatron-bert",
]
OWN: dict[str, dict[str, Any]] = {
    "albert": {"embedding_size": 8},
    "esm": {"pad_token_id": 1, "mask_token_id": 4},
    "deberta": RELATIVE,
    "deberta-v2": RELATIVE | {"position_buckets": 8},
    "longformer": {"attention_window": 4},
    "luke": {"entity_vocab_size": 10, "entity_emb_size": 8},
    "squeezebert": {
        f"{name}_groups": 1 for name in ("q", "k", "v", "post_attention", "intermediate", "output")
    }
    | {"embedding_size": 16},
    "xlnet": {"d_inner": 32, "d_head": 8},
    "xmod": {"languages": ["en"], "default_language": "en"},
}


def write_tiny(folder: Path, family: str, **changes: Any) -> Path:
    sizes = SIZES | OWN.get(family, {}) | changes
    if family == "xlnet":  # refuses to be told of a limit
        del sizes["max_position_embeddings"]
    config = CONFIG_MAPPING[family](**sizes)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        transformers.AutoModel.from_config(config).save_pretrained(folder)
    return folder


def states(encoder: Any, length: int) -> torch.Tensor:
    ids = torch.full((1, length), 7)
    with torch.no_grad():
        return encoder(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state


@pytest.mark.parametrize("family", [*FIRST_IS_2, *FIRST_IS_0])
def test_the_longest_input_is_as_long_as_there_are_positions(tmp_path: Path, family: str) -> None:
    folder = write_tiny(tmp_path, family)
    longest = max_tokens_of(folder)
    assert longest == (38 if family in FIRST_IS_2 else 40)
    encoder = load_encoder(folder)
    assert states(encoder, longest).shape == (1, longest, 16)
    with pytest.raises((IndexError, RuntimeError)):
        states(encoder, longest + 1)


@pytest.mark.parametrize("padding", [0, 3])
def test_the_first_position_follows_the_padding_whatever_its_id(tmp_path: Path, padding: int) -> None:
    for family in ("roberta", "xlm-roberta"):
        folder = write_tiny(tmp_path / family, family, pad_token_id=padding)
        assert max_tokens_of(folder) == 40 - padding - 1
        states(load_encoder(folder), 40 - padding - 1)


@pytest.mark.parametrize("family", ["roberta", "xlm-roberta", "mpnet"])
def test_positions_that_follow_no_padding_are_refused(tmp_path: Path, family: str) -> None:
    folder = write_tiny(tmp_path, family)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"pad_token_id": None}))
    for read in (describe_checkpoint, max_tokens_of):
        with pytest.raises(
            UserError, match=rf"pad_token_id = null, and a '{family}' counts positions from it"
        ):
            read(folder)


@pytest.mark.parametrize(
    "family",
    [
        *(*FIRST_IS_2, *FIRST_IS_0, "big_bird", "deberta", "deberta-v2", "esm", "flaubert", "layoutlm"),
        *("mobilebert", "rembert", "roc_bert", "roformer", "squeezebert", "tapas", "xlm", "xlnet"),
    ],
)
def test_a_text_has_the_same_states_with_padding_beside_it(tmp_path: Path, family: str) -> None:
    encoder: Any = load_encoder(write_tiny(tmp_path, family)).eval()
    padding = encoder.config.pad_token_id or 0
    ids = torch.tensor([[5, 6, 7, 8, 9]])
    padded = torch.tensor([[5, 6, 7, 8, 9, *[padding] * 7]])
    with torch.no_grad():
        alone = encoder(input_ids=ids, attention_mask=torch.ones_like(ids))[0]
        beside = encoder(input_ids=padded, attention_mask=torch.tensor([[1] * 5 + [0] * 7]))[0]
    assert alone.shape == (1, 5, 16)
    assert torch.allclose(alone, beside[:, :5], atol=1e-5)


@pytest.mark.parametrize("family", ["convbert", "fnet", "nystromformer", "yoso"])
def test_a_family_is_refused_whose_states_depend_on_the_padding(tmp_path: Path, family: str) -> None:
    changes = {"embedding_size": 16} if family == "convbert" else {}
    config = CONFIG_MAPPING[family](**SIZES | changes)
    torch.manual_seed(0)
    model: Any = transformers.AutoModel.from_config(config).eval()
    mask = torch.tensor([[1] * 5 + [0] * 7])
    ids = torch.tensor([[5, 6, 7, 8, 9, *[config.pad_token_id] * 7]])
    with torch.no_grad():
        if family == "fnet":  # which takes no mask
            alone, beside = model(input_ids=ids[:, :5])[0], model(input_ids=ids)[0]
        else:
            alone = model(input_ids=ids[:, :5], attention_mask=mask[:, :5])[0]
            beside = model(input_ids=ids, attention_mask=mask)[0]
    assert not torch.allclose(alone, beside[:, :5], atol=1e-5)
    model.save_pretrained(tmp_path)
    for read in (describe_checkpoint, load_encoder):
        with pytest.raises(
            UserError, match=rf"a '{family}', which makes other states .* depend on the batch"
        ):
            read(tmp_path)


@pytest.mark.parametrize("family", ["deberta", "deberta-v2"])
def test_relative_positions_keep_the_length_that_the_config_states(tmp_path: Path, family: str) -> None:
    folder = write_tiny(tmp_path, family)
    assert max_tokens_of(folder) == 40
    assert states(load_encoder(folder), 40).shape == (1, 40, 16)


def test_xlnet_sees_the_whole_text_without_limit_and_padding_changes_nothing(tmp_path: Path) -> None:
    folder = write_tiny(tmp_path, "xlnet")
    facts = describe_checkpoint(folder)
    assert (facts.layers, facts.hidden, facts.vocabulary, facts.max_tokens) == (2, 16, 50, None)
    assert facts.has_mlm_head is None
    encoder: Any = load_encoder(folder).eval()
    ids = torch.tensor([[5, 6, 7, 8, 9]])
    padded = torch.tensor([[5, 6, 7, 8, 9, 0, 0]])
    other_end = torch.tensor([[5, 6, 7, 8, 10]])
    with torch.no_grad():
        alone, changed = encoder(input_ids=ids)[0], encoder(input_ids=other_end)[0]
        beside = encoder(input_ids=padded, attention_mask=(padded > 0).long())[0][:, :5]
    assert torch.allclose(alone, beside, atol=1e-5)
    assert not torch.allclose(alone[:, 0], changed[:, 0], atol=1e-5)


@pytest.mark.parametrize("family", [*FIRST_IS_2, *FIRST_IS_0, "deberta", "deberta-v2", "xlnet", "flaubert"])
def test_sizes_are_those_of_the_model_whatever_the_config_calls_them(tmp_path: Path, family: str) -> None:
    folder = write_tiny(tmp_path, family)
    facts = describe_checkpoint(folder)
    encoder = load_encoder(folder)
    assert (facts.layers, facts.hidden, facts.vocabulary) == (2, 16, 50)
    if family != "ibert":  # whose file holds the scales of its integers too
        assert facts.parameters == sum(parameter.numel() for parameter in encoder.parameters())


@pytest.mark.parametrize("prefixed", [True, False])
@pytest.mark.parametrize("family", ["bert", "longformer", "luke", "roformer", "esm", "xlm-roberta"])
def test_numbers_that_a_model_makes_itself_are_no_weights(
    tmp_path: Path, family: str, prefixed: bool
) -> None:
    folder = write_tiny(tmp_path, family)
    before = describe_checkpoint(folder).parameters
    path = folder / "model.safetensors"
    prefix = f"{load_encoder(folder).base_model_prefix}." if prefixed else ""
    tensors = {prefix + name: tensor for name, tensor in load_file(path).items()}
    for name in ("position_ids", "token_type_ids", "rotary_embeddings.inv_freq"):
        tensors[f"{prefix}embeddings.{name}"] = torch.arange(4)
    save_file(tensors, path, metadata={"format": "pt"})
    load_encoder(folder)
    assert describe_checkpoint(folder).parameters == before


def test_a_size_that_the_config_leaves_out_is_the_family_s_default(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "distilbert"}')
    assert number_of(tmp_path, "num_hidden_layers") == 6
    assert number_of(tmp_path, "hidden_size") == 768


@pytest.mark.parametrize(
    ("family", "changes", "why"),
    [
        ("gpt2", {}, "a 'gpt2', a causal language model; this takes encoders .* 'kebench probe rank'"),
        ("llama", {}, "a 'llama', a causal language model"),
        ("codegen", {}, "a 'codegen', a decoder, which sees only what stands before a word"),
        ("t5", {"d_model": 16, "num_layers": 1}, "a 't5', an encoder-decoder language model"),
        ("bart", {"d_model": 16}, "a 'bart', an encoder and a decoder"),
        ("funnel", {}, "a 'funnel', which makes other states of a text when padding"),
        ("mra", {}, "a 'mra', which attends to nothing where its own CUDA code is not built"),
        ("perceiver", {}, "a 'perceiver', which has states of its own"),
        ("vit", {}, "a 'vit', not trained to fill masks in text"),
    ],
)
def test_what_is_no_encoder_of_text_is_refused_by_its_config(
    tmp_path: Path, family: str, changes: dict[str, Any], why: str
) -> None:
    config = copy.deepcopy(CONFIG_MAPPING[family](**changes))
    config.save_pretrained(tmp_path)
    for read in (refuse_other_kinds, load_encoder):
        with pytest.raises(UserError, match=why):
            read(tmp_path)
