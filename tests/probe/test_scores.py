"""Scores of a probe: a small one by hand, and the released metric against a plain program."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, normalizers

from kebench.probe.candidates import judge, shortest_names
from kebench.probe.record import ProbeCounts, ProbeScores, probe_counts
from kebench.probe.scores import score_probe
from tests.probe.small_probes import (
    PIECES,
    PREDICTIONS,
    answer,
    prediction_table,
    query_table,
    word_pieces,
)

TOKENIZER = word_pieces()


def score(queries: pa.Table, predictions: pa.Table, *, max_masks: int = 2) -> ProbeScores:
    generator = np.random.default_rng(0)
    return score_probe(queries, predictions, TOKENIZER, max_masks=max_masks, generator=generator)


def is_hit(pieces: str, *names: str) -> tuple[bool, bool]:
    """Tell whether one answer hits by the fixed and by the released rule."""
    queries = query_table(("r", [answer("C0004096", *names)], False, False))
    judged = judge(queries, prediction_table([(0, pieces, -1.0)]), TOKENIZER)
    return bool(judged.candidates.is_right[0]), bool(judged.released_hits[0])


@pytest.mark.parametrize(
    ("pieces", "name", "fixed", "released"),
    [
        ("head ##ache", "headache", True, True),
        ("asthma", "Asthma", True, True),
        (
            "5 ' - nucleotidase",
            "5'-nucleotidase",
            True,
            True,
        ),  # cleaned up to "5'- nucleotidase", then no blank
        ("5 ' nucleotidase", "5'-nucleotidase", True, False),  # a dash is a blank only in normal forms
        ("cold ( disorder )", "cold", True, False),  # the qualifier at the end goes
        ("iron ( ii )", "iron (II)", True, False),
        ("iron ( iii )", "iron (II)", False, False),  # which is another substance
        ("iron", "iron (II)", False, False),
        ("1 , 2 - drug", "1,2-drug", True, True),
        ("12 - drug", "1,2-drug", False, False),
        ("1 2 - drug", "12-drug", False, True),
        ("asthma | drug", "drug", False, True),  # the bar cuts: " drug", whose copy without the blank hits
        ("severe asthma", "asthma", False, False),
        ("[PAD]", "asthma", False, False),  # an empty answer
    ],
)
def test_what_matches_a_name(pieces: str, name: str, fixed: bool, released: bool) -> None:
    assert is_hit(pieces, name) == (fixed, released)


@pytest.mark.parametrize(("strips_accents", "is_right"), [(True, [True, True]), (False, [False, True])])
def test_accents_count_if_the_tokenizer_keeps_them(strips_accents: bool, is_right: list[bool]) -> None:
    tokenizer = word_pieces()
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True, strip_accents=strips_accents)
    queries = query_table(("r", [answer("C0004096", "Sjögren")], False, False))
    predictions = prediction_table([(0, "sjogren", -1.0), (0, "sjögren", -2.0)])
    judged = judge(queries, predictions, tokenizer)
    assert judged.candidates.is_right.tolist() == is_right
    # and where they are one, they are one answer
    assert len(set(judged.candidates.key.tolist())) == (1 if strips_accents else 2)


def test_a_small_probe_by_hand() -> None:
    may_treat = answer("C1", "asthma", types=["T047"]), answer("C2", "headache", types=["T184", "T047"])
    queries = query_table(
        ("may_treat", may_treat, True, False),
        ("may_treat", [answer("C3", "cold")], False, False),
        ("has_form", [answer("C4", "severe severe asthma drug", types=["T047"])], False, True),
        ("isa", [], False, False),
    )
    predictions = prediction_table(
        [
            (0, "drug", -1.0),
            (0, "asthma", -1.5),
            (0, "head ##ache", -1.6),  # mean -0.8: first by mean, third by sum
            (1, "drug", -1.0),
            (1, "drug drug", -1.0),
            (2, "asthma", -1.0),
        ]
    )
    scores = score(queries, predictions)
    # hits: query 0 of two of may_treat, none of has_form and isa: macro (50 + 0 + 0) / 3, micro 1 of 4
    overall = scores.fixed.overall
    assert (overall.queries, overall.relations) == (4, 3)
    assert overall.hit.macro_percent == pytest.approx(50 / 3)
    assert overall.hit.micro_percent == 25
    # by sum asthma is second: Acc@1 0, MRR 1/2; by mean headache is first
    assert overall.by_sum.acc_1.macro_percent == 0
    assert overall.by_sum.mrr.micro_percent == pytest.approx(100 / 2 / 4)
    assert overall.by_mean.acc_1.micro_percent == 25
    # type 1 holds query 0 alone; one relation has no interval
    assert scores.fixed.type_1.hit.macro_percent == 100
    assert scores.fixed.type_1.hit.low_percent is None
    assert scores.fixed.type_2.hit.macro_percent == 0
    # the released rule: the same hits, but query 2 alone is of its type 1
    assert scores.released.overall.hit.macro_percent == pytest.approx(50 / 3)
    assert scores.released.type_1.hit.macro_percent == 0
    assert scores.released.type_2.hit.macro_percent == pytest.approx(25)  # may_treat 50, isa 0
    by_relation = scores.fixed.by_relation
    assert [(name, one.queries, one.hit_percent) for name, one in by_relation.items()] == [
        ("has_form", 1, 0),
        ("isa", 1, 0),
        ("may_treat", 2, 50),
    ]
    by_type = scores.fixed.by_semantic_type
    assert {name: (one.queries, one.mrr_percent) for name, one in by_type.items()} == {
        "T047": (2, 50),  # queries 0 and 2; query 0 counts once though two of its answers have the type
        "T184": (1, 100),
    }
    lengths = {name: (one.queries, one.hit_percent) for name, one in scores.fixed.by_answer_length.items()}
    assert lengths == {"1": (2, 50), ">2": (1, 0), "none": (1, 0)}
    counts = probe_counts(scores, ProbeCounts(queries=4, decoded=3, too_long=1), max_masks=2)
    assert (counts.queries, counts.answers_longer_than_max_masks, counts.without_answers) == (4, 1, 1)


def test_a_query_without_predictions_is_a_miss_and_is_counted() -> None:
    queries = query_table(*[("r", [answer("C1", "asthma")], False, False)] * 2)
    scores = score(queries, prediction_table([(0, "asthma", -1.0)]))
    assert scores.fixed.overall.hit.macro_percent == scores.released.overall.hit.macro_percent == 50
    nothing = score(queries, prediction_table([]))
    assert nothing.fixed.overall.hit.macro_percent == nothing.fixed.overall.by_mean.mrr.macro_percent == 0


def test_an_empty_set_has_no_score() -> None:
    scores = score(query_table(), prediction_table([]))
    assert scores.fixed.overall.queries == 0
    assert scores.fixed.overall.hit.macro_percent is scores.released.type_2.hit.micro_percent is None
    assert scores.fixed.by_relation == scores.fixed.by_answer_length == {}


def test_some_queries_of_a_set_can_be_scored_alone() -> None:
    queries = query_table(*[("r", [answer("C1", name)], False, False) for name in ("drug", "asthma", "cold")])
    scores = score(queries.slice(1, 2), prediction_table([(1, "asthma", -1.0)]))
    assert scores.fixed.overall.hit.macro_percent == 50


def test_scores_are_the_same_in_blocks_of_queries(monkeypatch: pytest.MonkeyPatch) -> None:
    names = ("drug", "asthma", "cold", "head ache", "headache")
    queries = query_table(*[(name[0], [answer("C1", name)], name == "drug", False) for name in names])
    predictions = prediction_table(
        [(n, pieces, -n) for n in range(1, 5) for pieces in ("asthma", "head ##ache")]
    )
    whole = score(queries, predictions)
    monkeypatch.setattr("kebench.probe.scores.QUERIES_AT_ONCE", 2)
    assert score(queries, predictions) == whole


def test_predictions_of_a_query_that_was_not_asked_are_refused() -> None:
    with pytest.raises(AssertionError, match="1 predictions are of queries that were not asked"):
        score(query_table(("r", [], False, False)), prediction_table([(7, "asthma", -1.0)]))


def test_the_length_of_an_answer_is_that_of_its_shortest_name() -> None:
    queries = query_table(
        ("r", [answer("C1", "severe asthma", "head ache"), answer("C2", "headache drug")], False, False),
        ("r", [answer("C1", "severe headache")], False, False),
        ("r", [answer("C1", "")], False, False),
        ("r", [], False, False),
    )
    tokenizer = word_pieces()
    tokenizer.enable_truncation(1)  # what a tokenizer.json may have saved
    tokenizer.enable_padding(length=9)
    assert shortest_names(queries, tokenizer).tolist() == [2, 3, 0, 0]


names = st.lists(st.sampled_from(PIECES[3:]), min_size=1, max_size=2).map(" ".join) | st.just("")
any_query = st.tuples(
    st.sampled_from("rst"),
    st.lists(st.builds(answer, st.sampled_from(["C1", "5"]), names, names), max_size=2),
    st.booleans(),
    st.booleans(),
)
any_prediction = st.tuples(
    st.integers(0, 3),
    st.lists(st.sampled_from(PIECES), min_size=1, max_size=3).map(" ".join),
    st.integers(-9, 0).map(float),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(any_query, min_size=4, max_size=4), st.lists(any_prediction, max_size=14))
def test_released_scores_are_those_of_a_plain_program(queries, predictions) -> None:  # type: ignore[no-untyped-def]
    asked, decoded = query_table(*queries), prediction_table(predictions)
    found = score(asked, decoded, max_masks=3).released
    for bucket, wanted in (("overall", None), ("type_1", True), ("type_2", False)):
        figure = getattr(found, bucket).hit.macro_percent
        expected = plain_recall(asked.to_pylist(), decoded.to_pylist(), of_type_1=wanted)
        assert figure == (None if expected is None else pytest.approx(expected)), bucket


def plain_recall(queries: list[dict], predictions: list[dict], *, of_type_1: bool | None) -> float | None:
    """The released metric as its code goes through the lines, one query at a time."""
    hits: dict[str, list[bool]] = {}
    for query in queries:
        if of_type_1 in (None, query["is_type_1_released"]):
            own = [row for row in predictions if row["query_id"] == query["query_id"]]
            own.sort(key=lambda row: (-row["num_masks"], row["rank"]))
            line = "|".join(transformers_decode(row["tokens"]) for row in own)
            answers = line.strip().lower().split("|") if own else []
            answers += ["".join(one.split()) for one in answers]
            gold = {name.lower() for one in query["answers"] for name in [*one["names"], one["cui"]]}
            hits.setdefault(query["relation"], []).append(any(one in gold for one in answers))
    if not hits:
        return None
    return sum(100 * sum(of) / len(of) for of in hits.values()) / len(hits)


def test_the_released_line_begins_with_the_longest_answers_and_loses_their_first_blank() -> None:
    pieces = {"Ġcold": 0, "Ġhead": 1, "Ġache": 2}
    byte_level = Tokenizer(models.WordLevel(pieces, unk_token="Ġcold"))
    byte_level.decoder = decoders.ByteLevel()
    queries = query_table(*[("r", [answer("C1", name)], False, False) for name in ("head ache", "cold cold")])
    rows = [
        {"query_id": query, "num_masks": len(tokens), "rank": 0, "tokens": tokens, "sum_log_prob": -1.0}
        for query in range(2)
        for tokens in ([0], [1, 2])
    ]
    predictions = pa.Table.from_pylist(rows, schema=PREDICTIONS)
    # " head ache| cold" is stripped to "head ache| cold"; a blank within a string keeps it from matching
    assert judge(queries, predictions, byte_level).released_hits.tolist() == [True, False]


def transformers_decode(tokens: list[int]) -> str:
    from transformers import PreTrainedTokenizerFast

    plain = PreTrainedTokenizerFast(tokenizer_object=TOKENIZER)
    return str(plain.decode(tokens, skip_special_tokens=True, clean_up_tokenization_spaces=True))


@settings(max_examples=40, deadline=None)
@given(st.lists(any_query, min_size=4, max_size=4), st.lists(any_prediction, max_size=14), st.randoms())
def test_order_does_not_matter_and_figures_are_nested(queries, predictions, random) -> None:  # type: ignore[no-untyped-def]
    asked, decoded = query_table(*queries), prediction_table(predictions)
    places = list(range(len(decoded)))
    random.shuffle(places)
    scores = score(asked, decoded, max_masks=3)
    assert scores == score(asked, decoded.take(pa.array(places, pa.int64())), max_masks=3)
    overall = scores.fixed.overall
    for ranked in (overall.by_sum, overall.by_mean):
        assert overall.hit.macro_percent >= ranked.acc_5.macro_percent >= ranked.acc_1.macro_percent
