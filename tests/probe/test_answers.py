"""What a model answers: as the released code has it, and the same in every batch."""

import copy
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch

from benchmarks.released_probe import decode_as_released
from kebench.model.checkpoint import load_masked_lm, load_tokenizer
from kebench.model.masked_lm import MaskedLM, Packed
from kebench.probe.answers import answer_queries, outcome
from kebench.probe.plan import read_decoder
from kebench.probe.query_set import QuerySet
from kebench.probe.record import ProbeCounts
from kebench.probe.states import ModelPredict, pieces_of
from tests.tiny_checkpoints import (
    write_tiny_bert,
    write_tiny_kebiolm,
    write_tiny_modernbert,
    write_tiny_roberta,
)

WRITERS: dict[str, Any] = {
    "bert": write_tiny_bert,
    "roberta": write_tiny_roberta,
    "modernbert": write_tiny_modernbert,
    "kebiolm": write_tiny_kebiolm,
    "released kebiolm": partial(write_tiny_kebiolm, fidelity="released"),
}


class Probed:
    """A tiny model in float64, so that no two scores differ by rounding alone, and its tokenizer."""

    def __init__(self, family: str, folder: Path) -> None:
        WRITERS[family](folder / family)
        self.whole: Any = load_masked_lm(folder / family).double().eval()
        with torch.no_grad():
            for parameter in self.whole.get_output_embeddings().parameters():
                # tells tokens apart, which weights as they are drawn hardly do; KeBioLM's are drawn larger
                parameter.mul_(2 if "kebiolm" in family else 40)
        self.model = MaskedLM(copy.deepcopy(self.whole))
        self.tokenizer = load_tokenizer(folder / family, split_words=False)

    def answers(self, texts: list[str], mode: str = "fixed", **changes: Any) -> pa.Table:
        batch_tokens = changes.pop("batch_tokens", None)
        decoder = read_decoder(mode, **changes)
        ids = list(range(len(texts)))
        return answer_queries(ids, texts, self.model, self.tokenizer, decoder, batch_tokens=batch_tokens)


@pytest.fixture(scope="module", params=[name for name in WRITERS if name != "released kebiolm"])
def probed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Probed:
    return Probed(request.param, tmp_path_factory.mktemp("probed"))


@pytest.fixture(scope="module")
def released_kebiolm(tmp_path_factory: pytest.TempPathFactory) -> Probed:
    return Probed("released kebiolm", tmp_path_factory.mktemp("probed"))


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Probed:
    return Probed("bert", tmp_path_factory.mktemp("probed"))


@pytest.fixture(scope="module")
def texts(mini_sets: dict[str, QuerySet]) -> list[str]:
    return list(mini_sets["released"].table(["text"])["text"].to_pylist()[::29])


def strings_of(answers: pa.Table, tokenizer: Any, num_queries: int) -> list[list[str]]:
    found: list[list[str]] = [[] for _ in range(num_queries)]
    for row in answers.to_pylist():
        text = tokenizer.decode(row["tokens"], skip_special_tokens=True, clean_up_tokenization_spaces=True)
        found[row["query_id"]].append(text)
    return found


def test_released_mode_gives_the_strings_of_the_released_algorithm(probed: Probed, texts: list[str]) -> None:
    long = " ".join(["pain"] * 55)
    asked = [*texts, f"{long} causes [MASK].", f"{long} pain pain pain pain pain pain pain causes [MASK]."]
    mask = probed.tokenizer.mask_token
    spelt = [text.replace(" [MASK]", mask).replace("[MASK]", mask) for text in asked]
    expected = decode_as_released(spelt, probed.whole, probed.tokenizer, beam=4, max_masks=5)
    answers = probed.answers(asked, "released", beam=4, max_masks=5)
    for ours, theirs in zip(strings_of(answers, probed.tokenizer, len(asked)), expected.strings, strict=True):
        assert sorted(ours) == sorted(theirs)


