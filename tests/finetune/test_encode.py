"""Where decisions are read: first pieces of words, entity indicators, and what the maximum length cuts."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kebench.finetune.encode import cached, choose_rows, tokenizer_hash
from kebench.kinds.encoded import Answer, Encoded, Ints
from kebench.kinds.ner import encode_sentences, predicted_split, tags_of
from kebench.kinds.pairs import Pair
from kebench.kinds.relation import add_markers, encode_pairs
from kebench.kinds.tagging import Sentence
from kebench.model.checkpoint import load_tokenizer
from tests.finetune.conftest import WRITERS
from tests.finetune.small_tasks import NER, RELATION


def sentence(*words: str, tags: str = "") -> Sentence:
    return Sentence("0", words, tags or "O" * len(words))


@pytest.mark.parametrize("family", WRITERS)
def test_a_word_is_decided_at_the_piece_it_begins_with(checkpoints: dict[str, Path], family: str) -> None:
    tokenizer = load_tokenizer(checkpoints[family], family=family, casing="uncased")
    words = ("the", "xq7", "cancer", "-", "treatment", "é")
    encoded = encode_sentences(tokenizer, [sentence(*words)], NER, 64)
    assert encoded.units.row(0).tolist() == list(range(6))
    pieces = tokenizer.convert_ids_to_tokens(encoded.pieces.row(0).tolist())
    firsts = [pieces[place] for place in encoded.places.row(0)[:, 0]]
    for word, first in zip(words[:5], firsts[:5], strict=True):
        assert word.startswith(first.removeprefix("Ġ"))
    if family in ("roberta", "modernbert"):  # byte-level: as in running text, with the blank before the word
        assert all(first.startswith("Ġ") for first in firsts)


def test_words_beyond_the_maximum_length_count_as_o_and_the_gold_stays_whole(
    checkpoints: dict[str, Path],
) -> None:
    tokenizer = load_tokenizer(checkpoints["bert"], family="bert", casing="uncased")
    example = sentence("the", "cancer", "the", "cancer", tags="OBOB")
    encoded = encode_sentences(tokenizer, [example], NER, 4)  # [CLS] the cancer [SEP]
    kept = encoded.units.row(0).tolist()
    stored = predicted_split(NER, [example], encoded, [sure_of(encoded.labels.row(0))])
    assert kept == [0, 1]
    assert (stored["gold"], stored["predicted"], stored["num_kept"]) == (["OBOB"], ["OBOO"], [2])
    assert stored["confidence_permille"] == [[900, 900, None, None]]


def test_a_word_the_tokenizer_drops_counts_as_o_but_not_as_cut(checkpoints: dict[str, Path]) -> None:
    tokenizer = load_tokenizer(checkpoints["bert"], family="bert", casing="uncased")
    example = sentence("the", "cancer", "\u200b", tags="OBB")
    encoded = encode_sentences(tokenizer, [example], NER, 64)
    stored = predicted_split(NER, [example], encoded, [sure_of(encoded.labels.row(0))])
    assert encoded.units.row(0).tolist() == [0, 1]
    assert (stored["predicted"], stored["num_kept"]) == (["OBO"], [3])


def sure_of(labels: Ints) -> Answer:
    return Answer(labels, np.full_like(labels, 900))


def encode_text(checkpoints: dict[str, Path], family: str, text: str, max_length: int = 64) -> Encoded:
    tokenizer = load_tokenizer(checkpoints[family], family=family, casing="uncased")
    add_markers(tokenizer, RELATION)
    return encode_pairs(tokenizer, [Pair("0", text, "treats")], RELATION, max_length)


@pytest.mark.parametrize("family", WRITERS)
def test_an_indicator_is_one_piece_wherever_it_stands(checkpoints: dict[str, Path], family: str) -> None:
    encoded = encode_text(checkpoints, family, "(@DRUG$) in @DISEASE$-cancer and @DRUG$")
    places, pieces = encoded.places.row(0)[0], encoded.pieces.row(0)
    tokenizer = load_tokenizer(checkpoints[family], family=family, casing="uncased")
    add_markers(tokenizer, RELATION)
    assert tokenizer.convert_ids_to_tokens(pieces[places].tolist()) == ["@DRUG$", "@DISEASE$"]


@pytest.mark.parametrize(
    ("text", "places", "num_missing"),
    [
        ("@DRUG$ in the the the @DISEASE$", (1, 1), 1),  # cut after "[CLS] @DRUG$ in the the": read twice
        ("in @DRUG-DISEASE$ in the the the", (2, 2), 0),  # stands for both
        ("@DRUG$ @DRUG-DISEASE$ in", (1, 2), 0),  # the first two of the text
        ("in the the the in @DRUG$", (0, 0), 2),  # none left: [CLS]
    ],
)
def test_a_missing_indicator_is_counted_and_its_partner_read_twice(
    checkpoints: dict[str, Path], text: str, places: tuple[int, int], num_missing: int
) -> None:
    encoded = encode_text(checkpoints, "bert", text, max_length=6)
    assert tuple(encoded.places.row(0)[0]) == places
    assert encoded.num_missing.values.tolist() == [num_missing]


def test_a_text_that_just_fits_is_not_cut(checkpoints: dict[str, Path]) -> None:
    assert encode_text(checkpoints, "bert", "@DRUG$ in @DISEASE$", max_length=5).was_cut.values.tolist() == [
        0
    ]


@given(st.integers(1, 50), st.integers(1, 50), st.integers(0, 3))
def test_a_smaller_subset_lies_within_a_larger_one(num_rows: int, limit: int, seed: int) -> None:
    rows = choose_rows(num_rows, limit, seed=seed)
    assert len(rows) == min(num_rows, limit) == len(set(rows))
    assert set(rows) <= set(choose_rows(num_rows, limit + 5, seed=seed))


def test_tokenised_data_comes_back_from_the_cache_as_it_was(checkpoints: dict[str, Path]) -> None:
    made = encode_text(checkpoints, "bert", "@DRUG$ in @DISEASE$")
    calls = []
    first, second = (cached({"a": 1}, lambda: calls.append(1) or made) for _ in range(2))
    assert len(calls) == 1
    for one, other in zip(first, second, strict=True):
        assert (one.values == other.values).all()
        assert (one.offsets == other.offsets).all()


def test_a_torn_cache_file_is_made_again(checkpoints: dict[str, Path], tmp_path: Path) -> None:
    made = encode_text(checkpoints, "bert", "@DRUG$ in @DISEASE$")
    cached({"a": 1}, lambda: made)
    (path,) = (tmp_path / "cache" / "features").iterdir()
    path.write_bytes(path.read_bytes()[:100])
    assert cached({"a": 1}, lambda: made).num_examples == 1


def test_two_tokenizers_never_share_cached_data(checkpoints: dict[str, Path]) -> None:
    bert, roberta = (load_tokenizer(checkpoints[f], family=f, casing="uncased") for f in ("bert", "roberta"))
    before = tokenizer_hash(bert)
    assert before != tokenizer_hash(roberta)
    add_markers(bert, RELATION)
    assert tokenizer_hash(bert) != before


def test_tags_are_stored_as_letters() -> None:
    assert set(tags_of(NER)) == set("OBI")
