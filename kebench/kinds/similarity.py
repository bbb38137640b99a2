"""How alike two sentences are: a number for a pair, learnt by squared error (Gu et al. 2022).

Predictions are not cut to the scale: a correlation asks for none. One that is the same for every pair has no
correlation, and so no score.
"""

from collections.abc import Sequence
from math import isfinite
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import FiniteFloat, model_validator

from kebench.grid import Cell, Grid, GridRows, Sheet
from kebench.kinds.card import TaskCard
from kebench.kinds.encoded import Answer, Encoded, encode_texts
from kebench.kinds.errors import Asked, Errors
from kebench.kinds.kind import Kind, Read, Stored, StoredSplit, Trivial, Words
from kebench.kinds.lines import LineError
from kebench.kinds.texts import Labelled, as_read, read_rows, refuse_shared_ids

COLUMNS = ("pair_id", "sent1", "sent2", "score")
LOSS = "squared error, longer text cut"
MOST_SHOWN = 10  # pairs in a table of errors; ours
TEXT_WIDTH = 80  # of a line of that table; ours


class SimilarityCard(TaskCard):
    """A task of pairs with a score.

    format: scored-pairs (header; pair_id, sent1, sent2, score). lowest, highest: the ends of the scale.
    """

    kind: Literal["similarity"] = "similarity"
    format: Literal["scored-pairs"]
    metric: Literal["pearson", "spearman"] = "pearson"
    lowest: FiniteFloat
    highest: FiniteFloat

    @model_validator(mode="after")
    def _has_a_scale(self) -> "SimilarityCard":
        if not self.lowest < self.highest:
            raise ValueError("lowest must be below highest")
        return self


def read_pairs(card: SimilarityCard, path: Path) -> Read:
    """Read one split's file. Raises UserError with file and line."""
    rows = []
    for line, (pair_id, *texts, score) in read_rows(
        path, remedy=card.remedy, columns=COLUMNS, header="\t".join(COLUMNS)
    ):
        try:
            value = float("nan" if "_" in score else score)  # Python reads 1_0 as 10
        except ValueError:
            value = float("nan")
        if not isfinite(value) or not card.lowest <= value <= card.highest:
            what = f"score '{score[:20]}', expected a number from {card.lowest:g} to {card.highest:g}"
            raise LineError(path, line, what, card.remedy)
        rows.append(Labelled(pair_id, tuple(texts), value, line))
    return as_read(path, rows, card.remedy)


def encode_pairs(tokenizer: Any, pairs: Sequence[Labelled], card: SimilarityCard, max_length: int) -> Encoded:
    """Tokenise both sentences together; the longer one is cut."""
    texts, values = [pair.both for pair in pairs], [pair.label for pair in pairs]
    return encode_texts(tokenizer, texts, values, max_length=max_length, label_type=np.float32)


def predicted_split(
    card: SimilarityCard, pairs: Sequence[Labelled], encoded: Encoded, answers: Sequence[Answer]
) -> dict[str, Any]:
    """Return what is stored of one split."""
    return {
        "ids": [pair.id for pair in pairs],
        "gold": [pair.label for pair in pairs],
        "predicted": [float(answer.labels[0]) for answer in answers],
        "num_cut": int(encoded.was_cut.values.sum()),
    }


class StoredValues(StoredSplit):
    """num_cut: pairs that the maximum length cut into."""

    gold: list[FiniteFloat]
    predicted: list[FiniteFloat]
    num_cut: int


class StoredSimilarity(Stored):
    """Gold and predicted numbers, on the scale of the task."""

    dev: StoredValues
    test: StoredValues


def similarity_errors(asked: Asked) -> Errors:
    """Return the distribution of gold and predictions, and the pairs that are farthest off, over seeds.

    With another model its predictions stand beside; the pairs are those that the first is farthest off.
    """
    gold = np.array(asked.runs[0].gold, dtype=float)
    runs = {"predicted": asked.runs}
    if both := asked.both:
        runs = {both.a: both.runs_a, both.b: both.runs_b}
    found = {
        name: np.array([run.predicted for run in of_model], dtype=float).mean(axis=0)
        for name, of_model in runs.items()
    }
    spread: GridRows = [
        (name, *(Cell(float(of(values)), ".2f") for of in (np.mean, np.std, np.min, np.max)))
        for name, values in {"gold": gold, **found}.items()
    ]
    farthest = np.argsort(-np.abs(next(iter(found.values())) - gold), kind="stable")[:MOST_SHOWN]
    texts = [" / ".join(one.words) for one in asked.examples] if asked.examples else None
    room = TEXT_WIDTH - sum(2 + max(len(name), 4) for name in ("gold", *found))
    rows: GridRows = [
        (
            _shortened(texts[place], max(room, 20)) if texts else f"pair {place}",
            *(Cell(float(values[place]), ".2f") for values in (gold, *found.values())),
        )
        for place in farthest.tolist()
    ]
    grids = (
        Grid(("scores", "mean", "sd", "least", "greatest"), spread),
        Grid(("farthest off", "gold", *found), rows),
    )
    is_mean = any(len(of_model) > 1 for of_model in runs.values())
    several = ("Predictions are means over seeds.",) if is_mean else ()
    return Errors(Sheet(asked.title, (), grids, several), [])


def _shortened(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 3].rstrip()}..."


def constant_values(card: SimilarityCard, train: Sequence[Labelled] | None, gold: Sequence[float]) -> Trivial:
    """Return the mean score of the training set for every pair, which has no correlation with anything."""
    if train is None:
        return {"constant": None}
    return {"constant": [float(np.mean([pair.label for pair in train]))] * len(gold)}


SIMILARITY = Kind(
    name="similarity",
    short="similarity",
    title="Similarity",
    words=Words("pair", "pair", "difference between scores", "score"),
    card=SimilarityCard,
    metrics=("pearson", "spearman"),
    task_type="sentence-similarity",
    read=read_pairs,
    hashed=lambda card: [[card.kind, card.format, card.metric], LOSS],
    encode=encode_pairs,
    num_outputs=lambda card: 1,
    head="regression",
    reads_text=True,
    predicted=predicted_split,
    stored=StoredSimilarity,
    labels_of=lambda pair: [pair.gold],
    loss=LOSS,
    count_gold=lambda card, pairs: len({pair.label for pair in pairs}) - 1,
    refuse_beside=refuse_shared_ids,
    trivial=constant_values,
    errors=similarity_errors,
)