@pytest.mark.slow
@pytest.mark.parametrize("beam", [4, 40])
def test_a_released_kebiolm_answers_in_the_released_batches(
    beam: int, released_kebiolm: Probed, texts: list[str]
) -> None:
    # 24 or 2 items a batch; its answers depend on the others of the batch, equal texts included
    asked = [*texts, *texts[:3]]
    expected = decode_as_released(
        asked, released_kebiolm.whole, released_kebiolm.tokenizer, beam=beam, max_masks=4
    )
    answers = released_kebiolm.answers(asked, "released", beam=beam, max_masks=4)
    found = strings_of(answers, released_kebiolm.tokenizer, len(asked))
    for ours, theirs in zip(found, expected.strings, strict=True):
        assert sorted(ours) == sorted(theirs)


def test_and_would_answer_otherwise_in_other_batches(released_kebiolm: Probed, texts: list[str]) -> None:
    whole = released_kebiolm.answers(texts, "released", beam=4, max_masks=4)
    alone = [released_kebiolm.answers([text], "released", beam=4, max_masks=4) for text in texts]
    apart = [list(one["tokens"].to_pylist()) for one in alone]
    assert [tokens for one in apart for tokens in one] != whole["tokens"].to_pylist()


def test_the_states_that_the_released_answers_need_are_those_that_we_forward(
    bert: Probed, texts: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: dict[tuple[int, ...], int] = {}
    decode_as_released(texts[:5], bert.whole, bert.tokenizer, beam=3, max_masks=3, asked=asked)
    works: list[ModelPredict] = []
    make = ModelPredict.__init__

    def kept(self: ModelPredict, *given: Any, **more: Any) -> None:
        works.append(self)
        make(self, *given, **more)

    monkeypatch.setattr(ModelPredict, "__init__", kept)
    bert.answers(texts[:5], "released", beam=3, max_masks=3)
    assert [work.work.states for work in works] == [len(asked)]
    assert all(ids.count(bert.tokenizer.mask_token_id) == num for ids, num in asked.items())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "refine"), [("independent", 0), ("order", 0), ("confidence", 0), ("confidence", 5)]
)
def test_batches_of_any_size_give_the_same_answers(
    probed: Probed, texts: list[str], method: str, refine: int
) -> None:
    whole = probed.answers(texts, method=method, beam=3, max_masks=4, refine=refine, batch_tokens=10**6)
    for states in (1, 7, 64):
        batched = probed.answers(
            texts, method=method, beam=3, max_masks=4, refine=refine, batch_tokens=states * 20
        )
        assert batched.drop(["token_log_probs", "sum_log_prob"]) == whole.drop(
            ["token_log_probs", "sum_log_prob"]
        )
        assert np.allclose(batched["sum_log_prob"], whole["sum_log_prob"], atol=1e-4)


