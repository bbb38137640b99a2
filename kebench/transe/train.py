"""Trains TransE: its loss, one step, one epoch, and all epochs, going on from a saved state if there is one.

A triple (head, relation, tail) is plausible if head + relation lies near tail. The loss asks that a triple
lies nearer by a margin than one whose head or tail was replaced (Bordes et al. 2013, eqs. 1 and 2):

    sum over pairs of max(0, margin + |h + r - t| - |h' + r - t'|)

A sum, as in the paper, not a mean: Adam's steps are the same, and its epsilon is then negligible.
"""

# N entities, R relations, D dimensions, I triples of a batch (true, then corrupt), P pairs, U distinct rows

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import embedding_bag

from kebench.errors import UserError
from kebench.transe.batches import KnownTriples, Triples, epoch_batches, epoch_generator
from kebench.transe.recipe import Settings
from kebench.transe.row_adam import RowAdam, Table, new_table, normalise_

SMALLEST_DISTANCE = 1e-12  # where a distance is zero, so is the gradient


class State(NamedTuple):
    """Everything that training goes on from: both tables, and the mean loss a pair of each epoch so far."""

    entity: Table
    relation: Table
    loss_by_epoch: tuple[float, ...]


class Trained(NamedTuple):
    """What training gives: unit vectors of entities, vectors of relations, the mean loss of each epoch."""

    entity_ND: Tensor
    relation_RD: Tensor
    loss_by_epoch: tuple[float, ...]


class Uses(NamedTuple):
    """Which rows of a table a list of ids uses, and where.

    row_U: the distinct ids; place_I: for each id of the list its place among them.
    order_I: places in the list, sorted by id; start_U: where each row's run begins in that order.
    """

    row_U: Tensor
    place_I: Tensor
    order_I: Tensor
    start_U: Tensor


def initial_state(*, num_entities: int, num_relations: int, settings: Settings, device: str) -> State:
    """Draw both tables uniformly from -6/sqrt(D) to 6/sqrt(D); every vector has length one (Bordes et al.).

    Entities stay at length one; relations are normalised only here.
    """
    generator = epoch_generator(settings.seed, 0)
    bound = 6 / settings.dimension**0.5

    def draw(num_rows: int) -> Tensor:
        values = generator.random((num_rows, settings.dimension), dtype=np.float32)
        return torch.from_numpy(values).to(device).mul_(2 * bound).sub_(bound)

    entity_ND, relation_RD = draw(num_entities), normalise_(draw(num_relations))
    return State(new_table(entity_ND, is_unit=True), new_table(relation_RD, is_unit=False), ())


