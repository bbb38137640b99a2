"""Sequences: whole sentences, nothing lost, mentions where they were."""

import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kebench.corpus.linked import LinkedCorpus, LinkedPassage
from kebench.corpus.passage import Mention
from kebench.errors import UserError
from kebench.model.checkpoint import load_tokenizer
from kebench.pretrain.encode import (
    PackedSequence,
    Packer,
    Pieces,
    encode_passages,
    separate_mentions,
    unit_starts,
)
from kebench.pretrain.sequences import encode_corpus, is_held_out
from tests.pretrain.conftest import World

FIRST, END = 2, 3  # [CLS] and [SEP] of the tiny BERT


@pytest.fixture
def tokenizer(world: World) -> Any:
    return load_tokenizer(world.backbone, split_words=False)


def passage(text: str, *mentions: tuple[int, int, str, float]) -> LinkedPassage:
    return LinkedPassage("d", 0, text, [Mention(*one) for one in mentions])


def pieces_of(one: LinkedPassage, tokenizer: Any, dropped: Counter[str] | None = None) -> Pieces:
    rows = {"C1": 1, "C2": 2}
    ((_, pieces),) = encode_passages(
        [one], tokenizer.backend_tokenizer, rows.__getitem__, Counter() if dropped is None else dropped
    )
    return pieces


def packed(max_tokens: int, *documents: tuple[str, Pieces]) -> list[PackedSequence]:
    packer = Packer(max_tokens, first_id=FIRST, separator_id=END)
    found = [sequence for document, pieces in documents for sequence in packer.add(document, pieces)]
    return [*found, *packer.flush()]


def test_a_mention_is_the_pieces_of_its_characters(tokenizer: Any) -> None:
    # "the gene" are two words of the vocabulary, "ab" is a, ##b
    pieces = pieces_of(passage("the ab, gene ab", (4, 6, "C1", 1.0), (8, 15, "C2", 1.0)), tokenizer)
    assert tokenizer.convert_ids_to_tokens(pieces.piece_T.tolist()) == [
        "the", "a", "##b", ",", "gene", "a", "##b",
    ]  # fmt: skip
    assert pieces.mention_M3.tolist() == [[1, 3, 1], [4, 7, 2]]
    assert pieces.starts_word_T.tolist() == [True, True, False, True, True, True, False]


def test_of_links_the_best_counts_and_of_overlapping_mentions_the_longer() -> None:
    dropped: Counter[str] = Counter()
    links = [
        (0, 4, "C1", 0.9),
        (0, 4, "C2", 0.95),
        (2, 9, "C3", 0.9),
        (9, 12, "C4", 1.0),
        (10, 12, "C5", 1.0),
    ]
    assert separate_mentions(links, dropped) == [(2, 9, "C3"), (9, 12, "C4")]
    assert dropped == {"within another mention": 2}


def test_a_sentence_does_not_end_within_a_mention(tokenizer: Any) -> None:
    text = "the gene. The protein of cancer."
    cut = pieces_of(passage(text), tokenizer)
    assert cut.sentence_T.tolist() == [1, 1, 1, 2, 2, 2, 2, 2]
    whole = pieces_of(passage(text, (4, 21, "C1", 1.0)), tokenizer)
    assert len(set(whole.sentence_T.tolist())) == 1


def test_sequences_are_filled_with_whole_sentences(tokenizer: Any) -> None:
    text = "the gene. The protein of cancer. The disease."
    one = pieces_of(passage(text, (37, 44, "C1", 1.0)), tokenizer)  # 3 + 5 + 3 pieces
    first, second = packed(10, ("d1", one))
    assert len(first.piece_T) == 1 + 8 + 1
    assert len(second.piece_T) == 1 + 3 + 1
    assert (first.piece_T[[0, -1]].tolist(), first.documents) == ([FIRST, END], ("d1",))
    start, end, entity = second.mention_M3.tolist()[0]
    assert tokenizer.convert_ids_to_tokens(second.piece_T[start:end].tolist()) == ["disease"]
    assert entity == 1


def test_documents_are_parted_by_a_separator(tokenizer: Any) -> None:
    one = pieces_of(passage("the gene."), tokenizer)
    (sequence,) = packed(20, ("d1", one), ("d2", one), ("d2", one))
    assert (sequence.piece_T == END).nonzero()[0].tolist() == [4, 11]
    assert sequence.documents == ("d1", "d2")


def test_a_long_sentence_is_cut_between_words_outside_of_mentions(tokenizer: Any) -> None:
    text = "the of and in to with for patients disease gene protein cancer"
    one = pieces_of(passage(text, (22, 34, "C1", 1.0)), tokenizer)  # "for patients", pieces 6 and 7
    lengths = [len(sequence.piece_T) - 2 for sequence in packed(9, ("d", one))]
    assert lengths == [6, 6]  # and not 7, within the mention


