"""From stored predictions to a score: the same two functions score a fresh run and re-score an old one.

Stored predictions hold ids, gold and predicted labels, never text (docs/FORMATS.md):
{"kind": "ner" | "relation", "negative": "", "dev": SPLIT, "test": SPLIT}, where SPLIT is
{"ids": [...], "gold": [...], "predicted": [...], "num_kept": [...]} for entities (tag strings) and
{"ids": [...], "gold": [...], "predicted": [...], "num_cut": n, "num_missing_markers": n} for relations.
Either may hold "confidence_permille": [...], the probability of each predicted label in thousandths.
"""

from typing import Any

from kebench.records import Score
from kebench.scoring.calibration import calibration_error_percent, has_confidence, judgements, reliability
from kebench.scoring.counts import Counts
from kebench.scoring.entities import count_entities, lenient_f1_percent
from kebench.scoring.relations import count_relations


def score_split(predictions: dict[str, Any], split: str) -> Score:
    """Return the score of one split of stored predictions."""
    if predictions["kind"] == "ner":
        score = score_entities(predictions[split])
    else:
        score = score_relations(predictions[split], negative=predictions["negative"])
    if not has_confidence(predictions, split):
        return score
    error = calibration_error_percent(reliability(judgements(predictions, split)))
    return score.model_copy(update={"calibration_error_percent": error})


def score_entities(split: dict[str, Any]) -> Score:
    """Strict IOB2 entity F1 against the full gold; lenient seqeval F1 as the published protocol."""
    gold, predicted, num_kept = split["gold"], split["predicted"], split["num_kept"]
    num_cut = sum(len(tags) - kept for tags, kept in zip(gold, num_kept, strict=True))
    published = lenient_f1_percent(gold, predicted, num_kept)
    return _score(count_entities(gold, predicted), published, num_examples=len(gold), num_cut=num_cut)


def score_relations(split: dict[str, Any], *, negative: str) -> Score:
    """Micro F1 over the labels other than the negative one; the published protocol is the same."""
    counts = count_relations(split["gold"], split["predicted"], negative=negative)
    return _score(
        counts,
        None,
        num_examples=len(split["gold"]),
        num_cut=split["num_cut"],
        num_missing_markers=split["num_missing_markers"],
    )


def _score(counts: Counts, as_published_percent: float | None, **sizes: int) -> Score:
    return Score(
        score_percent=counts.f1_percent,
        score_as_published_percent=as_published_percent,
        precision_percent=counts.precision_percent,
        recall_percent=counts.recall_percent,
        **counts._asdict(),
        **sizes,
    )
