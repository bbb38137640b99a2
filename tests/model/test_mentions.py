"""Mentions: from labels to spans, from spans to tokens."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from kebench.model.mentions import BEGIN, INSIDE, OUTSIDE, Mentions, find_mentions, owners
from tests.model.plain_kebiolm import spans_of


def spans(mentions: Mentions) -> list[tuple[int, int, int]]:
    return list(zip(*(part.tolist() for part in mentions), strict=True))


@given(
    rows=st.integers(1, 9).flatmap(
        lambda length: st.lists(
            st.lists(st.integers(0, 2), min_size=length, max_size=length), min_size=1, max_size=4
        )
    ),
    most=st.integers(1, 4),
)
def test_spans_are_those_that_a_reader_from_left_to_right_finds(rows: list[list[int]], most: int) -> None:
    labels = torch.tensor([[OUTSIDE, *row, OUTSIDE] for row in rows])
    may_be = torch.ones_like(labels, dtype=torch.bool)
    may_be[:, [0, -1]] = False
    found = spans(find_mentions(labels, may_be, max_mentions=most))
    expected = [
        (number, *span)
        for number, row in enumerate(labels.tolist())
        for span in spans_of(row, released=False)[:most]
    ]
    assert found == expected


def test_each_token_belongs_to_the_mention_it_is_in() -> None:
    mentions = Mentions(torch.tensor([0, 0, 1]), torch.tensor([1, 3, 0]), torch.tensor([3, 4, 2]))
    assert owners(mentions, batch=2, tokens=5).tolist() == [[3, 0, 0, 1, 3], [2, 2, 3, 3, 3]]


def test_empty_slots_own_nothing() -> None:
    mentions = Mentions(torch.tensor([0, 0, 1, 1]), torch.tensor([1, 0, 0, 0]), torch.tensor([2, 0, 0, 0]))
    assert owners(mentions, batch=2, tokens=3).tolist() == [[4, 0, 4], [4, 4, 4]]


def test_the_released_code_gives_a_mention_one_token_more_and_padding_the_first_two() -> None:
    # by hand: row 0 holds mentions 1-3 and 3-4, row 1 one mention and the padding (0, 1)
    mentions = Mentions(torch.tensor([0, 0, 1, 1]), torch.tensor([1, 3, 1, 0]), torch.tensor([3, 4, 3, 1]))
    owner = owners(mentions, batch=2, tokens=6, released=True)
    assert owner.tolist() == [[4, 0, 0, 1, 1, 4], [3, 3, 2, 2, 4, 4]]


def test_labels_have_the_released_numbers() -> None:
    assert (OUTSIDE, BEGIN, INSIDE) == (0, 1, 2)
