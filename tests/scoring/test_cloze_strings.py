"""Strings of cloze answers: the released rules by hand, and decoding against transformers."""

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from kebench.scoring.cloze_strings import clean_up, is_released_hit, reader, released_gold

PIECES = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
PIECES += [
    "head",
    "##ache",
    "5",
    "'",
    "-",
    "s",
    "##s",
    ".",
    ",",
    "don",
    "n't",
    "'s",
    "can't",
    "(",
    "|",
    "?",
    "!",
]


def wordpiece() -> Tokenizer:
    tokenizer = Tokenizer(models.WordPiece({piece: i for i, piece in enumerate(PIECES)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece(prefix="##")
    tokenizer.add_special_tokens(PIECES[:5])
    return tokenizer


def byte_level() -> Tokenizer:
    signs = {sign: i for i, sign in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    tokenizer = Tokenizer(models.BPE(signs, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


WORDPIECE, BYTE_LEVEL = wordpiece(), byte_level()
AS_TRANSFORMERS = PreTrainedTokenizerFast(tokenizer_object=WORDPIECE)


def decode(sequences: list[list[int]], tokenizer: Tokenizer) -> list[str]:
    return reader(tokenizer)(sequences)


def ids(*pieces: str) -> list[int]:
    return [PIECES.index(piece) for piece in pieces]


def test_pieces_are_joined_and_special_tokens_left_out() -> None:
    assert decode([ids("head", "##ache", "[SEP]"), ids("[PAD]")], WORDPIECE) == ["headache", ""]


def test_blanks_before_punctuation_go_as_transformers_had_it() -> None:
    assert decode([ids("head", "'", "s", "."), ids("5", "'", "-")], WORDPIECE) == ["head's.", "5'-"]


@settings(max_examples=300, deadline=None)
@given(st.lists(st.integers(0, len(PIECES) - 1), min_size=1, max_size=8))
def test_decoding_word_pieces_is_that_of_transformers(tokens: list[int]) -> None:
    expected = AS_TRANSFORMERS.decode(tokens, skip_special_tokens=True, clean_up_tokenization_spaces=True)
    assert decode([tokens], WORDPIECE) == [expected]


@settings(deadline=None)
@given(st.lists(st.text(alphabet="é€😀a .", min_size=1, max_size=3), min_size=1, max_size=4))
def test_decoding_bytes_is_that_of_the_library(words: list[str]) -> None:
    tokens = BYTE_LEVEL.encode(" ".join(words)).ids
    assert decode([tokens], BYTE_LEVEL) == [clean_up(BYTE_LEVEL.decode(tokens))]


@settings(deadline=None)
@given(st.text(alphabet=" .?!,'ntmsvre", max_size=20))
def test_cleaning_up_is_that_of_transformers(text: str) -> None:
    assert clean_up(text) == AS_TRANSFORMERS.clean_up_tokenization(text)


def test_byte_level_pieces_are_cleaned_up_too_as_they_were_then() -> None:
    tokens = BYTE_LEVEL.encode(" head .").ids
    assert decode([tokens], BYTE_LEVEL) == [" head."]


@pytest.mark.parametrize(
    ("decoded", "is_hit"),
    [
        (["Asthma"], True),  # lower case
        (["drugs", "asthma"], True),  # any of the answers
        (["5 ' nucleotidase"], True),  # its copy without white space
        (["severe asthma"], False),
        (["severe|asthma"], True),  # a | within a string cuts it
        (["c0004096"], True),  # the CUI itself
        (["  heart failure"], True),  # the line's white space goes
        (["drugs", "  heart failure"], False),  # that within it stays
        (["heart  failure"], False),
        ([""], False),
    ],
)
def test_the_released_rule_by_hand(decoded: list[str], is_hit: bool) -> None:
    gold = released_gold(["Asthma", "5'nucleotidase", "heart failure"], ["C0004096"])
    assert is_released_hit(decoded, gold) == is_hit


def test_an_empty_name_is_hit_by_an_empty_string_in_the_released_rule() -> None:
    assert is_released_hit(["drugs", ""], released_gold([""], ["C0"]))


@given(
    st.lists(st.sampled_from(["asthma", "a b", "x|y", "C0004096", ""]), max_size=6),
    st.randoms(use_true_random=False),
)
def test_the_order_of_answers_moves_a_released_hit_only_by_outer_blanks(
    decoded: list[str], random: Random
) -> None:
    gold = {"ab", "y", "asthma x"}
    shuffled = random.sample(decoded, len(decoded))
    assert is_released_hit(decoded, gold) == is_released_hit(shuffled, gold)
    # " asthma x" hits where its blank goes with the line's end, and there alone
    assert is_released_hit(["head", "asthma x "], gold)
    assert not is_released_hit(["asthma x ", "head"], gold)
