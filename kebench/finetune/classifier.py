"""The model that is fine-tuned: any encoder, and one linear layer on its hidden states.

The paper classifies tokens "by a linear layer on top of the hidden representations" and relations
by a linear layer on two concatenated states (section 4.3). So every family gets the same head,
also those whose own classes in transformers would put more layers in between.
"""

# B batch, T word pieces, D hidden, P decisions, S states a decision (relations 2, others 1), L outputs

from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from kebench.finetune.heads import HEADS, Head
from kebench.kinds.encoded import Encoded, Ints

INITIAL_STD = 0.02  # BERT's, for new linear layers


class Batch(NamedTuple):
    """Some examples, padded to the longest of them, and all their decisions, one after another.

    labels: (P,), or (P, L) where each label is decided by itself.
    """

    pieces_BT: Tensor
    mask_BT: Tensor
    rows_P: Tensor
    places_PS: Tensor
    labels: Tensor

    def to(self, device: torch.device) -> "Batch":
        """Move every tensor."""
        return Batch(*(tensor.to(device, non_blocking=True) for tensor in self))


def collate(encoded: Encoded, rows: Ints, *, pad_id: int, label_type: torch.dtype = torch.int64) -> Batch:
    """Pad examples to the longest of them (dynamic padding) and gather their decisions."""
    pieces = [encoded.pieces.row(row) for row in rows]
    longest = max(len(row) for row in pieces)
    pieces_BT = np.full((len(rows), longest), pad_id, dtype=np.int64)
    mask_BT = np.zeros((len(rows), longest), dtype=np.int64)
    for place, row in enumerate(pieces):
        pieces_BT[place, : len(row)] = row
        mask_BT[place, : len(row)] = 1
    counts = encoded.labels.lengths()[rows]
    return Batch(
        torch.from_numpy(pieces_BT),
        torch.from_numpy(mask_BT),
        torch.from_numpy(np.repeat(np.arange(len(rows)), counts)),
        torch.from_numpy(np.concatenate([encoded.places.row(row) for row in rows]).astype(np.int64)),
        torch.from_numpy(np.concatenate([encoded.labels.row(row) for row in rows])).to(label_type),
    )


class Classifier(nn.Module):
    """An encoder with a linear layer that reads one or two of its states for each decision."""

    def __init__(
        self, encoder: Any, *, num_outputs: int, states_per_decision: int, head: str = "softmax"
    ) -> None:
        super().__init__()
        self.head: Head = HEADS[head]
        self.encoder = encoder
        self.dropout = nn.Dropout(_dropout_of(encoder.config))
        self.linear = nn.Linear(encoder.config.hidden_size * states_per_decision, num_outputs)
        nn.init.normal_(self.linear.weight, std=INITIAL_STD)
        nn.init.zeros_(self.linear.bias)

    def forward(self, batch: Batch) -> Tensor:
        """Return the outputs of every decision in the batch, (P, L)."""
        hidden_BTD = self.encoder(input_ids=batch.pieces_BT, attention_mask=batch.mask_BT).last_hidden_state
        states_PSD = hidden_BTD[batch.rows_P[:, None], batch.places_PS]
        logits_PL: Tensor = self.linear(self.dropout(states_PSD.flatten(1)))
        return logits_PL


def _dropout_of(config: Any) -> float:
    """The head's dropout: what the checkpoint says of its classifier, else of its hidden states, else 0.1."""
    for name in ("classifier_dropout", "hidden_dropout_prob"):
        if (value := getattr(config, name, None)) is not None:
            return float(value)
    return 0.1
