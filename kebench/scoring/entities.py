"""Entity F1 of BIO tags, in the two ways that published numbers are computed.

A sentence's tags are a string where mentions have no types ("OBIIO"), else a list (["O", "B-DNA", "I-DNA"]).

Strict IOB2: an entity starts at B and runs over the I that follow; an I that follows neither is
no entity; both ends must agree. This is our score, against the full gold.
Lenient: seqeval's default, the one behind the published numbers, in which an orphan I opens an
entity; the released KeBioLM code also leaves out gold words beyond the maximum length.
"""

import re
from collections.abc import Iterable, Sequence
from typing import Any

from kebench.scoring.counts import Counts

Tags = str | Sequence[str]


def entity_spans(tags: Tags) -> Sequence[Any]:
    """Return the entities of a sentence by strict IOB2: half-open word spans, typed where the tags are.

    An I of another type than the entity before it continues none, like one that follows an O.
    """
    if isinstance(tags, str):
        return [found.span() for found in re.finditer("BI*", tags)]
    spans: list[tuple[int, int, str]] = []
    start, inside = 0, ""  # of the entity that is open: its first word, and the tag of the others
    for place, tag in enumerate((*tags, "O")):
        if inside and tag != inside:
            spans.append((start, place, inside[2:]))
            inside = ""
        if tag.startswith("B-"):
            start, inside = place, f"I{tag[1:]}"
    return spans


def count_entities(gold: Iterable[Tags], predicted: Iterable[Tags]) -> Counts:
    """Count gold, predicted and correct entities over sentences, by strict IOB2: span and type must agree."""
    num_gold = num_predicted = num_correct = 0
    for gold_tags, predicted_tags in zip(gold, predicted, strict=True):
        gold_spans, predicted_spans = set(entity_spans(gold_tags)), set(entity_spans(predicted_tags))
        num_gold += len(gold_spans)
        num_predicted += len(predicted_spans)
        num_correct += len(gold_spans & predicted_spans)
    return Counts(num_gold, num_predicted, num_correct)


def lenient_f1_percent(
    gold: Sequence[Tags], predicted: Sequence[Tags], num_kept: Sequence[int]
) -> float | None:
    """Return seqeval's default F1 over the words that were not cut: what published numbers are.

    num_kept: words of each sentence that fit the maximum length. None if these hold no entity.
    """
    from seqeval.metrics import f1_score  # half a second of imports, and only finished runs need it
    from seqeval.metrics.sequence_labeling import get_entities

    kept_gold = [list(tags[:kept]) for tags, kept in zip(gold, num_kept, strict=True)]
    kept_predicted = [list(tags[:kept]) for tags, kept in zip(predicted, num_kept, strict=True)]
    if not get_entities(kept_gold):
        return None
    return 100 * float(f1_score(kept_gold, kept_predicted, zero_division=0))


def lenient_counts(gold: Tags, predicted: Tags, *, num_kept: int) -> Counts:
    """Return one sentence's counts behind `lenient_f1_percent`."""
    from seqeval.metrics.sequence_labeling import get_entities

    gold_spans, predicted_spans = (set(get_entities(list(tags[:num_kept]))) for tags in (gold, predicted))
    return Counts(len(gold_spans), len(predicted_spans), len(gold_spans & predicted_spans))
