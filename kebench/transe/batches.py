"""Batches: the triples in a new order each epoch, and for each a corruption of its head or its tail.

All draws of an epoch come from one generator that follows from seed and epoch, so that training goes on
after any epoch without having stored a generator. They are made on the CPU, whatever the device.
"""

# N entities, R relations, P pairs of a triple and its corruption

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from kebench.transe.recipe import Settings

Triples = NDArray[np.int32]  # (n, 3): head, relation, tail
DRAWS_FOR_AN_UNKNOWN = 32  # ours; with half of all corruptions known, 1 in 4 billion pairs runs out of draws


class KnownTriples:
    """Answers which of many triples are known, by their sorted keys: 8 bytes a known triple."""

    def __init__(self, triples: Triples, *, num_entities: int, num_relations: int) -> None:
        assert num_entities**2 * num_relations < 2**63, "a triple's key must fit into 64 bits"
        self._sizes = num_entities, num_relations
        self._keys = np.unique(self._keys_of(triples))

    def contain(self, triples: Triples) -> NDArray[np.bool_]:
        """Return for each triple whether it is known."""
        keys = self._keys_of(triples)
        place = np.searchsorted(self._keys, keys)
        is_known: NDArray[np.bool_] = self._keys.take(place, mode="clip") == keys
        return is_known

    def _keys_of(self, triples: Triples) -> NDArray[np.int64]:
        num_entities, num_relations = self._sizes
        keys = triples[:, 0].astype(np.int64)
        keys *= num_relations
        keys += triples[:, 1]
        keys *= num_entities
        keys += triples[:, 2]
        return keys


def epoch_generator(seed: int, epoch: int) -> np.random.Generator:
    """Return the generator of an epoch's draws; epoch 0 is the initialisation."""
    return np.random.default_rng([seed, epoch])


def epoch_batches(
    triples: Triples, settings: Settings, *, num_entities: int, known: KnownTriples | None, epoch: int
) -> Iterator[tuple[Triples, Triples]]:
    """Yield all triples once, `batch_size` at a time, each `num_negatives` times, and a corruption of each.

    known: triples that no corruption may be; None lets any be drawn, as Bordes et al. do.
    """
    generator = epoch_generator(settings.seed, epoch)
    order = np.arange(len(triples), dtype=np.int32)  # half of what permutation() would take
    generator.shuffle(order)
    for start in range(0, len(triples), settings.batch_size):
        chosen = order[start : start + settings.batch_size]
        true_P3 = triples[chosen].repeat(settings.num_negatives, axis=0)
        yield (true_P3, corrupt(true_P3, num_entities=num_entities, known=known, generator=generator))


def corrupt(
    true_P3: Triples, *, num_entities: int, known: KnownTriples | None, generator: np.random.Generator
) -> Triples:
    """Return the triples, each with its head or its tail (not both) replaced by another entity.

    Where no unknown corruption was found in 32 draws, the triple itself is returned: as its own
    corruption it has no gradient.
    """
    corrupt_P3 = true_P3.copy()
    drawn_for = np.arange(len(true_P3))
    for _ in range(DRAWS_FOR_AN_UNKNOWN):
        column = generator.integers(2, size=len(drawn_for)) * 2
        entity = generator.integers(num_entities - 1, size=len(drawn_for), dtype=np.int32)
        entity += entity >= true_P3[drawn_for, column]  # leaves out the entity that is replaced
        corrupt_P3[drawn_for, column] = entity
        if known is None:
            break
        drawn_for = np.flatnonzero(known.contain(corrupt_P3))
        if not len(drawn_for):
            break
        corrupt_P3[drawn_for] = true_P3[drawn_for]
    return corrupt_P3
