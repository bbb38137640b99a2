"""The model that is fine-tuned: any encoder, one linear layer on its hidden states, and a head.

The paper classifies tokens "by a linear layer on top of the hidden representations" and relations
by a linear layer on two concatenated states (section 4.3). So every family gets the same head,
also those whose own classes in transformers would put more layers in between. Every kind of task names
one of HEADS (`kebench.kinds`): from the outputs of a decision a loss, and an answer with its probability.
"""

# B batch, T word pieces, D hidden, P decisions, S states a decision (relations 2, others 1), L outputs

from collections.abc import Callable
from inspect import signature
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from kebench.kinds.encoded import Encoded, Ints

INITIAL_STD = 0.02  # BERT's, for new linear layers


class Batch(NamedTuple):
    """Some examples, padded to the longest of them, and all their decisions, one after another.

    segments_BT: of pairs of texts, which of the two a piece is of; None where none are told apart.
    labels: (P,), or (P, L) where each label is decided by itself.
    """

    pieces_BT: Tensor
    mask_BT: Tensor
    segments_BT: Tensor | None
    rows_P: Tensor
    places_PS: Tensor
    labels: Tensor

    def to(self, device: torch.device) -> "Batch":
        """Move every tensor."""
        return Batch(*(one if one is None else one.to(device, non_blocking=True) for one in self))


def collate(encoded: Encoded, rows: Ints, *, pad_id: int, label_type: torch.dtype = torch.int64) -> Batch:
    """Pad examples to the longest of them (dynamic padding) and gather their decisions."""
    pieces = [encoded.pieces.row(row) for row in rows]
    longest = max(len(row) for row in pieces)
    pieces_BT = np.full((len(rows), longest), pad_id, dtype=np.int64)
    mask_BT = np.zeros((len(rows), longest), dtype=np.int64)
    segments_BT = np.zeros((len(rows), longest), dtype=np.int64) if encoded.segments.values.size else None
    for place, row in enumerate(pieces):
        pieces_BT[place, : len(row)] = row
        mask_BT[place, : len(row)] = 1
        if segments_BT is not None:
            segments_BT[place, : len(row)] = encoded.segments.row(rows[place])
    counts = encoded.labels.lengths()[rows]
    return Batch(
        torch.from_numpy(pieces_BT),
        torch.from_numpy(mask_BT),
        None if segments_BT is None else torch.from_numpy(segments_BT),
        torch.from_numpy(np.repeat(np.arange(len(rows)), counts)),
        torch.from_numpy(np.concatenate([encoded.places.row(row) for row in rows]).astype(np.int64)),
        torch.from_numpy(np.concatenate([encoded.labels.row(row) for row in rows])).to(label_type),
    )


class Head(NamedTuple):
    """summed_loss: of outputs (P, L) and gold. decide: answers, and their probabilities where they have such.

    label_type: of the gold, as `Encoded.labels` holds it.
    """

    summed_loss: Callable[[Tensor, Tensor], Tensor]
    decide: Callable[[Tensor], tuple[Tensor, Tensor | None]]
    label_type: torch.dtype


def _best_label(logits_PL: Tensor) -> tuple[Tensor, Tensor]:
    """Return the label with the highest probability, (P,)."""
    labels_P = logits_PL.argmax(-1)
    return labels_P, logits_PL.softmax(-1).gather(-1, labels_P[:, None]).squeeze(-1)


def _labels_over_half(logits_PL: Tensor) -> tuple[Tensor, Tensor]:
    """Return 1 for each label that is more probable than not, else 0, (P, L), and the probability of that."""
    probability_PL = logits_PL.sigmoid()
    labels_PL = (probability_PL > 0.5).long()
    return labels_PL, torch.where(labels_PL == 1, probability_PL, 1 - probability_PL)


HEADS: dict[str, Head] = {
    "softmax": Head(
        lambda logits_PL, labels_P: nn.functional.cross_entropy(logits_PL, labels_P, reduction="sum"),
        _best_label,
        torch.int64,
    ),
    # The mean over labels, so that the loss of a decision does not grow with their number.
    "sigmoid": Head(
        lambda logits_PL, labels_PL: (
            nn.functional.binary_cross_entropy_with_logits(logits_PL, labels_PL, reduction="sum")
            / logits_PL.shape[-1]
        ),
        _labels_over_half,
        torch.float32,
    ),
    "regression": Head(
        lambda values_P1, gold_P: nn.functional.mse_loss(values_P1.squeeze(-1), gold_P, reduction="sum"),
        lambda values_P1: (values_P1.squeeze(-1), None),
        torch.float32,
    ),
}


class Classifier(nn.Module):
    """An encoder with a linear layer that reads one or two of its states for each decision.

    reads_mean: it reads the mean of all states of a text instead, padding aside.
    """

    def __init__(
        self,
        encoder: Any,
        *,
        num_outputs: int,
        states_per_decision: int,
        head: str = "softmax",
        reads_mean: bool = False,
    ) -> None:
        super().__init__()
        self.head: Head = HEADS[head]
        self.encoder = encoder
        self.reads_mean = reads_mean
        # Of a pair it is told which piece is of which text, if it has learnt to tell them apart.
        has_segments = (getattr(encoder.config, "type_vocab_size", 0) or 0) > 1
        self.takes_segments = has_segments and "token_type_ids" in signature(encoder.forward).parameters
        # What the checkpoint says of its classifier, else of its hidden states, else 0.1.
        stated = (
            getattr(encoder.config, name, None) for name in ("classifier_dropout", "hidden_dropout_prob")
        )
        self.dropout = nn.Dropout(float(next((one for one in stated if one is not None), 0.1)))
        self.linear = nn.Linear(encoder.config.hidden_size * states_per_decision, num_outputs)
        nn.init.normal_(self.linear.weight, std=INITIAL_STD)
        nn.init.zeros_(self.linear.bias)

    def forward(self, batch: Batch) -> Tensor:
        """Return the outputs of every decision in the batch, (P, L)."""
        more = {}
        if self.takes_segments and batch.segments_BT is not None:
            more["token_type_ids"] = batch.segments_BT
        found = self.encoder(input_ids=batch.pieces_BT, attention_mask=batch.mask_BT, **more)
        hidden_BTD = found.last_hidden_state
        if self.reads_mean:
            # In fp32: bf16 counts to 256.
            mask_BT1 = batch.mask_BT[..., None].float()
            mean_BD = (hidden_BTD.float() * mask_BT1).sum(1) / mask_BT1.sum(1)
            states_PSD = mean_BD.to(hidden_BTD.dtype)[batch.rows_P, None]
        else:
            states_PSD = hidden_BTD[batch.rows_P[:, None], batch.places_PS]
        logits_PL: Tensor = self.linear(self.dropout(states_PSD.flatten(1)))
        return logits_PL
