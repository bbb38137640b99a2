"""Gradients, batches, learning, and going on from a state."""

import copy

import numpy as np
import pytest
import torch
from torch import Tensor

from kebench.errors import UserError
from kebench.transe.batches import KnownTriples, corrupt, epoch_batches, epoch_generator
from kebench.transe.rank import metrics, rank_triples
from kebench.transe.recipe import Settings
from kebench.transe.train import State, initial_state, margin_loss_, summed, train, uses
from tests.transe.graphs import grid, settings

NUM_ENTITIES, NUM_RELATIONS = 36, 3
TRIPLES = grid(6)


def start(chosen: Settings) -> State:
    return initial_state(
        num_entities=NUM_ENTITIES, num_relations=NUM_RELATIONS, settings=chosen, device="cpu"
    )


@pytest.mark.parametrize("norm", [1, 2])
def test_the_written_out_gradient_is_autograds(norm: int) -> None:
    draw = torch.Generator().manual_seed(0)
    true, corrupted = (torch.randn(50, 6, generator=draw, dtype=torch.float64) for _ in range(2))
    leaves = [part.clone().requires_grad_() for part in (true, corrupted)]
    distances = [torch.linalg.vector_norm(leaf, norm, dim=1) for leaf in leaves]
    expected = torch.relu(1.5 + distances[0] - distances[1]).sum()
    expected.backward()
    loss = margin_loss_(true, corrupted, margin=1.5, norm=norm)
    assert 0 < int((leaves[0].grad != 0).any(1).sum()) < 50, "some pairs should count and some not"
    torch.testing.assert_close(loss, expected.detach())
    torch.testing.assert_close([true, corrupted], [leaf.grad for leaf in leaves])


def test_a_distance_of_zero_has_no_gradient() -> None:
    true, corrupted = torch.zeros(1, 3), torch.zeros(1, 3)
    assert float(margin_loss_(true, corrupted, margin=1.0, norm=2)) == 1.0
    assert torch.equal(true, torch.zeros(1, 3))


def test_a_rows_gradient_is_the_sum_over_its_uses() -> None:
    # Rows 7, 3, 7 as heads (sign +) and 3, 9, 9 as tails (sign -), with slopes 1, 10, 100.
    slopes = torch.tensor([[1.0], [10.0], [100.0]])
    used = uses(torch.tensor([7, 3, 7, 3, 9, 9]))
    assert used.row_U.tolist() == [3, 7, 9]
    assert used.row_U[used.place_I].tolist() == [7, 3, 7, 3, 9, 9]
    assert summed(slopes, used, signs=(1.0, -1.0)).flatten().tolist() == [10 - 1, 1 + 100, -10 - 100]


def test_a_training_step_is_autograds_gradient_and_dense_adam() -> None:
    chosen = settings(batch_size=len(TRIPLES), epochs=1, dimension=16)
    state = start(chosen)
    leaves = [table.vector_ND.clone().double().requires_grad_() for table in (state.entity, state.relation)]
    pairs = next(epoch_batches(TRIPLES, chosen, num_entities=NUM_ENTITIES, known=None, epoch=1))
    loss = _loss_by_autograd(*leaves, *pairs, margin=chosen.margin)
    loss.backward()
    torch.optim.Adam(leaves, lr=chosen.learning_rate).step()
    trained = train(TRIPLES, chosen, state)
    assert trained.loss_by_epoch[0] == pytest.approx(float(loss.detach()) / len(TRIPLES), rel=1e-5)
    expected = torch.nn.functional.normalize(leaves[0].detach())
    torch.testing.assert_close(trained.entity_ND.double(), expected, rtol=0, atol=1e-5)
    torch.testing.assert_close(trained.relation_RD.double(), leaves[1].detach(), rtol=0, atol=1e-5)


def _loss_by_autograd(
    entity: Tensor, relation: Tensor, true: np.ndarray, corrupted: np.ndarray, *, margin: float
) -> Tensor:
    def distance(triples: np.ndarray) -> Tensor:
        head, name, tail = torch.from_numpy(triples.T.astype(np.int64))
        return torch.linalg.vector_norm(entity[head] + relation[name] - entity[tail], dim=1)

    return torch.relu(margin + distance(true) - distance(corrupted)).sum()


def test_entities_have_length_one_and_relations_begin_with_it() -> None:
    chosen = settings()
    state = start(chosen)
    trained = train(TRIPLES, chosen, copy.deepcopy(state))
    for vectors in (state.entity.vector_ND, state.relation.vector_ND, trained.entity_ND):
        length = torch.linalg.vector_norm(vectors, dim=1)
        torch.testing.assert_close(length, torch.ones(len(vectors)), rtol=0, atol=1e-6)


