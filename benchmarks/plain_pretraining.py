"""The released training step, plainly: every place through the vocabulary, all entities at once, loops.

It does what the code released with KeBioLM does in a step of pretraining, but for its faults
(docs/FIDELITY.md): spans are the mention's own, and padding is no mention. So its losses are ours, and only
speed and memory differ.
"""

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from transformers.masking_utils import create_bidirectional_mask

from kebench.pretrain.batches import IGNORED, Batch


def plain_losses(model: Any, batch: Batch) -> Tensor:
    """Return the means of the three losses."""
    bert, config = model.bert, model.config
    embedded = bert.embeddings(input_ids=batch.input_BT)
    mask = create_bidirectional_mask(
        config=config, inputs_embeds=embedded, attention_mask=batch.is_token_BT.long()
    )
    hidden = bert.context_encoder(embedded, mask)
    mention_logits = bert.mention_detector(hidden)
    spans = _spans(batch)
    most = max(map(len, spans))
    entities = _entities(batch, spans, most)
    entity_states = torch.zeros_like(hidden)
    padded = [row + [(0, 1)] * (most - len(row)) for row in spans]
    starts = torch.tensor([[start for start, _ in row] for row in padded])
    lasts = torch.tensor([[end - 1 for _, end in row] for row in padded])
    rows = torch.arange(len(spans))[:, None]
    states = torch.cat([hidden[rows, starts], hidden[rows, lasts]], dim=-1)
    linker = bert.entity_linker
    logits = linker.mention_to_entity_projection(states) @ linker.entity_embeddings.weight.T
    best, index = logits.topk(config.max_candidate_entities, dim=-1)
    candidates = linker.entity_embeddings.weight[index.flatten()].view(*index.shape, -1)
    vectors = (best.softmax(-1)[..., None] * candidates).sum(-2)
    for row, mentions in enumerate(spans):
        for place, (start, end) in enumerate(mentions):
            entity_states[row, start:end] = bert.entity_context_projection(vectors[row, place])
    fused = bert.layer_norm(hidden + entity_states)
    last = bert.recontext_encoder(fused, mask)
    scores = model.cls(last)
    labels = torch.full_like(batch.input_BT, IGNORED)
    labels[batch.row_P, batch.place_P] = batch.piece_P
    return torch.stack(
        [
            cross_entropy(scores.flatten(0, 1), labels.flatten()),
            cross_entropy(mention_logits.flatten(0, 1), batch.label_BT.flatten()),
            cross_entropy(logits.flatten(0, 1), entities.flatten()),
        ]
    )


def _spans(batch: Batch) -> list[list[tuple[int, int]]]:
    spans: list[list[tuple[int, int]]] = [[] for _ in batch.input_BT]
    for row, start, end in zip(*(part.tolist() for part in batch.mentions), strict=True):
        spans[row].append((start, end))
    return spans


def _entities(batch: Batch, spans: list[list[tuple[int, int]]], most: int) -> Tensor:
    entities = torch.full((len(spans), most), IGNORED)
    place = 0
    for row, mentions in enumerate(spans):
        entities[row, : len(mentions)] = batch.entity_M[place : place + len(mentions)]
        place += len(mentions)
    return entities
