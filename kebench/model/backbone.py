"""Makes a KeBioLM out of a BERT-like encoder: its layers split in two, no weight lost (section 4.1).

What the backbone lacks (detector, linker, fusion, sometimes the language modelling head) is drawn by a seed.
"""

# N entities, F entity dimension

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor
from transformers import BertConfig, BertForMaskedLM, PreTrainedModel

from kebench.errors import UserError
from kebench.model.checkpoint import load_encoder, load_masked_lm
from kebench.model.checkpoint_files import tensor_shapes
from kebench.model.configuration import KebiolmConfig
from kebench.model.kebiolm import KebiolmForMaskedLM
from kebench.model.layout import family_of, has_mlm_head, is_weight

# Prefixes of a family's tensors, and what they are called in a BERT for masked language modelling.
_HEADS: dict[str, dict[str, str]] = {
    "bert": {},
    "roberta": {
        "lm_head.dense.": "cls.predictions.transform.dense.",
        "lm_head.layer_norm.": "cls.predictions.transform.LayerNorm.",
        "lm_head.decoder.": "cls.predictions.decoder.",
        "lm_head.bias": "cls.predictions.bias",
    },
    "electra": {
        "generator_predictions.dense.": "cls.predictions.transform.dense.",
        "generator_predictions.LayerNorm.": "cls.predictions.transform.LayerNorm.",
        "generator_lm_head.bias": "cls.predictions.bias",
        "generator_lm_head.": "cls.predictions.decoder.",
    },
}


class Built(NamedTuple):
    """A model in training mode; what was drawn because the backbone lacks it, what of it has no place."""

    model: PreTrainedModel
    drawn: tuple[str, ...]
    unused: tuple[str, ...]


def split_backbone(
    folder: Path, *, family: str = "", num_context_layers: int, seed: int, **settings: Any
) -> Built:
    """Return a KeBioLM with a checkpoint's weights, its first layers below the entities and the rest above.

    settings: of `KebiolmConfig`, those that differ from its defaults. Raises UserError for a checkpoint that
    is not built of BERT's layers.
    """
    backbone, weights = _open(folder, family)
    if num_context_layers > backbone.config.num_hidden_layers:
        raise UserError(
            f"{folder}: has {backbone.config.num_hidden_layers} layers, and {num_context_layers} are to be "
            f"below the entities; choose 0 to {backbone.config.num_hidden_layers} context layers"
        )
    family = backbone.config.model_type
    config = KebiolmConfig(
        **_shared_settings(backbone.config),
        backbone=family,
        first_position=backbone.config.pad_token_id + 1 if family == "roberta" else 0,
        num_context_layers=num_context_layers,
        **settings,
    )

    def place(found: re.Match[str]) -> str:
        """Return where a layer stands: among those of the text alone, or above the entities, from 0."""
        number = int(found[1])
        if number < num_context_layers:
            return f"bert.context_encoder.layer.{number}."
        return f"bert.recontext_encoder.layer.{number - num_context_layers}."

    split = {re.sub(r"^bert\.encoder\.layer\.(\d+)\.", place, name): one for name, one in weights.items()}
    return _filled(lambda: KebiolmForMaskedLM(config), split, seed)


def with_mlm_head(folder: Path, *, family: str = "", seed: int) -> Built:
    """Return a checkpoint as a BERT for masked language modelling; its head is drawn if it has none."""
    backbone, weights = _open(folder, family)
    kind = family_of(folder) or family
    if kind != "bert":
        if has_mlm_head(kind, tensor_shapes(folder)):
            return Built(load_masked_lm(folder, family=family).train(), (), ())
        raise UserError(f"{folder}: no masked language modelling head, which is drawn for BERT only")
    config = BertConfig(**_shared_settings(backbone.config))
    return _filled(lambda: BertForMaskedLM(config), weights, seed)


def _open(folder: Path, family: str) -> tuple[PreTrainedModel, dict[str, Tensor]]:
    """Return a checkpoint, and its weights under the names of a BERT for masked language modelling."""
    kind = family_of(folder) or family
    if kind not in _HEADS:
        raise UserError(
            f"{folder}: a '{kind}' cannot be a backbone, whose layers must be BERT's; "
            f"choose one of type {', '.join(sorted(_HEADS))}"
        )
    has_head = has_mlm_head(kind, tensor_shapes(folder))
    backbone = (load_masked_lm if has_head else load_encoder)(folder, family=family)
    if getattr(backbone.config, "embedding_size", backbone.config.hidden_size) != backbone.config.hidden_size:
        raise UserError(
            f"{folder}: its embeddings are {backbone.config.embedding_size} wide and its layers "
            f"{backbone.config.hidden_size}; a backbone has one width"
        )
    prefixes = {**_HEADS[kind], f"{kind}.": "bert."}  # the first that fits counts
    weights: dict[str, Tensor] = {}
    for name, value in backbone.state_dict().items():
        if is_weight(name):
            name = name if has_head else f"{kind}.{name}"
            old = next((prefix for prefix in prefixes if name.startswith(prefix)), "")
            weights[prefixes.get(old, "") + name.removeprefix(old)] = value
    return backbone, weights


def _shared_settings(config: Any) -> dict[str, Any]:
    names = set(BertConfig().to_dict()) - {"transformers_version", "architectures", "model_type"}
    return {name: value for name, value in config.to_dict().items() if name in names}


def _filled(make: Callable[[], PreTrainedModel], weights: Mapping[str, Tensor], seed: int) -> Built:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = make()
    own = {name for name in model.state_dict() if is_weight(name)}
    fitting = {name: value for name, value in weights.items() if name in own}
    model.load_state_dict(fitting, strict=False)
    model.tie_weights()
    tied = {name for name in own if name.startswith("cls.predictions.decoder.")}
    drawn = tuple(sorted(own - set(fitting) - tied))
    return Built(model.train(), drawn, tuple(sorted(set(weights) - own)))


def fill_entities(model: KebiolmForMaskedLM, vector_NF: Tensor | None, row_N: Tensor, *, seed: int) -> int:
    """Give entities their vectors; those without one are drawn, about as long. Returns how many were drawn.

    vector_NF: trained vectors, of length one; None draws all (the ablation +rand).
    row_N: the row of each entity's vector, -1 for none.
    """
    memory_NF = model.bert.entity_linker.entity_embeddings.weight
    size = memory_NF.shape[1]
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        memory_NF.normal_(std=size**-0.5, generator=generator)  # ours: as long as a TransE vector, which is 1
        if vector_NF is None:
            return len(row_N)
        known_N = row_N >= 0
        memory_NF[known_N] = vector_NF[row_N[known_N]]
    return int((~known_N).sum())