def test_an_epoch_holds_every_triple_once_and_another_epoch_another_order() -> None:
    chosen = settings(batch_size=7)
    first, second = (
        np.concatenate(
            [
                true
                for true, _ in epoch_batches(
                    TRIPLES, chosen, num_entities=NUM_ENTITIES, known=None, epoch=epoch
                )
            ]
        )
        for epoch in (1, 2)
    )
    assert np.array_equal(np.unique(first, axis=0), TRIPLES)
    assert len(first) == len(TRIPLES)
    assert not np.array_equal(first, second)


def test_a_corruption_replaces_head_or_tail_by_another_entity() -> None:
    true = np.repeat(TRIPLES, 50, axis=0)
    corrupted = corrupt(true, num_entities=NUM_ENTITIES, known=None, generator=epoch_generator(0, 1))
    changed = corrupted != true
    assert (changed.sum(1) == 1).all()
    assert not changed[:, 1].any()
    assert 0.45 < changed[:, 0].mean() < 0.55
    assert np.array_equal(np.unique(corrupted[:, 0]), np.arange(NUM_ENTITIES))


def test_a_filtered_corruption_is_never_a_known_triple() -> None:
    draw = np.random.default_rng(0)
    triples = np.unique(draw.integers([10, 2, 10], size=(100, 3), dtype=np.int32), axis=0)
    known = KnownTriples(triples, num_entities=10, num_relations=2)
    true, generator = np.repeat(triples, 50, axis=0), epoch_generator(0, 1)
    assert known.contain(true).all()
    assert known.contain(corrupt(true, num_entities=10, known=None, generator=generator)).any()
    filtered = corrupt(true, num_entities=10, known=known, generator=generator)
    assert not known.contain(filtered).any()


def test_a_triple_without_unknown_corruption_stands_for_itself() -> None:
    every = np.array([(h, 0, t) for h in range(3) for t in range(3)], dtype=np.int32)
    known = KnownTriples(every, num_entities=3, num_relations=1)
    same = corrupt(every, num_entities=3, known=known, generator=epoch_generator(0, 1))
    assert np.array_equal(same, every)


@pytest.mark.parametrize("epochs_done", [1, 2])
def test_training_goes_on_from_any_epoch_bit_for_bit(epochs_done: int) -> None:
    chosen = settings(filtered_negatives=True, num_negatives=2)
    kept: list[State] = []
    whole = train(TRIPLES, chosen, start(chosen), after_epoch=lambda state: kept.append(copy.deepcopy(state)))
    resumed = train(TRIPLES, chosen, kept[epochs_done - 1])
    assert torch.equal(whole.entity_ND, resumed.entity_ND)
    assert torch.equal(whole.relation_RD, resumed.relation_RD)
    assert whole.loss_by_epoch == resumed.loss_by_epoch


def test_the_seed_decides_the_vectors() -> None:
    vectors = [
        train(TRIPLES, settings(seed=seed), start(settings(seed=seed))).entity_ND for seed in (0, 0, 1)
    ]
    assert torch.equal(vectors[0], vectors[1])
    assert not torch.equal(vectors[0], vectors[2])


def test_it_learns_a_grid() -> None:
    """Chance would rank an answer 18th of 36 on average, a mean reciprocal rank of 0.12."""
    chosen = settings(epochs=150, batch_size=20, learning_rate=0.02, dimension=16, margin=0.5)
    trained = train(TRIPLES, chosen, start(chosen))
    ranks = rank_triples(
        TRIPLES, known=TRIPLES, entity_ND=trained.entity_ND, relation_RD=trained.relation_RD, norm=2
    )
    assert metrics(ranks)["both"]["realistic"]["mrr"] > 0.6
    assert trained.loss_by_epoch[-1] < trained.loss_by_epoch[0] / 2


def test_training_stops_at_the_first_step_whose_loss_is_not_finite() -> None:
    # One of 36 entities is spoilt; the first batch that holds it is the first whose loss is no number.
    chosen = settings(batch_size=1, epochs=3)
    state = start(chosen)
    state.entity.vector_ND[5] = float("nan")
    seen: list[int] = []
    with pytest.raises(UserError, match=r"^epoch 1, step (\d+): loss nan at learning rate .* lower") as error:
        train(TRIPLES, chosen, state, after_batch=seen.append)
    assert f"step {len(seen)}:" in str(error.value)
    assert len(seen) < len(TRIPLES)
