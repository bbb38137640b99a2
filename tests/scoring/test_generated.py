"""Figures of written answers, by hand."""

from typing import Any

import numpy as np
import pytest

from kebench.scoring.generated import METRICS, WrittenRelation, earned, generated_figures


def relation(**changes: Any) -> WrittenRelation:
    """Three drugs, beams of 2: q0 is answered by its second, q1 by its first, q2 not at all."""
    columns: dict[str, Any] = {
        "relation": "may_treat/tail",
        "answers": [["x", "gout"], ["pain", "pain"], ["gout", "x"]],
        "accepted": [frozenset({"gout", "podagra"}), frozenset({"pain", "gout"}), frozenset({"fever"})],
        "subjects": ["a", "b", "c"],
        "true": [frozenset({"G"}), frozenset({"P", "G"}), frozenset({"F"})],
        "names": {"G": "gout", "P": "pain", "F": "fever"},
    }
    return WrittenRelation(**(columns | changes))


def test_own_answers_earn_by_the_place_of_the_first_right_one() -> None:
    own = earned(relation(), beam=2)["own"]
    assert own["hit_1"].tolist() == [0, 1, 0]
    assert own["hit_beam"].tolist() == [1, 1, 0]
    assert own["mrr"].tolist() == [1 / 2, 1, 0]


def test_answers_that_are_compared_as_one_count_once() -> None:
    own = earned(relation(answers=[["x", "x", "gout"], [], ["fever"]]), beam=3)["own"]
    assert own["mrr"].tolist() == [1 / 2, 0, 1]  # without an answer there is no hit


def test_other_subjects_are_all_answers_to_them_judged_by_what_a_query_accepts() -> None:
    """q0 accepts gout: of q1 nothing, of q2 its first. q1: of q0 its second, of q2 its first. q2: nothing."""
    other = earned(relation(), beam=2)["other_subjects"]
    assert other["hit_1"].tolist() == [1 / 2, 1 / 2, 0]
    assert other["hit_beam"].tolist() == [1 / 2, 1, 0]
    assert other["mrr"].tolist() == [1 / 2, 3 / 4, 0]
    alike = earned(relation(subjects=["a", "b", "a"]), beam=2)["other_subjects"]
    assert alike["hit_1"].tolist() == [0, 1 / 2, 0]  # q2 is about q0's subject
    alone = earned(relation(subjects=["a", "a", "a"]), beam=2)
    assert np.isnan(alone["other_subjects"]["mrr"]).all()
    assert generated_figures([relation(subjects=["a"] * 3)], [alone], np.random.default_rng(0)).relations == 1


def test_other_subjects_equal_a_plain_loop_over_all_pairs() -> None:
    drawn = np.random.default_rng(0)
    answers = [drawn.choice(list("abcdefgh"), 3).tolist() for _ in range(12)]
    accepted = [frozenset(drawn.choice(list("abcdefgh"), 2).tolist()) for _ in range(12)]
    subjects = [str(number // 2) for number in range(12)]
    none: list[frozenset[str]] = [frozenset()] * 12
    found = earned(WrittenRelation("r", answers, accepted, subjects, none, {}), beam=3)

    def of(one: list[str], gold: frozenset[str]) -> dict[str, float]:
        places = [place for place, answer in enumerate(dict.fromkeys(one)) if answer in gold]
        return {
            "hit_1": float(places[:1] == [0]),
            "hit_beam": float(bool(places)),
            "mrr": 1 / (1 + places[0]) if places else 0.0,
        }

    for query in range(12):
        others = [other for other in range(12) if subjects[other] != subjects[query]]
        for metric in METRICS:
            mean = sum(of(answers[other], accepted[query])[metric] for other in others) / len(others)
            assert found["other_subjects"][metric][query] == pytest.approx(mean)
            assert found["own"][metric][query] == of(answers[query], accepted[query])[metric]


def test_frequent_answers_are_those_of_most_queries_and_equal_ones_are_in_random_order() -> None:
    """Two queries have G, one each P and F. For q2 fever is right: at place 2 or 3, a half each."""
    frequency = earned(relation(), beam=2)["frequency"]
    assert frequency["hit_1"].tolist() == pytest.approx([1, 1, 0])
    assert frequency["hit_beam"].tolist() == pytest.approx([1, 1, 1 / 2])
    assert frequency["mrr"].tolist() == pytest.approx([1, 1, 1 / 4])


def test_figures_are_means_over_relations_of_means_over_queries() -> None:
    one = relation(released=np.array([[1.0, 1.0], [0.0, 1.0], [0.0, 0.0]]))
    two = relation(
        relation="isa/tail",
        answers=[["gout"]] * 3,
        released=np.zeros((3, 2)),
    )
    both = [one, two]
    figures = generated_figures(both, [earned(each, beam=2) for each in both], np.random.default_rng(0))
    assert (figures.queries, figures.relations) == (6, 2)
    assert figures.hit_1.own.percent == pytest.approx(100 * (1 / 3 + 2 / 3) / 2)
    assert figures.hit_1.over_other_subjects.percent == pytest.approx(
        (figures.hit_1.own.percent or 0) - (figures.hit_1.other_subjects.percent or 0)
    )
    assert figures.hit_beam.own.facts_low_percent is None  # of six facts
    many = generated_figures(both * 2, [earned(each, beam=2) for each in both * 2], np.random.default_rng(0))
    own = many.hit_beam.own
    assert own.facts_low_percent is not None
    assert own.facts_high_percent is not None
    assert own.facts_low_percent <= (own.percent or 0) <= own.facts_high_percent
    assert figures.released is not None
    assert figures.released.hit_1.percent == pytest.approx(100 * (1 / 3) / 2)
    assert figures.released.hit_beam.percent == pytest.approx(100 * (2 / 3) / 2)
    group = figures.by_relation["may_treat/tail"]
    assert group.queries == 3
    assert group.mrr.own_percent == pytest.approx(100 * (1 / 2 + 1) / 3)
    assert group.hit_beam.over_other_subjects_percent == pytest.approx(100 * (2 / 3 - 1 / 2))
