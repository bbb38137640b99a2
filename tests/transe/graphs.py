"""Small graphs for the tests of TransE."""

from pathlib import Path
from typing import Any

import numpy as np

from kebench.transe.batches import Triples
from kebench.transe.recipe import Settings


def settings(**changes: Any) -> Settings:
    """Return settings for graphs of a handful of triples."""
    small = {
        "dimension": 8,
        "norm": 2,
        "margin": 1.0,
        "learning_rate": 0.05,
        "batch_size": 4,
        "epochs": 3,
        "num_negatives": 1,
        "filtered_negatives": False,
        "held_out_share": 0.2,
        "seed": 0,
    }
    return Settings.model_validate(small | changes)


def grid(side: int) -> Triples:
    """Entities on a square: relation 0 leads one to the right, 1 one down, 2 two to the right."""
    number = np.arange(side * side).reshape(side, side)
    steps = [
        (number[:, :-1], 0, number[:, 1:]),
        (number[:-1], 1, number[1:]),
        (number[:, :-2], 2, number[:, 2:]),
    ]
    columns = [(head.ravel(), np.full(head.size, name), tail.ravel()) for head, name, tail in steps]
    return np.unique(np.concatenate([np.stack(of, axis=1) for of in columns]).astype(np.int32), axis=0)


def tree(num_entities: int) -> list[tuple[str, str, str]]:
    """Return facts, each in both directions: node n is a child of n // 2, and shares a level with n + 1."""
    facts = [(f"c{n}", "child_of", f"c{n // 2}") for n in range(2, num_entities)]
    facts += [(f"c{n}", "beside", f"c{n + 1}") for n in range(2, num_entities - 1)]
    inverse = {"child_of": "parent_of", "beside": "beside"}
    return [*facts, *((tail, inverse[relation], head) for head, relation, tail in facts)]


def write_triples(path: Path, triples: list[tuple[str, str, str]]) -> Path:
    """Write a file of the usual form and return its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join("\t".join(triple) + "\n" for triple in triples), encoding="utf-8")
    return path
