"""What a record keeps of one split: a score, what it is made of, other metrics of the same predictions."""

from typing import Any

from pydantic import model_validator

from kebench.cards import Part

# Records of schema 1 have no kind: each metric had one, and was F1 of counts.
FIRST_KINDS = {"entity_f1": "ner", "micro_f1": "relation"}


class LabelScore(Part):
    """One entity type or label: its counts, and what follows from them; None for 0 / 0."""

    num_gold: int
    num_predicted: int
    num_correct: int
    precision_percent: float | None
    recall_percent: float | None
    f1_percent: float | None


class Score(Part):
    """One split's score by the metric of the protocol. Percentages; a correlation runs from -100 to 100.

    score_percent: None where there is no score: F1 without gold, a correlation with a constant.
    details: what the score is made of, as its metric has it (`kebench.scoring.metrics`): of an F1
        precision_percent, recall_percent (None where they are 0 / 0), num_gold, num_predicted, num_correct.
    by_label: of each entity type or label; empty where the metric has none, and in older records.
    further: other metrics of the kind, by name, among them the one that published numbers are in.
    num_cut: words (tagging) or examples that the maximum length cut into.
    num_missing_markers: entity indicators that the cut text no longer holds.
    calibration_error_percent: expected, over what the kind of task decides; None where confidences were not
        kept, or nothing was predicted.
    """

    score_percent: float | None
    details: dict[str, int | float | None]
    by_label: dict[str, LabelScore] = {}
    further: dict[str, float | None] = {}
    num_examples: int
    num_cut: int
    num_missing_markers: int = 0
    calibration_error_percent: float | None = None

    @model_validator(mode="after")
    def _is_undefined_for_a_reason(self) -> "Score":
        if "num_gold" in self.details and (self.score_percent is None) != (self.details["num_gold"] == 0):
            raise ValueError(f"score_percent {self.score_percent} of {self.details['num_gold']} gold units")
        return self


def upgraded(fields: dict[str, Any]) -> dict[str, Any]:
    """Return a record of schema 1 as one of schema 2: every number stays.

    Records from before undefined scores were None have 0 there.
    """
    protocol = fields.get("protocol")
    metric = protocol.get("metric") if isinstance(protocol, dict) else None
    if metric not in FIRST_KINDS:
        raise ValueError(f"metric {metric!r}, expected {' or '.join(FIRST_KINDS)} in a record of schema 1")
    kind = FIRST_KINDS[metric]
    return {
        **fields,
        "schema": 2,
        "kind": kind,
        **{split: _upgraded_score(fields.get(split), kind) for split in ("dev", "test")},
    }


def _upgraded_score(score: Any, kind: str) -> Any:
    if not isinstance(score, dict):
        return score
    rest = dict(score)
    no_gold, no_prediction = rest.get("num_gold") == 0, rest.get("num_predicted") == 0
    undefined = {
        "score_percent": no_gold,
        "score_as_published_percent": no_gold,
        "recall_percent": no_gold,
        "precision_percent": no_prediction,
    }
    rest |= {name: None for name, is_so in undefined.items() if is_so and rest.get(name) == 0}
    names = ("precision_percent", "recall_percent", "num_gold", "num_predicted", "num_correct")
    details = {name: rest.pop(name) for name in names if name in rest}
    if len(details) < len(names):
        raise ValueError(f"{', '.join(name for name in names if name not in details)}: missing")
    published = rest.pop("score_as_published_percent", None)
    further = {"entity_f1_lenient": published} if kind == "ner" else {}
    return {**rest, "details": details, "further": further}
