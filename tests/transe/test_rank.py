"""Ranks against the plain formula, written out; ties; metrics by hand."""

import numpy as np
import pytest
import torch

from kebench.transe import rank
from kebench.transe.batches import Triples
from kebench.transe.rank import AnswerIndex, Ranks, metrics, rank_triples

NUM_ENTITIES, NUM_RELATIONS = 60, 3


def random_triples(count: int, seed: int) -> Triples:
    draw = np.random.default_rng(seed)
    columns = [draw.integers(size, size=count) for size in (NUM_ENTITIES, NUM_RELATIONS, NUM_ENTITIES)]
    return np.unique(np.stack(columns, axis=1).astype(np.int32), axis=0)


def plain_ranks(
    triples: Triples, known: Triples, entity: np.ndarray, relation: np.ndarray, norm: int
) -> dict[str, Ranks]:
    """Rank every triple one by one, in float64."""
    entity, relation = entity.astype(np.float64), relation.astype(np.float64)
    are_known = {tuple(triple) for triple in known.tolist()}
    ranks = {}
    for side, asked in (("head", 0), ("tail", 2)):
        counts = []
        for triple in triples.tolist():
            candidates = [[*triple[:asked], one, *triple[asked + 1 :]] for one in range(len(entity))]
            distance = [_distance(entity, relation, *candidate, asked, norm) for candidate in candidates]
            true = distance[triple[asked]]
            others = [
                distance[one]
                for one, candidate in enumerate(candidates)
                if one != triple[asked] and tuple(candidate) not in are_known
            ]
            counts.append((sum(d < true for d in others), sum(d == true for d in others)))
        ranks[side] = Ranks(*np.array(counts).T)
    return ranks


def _distance(
    entity: np.ndarray, relation: np.ndarray, head: int, name: int, tail: int, asked: int, norm: int
) -> float:
    """The candidate's distance (squared if Euclidean) from where it should be, dimension by dimension."""
    place = entity[head] + relation[name] if asked == 2 else entity[tail] - relation[name]
    difference = place - entity[tail if asked == 2 else head]
    return float(np.cumsum(np.abs(difference) if norm == 1 else difference**2)[-1])


def make_vectors(scale: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Vectors of which every third entity is a copy of another, so that there are exact ties."""
    draw = np.random.default_rng(0)
    entity = draw.standard_normal((NUM_ENTITIES, 7)).astype(np.float32) * np.float32(scale)
    entity[::3] = entity[1::3]
    return entity, draw.standard_normal((NUM_RELATIONS, 7)).astype(np.float32)


@pytest.mark.parametrize("norm", [1, 2])
@pytest.mark.parametrize("scale", [1.0, 1e-7, 1e4])
def test_ranks_are_those_of_the_plain_formula_with_ties(
    norm: int, scale: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At 1e-7 all entities lie within float32's rounding of each other: every order is decided anew."""
    for size, value in (("BLOCK_QUERIES", 16), ("BLOCK_ENTITIES", 25), ("BLOCK_CANDIDATES", 10)):
        monkeypatch.setattr(rank, size, value)
    triples, known = random_triples(40, seed=1), random_triples(400, seed=2)
    entity, relation = make_vectors(scale)
    ours = rank_triples(
        triples,
        known=known,
        entity_ND=torch.from_numpy(entity),
        relation_RD=torch.from_numpy(relation),
        norm=norm,
    )
    for side, plain in plain_ranks(triples, known, entity, relation, norm).items():
        assert ours[side].nearer.tolist() == plain.nearer.tolist()
        assert ours[side].tied.tolist() == plain.tied.tolist()
        assert plain.tied.any()


def test_where_all_vectors_are_equal_all_others_tie() -> None:
    ranks = rank_triples(
        np.array([[0, 0, 1]], dtype=np.int32),
        known=np.array([[0, 0, 1], [0, 0, 2]], dtype=np.int32),
        entity_ND=torch.ones(10, 4),
        relation_RD=torch.zeros(1, 4),
        norm=2,
    )
    assert (ranks["tail"].nearer.tolist(), ranks["tail"].tied.tolist()) == ([0], [8])  # 2 is known too
    assert (ranks["head"].nearer.tolist(), ranks["head"].tied.tolist()) == ([0], [9])


def test_known_answers_do_not_count_against_the_true_one() -> None:
    # On a line, entity n at n; 0 plus the relation is 0. Nearest to it: 0, 1, 2, 3; asked for is 3.
    entity, relation = torch.arange(5.0).unsqueeze(1), torch.zeros(1, 1)
    triple = np.array([[0, 0, 3]], dtype=np.int32)
    known = np.array([[0, 0, 1], [0, 0, 3], [1, 0, 2]], dtype=np.int32)
    tail = rank_triples(triple, known=known, entity_ND=entity, relation_RD=relation, norm=2)["tail"]
    assert tail.nearer.tolist() == [2]  # 0 and 2, not the known 1


@pytest.mark.parametrize(("asked", "given"), [(0, 2), (2, 0)])
def test_the_index_finds_all_known_answers(asked: int, given: int) -> None:
    known, triples = random_triples(300, seed=3), random_triples(20, seed=4)
    answers, query = AnswerIndex(known, asked=asked, num_relations=NUM_RELATIONS).of(triples)
    for number, triple in enumerate(triples):
        matching = (known[:, given] == triple[given]) & (known[:, 1] == triple[1])
        assert sorted(answers[query == number].tolist()) == sorted(known[matching][:, asked].tolist())


def test_metrics_by_hand() -> None:
    # Heads: nearer 0 and 3, tied 1 and 0: optimistic ranks 1, 4; realistic 1.5, 4; pessimistic 2, 4.
    # Tails: nearer 0 and 19, no ties: ranks 1, 20.
    ranks = {
        "head": Ranks(np.array([0, 3]), np.array([1, 0])),
        "tail": Ranks(np.array([0, 19]), np.array([0, 0])),
    }
    numbers = metrics(ranks)
    assert numbers["head"]["optimistic"]["mrr"] == pytest.approx((1 + 1 / 4) / 2)
    assert numbers["head"]["realistic"]["mrr"] == pytest.approx((1 / 1.5 + 1 / 4) / 2)
    assert numbers["head"]["pessimistic"]["mrr"] == pytest.approx((1 / 2 + 1 / 4) / 2)
    assert numbers["head"]["realistic"]["hits_at_1"] == 0
    assert numbers["head"]["optimistic"]["hits_at_1"] == 0.5
    assert numbers["tail"]["realistic"]["hits_at_10"] == 0.5
    assert numbers["tail"]["realistic"]["mean_rank"] == 10.5
    assert numbers["both"]["optimistic"]["mrr"] == pytest.approx((1 + 1 / 4 + 1 + 1 / 20) / 4)
    assert numbers["both"]["optimistic"]["hits_at_3"] == 0.5
