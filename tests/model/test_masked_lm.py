"""A masked language model asked for a few places gives what the whole model gives there."""

from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
import transformers

from kebench.errors import UserError
from kebench.model.checkpoint import load_masked_lm
from kebench.model.configuration import KebiolmConfig
from kebench.model.kebiolm import KebiolmForMaskedLM
from kebench.model.masked_lm import HEADS, Group, MaskedLM, Packed, groups_of

SMALL: dict[str, Any] = {
    "vocab_size": 900,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "max_position_embeddings": 40,
}
FAMILIES: dict[str, Any] = {
    "bert": (transformers.BertConfig, transformers.BertForMaskedLM, {}),
    "kebiolm": (KebiolmConfig, KebiolmForMaskedLM, {"num_context_layers": 1, "num_entities": 50}),
    "roberta": (transformers.RobertaConfig, transformers.RobertaForMaskedLM, {}),
    "xlm-roberta": (transformers.XLMRobertaConfig, transformers.XLMRobertaForMaskedLM, {}),
    "camembert": (transformers.CamembertConfig, transformers.CamembertForMaskedLM, {}),
    "electra": (transformers.ElectraConfig, transformers.ElectraForMaskedLM, {"embedding_size": 16}),
    "distilbert": (transformers.DistilBertConfig, transformers.DistilBertForMaskedLM, {"hidden_dim": 48}),
    "modernbert": (
        transformers.ModernBertConfig,
        transformers.ModernBertForMaskedLM,
        {
            "local_attention": 8,
            "pad_token_id": 0,
            "bos_token_id": 2,
            "eos_token_id": 3,
            "cls_token_id": 2,
            "sep_token_id": 3,
        },
    ),
}


CANNOT_PACK = ("kebiolm", True)  # its mentions are looked for row by row


def small(family: str) -> Any:
    config, kind, more = FAMILIES[family]
    torch.manual_seed(0)
    return kind(config(**SMALL | more)).eval()


def test_every_family_with_a_known_head_is_tested() -> None:
    assert set(FAMILIES) == set(HEADS)


@pytest.mark.parametrize(
    ("family", "packs"),
    [(family, packs) for family in FAMILIES for packs in (True, False) if (family, packs) != CANNOT_PACK],
)
def test_places_of_packed_texts_equal_the_whole_model_on_each_text(
    family: str, packs: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kebench.model.masked_lm.can_pack", lambda model: packs)
    model = small(family)
    drawn = torch.Generator().manual_seed(1)
    texts = [torch.randint(10, 900, (length,), generator=drawn) for length in (5, 9, 9, 12, 30)]
    with torch.inference_mode():
        whole_TV = torch.cat([model(text[None]).logits[0] for text in texts]).log_softmax(-1)
    packed = Packed(torch.cat(texts), (Group(1, 5), Group(2, 9), Group(1, 12), Group(1, 30)))
    place_P = torch.tensor([0, 4, 5, 13, 14, 22, 30, 36, 64])
    log_prob_PK, token_PK = MaskedLM(model).best_tokens(packed, place_P, num_best=6)
    expected = whole_TV[place_P].topk(6)
    assert torch.allclose(log_prob_PK, expected.values, atol=1e-5)
    assert torch.equal(token_PK, expected.indices)


def test_lengths_in_order_are_cut_into_groups() -> None:
    assert groups_of(numpy.array([3, 3, 4, 7, 7, 7])) == (Group(2, 3), Group(1, 4), Group(3, 7))
    assert groups_of(numpy.array([], dtype=int)) == ()


def test_a_checkpoint_without_a_trained_head_is_refused_by_name(tmp_path: Path) -> None:
    small("bert").bert.save_pretrained(tmp_path)
    with pytest.raises(UserError) as error:
        load_masked_lm(tmp_path)
    text = str(error.value)
    assert text.startswith(f"{tmp_path}: no trained masked language modelling head: the weights lack ")
    assert "cls.predictions.transform.dense.weight" in text
    assert text.endswith("choose a checkpoint with one, or train one by continued pretraining")


def test_a_head_of_no_known_kind_is_refused_by_its_type(tmp_path: Path) -> None:
    config = transformers.AlbertConfig(**SMALL | {"embedding_size": 16})
    transformers.AlbertForMaskedLM(config).save_pretrained(tmp_path)
    with pytest.raises(UserError) as error:
        MaskedLM.load(tmp_path)
    assert str(error.value) == (
        f"{tmp_path}: a model of type 'albert', whose head is not known; "
        "choose one of type bert, camembert, distilbert, electra, kebiolm, modernbert, roberta, xlm-roberta"
    )


@pytest.mark.parametrize("family", FAMILIES)
def test_a_saved_head_is_found_again(family: str, tmp_path: Path) -> None:
    model = small(family)
    model.save_pretrained(tmp_path)
    loaded = load_masked_lm(tmp_path).eval()
    text_BT = torch.arange(10, 20)[None]
    assert torch.allclose(loaded(text_BT).logits, model(text_BT).logits, atol=1e-6)
