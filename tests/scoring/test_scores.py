"""Entity and relation F1: by hand, and against seqeval and scikit-learn on any prediction."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy.stats import pearsonr, spearmanr
from seqeval.metrics import f1_score as seqeval_f1
from seqeval.scheme import IOB2
from sklearn.metrics import f1_score as sklearn_f1

from kebench.kinds.stored import score_split
from kebench.scoring.counts import count_relations
from kebench.scoring.entities import count_entities, entity_spans, lenient_f1_percent
from kebench.scoring.metrics import METRICS
from kebench.scoring.score import Score, upgraded

LABELS = ("false", "CPR:3", "CPR:4")


@pytest.mark.parametrize(
    ("tags", "spans"),
    [
        ("OBIIO", [(1, 4)]),
        ("BB", [(0, 1), (1, 2)]),  # two entities side by side
        ("OIIB", [(3, 4)]),  # an I without a B is no entity
        ("BI", [(0, 2)]),  # up to the last word
        ("", []),
    ],
)
def test_entities_are_read_by_strict_iob2(tags: str, spans: list[tuple[int, int]]) -> None:
    assert entity_spans(tags) == spans


def test_an_entity_counts_only_if_both_ends_agree() -> None:
    # gold: [0,2) and [3,4); predicted: [0,1) and [3,4): one of two is right, F1 = 2*1/(2+2)
    counts = count_entities(["BIOB"], ["BOOB"])
    assert (counts.num_gold, counts.num_predicted, counts.num_correct) == (2, 2, 1)
    assert counts.f1_percent == 50


def test_cut_words_are_missed_by_the_strict_score_and_left_out_by_the_published_one() -> None:
    # the second entity lies beyond the two words that were kept
    split = {"ids": ["0"], "gold": ["BOB"], "predicted": ["BOO"], "num_kept": [2]}
    score = score_split({"kind": "ner", "negative": "", "test": split}, "test")
    assert score.score_percent == pytest.approx(200 / 3)  # P 1/1, R 1/2
    assert score.further["entity_f1_lenient"] == 100
    assert score.num_cut == 1


def test_no_prediction_at_all_scores_zero_and_has_no_precision() -> None:
    counts = count_entities(["BIO"], ["OOO"])
    assert (counts.f1_percent, counts.recall_percent, counts.precision_percent) == (0, 0, None)


def test_without_gold_neither_f1_nor_recall_is_defined_whatever_is_predicted() -> None:
    counts = count_entities(["OOO"], ["BOO"])
    assert (counts.f1_percent, counts.recall_percent, counts.precision_percent) == (None, None, 0)
    assert count_relations(["false"], ["CPR:3"], negative="false").f1_percent is None
    assert count_relations(["false"], ["false"], negative="false") == (0, 0, 0)


def test_two_sides_of_which_neither_is_gold_overlap_the_same_both_ways() -> None:
    assert count_entities(["OOO"], ["BOO"]).overlap_percent == 0
    assert count_entities(["BOO"], ["OOO"]).overlap_percent == 0
    assert count_entities(["OOO"], ["OOO"]).overlap_percent is None


def test_the_published_score_is_undefined_where_all_gold_was_cut_off() -> None:
    split = {"ids": ["0"], "gold": ["OOB"], "predicted": ["OOO"], "num_kept": [2]}
    score = score_split({"kind": "ner", "negative": "", "test": split}, "test")
    assert (score.score_percent, score.further["entity_f1_lenient"]) == (0, None)


RECORDED_ZERO = {
    "score_percent": 0.0, "score_as_published_percent": 0.0, "precision_percent": 0.0, "recall_percent": 0.0,
    "num_gold": 0, "num_predicted": 0, "num_correct": 0, "num_examples": 9, "num_cut": 0,
}  # fmt: skip


def test_an_older_record_s_zero_without_gold_is_read_as_undefined() -> None:
    score = of_schema_1(RECORDED_ZERO)
    assert score.score_percent is score.further["entity_f1_lenient"] is None
    assert score.details["precision_percent"] is score.details["recall_percent"] is None
    found = of_schema_1({**RECORDED_ZERO, "num_gold": 3, "num_predicted": 2})
    assert [found.score_percent, *found.details.values()] == [0, 0, 0, 3, 2, 0]


def of_schema_1(score: dict[str, Any]) -> Score:
    record = upgraded({"schema": 1, "protocol": {"metric": "entity_f1"}, "dev": score, "test": score})
    assert (record["schema"], record["kind"]) == (2, "ner")
    return Score.model_validate(record["test"])


@pytest.mark.parametrize(("percent", "num_gold"), [(50.0, 0), (None, 3)])
def test_a_score_without_gold_and_gold_without_a_score_are_refused(
    percent: float | None, num_gold: int
) -> None:
    with pytest.raises(ValidationError, match=f"score_percent {percent} of {num_gold} gold units"):
        of_schema_1({**RECORDED_ZERO, "score_percent": percent, "num_gold": num_gold})


sentences = st.lists(
    st.integers(1, 8).flatmap(lambda n: st.tuples(*[st.text("OBI", min_size=n, max_size=n)] * 2)),
    min_size=1,
    max_size=6,
)


@given(sentences)
def test_the_strict_score_is_seqevals_strict_iob2(pairs: list[tuple[str, str]]) -> None:
    gold, predicted = [list(g) for g, _ in pairs], [list(p) for _, p in pairs]
    typed = [[[t if t == "O" else f"{t}-X" for t in tags] for tags in both] for both in (gold, predicted)]
    found = count_entities(*zip(*pairs, strict=True)).f1_percent
    if any(entity_spans(tags) for tags, _ in pairs):
        expected = seqeval_f1(*typed, mode="strict", scheme=IOB2, zero_division=0)
        assert found == pytest.approx(100 * expected)
    else:
        assert found is None


def test_the_lenient_score_lets_an_orphan_i_open_an_entity() -> None:
    assert lenient_f1_percent(["OBI"], ["OII"], [3]) == 100
    assert count_entities(["OBI"], ["OII"]).f1_percent == 0


@given(st.lists(st.tuples(st.sampled_from(LABELS), st.sampled_from(LABELS)), min_size=1, max_size=30))
def test_relation_f1_is_scikit_learns_micro_f1_over_positive_labels(pairs: list[tuple[str, str]]) -> None:
    gold, predicted = zip(*pairs, strict=True)
    found = count_relations(gold, predicted, negative="false").f1_percent
    if set(gold) - {"false"}:
        expected = sklearn_f1(gold, predicted, labels=LABELS[1:], average="micro", zero_division=0)
        assert found == pytest.approx(100 * expected)
    else:
        assert found is None


def test_the_negative_label_never_counts() -> None:
    # false/false counts nowhere; CPR:3 found, CPR:4 taken for CPR:3: 2 gold, 2 predicted, 1 right
    counts = count_relations(["false", "CPR:3", "CPR:4"], ["false", "CPR:3", "CPR:3"], negative="false")
    assert tuple(counts) == (2, 2, 1)


def test_a_label_that_stands_in_no_gold_counts_against_a_macro_average() -> None:
    split = {"ids": ["0", "1"], "gold": ["CPR:3", "false"], "predicted": ["CPR:9", "false"], "num_cut": 0}
    part = {**split, "num_missing_markers": 0}
    score = score_split({"kind": "relation", "negative": "false", "dev": part, "test": part}, "test")
    # CPR:3 and CPR:9 have an F1 of 0, false of 100
    assert (score.score_percent, score.further) == (0, {"accuracy": 50, "macro_f1": pytest.approx(100 / 3)})


def test_the_labels_of_the_card_do_not_move_a_macro_average_nor_its_columns() -> None:
    part = {"gold": ["up", "none"], "predicted": ["none", "none"]}
    older, newer = {"test": part}, {"test": part, "labels": ["zero", "up", "none", "above"]}
    metric = METRICS["macro_f1"]
    assert np.array_equal(metric.units(older, "test"), metric.units(newer, "test"))
    assert metric.score(older, "test") == metric.score(newer, "test")
    assert list(metric.by_label(newer, "test")) == ["zero", "up", "none", "above"]


@pytest.mark.parametrize("name", METRICS)
def test_no_example_has_no_score(name: str) -> None:
    part: dict[str, Any] = {"ids": [], "gold": [], "predicted": [], "num_kept": []}
    stored = {"negative": "0", "labels": ["0", "1"], "types": ["DNA"], "dev": part, "test": part}
    assert METRICS[name].score(stored, "test") is None


@pytest.mark.parametrize(
    ("gold", "predicted"),
    [
        ([1.0, 2, 3, 4], [0.1 + k * 1e-7 for k in range(4)]),
        ([0.0, 1, 2, 3], [1e5, 1e5 + 0.05, 1e5 + 0.1, 1e5 + 0.02]),
        ([1e200, 3e200, 2e200], [1e-200, 2e-200, 3e-200]),
        ([1.0, 2, 3], [3.0, 2, 1]),
    ],
)
def test_correlations_are_scipys_at_any_scale(gold: list[float], predicted: list[float]) -> None:
    stored = {"test": {"gold": gold, "predicted": predicted}}
    scaled = [np.array(values) / max(values) for values in (gold, predicted)]
    assert METRICS["pearson"].score(stored, "test") == pytest.approx(100 * pearsonr(*scaled)[0], abs=1e-6)
    assert METRICS["spearman"].score(stored, "test") == pytest.approx(100 * spearmanr(gold, predicted)[0])


@pytest.mark.parametrize("name", ["pearson", "spearman"])
@pytest.mark.parametrize("constant", [0.1, 3.0])
def test_a_constant_correlates_with_nothing(name: str, constant: float) -> None:
    stored = {"test": {"gold": [1.0, 2.0, 3.0], "predicted": [constant] * 3}}
    assert METRICS[name].score(stored, "test") is None