@given(st.data())
def test_nothing_is_lost_and_nothing_is_moved(data: st.DataObject) -> None:
    length = data.draw(st.integers(1, 60))
    breaks = st.lists(st.booleans(), min_size=length, max_size=length)
    starts_word_T = np.array(data.draw(breaks))
    starts_word_T[0] = True
    sentence_T = np.cumsum(data.draw(breaks)).astype(np.int32)
    bounds = sorted(data.draw(st.sets(st.integers(0, length), max_size=6)))
    spans = [(a, b, 7) for a, b in zip(bounds[::2], bounds[1::2], strict=False)]
    for start, end, _ in spans:
        sentence_T[start:end] = sentence_T[start]
    sentence_T = np.maximum.accumulate(sentence_T)
    mention_M3 = np.array(spans, dtype=np.int32).reshape(-1, 3)
    piece_T = np.arange(100, 100 + length, dtype=np.int32)
    pieces = Pieces(piece_T, starts_word_T, sentence_T, mention_M3)
    sequences = packed(data.draw(st.integers(8, 40)), ("d", pieces))
    inner = np.concatenate([one.piece_T[1:-1] for one in sequences])
    assert inner.tolist() == piece_T.tolist()
    found = [
        one.piece_T[start:end].tolist() for one in sequences for start, end, _ in one.mention_M3.tolist()
    ]
    for (start, end, _), mention in zip(spans, found, strict=True):
        expected = piece_T[start:end].tolist()
        assert mention == expected[: len(mention)]  # all of it, unless no sequence is so long


def test_a_word_that_a_mention_has_a_part_of_goes_with_it() -> None:
    starts = np.array([True, True, False, False, True, True])
    assert unit_starts(starts, np.array([[2, 5, 0]])).tolist() == [True, True, False, False, False, True]


def test_a_corpus_is_encoded_once_and_read_at_any_place(corpus: LinkedCorpus, tokenizer: Any) -> None:
    encoded = encode_corpus(corpus, tokenizer, max_tokens=64, held_out_share=0.1)
    train, held_out = encoded.split("train"), encoded.split("held-out")
    assert len(train) == encoded.counts["train"]["sequences"] > 50
    assert len(held_out) == encoded.counts["held-out"]["sequences"] > 3
    sequences = [train[number] for number in range(len(train))]
    documents = {one for sequence in sequences for one in sequence.documents}
    others = {one for number in range(len(held_out)) for one in held_out[number].documents}
    assert not documents & others
    assert len(documents | others) == corpus.manifest.counts.documents
    assert max(len(one.piece_T) for one in sequences) <= 64
    assert encoded.cuis.to_pylist() == sorted(corpus.cuis())
    again = encode_corpus(corpus, tokenizer, max_tokens=64, held_out_share=0.1)
    assert again.folder == encoded.folder
    total = sum(numbers["mentions"] for name, numbers in encoded.counts.items() if name != "dropped")
    assert total == corpus.manifest.counts.mentions


def test_each_mention_of_a_corpus_is_spelt_as_in_its_text(corpus: LinkedCorpus, tokenizer: Any) -> None:
    spelt: Counter[tuple[str, str]] = Counter()
    for one in corpus.passages():
        for mention in one.mentions:
            ids = tokenizer(one.text[mention.char_start : mention.char_end], add_special_tokens=False)[
                "input_ids"
            ]
            spelt[mention.cui, " ".join(map(str, ids))] += 1
    encoded = encode_corpus(corpus, tokenizer, max_tokens=64, held_out_share=0.0)
    train = encoded.split("train")
    found: Counter[tuple[str, str]] = Counter()
    for number in range(len(train)):
        for start, end, entity in train[number].mention_M3.tolist():
            ids = train[number].piece_T[start:end].tolist()
            found[encoded.cuis[entity].as_py(), " ".join(map(str, ids))] += 1
    assert found == spelt


def test_a_corpus_without_text_to_train_on_is_refused(corpus: LinkedCorpus, tokenizer: Any) -> None:
    with pytest.raises(UserError, match="no text to train on; choose a corpus with documents"):
        encode_corpus(corpus, tokenizer, max_tokens=64, held_out_share=0.9999999)


def test_what_is_held_out_depends_on_the_document_alone() -> None:
    held_out = [is_held_out(f"d{number}", 0.1) for number in range(5000)]
    assert 400 < sum(held_out) < 600
    assert not any(is_held_out(f"d{number}", 0.0) for number in range(50))


def test_a_killed_encoding_goes_on(
    corpus: LinkedCorpus, tokenizer: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KEBENCH_CACHE", str(tmp_path))
    encoded = encode_corpus(corpus, tokenizer, max_tokens=32, held_out_share=0.0)

    def files() -> dict[str, bytes]:
        paths = (path for path in encoded.folder.rglob("*") if path.is_file())
        return {str(path.relative_to(encoded.folder)): path.read_bytes() for path in paths}

    before = files()
    shutil.rmtree(encoded.folder / "corpus")
    shutil.rmtree(encoded.folder / "00000-00001")
    (encoded.folder / "00000-00000" / "train.arrow").unlink()
    encode_corpus(corpus, tokenizer, max_tokens=32, held_out_share=0.0)
    assert files() == before
