"""Ranks of cloze answers: by hand, and properties on any candidates."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from kebench.scoring.cloze_ranks import Candidates, answered, ranks

# query, num_masks, sequence, key, sum_log_prob, is_right
Row = tuple[int, int, int, int, float, bool]


def candidates(*rows: Row) -> Candidates:
    types = (np.int64, np.int64, np.int64, np.int64, np.float64, np.bool_)
    columns = list(zip(*rows, strict=True)) if rows else [()] * 6
    return Candidates(*(np.array(column, dtype=kind) for column, kind in zip(columns, types, strict=True)))


def rank(*rows: Row, normalised: bool = False) -> int:
    return int(ranks(candidates(*rows), num_queries=1, normalised=normalised)[0])


def test_the_rank_is_the_place_of_the_first_right_candidate() -> None:
    assert rank((0, 1, 5, 1, -3.0, True), (0, 1, 6, 2, -1.0, False), (0, 1, 7, 3, -2.0, False)) == 3


def test_length_normalisation_divides_by_the_number_of_masks() -> None:
    # sums: -2 against -3; means: -2 against -1
    rows = (0, 1, 5, 1, -2.0, False), (0, 3, 6, 2, -3.0, True)
    assert (rank(*rows), rank(*rows, normalised=True)) == (2, 1)


def test_candidates_that_are_the_same_answer_count_once_at_their_best_place() -> None:
    # -1 and -2 are the same wrong answer
    rows = (0, 1, 5, 1, -1.0, False), (0, 2, 6, 1, -2.0, False), (0, 1, 7, 2, -3.0, True)
    assert rank(*rows) == 2


def test_ties_are_broken_by_rounded_score_then_masks_then_token_ids() -> None:
    # all round to -1.0000; one mask comes before two, sequence 4 before 9
    assert rank((0, 2, 1, 1, -1.00001, True), (0, 1, 9, 2, -1.00004, False)) == 2
    assert rank((0, 1, 4, 1, -1.00004, True), (0, 1, 9, 2, -1.0, False)) == 1


def test_a_query_without_a_right_candidate_or_without_any_has_rank_0() -> None:
    found = candidates((1, 1, 0, 0, -1.0, False), (3, 1, 0, 0, -1.0, True))
    assert ranks(found, num_queries=5, normalised=False).tolist() == [0, 0, 0, 1, 0]
    assert answered(found, num_queries=5).tolist() == [False, False, False, True, False]
    assert ranks(candidates(), num_queries=2, normalised=True).tolist() == [0, 0]


def test_an_answer_of_no_token_does_not_break_the_mean() -> None:
    assert rank((0, 0, 0, 0, 0.0, False), (0, 1, 1, 1, -1.0, True), normalised=True) == 2


scores = st.integers(-40, 0).map(lambda quarter: quarter / 4)
any_rows = st.lists(
    st.tuples(st.integers(0, 4), st.integers(1, 3), st.integers(0, 9), st.integers(0, 5), scores),
    max_size=30,
    unique_by=lambda row: row[:3],  # the same tokens of a query are one candidate
).map(lambda rows: [(*row, (row[0] + row[3]) % 4 == 0) for row in rows])  # right is a matter of query and key


@given(any_rows, st.booleans())
def test_ranks_are_those_of_a_plain_list(rows: list[Row], normalised: bool) -> None:
    found = ranks(candidates(*rows), num_queries=5, normalised=normalised)
    assert found.tolist() == [plain_rank(rows, query, normalised) for query in range(5)]


def plain_rank(rows: list[Row], query: int, normalised: bool) -> int:
    own = [row for row in rows if row[0] == query]
    own.sort(key=lambda row: (-round(row[4] / row[1] if normalised else row[4], 4), row[1], row[2]))
    answers = list(dict.fromkeys(row[3] for row in own))  # each once, at its best place
    right = {row[3] for row in own if row[5]}
    return next((place for place, key in enumerate(answers, start=1) if key in right), 0)


@given(any_rows, st.booleans(), st.randoms())
def test_the_order_of_the_rows_does_not_matter(rows: list[Row], normalised: bool, random: object) -> None:
    mixed = list(rows)
    random.shuffle(mixed)  # type: ignore[attr-defined]
    before, after = (ranks(candidates(*some), num_queries=5, normalised=normalised) for some in (rows, mixed))
    assert before.tolist() == after.tolist()


@given(any_rows.filter(len), st.data())
def test_a_right_answer_that_gets_a_better_score_never_ranks_worse(
    rows: list[Row], data: st.DataObject
) -> None:
    place = data.draw(st.integers(0, len(rows) - 1))
    query, num_masks, sequence, key, score, is_right = rows[place]
    if not is_right:
        return
    better = [*rows]
    better[place] = (query, num_masks, sequence, key, score + 1, True)
    before, after = (rank_of(some, query) for some in (rows, better))
    assert after <= before


def rank_of(rows: list[Row], query: int) -> int:
    return int(ranks(candidates(*rows), num_queries=5, normalised=False)[query])
