"""What a test over examples draws: the gold, predicted and correct counts of each unit of a test set.

A unit is an example (a sentence, or an instance of a relation) or the document that it is from. Summed over
units the counts are those of the score (`kebench.scoring`).
"""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from kebench.errors import UserError
from kebench.scoring.entities import count_entities, lenient_counts
from kebench.scoring.relations import count_relations

Unit = Literal["example", "document"]
WORDS = {("ner", "example"): "sentences", ("relation", "example"): "instances"}


def unit_word(kind: str, unit: Unit) -> str:
    """Return what a caption calls the units."""
    return WORDS.get((kind, unit), "documents")


def count_units(
    predictions: dict[str, Any], split: str = "test", *, is_lenient: bool = False
) -> NDArray[np.int64]:
    """Return gold, predicted and correct of each example of a split, (examples, 3), in the file's order.

    is_lenient: count entities as published numbers do: lenient seqeval, no gold beyond the maximum length.
    """
    part = predictions[split]
    pairs = zip(part["gold"], part["predicted"], strict=True)
    if predictions["kind"] == "relation":
        negative = predictions["negative"]
        counts = [count_relations([gold], [predicted], negative=negative) for gold, predicted in pairs]
    elif is_lenient:
        counts = [
            lenient_counts(gold, predicted, num_kept=kept)
            for (gold, predicted), kept in zip(pairs, part["num_kept"], strict=True)
        ]
    else:
        counts = [count_entities([gold], [predicted]) for gold, predicted in pairs]
    return np.array(counts, dtype=np.int64).reshape(-1, 3)


def sum_by_document(counts_U3: NDArray[np.int64], ids: Sequence[str]) -> NDArray[np.int64]:
    """Return the counts of each document, in the order of its first example.

    The ids of ChemProt and DDI begin with their document's ("10064839.T1.T2", "DDI-DrugBank.d297.s3.p0").
    Raises UserError where ids do not say which document an example is from.
    """
    documents = [document_of(example_id) for example_id in ids]
    places = {document: place for place, document in enumerate(dict.fromkeys(documents))}
    sums = np.zeros((len(places), 3), dtype=np.int64)
    np.add.at(sums, [places[document] for document in documents], counts_U3)
    return sums


def document_of(example_id: str) -> str:
    """Return the document that an example's id names. Raises UserError if it names none."""
    parts = example_id.split(".")
    if len(parts) < 3:
        raise UserError(
            f"example {example_id}: its id names no document, as those of NER and GAD do not; "
            "compare by example instead"
        )
    return ".".join(parts[:2]) if parts[0].startswith("DDI-") else parts[0]
