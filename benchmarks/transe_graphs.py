"""Graphs made up for the TransE benchmark: a large one for speed, a learnable one for quality."""

# N entities, n triples, d dimensions of the hidden places

import numpy as np

from kebench.transe.batches import Triples

ENTITY_SKEW, RELATION_SKEW = 3, 4  # ours: the rank of an entity is uniform to this power, so few have many
HIDDEN_DIMENSION = 6  # ours
CANDIDATES = 4096  # ours; tails are chosen among so many, which bounds the time of making the graph


def large_graph(num_triples: int, *, num_entities: int, num_relations: int, seed: int = 0) -> Triples:
    """Return distinct triples in which few entities and relations occur often, and most rarely."""
    draw = np.random.default_rng(seed)
    keys = np.empty(0, dtype=np.int64)
    while len(keys) < num_triples:
        missing = num_triples - len(keys) + 1000
        heads, tails = (_skewed(draw, num_entities, missing, ENTITY_SKEW) for _ in range(2))
        relations = _skewed(draw, num_relations, missing, RELATION_SKEW)
        keys = np.unique(np.concatenate([keys, (heads * num_relations + relations) * num_entities + tails]))
    keys = np.sort(draw.choice(keys, num_triples, replace=False))
    rest, tails = np.divmod(keys, num_entities)
    heads, relations = np.divmod(rest, num_relations)
    shuffled = draw.permutation(num_entities)  # frequent entities are not neighbours in memory
    triples = np.stack([shuffled[heads], relations, shuffled[tails]], axis=1).astype(np.int32)
    return triples[np.lexsort(triples.T[::-1])]


def _skewed(draw: np.random.Generator, size: int, count: int, skew: int) -> np.ndarray:
    return (draw.random(count) ** skew * size).astype(np.int64)


def learnable_graph(num_triples: int, *, num_entities: int, num_relations: int, seed: int = 0) -> Triples:
    """Return triples whose tail lies where head and relation lead, in a space that training does not see."""
    draw = np.random.default_rng(seed)
    place_Nd = draw.standard_normal((num_entities, HIDDEN_DIMENSION))
    place_Nd /= np.linalg.norm(place_Nd, axis=1, keepdims=True)
    way_Rd = 0.7 * draw.standard_normal((num_relations, HIDDEN_DIMENSION))
    parts = []
    for relation in range(num_relations):
        heads = _skewed(draw, num_entities, num_triples // num_relations, 2)
        candidates = draw.choice(num_entities, min(CANDIDATES, num_entities), replace=False)
        scores = (place_Nd[heads] + way_Rd[relation]) @ place_Nd[candidates].T  # all have length one
        tails = candidates[scores.argmax(1)]
        parts.append(np.stack([heads, np.full_like(heads, relation), tails], axis=1))
    return np.unique(np.concatenate(parts).astype(np.int32), axis=0)
