"""The losses: sums of the plain formulas, and gradients with them."""

from typing import Any

import numpy as np
import pytest
import torch
from accelerate import Accelerator

from kebench.model.mentions import Mentions
from kebench.pretrain.batches import IGNORED, epoch_order
from kebench.pretrain.run import Prepared, prepare
from tests.pretrain.conftest import World, plan_of


@pytest.fixture
def accelerator() -> Accelerator:
    return Accelerator(cpu=True)


def prepared_of(
    world: World, accelerator: Accelerator, recipe: str = "kebiolm-mini", **changes: Any
) -> Prepared:
    return prepare(plan_of(world, recipe, **changes), accelerator)


def batch_of(prepared: Prepared, numbers: list[int]) -> Any:
    trainer = prepared.trainer
    rows = [trainer.sequences[number] for number in numbers]
    masked = [trainer.collator.mask(one, epoch=0, number=n) for one, n in zip(rows, numbers, strict=True)]
    return trainer.collator.batch(rows, masked), rows


def test_losses_and_gradients_are_those_of_the_plain_formulas(world: World, accelerator: Accelerator) -> None:
    prepared = prepared_of(world, accelerator)
    batch, _ = batch_of(prepared, [3, 5, 8])
    objectives = prepared.trainer.objectives.double()
    model = objectives.model
    parameters = [parameter for parameter in objectives.parameters() if parameter.requires_grad]
    ours = objectives(batch).loss_3
    our_gradients = torch.autograd.grad(ours.sum(), parameters)

    output = model.bert(batch.input_BT, attention_mask=batch.is_token_BT.long(), mentions=batch.mentions)
    right_BT = torch.full_like(batch.input_BT, IGNORED)
    right_BT[batch.row_P, batch.place_P] = batch.piece_P
    mlm = torch.nn.functional.cross_entropy(
        model.cls(output.last_hidden_state).flatten(0, 1), right_BT.flatten(), reduction="sum"
    )
    detection = torch.nn.functional.cross_entropy(
        output.mention_logits.flatten(0, 1), batch.label_BT.flatten(), reduction="sum"
    )
    below = model.bert.context_encoder(model.bert.embeddings(batch.input_BT), _mask(batch))
    states = [
        torch.cat([below[row, start], below[row, end - 1]])
        for row, start, end in zip(*batch.mentions, strict=True)
    ]
    linker = model.bert.entity_linker
    logits = linker.mention_to_entity_projection(torch.stack(states)) @ linker.entity_embeddings.weight.T
    linking = torch.nn.functional.cross_entropy(logits, batch.entity_M, reduction="sum")
    plain = torch.stack([mlm, detection, linking])
    torch.testing.assert_close(ours, plain, rtol=1e-6, atol=1e-6)
    for one, other in zip(our_gradients, torch.autograd.grad(plain.sum(), parameters), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)


def _mask(batch: Any) -> Any:
    return torch.zeros(batch.is_token_BT.shape, dtype=torch.float64).masked_fill(
        ~batch.is_token_BT, torch.finfo(torch.float64).min
    )[:, None, None]


def test_a_batch_s_labels_say_where_mentions_are_and_ends_are_not_asked(
    world: World, accelerator: Accelerator
) -> None:
    prepared = prepared_of(world, accelerator, max_mentions=2)
    batch, rows = batch_of(prepared, [0, 1, 2])
    for row, one in enumerate(rows):
        label = batch.label_BT[row].tolist()
        assert label[0] == label[len(one.piece_T) - 1] == IGNORED
        assert all(value == IGNORED for value in label[len(one.piece_T) :])
        begins = [place for place, value in enumerate(label) if value == 1]
        assert begins == one.mention_M3[:, 0].tolist()  # those beyond the cap too
        linked = [batch.mentions.start_M[m].item() for m in range(len(batch.entity_M))
                  if batch.mentions.row_M[m] == row]  # fmt: skip
        assert linked == begins[:2]


def test_the_control_learns_nothing_but_language(world: World, accelerator: Accelerator) -> None:
    prepared = prepared_of(world, accelerator, "continued-mini")
    batch, _ = batch_of(prepared, [1, 2])
    losses = prepared.trainer.objectives(batch)
    assert losses.loss_3[1:].tolist() == [0, 0]
    assert losses.entity_M is None
    same, _ = batch_of(prepared_of(world, accelerator), [1, 2])
    assert torch.equal(same.input_BT, batch.input_BT)  # the masks of the model that it is a control of


def test_a_batch_without_mentions_costs_no_linking(world: World, accelerator: Accelerator) -> None:
    prepared = prepared_of(world, accelerator)
    batch, _ = batch_of(prepared, [1, 2])
    none = Mentions(*(part[:0] for part in batch.mentions))
    losses = prepared.trainer.objectives(batch._replace(mentions=none, entity_M=batch.entity_M[:0]))
    losses.loss_3.sum().backward()
    assert losses.loss_3[2] == 0


def test_an_epoch_s_order_holds_every_sequence_once_and_differs_from_the_next() -> None:
    first, second = (epoch_order(100, seed=1, epoch=epoch) for epoch in (0, 1))
    assert sorted(first.tolist()) == list(range(100))
    assert not np.array_equal(first, second)


def test_masks_depend_on_seed_epoch_and_sequence_alone(world: World, accelerator: Accelerator) -> None:
    prepared = prepared_of(world, accelerator)
    one = prepared.trainer.sequences[4]
    mask = prepared.trainer.collator.mask

    def masked(epoch: int, number: int) -> bytes:
        return mask(one, epoch=epoch, number=number).input_T.tobytes()

    assert masked(1, 4) == masked(1, 4)
    # A short sequence may be masked alike in two of them by chance, in eight hardly.
    assert len({masked(epoch, 4) for epoch in range(8)}) > 2
    assert len({masked(1, number) for number in range(8)}) > 2
