"""All figures of a ranked probe: averages by hand, what they lack, strata, and the way through JSON."""

from typing import Any

import numpy as np
import pytest

from kebench.scoring.first_answers import Agreement, first_answers
from kebench.scoring.ranked import METRICS, SOURCES, rank_queries
from kebench.scoring.ranked_figures import (
    RankedFigures,
    RankedRelation,
    answer_frequency,
    quartiles,
    ranked_figures,
)

NAN = float("nan")


def relation(name: str, score: Any, is_true: Any, **fields: Any) -> RankedRelation:
    score_SC, is_true_SC = np.array(score, dtype=np.float64), np.array(is_true, dtype=bool)
    figures = rank_queries(score_SC, is_true_SC, range(len(score_SC)))
    return RankedRelation(name, figures, [first_answers(score_SC, is_true_SC)], **fields)


def figures_of(*relations: RankedRelation) -> RankedFigures:
    return ranked_figures(relations, np.random.default_rng(0))


# r: both queries right (the other's row: both wrong); s: one of two right.
R = relation("r", [[9, 0], [0, 9]], [[1, 0], [0, 1]])
S = relation("s", [[9, 0, 0], [9, 0, 0]], [[1, 0, 0], [0, 1, 0]])


def test_every_metric_is_the_macro_mean_over_relations() -> None:
    found = figures_of(R, S)
    acc_1 = found.acc_1
    # s: query 1 has candidate 0 above it, and ties with 2: no first place; AUC (0 + 1/2) / 2
    assert (acc_1.own.percent, acc_1.other_subjects.percent) == (75, 25)
    assert acc_1.over_other_subjects.percent == 50
    assert found.auc.own.percent == pytest.approx(100 * (1 + (1 + 1 / 4) / 2) / 2)
    assert acc_1.uniform.percent == pytest.approx(100 * (1 / 2 + 1 / 3) / 2)
    assert acc_1.no_subject.percent is None
    assert (acc_1.no_subject.queries, acc_1.own.queries, acc_1.own.relations) == (0, 4, 2)
    assert (found.queries, found.ranked, found.relations, found.num_false) == (4, 4, 2, 1.5)
    assert acc_1.over_other_subjects.facts_low_percent is None  # of four facts


def test_relations_have_figures_of_their_own() -> None:
    found = figures_of(R, S).by_relation
    assert list(found) == ["r", "s"]
    assert (found["s"].queries, found["s"].acc_1.own_percent, found["s"].acc_1.uniform_percent) == (
        2, 50, pytest.approx(100 / 3),
    )  # fmt: skip
    assert found["r"].acc_1.over_other_subjects_percent == 100
    assert found["r"].acc_1.over_other_subjects_low_percent is None


def test_all_figures_are_of_the_queries_that_can_be_held_against_others() -> None:
    alone = relation("t", [[9, 0]], [[1, 0]])
    found = figures_of(R, S, alone)
    assert found.acc_1 == figures_of(R, S).acc_1
    assert found.lacking == {"t": "no query of another subject is ranked among the same candidates"}
    for metric in (found.acc_1, found.mrr, found.hits_5, found.auc):
        own, other = metric.own, metric.other_subjects
        assert own.queries == other.queries == metric.over_other_subjects.queries == 4
        assert metric.over_other_subjects.percent == pytest.approx(own.percent - other.percent)


def test_a_relation_without_figures_is_in_no_average_and_the_reason_is_kept() -> None:
    empty = relation(
        "t", [[NAN, NAN]], [[1, 0]], lacks="the mean of a column needs 20 subjects, the relation has 12"
    )
    no_false = relation("u", [[1, 2]], [[1, 1]])
    found = figures_of(R, S, empty, no_false)
    assert (found.relations, found.ranked, found.queries, found.acc_1.own.percent) == (2, 4, 6, 75)
    assert found.lacking == {
        "t": "the mean of a column needs 20 subjects, the relation has 12",
        "u": "no query has both a true and a false answer with a score",
    }
    assert list(found.by_relation) == ["r", "s"]


