"""KeBioLM's forward pass: against a plain one, in every mode, whatever the batch."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import AutoConfig, AutoModel, AutoModelForMaskedLM, AutoModelForTokenClassification

from kebench.model.checkpoint import load_encoder
from kebench.model.configuration import KebiolmConfig
from kebench.model.kebiolm import KebiolmForMaskedLM, KebiolmModel
from kebench.model.linking import NO_ENTITY
from kebench.model.mentions import Mentions
from tests.model.plain_kebiolm import plain_forward

LENGTHS = (9, 4, 17, 12, 17, 3, 2)


def small(**changes: Any) -> KebiolmForMaskedLM:
    """Return a small model whose weights are large enough for its detector to see all of O, B and I."""
    settings = {
        "vocab_size": 60, "hidden_size": 16, "num_hidden_layers": 3, "num_context_layers": 2,
        "num_attention_heads": 2, "intermediate_size": 32, "max_position_embeddings": 20, "num_entities": 40,
        "entity_size": 8, "max_mentions": 3, "max_candidate_entities": 5, "initializer_range": 0.5,
        "special_entities": [0, 1, 2],
    } | changes  # fmt: skip
    torch.manual_seed(3)
    model = KebiolmForMaskedLM(KebiolmConfig(**settings)).eval()
    if model.config.fuses and model.config.fusion_layer_norm:
        torch.nn.init.normal_(model.bert.layer_norm.weight)
    return model


def texts(lengths: tuple[int, ...] = LENGTHS) -> list[list[int]]:
    generator = torch.Generator().manual_seed(1)
    return [torch.randint(5, 60, (length,), generator=generator).tolist() for length in lengths]


def padded(batch: list[list[int]], *, left: bool = False) -> Tensor:
    longest = max(map(len, batch))
    rows = [[0] * (longest - len(text)) for text in batch]
    return torch.tensor([pad + text if left else text + pad for text, pad in zip(batch, rows, strict=True)])


def states(model: Any, batch: list[list[int]]) -> list[Tensor]:
    with torch.no_grad():
        ids = padded(batch)
        hidden = model.bert(ids, attention_mask=(ids != 0).long()).last_hidden_state
    return [row[: len(text)] for row, text in zip(hidden, batch, strict=True)]


def assert_alike(found: list[Tensor], expected: list[Tensor]) -> None:
    for one, other in zip(found, expected, strict=True):
        assert torch.allclose(one, other, atol=1e-4), (one - other).abs().max()


@pytest.mark.parametrize("split", [1, 2, 3])
@pytest.mark.parametrize("fidelity", ["fixed", "paper", "released"])
@torch.no_grad()
def test_the_forward_pass_is_that_of_the_plain_implementation(fidelity: str, split: int) -> None:
    model = small(fidelity=fidelity, num_context_layers=split)
    assert model.config.fusion_layer_norm == (fidelity != "paper")
    plain = plain_forward(model, texts(), released=fidelity == "released")
    assert_alike(states(model, texts()), plain)


@torch.no_grad()
def test_the_modes_differ_and_so_does_a_released_model_in_another_batch() -> None:
    released, fixed = small(fidelity="released"), small()
    assert not torch.allclose(states(released, texts())[0], states(fixed, texts())[0], atol=1e-2)
    alone = states(released, texts()[1:2])[0]
    assert not torch.allclose(states(released, texts())[1], alone, atol=1e-2)


@pytest.mark.parametrize("size", [1, 3, 7])
@pytest.mark.parametrize("reverse", [False, True])
def test_a_fixed_model_does_not_depend_on_the_batch(size: int, reverse: bool) -> None:
    model, batch = small(), texts(LENGTHS * 5)
    expected = states(model, batch)
    if reverse:
        batch, expected = batch[::-1], expected[::-1]
    found = [
        one for start in range(0, len(batch), size) for one in states(model, batch[start : start + size])
    ]
    assert_alike(found, expected)


@torch.no_grad()
def test_padding_on_the_left_changes_nothing_but_positions() -> None:
    model, batch = small(), texts()
    ids = padded(batch, left=True)
    position = ((ids != 0).long().cumsum(1) - 1).clamp(min=0)
    found = model.bert(ids, attention_mask=(ids != 0).long(), position_ids=position).last_hidden_state
    assert_alike([row[-len(text) :] for row, text in zip(found, batch, strict=True)], states(model, batch))


@torch.no_grad()
def test_given_mentions_are_used_and_their_entities_cost_what_equation_10_says() -> None:
    model = small()
    mentions = Mentions(torch.tensor([0, 0, 2]), torch.tensor([1, 4, 3]), torch.tensor([2, 6, 5]))
    entities = torch.tensor([7, NO_ENTITY, 9])
    ids = padded(texts())
    output = model.bert(ids, attention_mask=(ids != 0).long(), mentions=mentions, mention_entities=entities)
    below = model.bert.context_encoder(model.bert.embeddings(input_ids=torch.tensor(texts()[2:3])), None)[0]
    linker = model.bert.entity_linker
    query = linker.mention_to_entity_projection(torch.cat([below[3], below[4]]))
    logits = (linker.entity_embeddings.weight @ query)[3:]  # without the three special rows
    assert output.linking_loss.shape == (3,)
    assert torch.allclose(output.linking_loss[2], -logits.log_softmax(0)[9 - 3], atol=1e-4)
    assert output.linking_loss[1] == 0


def test_without_layers_above_nothing_is_fused_and_no_parameter_stands_idle() -> None:
    names = [name for name, _ in small(num_context_layers=3).named_parameters()]
    assert any("entity_linker" in name for name in names)
    assert not any(part in name for name in names for part in ("recontext", "entity_context", "layer_norm."))


def test_a_batch_without_mentions_has_gradients_all_the_same() -> None:
    model = small()
    with torch.no_grad():
        model.bert.mention_detector.weight.zero_()
        model.bert.mention_detector.bias.copy_(torch.tensor([1.0, 0.0, 0.0]))
    model.bert(padded(texts())).last_hidden_state.sum().backward()
    assert model.bert.entity_linker.entity_embeddings.weight.grad is not None
    assert model.bert.entity_linker.entity_embeddings.weight.grad.abs().max() == 0


@pytest.mark.parametrize("split", [2, 3])
def test_fine_tuning_has_no_parameter_without_gradient(split: int, tmp_path: Path) -> None:
    small(num_context_layers=split).bert.save_pretrained(tmp_path)
    encoder: Any = load_encoder(tmp_path)
    encoder(padded(texts())).last_hidden_state.sum().backward()
    assert all(parameter.grad is not None for parameter in encoder.parameters() if parameter.requires_grad)
    assert not encoder.mention_detector.weight.requires_grad


def test_the_auto_classes_open_a_directory_and_weights_survive(tmp_path: Path) -> None:
    model = small(fidelity="released")
    model.save_pretrained(tmp_path)
    config = AutoConfig.from_pretrained(tmp_path)
    assert isinstance(config, KebiolmConfig)
    assert (config.fidelity, config.special_entities, config.num_context_layers) == ("released", [0, 1, 2], 2)
    encoder = AutoModel.from_pretrained(tmp_path)
    assert isinstance(encoder, KebiolmModel)
    whole = AutoModelForMaskedLM.from_pretrained(tmp_path)
    for (name, one), (_, other) in zip(model.state_dict().items(), whole.state_dict().items(), strict=True):
        assert torch.equal(one, other), name
    assert torch.equal(
        encoder.entity_linker.entity_embeddings.weight, model.bert.entity_linker.entity_embeddings.weight
    )
    tagger = AutoModelForTokenClassification.from_pretrained(tmp_path, num_labels=5)
    assert tagger(padded(texts()), labels=padded(texts()) % 5).loss > 0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"fidelity": "exact"}, "fidelity = 'exact'; expected one of paper, released, fixed"),
        ({"num_context_layers": 4}, "num_context_layers = 4; expected 0 to 3, as many as there are layers"),
        ({"max_mentions": 0}, "begin at 1"),
    ],
)
def test_a_configuration_that_no_model_can_have_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        small(**changes)


def test_output_can_hold_every_layer_s_states() -> None:
    output = small()(padded(texts()), labels=padded(texts()), output_hidden_states=True)
    assert len(output.hidden_states) == 4
    assert output.logits.shape == (7, 17, 60)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_it_runs_in_half_precision_and_with_tuples(dtype: torch.dtype) -> None:
    model, ids = small().to(dtype), padded(texts())
    output = model(ids, attention_mask=(ids != 0).long(), labels=ids)
    assert output.logits.dtype == dtype
    loss, logits = model(ids, attention_mask=(ids != 0).long(), labels=ids, return_dict=False)
    assert torch.equal(logits, output.logits)
    assert torch.equal(loss, output.loss)


class _NoCopyToHost(TorchDispatchMode):
    """Fails at whatever would make the host wait for a GPU."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        assert not any(name in str(func) for name in ("_local_scalar_dense", "nonzero")), func
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("fidelity", ["fixed", "released"])
def test_forward_copies_nothing_to_the_host(fidelity: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kebench.model.mentions._may_wait", lambda tensor: False)  # as on a GPU
    model, ids = small(fidelity=fidelity), padded(texts())
    expected = model(ids, attention_mask=(ids != 0).long()).logits
    with _NoCopyToHost():
        found = model(ids, attention_mask=(ids != 0).long()).logits
    assert torch.equal(found, expected)
    monkeypatch.undo()
    assert torch.allclose(model(ids, attention_mask=(ids != 0).long()).logits, expected, atol=1e-4)
