"""KeBioLM's forward pass as plainly as it can be written: one text, one mention, one token at a time.

By the paper's equations, or with what the released code does otherwise (docs/FIDELITY.md). It shares no code
with the model but transformers' BERT layers.
"""

from typing import Any

import torch
from torch import Tensor


def plain_forward(model: Any, text_BT: list[list[int]], *, released: bool) -> list[Tensor]:
    """Return the last hidden states of each text of a batch, (its tokens, D), computed text by text.

    Texts are given without padding; only in the released mode does one see how many mentions the others have.
    """
    bert, config = model.bert, model.config
    below = [layers(bert.context_encoder, bert.embeddings(input_ids=torch.tensor([text])))
             for text in text_BT]  # fmt: skip
    spans = [spans_of(bert.mention_detector(states)[0].argmax(-1).tolist(), released) for states in below]
    spans = [row[: config.max_mentions] for row in spans]
    if not config.fuses:
        return [states[0] for states in below]
    most = max(map(len, spans))
    done = []
    for states, row in zip(below, spans, strict=True):
        if released:
            row = row + [(0, 1)] * (most - len(row))
        fused = states[0].clone()
        added = torch.zeros_like(fused)
        for start, end in row:
            vector = entity_vector(bert, config, states[0], start, end, released)
            for token in range(start, min(end + released, len(fused))):
                added[token] = bert.entity_context_projection(vector)
        fused = fused + added
        if config.fusion_layer_norm:
            fused = bert.layer_norm(fused)
        done.append(layers(bert.recontext_encoder, fused[None])[0])
    return done


def layers(encoder: Any, states: Tensor) -> Tensor:
    for layer in encoder.layer:
        states = layer(states)
    return states


def spans_of(labels: list[int], released: bool) -> list[tuple[int, int]]:
    """Read B/I/O labels (1, 2, 0) from left to right, without [CLS], and without [SEP] unless released."""
    spans: list[tuple[int, int]] = []
    before = 0
    for place in range(1, len(labels) if released else len(labels) - 1):
        label = labels[place]
        if label == 1 or (label == 2 and before == 0):
            spans.append((place, place + 1))
        elif label == 2:
            spans[-1] = (spans[-1][0], place + 1)
        before = label
    return spans


def entity_vector(bert: Any, config: Any, states: Tensor, start: int, end: int, released: bool) -> Tensor:
    linker = bert.entity_linker
    query = linker.mention_to_entity_projection(torch.cat([states[start], states[end - 1]]))
    logits = {
        entity: float(query @ linker.entity_embeddings.weight[entity])
        for entity in range(config.num_entities)
        if released or entity not in config.special_entities
    }
    nearest = sorted(logits, key=lambda entity: -logits[entity])[: config.max_candidate_entities]
    shares = torch.tensor([logits[entity] for entity in nearest]).softmax(0)
    return (shares[:, None] * linker.entity_embeddings.weight[nearest]).sum(0)
