"""Holds triples out of a graph so that none can be guessed from its own inverse.

A UMLS release states each fact twice, as A r B and as B r' A, and often once more from another source. So
what is held out is a pair of entities, with every triple between the two, whatever its direction. Whether a
pair is held out follows from a hash of seed and names alone: more triples move no other pair.
"""

# N entities, R relations, n triples

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from kebench.errors import UserError
from kebench.transe.batches import Triples
from kebench.transe.graph import Graph


def hold_out(graph: Graph, *, share: float, seed: int) -> Graph:
    """Return the graph with about `share` of the pairs of entities held out as "test".

    Each entity and relation of a held-out triple also occurs in a triple that is trained on; pairs for
    which that fails are trained on too. Raises UserError if nothing is left to hold out.
    """
    triples = graph.triples["train"]
    pair_n = _pair_hashes(triples, graph, seed=seed)
    is_held_n = pair_n < np.uint64(int(share * 2**64))
    # A triple is trained on, with its whole pair, if one of its parts occurs in no other that is.
    entity_is_seen_N, relation_is_seen_R = (
        np.zeros(len(graph.entities), bool),
        np.zeros(len(graph.relations), bool),
    )
    entity_is_seen_N[triples[~is_held_n][:, [0, 2]]] = True
    relation_is_seen_R[triples[~is_held_n][:, 1]] = True
    head_n, relation_n, tail_n = triples.T
    is_seen_n = entity_is_seen_N[head_n] & relation_is_seen_R[relation_n] & entity_is_seen_N[tail_n]
    is_held_n &= ~np.isin(pair_n, pair_n[is_held_n & ~is_seen_n])
    if not is_held_n.any():
        raise UserError(
            f"no pair of entities can be held out of {len(triples)} triples at held_out_share = {share:g}; "
            "raise it in the recipe, or leave out --evaluate"
        )
    parted = {"train": triples[~is_held_n], "test": triples[is_held_n]}
    return graph._replace(triples=parted, pairs_in_train={"test": 0})


def _pair_hashes(triples: Triples, graph: Graph, *, seed: int) -> NDArray[np.uint64]:
    """Return for each triple a hash of its two entities, the same in both directions."""
    name_N = pd.util.hash_array(graph.entities.to_numpy(zero_copy_only=False), categorize=False)
    sum_n = name_N[triples[:, 0]] + name_N[triples[:, 2]]  # wraps around, and does not see the order
    seeded_n = sum_n ^ np.uint64(int(np.random.SeedSequence(seed).generate_state(1, np.uint64)[0]))
    return pd.util.hash_array(seeded_n)
