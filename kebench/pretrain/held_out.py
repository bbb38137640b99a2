"""What a model in training makes of documents that it never sees: perplexity, mentions, links."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from kebench.model.linking import NO_ENTITY
from kebench.model.mentions import find_mentions
from kebench.pretrain.batches import IGNORED, Batch, Collator
from kebench.pretrain.objectives import Objectives
from kebench.pretrain.sequences import Sequences

_EPOCH = 2**32 - 1  # masks of what is held out are those of an epoch that never comes


class HeldOut:
    """Some held-out sequences, hidden once and for all."""

    def __init__(self, sequences: Sequences, collator: Collator, *, most: int, batch_size: int) -> None:
        numbers = np.linspace(0, max(len(sequences) - 1, 0), min(most, len(sequences))).astype(int)
        self.batches: list[Batch] = []
        for start in range(0, len(numbers), batch_size):
            part = numbers[start : start + batch_size].tolist()
            self.batches.append(collator.hidden(part, of=sequences, epoch=_EPOCH))

    @torch.no_grad()  # type: ignore[untyped-decorator]
    def evaluate(self, objectives: Objectives, accelerator: Any) -> dict[str, float]:
        """Return perplexity and accuracy of masked pieces, F1 of mentions, accuracy@1 of links, in percent.

        What has nothing to be counted over, such as links without mentions, is left out.
        """
        if not self.batches:
            return {}
        was_training = objectives.training
        objectives.eval()
        total = np.zeros(8)
        for batch in self.batches[accelerator.process_index :: accelerator.num_processes]:
            with accelerator.autocast():
                total += _counts(objectives, batch.to(accelerator.device))
        objectives.train(was_training)
        summed = accelerator.reduce(torch.from_numpy(total).to(accelerator.device), reduction="sum").tolist()
        loss, pieces, correct, both, found, gold, linked, links = summed
        scores = {}
        if pieces:
            scores["perplexity"] = float(np.exp(min(loss / pieces, 700.0)))
            scores["mlm_accuracy_percent"] = 100 * correct / pieces
        if objectives.is_kebiolm and gold:
            scores["mention_f1_percent"] = 100 * 2 * both / (found + gold)
        if objectives.is_kebiolm and links:
            scores["linking_accuracy_percent"] = 100 * linked / links
        return scores


def _counts(objectives: Objectives, batch: Batch) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Return sums: MLM loss, masked pieces, right ones; mentions right, found, gold; links right, all."""
    losses = objectives(batch)
    counts = [float(losses.loss_3[0]), len(batch.piece_P), float(losses.correct_P.sum())]
    if losses.label_BT is None or losses.entity_M is None:
        return np.array(counts + [0.0] * 5)
    is_text_BT = batch.label_BT != IGNORED
    found, gold = (_spans(label_BT, is_text_BT) for label_BT in (losses.label_BT, batch.label_BT))
    is_known_M = batch.entity_M != NO_ENTITY
    right = float((is_known_M & (losses.entity_M == batch.entity_M)).sum())
    return np.array([*counts, len(found & gold), len(found), len(gold), right, float(is_known_M.sum())])


def _spans(label_BT: Tensor, is_text_BT: Tensor) -> set[tuple[int, int, int]]:
    mentions = find_mentions(label_BT, is_text_BT, max_mentions=label_BT.shape[1])
    rows = zip(*(part.tolist() for part in mentions), strict=True)
    return {(row, start, end) for row, start, end in rows if end > start}
