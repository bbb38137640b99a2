"""A backbone's layers, split: no weight is lost, and the first layers say what they said before."""

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from kebench.errors import UserError
from kebench.model.backbone import fill_entities, split_backbone, with_mlm_head
from kebench.model.kebiolm import KebiolmForMaskedLM
from tests.model.test_masked_lm import FAMILIES, SMALL, small

LAYERS = {"num_hidden_layers": 4, "pad_token_id": 1}
BACKBONES = {
    "bert": small,
    "roberta": small,
    "electra": lambda family: small_with(family, embedding_size=32),
    "headless bert": lambda family: small("bert").bert,
}


def small_with(family: str, **more: Any) -> Any:
    config, kind, _ = FAMILIES[family]
    torch.manual_seed(0)
    return kind(config(**SMALL | more)).eval()


def split(folder: Path, **changes: Any) -> Any:
    settings = {"num_context_layers": 1, "num_entities": 30, "entity_size": 8, "seed": 0} | changes
    return split_backbone(folder, **settings)


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("name", BACKBONES)
@torch.no_grad()
def test_every_weight_has_its_place_and_the_first_layers_say_the_same(
    name: str, layers: int, tmp_path: Path
) -> None:
    backbone = BACKBONES[name](name).eval()
    backbone.save_pretrained(tmp_path)
    built = split(tmp_path, num_context_layers=layers)
    model = built.model.eval()
    token = torch.randint(10, 900, (3, 9))
    before = backbone(token, output_hidden_states=True).hidden_states
    # a detector that sees nothing adds nothing; with LayerNorm as the identity the rest must be equal too
    model.bert.mention_detector.weight.zero_()
    model.bert.mention_detector.bias.copy_(torch.tensor([1.0, 0.0, 0.0]))
    if model.config.fuses:
        model.bert.layer_norm = torch.nn.Identity()
    after = model(token, output_hidden_states=True).hidden_states
    assert len(after) == len(before) == SMALL["num_hidden_layers"] + 1
    for one, other in zip(after, before, strict=True):
        assert torch.allclose(one, other, atol=1e-5)
    if not name.startswith("headless"):
        assert torch.allclose(model(token).logits, backbone(token).logits, atol=1e-4)
    new = (
        "bert.mention_detector",
        "bert.entity_linker",
        "bert.entity_context_projection",
        "bert.layer_norm.",
    )
    lacking = ("cls.predictions",) if name.startswith("headless") else ()
    assert all(part.startswith((*new, *lacking)) for part in built.drawn)
    assert bool(lacking) == any(part.startswith("cls.predictions") for part in built.drawn)
    assert all("pooler" in part for part in built.unused)


def test_a_backbone_s_own_dropout_and_names_go_along(tmp_path: Path) -> None:
    small("roberta").save_pretrained(tmp_path)
    config = split(tmp_path, max_mentions=7).model.config
    assert (config.backbone, config.first_position, config.max_mentions) == ("roberta", 2, 7)
    assert config.vocab_size == SMALL["vocab_size"]


def test_the_seed_decides_what_is_drawn(tmp_path: Path) -> None:
    small("bert").save_pretrained(tmp_path)
    one, same, other = (split(tmp_path, seed=seed).model.bert.mention_detector.weight for seed in (1, 1, 2))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


@pytest.mark.parametrize(
    ("backbone", "changes", "message"),
    [
        (lambda: small("distilbert"), {}, "a 'distilbert' cannot be a backbone, whose layers must be BERT's"),
        (
            lambda: small("electra"),
            {},
            "its embeddings are 16 wide and its layers 32; a backbone has one width",
        ),
        (
            lambda: small("bert"),
            {"num_context_layers": 5},
            "has 2 layers, and 5 are to be below the entities",
        ),
    ],
)
def test_what_cannot_be_split_is_refused(
    backbone: Any, changes: dict[str, Any], message: str, tmp_path: Path
) -> None:
    backbone().save_pretrained(tmp_path)
    with pytest.raises(UserError, match=message):
        split(tmp_path, **changes)


def test_a_head_is_drawn_for_continued_pretraining_only_if_there_is_none(tmp_path: Path) -> None:
    whole, headless = small("bert"), small("bert").bert
    whole.save_pretrained(tmp_path / "whole")
    headless.save_pretrained(tmp_path / "headless")
    assert with_mlm_head(tmp_path / "whole", seed=0).drawn == ()
    built = with_mlm_head(tmp_path / "headless", seed=0)
    assert all(name.startswith("cls.predictions.") for name in built.drawn)
    assert built.drawn
    assert isinstance(built.model, transformers.BertForMaskedLM)
    assert torch.equal(
        built.model.bert.embeddings.word_embeddings.weight, headless.embeddings.word_embeddings.weight
    )


def test_entities_without_a_vector_are_drawn_and_counted(tmp_path: Path) -> None:
    small("bert").save_pretrained(tmp_path)
    model: KebiolmForMaskedLM = split(tmp_path).model
    vectors = torch.nn.functional.normalize(torch.randn(50, 8))
    rows = torch.arange(30) + 5
    rows[::3] = -1
    assert fill_entities(model, vectors, rows, seed=0) == 10
    memory = model.bert.entity_linker.entity_embeddings.weight
    assert torch.equal(memory[1], vectors[6])
    assert 0.5 < memory[::3].norm(dim=1).mean() < 1.5
    assert fill_entities(model, None, rows, seed=0) == 30
    assert not torch.equal(memory[1], vectors[6])