def test_a_probe_without_any_figure_has_none_and_no_zero() -> None:
    found = figures_of(relation("t", [[NAN, NAN]], [[1, 0]]))
    assert found.acc_1.own.percent is None
    assert found.num_false is None
    assert found.calibration.error_percent is None
    assert found.calibration.brier is None
    assert found.by_relation == {}


def test_strata_go_across_relations_and_a_query_may_count_in_several() -> None:
    r = R._replace(strata={"type": ["drug", ("drug", "gene")]}, quantities={"names": [1, 2]})
    s = S._replace(quantities={"names": [3, None]})
    found = figures_of(r, s).strata
    assert {name: group.queries for name, group in found["type"].items()} == {
        "drug": 2, "gene": 1, "unknown": 2,
    }  # fmt: skip
    assert {name: group.queries for name, group in found["names"].items()} == {
        "1": 1, "2": 1, "3": 1, "unknown": 1,
    }  # fmt: skip
    assert found["type"]["unknown"].acc_1.own_percent == 50
    # a stratum weighs its queries alike: 2 right of r and 1 of s
    both = figures_of(R._replace(strata={"all": ["x", "x"]}), S._replace(strata={"all": ["x", "y"]})).strata[
        "all"
    ]
    assert both["x"].acc_1.own_percent == 100
    assert both["y"].acc_1.own_percent == 0


def test_a_stratum_for_each_query_is_asked_for() -> None:
    with pytest.raises(AssertionError, match="1 strata by type of 2 queries"):
        figures_of(R._replace(strata={"type": ["drug"]}))


def test_quarters_are_of_the_values_and_never_part_equal_ones() -> None:
    assert (
        quartiles([1, 2, 3, 4, 5, 6, 7, 8])
        == ["1 to 2"] * 2 + ["3 to 4"] * 2 + ["5 to 6"] * 2 + ["7 to 8"] * 2
    )
    assert quartiles([1, 1, 1, 1, 1, 1, 2, 900_000, None]) == ["1"] * 6 + ["2 to 900000"] * 2 + ["unknown"]
    assert quartiles([None]) == ["unknown"]


def test_the_frequency_of_an_answer_is_how_often_the_set_asks_for_it() -> None:
    is_true = np.array([[1, 0, 0], [1, 1, 0], [0, 1, 0], [1, 0, 0], [0, 0, 0]], dtype=bool)
    assert answer_frequency(is_true) == [3, 3, 2, 3, None]


def test_calibration_holds_all_first_answers_of_all_draws() -> None:
    # each first answer of r is nearly sure and right, one of the two of s is wrong
    found = figures_of(R._replace(first=[*R.first, *R.first]), S).calibration
    assert [(one.place, one.number) for one in found.bins] == [(9, 6)]
    assert found.accuracy_percent == 75
    confidence = 100 * np.mean([float(one) for one in (*R.first[0].confidence, *S.first[0].confidence)])
    assert found.confidence_percent == pytest.approx(confidence)
    assert found.bins[0].accuracy_percent == pytest.approx(100 * 5 / 6)
    assert found.error_percent == pytest.approx(found.bins[0].confidence_percent - 100 * 5 / 6)


def test_agreement_is_the_macro_mean_of_the_relations_that_have_it() -> None:
    alike = Agreement(np.array([1.0, 0.0]), np.array([0.5, NAN]))
    found = figures_of(R._replace(wordings=alike), S._replace(negated=alike)).agreement
    assert found is not None
    assert (found.same_first_percent, found.rank_correlation) == (50, 0.5)
    assert (found.negated_same_first_percent, found.negated_rank_correlation) == (50, 0.5)
    assert figures_of(R, S).agreement is None


def test_figures_go_through_json_and_back() -> None:
    found = figures_of(R._replace(strata={"type": ["a", "b"]}), S, relation("t", [[NAN, 1]], [[1, 0]]))
    assert RankedFigures.model_validate_json(found.model_dump_json()) == found


def test_no_metric_and_no_source_is_forgotten() -> None:
    found = figures_of(R)
    for metric in METRICS:
        names = {name for name, _ in getattr(found, metric)}
        assert names == {*SOURCES, "over_other_subjects"}
        group = getattr(found.by_relation["r"], metric)
        assert {name.removesuffix("_percent") for name, _ in group} >= names
