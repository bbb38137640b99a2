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
        # MLM loss, masked pieces, right ones; mentions right, found, gold; links right, all
        total = np.zeros(8)
        for batch in self.batches[accelerator.process_index :: accelerator.num_processes]:
            batch = batch.to(accelerator.device)
            with accelerator.autocast():
                losses = objectives(batch)
            total[:3] += float(losses.loss_3[0]), len(batch.piece_P), float(losses.correct_P.sum())
            if losses.label_BT is not None:
                is_text_BT = batch.label_BT != IGNORED
                found_spans, gold_spans = (
                    _spans(one, is_text_BT) for one in (losses.label_BT, batch.label_BT)
                )
                total[3:6] += len(found_spans & gold_spans), len(found_spans), len(gold_spans)
                is_known_M = batch.entity_M != NO_ENTITY
                is_right_M = is_known_M & (losses.entity_M == batch.entity_M)
                total[6:] += float(is_right_M.sum()), float(is_known_M.sum())
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


def _spans(label_BT: Tensor, is_text_BT: Tensor) -> set[tuple[int, int, int]]:
    mentions = find_mentions(label_BT, is_text_BT, max_mentions=label_BT.shape[1])
    rows = zip(*(part.tolist() for part in mentions), strict=True)
    return {(row, start, end) for row, start, end in rows if end > start}