@pytest.mark.parametrize("refine", [0, 9])
@pytest.mark.parametrize("mode", ["fixed", "paper", "released"])
def test_a_query_gets_the_same_answers_alone_and_among_others(
    mode: str, refine: int, bert: Probed, texts: list[str]
) -> None:
    together = bert.answers(texts, mode, max_masks=3, refine=refine)
    for number in (0, len(texts) // 2, len(texts) - 1):
        alone = bert.answers([texts[number]], mode, max_masks=3, refine=refine)
        among = together.filter(pa.compute.equal(together["query_id"], number))
        assert alone["tokens"].to_pylist() == among["tokens"].to_pylist()
        assert alone["order"].to_pylist() == among["order"].to_pylist()


def test_answers_hold_each_length_best_first_with_how_each_token_came(bert: Probed) -> None:
    answers = bert.answers(["aspirin may treat [MASK]."], beam=3, max_masks=4).to_pylist()
    assert [row["num_masks"] for row in answers] == [1] * 3 + [2] * 3 + [3] * 3 + [4] * 3
    assert [row["rank"] for row in answers] == [0, 1, 2] * 4
    for row in answers:
        assert len(row["tokens"]) == row["num_masks"]
        assert sorted(row["order"]) == list(range(row["num_masks"]))
        assert sum(row["token_log_probs"]) == pytest.approx(row["sum_log_prob"], abs=1e-4)
        assert not set(row["tokens"]) & set(bert.tokenizer.all_special_ids)
    for start in range(0, 12, 3):
        scores = [row["sum_log_prob"] for row in answers[start : start + 3]]
        assert scores == sorted(scores, reverse=True)


def test_the_best_single_token_is_the_models_own(bert: Probed) -> None:
    (row,) = bert.answers(["aspirin may treat [MASK]."], "released", beam=1, max_masks=1).to_pylist()
    ids = bert.tokenizer("aspirin may treat [MASK].")["input_ids"]
    with torch.no_grad():
        logits = bert.whole(torch.tensor([ids])).logits[0, ids.index(bert.tokenizer.mask_token_id)]
    assert row["tokens"] == [int(logits.argmax())]
    assert row["sum_log_prob"] == pytest.approx(float(logits.log_softmax(-1).max()), abs=1e-5)


def test_texts_of_the_same_word_pieces_are_decoded_once(
    bert: Probed, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    best_tokens = MaskedLM.best_tokens

    def counted(self: MaskedLM, packed: Packed, *arguments: Any, **more: Any) -> Any:
        asked.append(len(packed.token_T))
        return best_tokens(self, packed, *arguments, **more)

    monkeypatch.setattr(MaskedLM, "best_tokens", counted)
    once = bert.answers(["aspirin may treat [MASK]."], max_masks=3)
    num_once, asked[:] = sum(asked), []
    twice = bert.answers(["aspirin may treat [MASK].", "Aspirin may treat [MASK]."], max_masks=3)
    assert sum(asked) == num_once
    for number in (0, 1):
        same = twice.filter(pa.compute.equal(twice["query_id"], number))
        assert same["tokens"].to_pylist() == once["tokens"].to_pylist()


def test_what_does_not_fit_is_counted_and_never_cut(bert: Probed) -> None:
    fits, hardly, never = (f"{' a' * words} [MASK].".strip() for words in (3, 123, 140))
    answers = bert.answers([fits, hardly, never], beam=2, max_masks=4)
    # 128 word pieces: [CLS], 123 words, the masks, the full stop and [SEP] leave two masks.
    by_query = dict.fromkeys(range(3), 0)
    for row in answers.to_pylist():
        by_query[row["query_id"]] = max(by_query[row["query_id"]], row["num_masks"])
    assert by_query == {0: 4, 1: 2, 2: 0}
    texts = dict(enumerate([fits, hardly, never]))
    assert outcome(answers, texts, bert.tokenizer, 4) == ProbeCounts(
        queries=3, decoded=2, too_long=1, unusable=0, truncated=1
    )


@pytest.mark.parametrize("mode", ["fixed", "released"])
def test_a_text_with_the_models_mask_twice_is_no_long_text(bert: Probed, mode: str) -> None:
    asked = ["a [MASK].", "a [MASK] [MASK]."]
    answers = bert.answers(asked, mode, beam=2, max_masks=2)
    found = outcome(answers, dict(enumerate(asked)), bert.tokenizer, 2)
    assert found == ProbeCounts(queries=2, decoded=1, too_long=0, unusable=1, truncated=0)


def test_no_queries_give_an_empty_table(bert: Probed) -> None:
    assert len(bert.answers([])) == 0


def test_a_byte_level_mask_stands_for_a_word_with_its_space(tmp_path: Path) -> None:
    tokenizer = load_tokenizer(write_tiny_roberta(tmp_path / "roberta"), split_words=False)
    (pieces,) = pieces_of(["the cancer in [MASK]."], tokenizer)
    assert pieces is not None
    assert tokenizer.convert_ids_to_tokens(list(pieces.before))[-2:] == ["Ġcancer", "Ġin"]
    assert tokenizer.convert_ids_to_tokens(list(pieces.behind)) == [".", "</s>"]
