"""Predictors that read no text, of every kind: what they say, and what it scores by hand."""

from typing import Any

import pytest

from kebench.kinds.pairs import Pair
from kebench.kinds.registry import KINDS
from kebench.scoring.metrics import METRICS
from tests.finetune.small_tasks import NER, RELATION
from tests.kinds.forms import FIELDS, made_up


def score(metric: str, gold: list[Any], predicted: Any, **header: Any) -> float | None:
    part = {"gold": gold, "predicted": list(predicted)}
    return METRICS[metric].score({**header, "dev": part, "test": part}, "test")


@pytest.mark.parametrize("gold", [["BIO", "OO"], [["B-X", "I-X", "O"], ["O", "O"]]])
def test_no_mention_anywhere_is_in_the_form_of_the_gold(gold: list[Any]) -> None:
    [(name, said)] = KINDS["ner"].trivial(NER, None, gold).items()
    assert name == "all-negative"
    assert said == (["OOO", "OO"] if isinstance(gold[0], str) else [["O", "O", "O"], ["O", "O"]])
    assert score("entity_f1", gold, said, types=["X"] if isinstance(gold[0], list) else []) == 0


def test_the_majority_of_relations_may_be_a_positive_label() -> None:
    train = [Pair(str(row), "", label) for row, label in enumerate(["treats", "false", "treats"])]
    gold = ["treats", "treats", "false", "false"]
    said = KINDS["relation"].trivial(RELATION, train, gold)
    assert said == {"all-negative": ["false"] * 4, "majority": ["treats"] * 4}
    # 2 gold, 4 predicted, 2 right
    assert score("micro_f1", gold, said["majority"], negative="false") == pytest.approx(100 * 4 / 6)
    assert score("micro_f1", gold, said["all-negative"], negative="false") == 0
    assert score("accuracy", gold, said["all-negative"]) == 50


def test_of_equally_frequent_labels_the_cards_first_is_the_majority() -> None:
    train = [Pair("0", "", "treats"), Pair("1", "", "false")]
    assert KINDS["relation"].trivial(RELATION, train, ["false"])["majority"] == ["false"]


@pytest.mark.parametrize("kind", KINDS)
def test_without_a_training_set_what_needs_one_is_none(kind: str) -> None:
    card = made_up(kind) if kind in FIELDS else {"ner": NER, "relation": RELATION}[kind]
    said = KINDS[kind].trivial(card, None, [])
    assert said
    assert {name for name, one in said.items() if one is None} == {*said} - {"all-negative"}
