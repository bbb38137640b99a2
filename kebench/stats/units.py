"""What a test over examples draws: examples (sentences, instances), or the documents that they are from."""

from collections.abc import Sequence
from typing import Literal

import numpy as np

from kebench.errors import UserError
from kebench.kinds.registry import KINDS
from kebench.scoring.metrics import Floats, Metric

Unit = Literal["example", "document"]


def unit_word(kind: str, unit: Unit) -> str:
    """Return what a caption calls the units."""
    return "documents" if unit == "document" else f"{KINDS[kind].words.example}s"


def sum_by_document(units_UT: Floats, ids: Sequence[str], *, metric: Metric) -> Floats:
    """Return the statistics of each document, in the order of its first example.

    The ids of ChemProt and DDI begin with their document's ("10064839.T1.T2", "DDI-DrugBank.d297.s3.p0").
    Raises UserError where ids do not say which document an example is from, or the metric has no sums.
    """
    if not metric.is_additive:
        raise UserError(f"{metric.name} is no sum over examples; compare by example instead")
    documents = [document_of(example_id) for example_id in ids]
    places = {document: place for place, document in enumerate(dict.fromkeys(documents))}
    sums = np.zeros((len(places), units_UT.shape[1]))
    np.add.at(sums, [places[document] for document in documents], units_UT)
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