def train(
    triples: Triples,
    settings: Settings,
    state: State,
    *,
    after_batch: Callable[[int], None] = lambda _: None,
    after_epoch: Callable[[State], None] = lambda _: None,
) -> Trained:
    """Train from a state to the last epoch. The state's tables are changed in place.

    after_batch: told how many triples it held; after_epoch: given the state so far.
    Raises UserError with epoch, step and rate if a loss is not finite.
    """
    num_entities, num_relations = len(state.entity.vector_ND), len(state.relation.vector_ND)
    known = None
    if settings.filtered_negatives:
        known = KnownTriples(triples, num_entities=num_entities, num_relations=num_relations)
    steps_per_epoch = -(-len(triples) // settings.batch_size)
    num_steps = settings.epochs * steps_per_epoch
    device = state.entity.vector_ND.device
    adam = RowAdam(learning_rate=settings.learning_rate, num_steps=num_steps, device=device)
    for epoch in range(len(state.loss_by_epoch) + 1, settings.epochs + 1):
        batches = epoch_batches(triples, settings, num_entities=num_entities, known=known, epoch=epoch)
        loss = torch.zeros((), dtype=torch.float64, device=device)
        losses = []
        for step, pairs in enumerate(batches, start=(epoch - 1) * steps_per_epoch + 1):
            losses.append(train_step(state, pairs, adam, settings, step=step))
            loss += losses[-1]
            after_batch(len(pairs[0]) // settings.num_negatives)
            if device.type == "cpu" and not losses[-1].isfinite():  # a GPU would be waited for at each step
                break
        loss_S = torch.stack(losses).cpu()
        if not loss_S.isfinite().all():  # it has spoilt the vectors
            first = int((~loss_S.isfinite()).nonzero()[0])
            raise UserError(
                f"epoch {epoch}, step {first + 1}: loss {float(loss_S[first]):g} at learning rate "
                f"{settings.learning_rate:g}: training stops here; lower --learning-rate"
            )
        mean_loss = float(loss) / (len(triples) * settings.num_negatives)
        state = state._replace(loss_by_epoch=(*state.loss_by_epoch, mean_loss))
        after_epoch(state)
    for table in (state.entity, state.relation):
        adam.finish(table, step=num_steps)
    return Trained(state.entity.vector_ND, state.relation.vector_ND, state.loss_by_epoch)


def train_step(
    state: State, pairs: tuple[Triples, Triples], adam: RowAdam, settings: Settings, *, step: int
) -> Tensor:
    """Take one step on both tables and return the summed loss of the pairs."""
    entity, relation = state.entity, state.relation
    ids_I3 = np.concatenate(pairs)  # true triples, then corrupt ones
    head_I, relation_I, tail_I = torch.from_numpy(ids_I3.T.astype(np.int64)).to(entity.vector_ND.device)
    entity_uses, relation_uses = uses(torch.cat([head_I, tail_I])), uses(relation_I)
    entity_rows = adam.read(entity, entity_uses.row_U, step=step)
    relation_rows = adam.read(relation, relation_uses.row_U, step=step)

    head_ID, tail_ID = entity_rows.vector_UD.index_select(0, entity_uses.place_I).chunk(2)
    difference_ID = relation_rows.vector_UD.index_select(0, relation_uses.place_I).add_(head_ID).sub_(tail_ID)
    loss = margin_loss_(*difference_ID.chunk(2), margin=settings.margin, norm=settings.norm)

    # The loss's slopes have taken the differences' place: they are the gradients of heads and of relations,
    # and with the opposite sign those of tails.
    adam.write(entity, entity_rows, summed(difference_ID, entity_uses, signs=(1.0, -1.0)), step=step)
    adam.write(relation, relation_rows, summed(difference_ID, relation_uses, signs=(1.0,)), step=step)
    return loss


def margin_loss_(true_PD: Tensor, corrupt_PD: Tensor, *, margin: float, norm: int) -> Tensor:
    """Return the summed margin loss of pairs, and put its gradients in place of the differences.

    true_PD, corrupt_PD: head + relation - tail of each triple and of its corruption.
    norm: 2 or 1, the distance that is meant.
    """
    sides = true_PD, corrupt_PD
    true_P1, corrupt_P1 = (torch.linalg.vector_norm(side, norm, dim=1, keepdim=True) for side in sides)
    violation_P1 = (true_P1 - corrupt_P1).add_(margin).clamp_min_(0)
    weight_P1 = (violation_P1 > 0).to(true_PD.dtype)
    for side_PD, distance_P1, weight in ((true_PD, true_P1, weight_P1), (corrupt_PD, corrupt_P1, -weight_P1)):
        if norm == 1:
            side_PD.sign_().mul_(weight)
        else:
            side_PD.mul_(weight / distance_P1.clamp_min(SMALLEST_DISTANCE))
    return violation_P1.sum()


def uses(id_I: Tensor) -> Uses:
    """Find the distinct rows that a list of ids uses."""
    sorted_I, order_I = id_I.sort(stable=True)
    row_U, run_I, count_U = torch.unique_consecutive(sorted_I, return_inverse=True, return_counts=True)
    place_I = torch.empty_like(run_I).index_copy_(0, order_I, run_I)
    return Uses(row_U, place_I, order_I, count_U.cumsum(0) - count_U)


def summed(slope_ID: Tensor, used: Uses, *, signs: tuple[float, ...]) -> Tensor:
    """Return each row's gradient: its uses' slopes, added up in the order of the list, so always alike.

    signs: the list of ids is as many times as long as the slopes; each time has its sign.
    """
    time_I, place_I = used.order_I // len(slope_ID), used.order_I % len(slope_ID)
    sign_I = torch.tensor(signs, dtype=slope_ID.dtype, device=slope_ID.device)[time_I]
    return embedding_bag(place_I, slope_ID, used.start_U, mode="sum", per_sample_weights=sign_I)
