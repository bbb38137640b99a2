"""Names that a decoder writes score what one pass over each whole text gives."""

import re
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
import transformers

from kebench.errors import UserError
from kebench.model.checkpoint import load_tokenizer
from kebench.model.seq2seq_lm import ALONE, FILLINGS, TOGETHER, Seq2SeqLM
from kebench.model.spans import encode_spans
from kebench.model.statements import NameScores, RanksNames, Statement
from tests.model.test_spans import PIECES, SENTINELS, T5_SPECIALS

# Names of one token and of many, one that another begins with, one that comes twice, one that straddles.
NAMES = ["a", "pain", "pa", "cold ab", "a", "colds", "pain in the arm"]
STATEMENTS = [
    Statement("x may treat", "."),
    Statement("", " may treat x."),
    Statement("a may treat b. x may treat", " and, may be, c."),
]
T5_SIZES: dict[str, Any] = {
    "d_model": 32, "d_kv": 8, "d_ff": 48, "num_layers": 2, "num_heads": 4, "pad_token_id": 0,
    "eos_token_id": 1, "decoder_start_token_id": 0,
}  # fmt: skip
BART_SIZES: dict[str, Any] = {
    "d_model": 32, "encoder_layers": 2, "decoder_layers": 2, "encoder_attention_heads": 4,
    "decoder_attention_heads": 4, "encoder_ffn_dim": 48, "decoder_ffn_dim": 48,
    "max_position_embeddings": 60, "bos_token_id": 0, "pad_token_id": 1, "eos_token_id": 2,
    "decoder_start_token_id": 2,
}  # fmt: skip
MODELS: dict[str, Any] = {
    "t5": (transformers.T5Config, T5_SIZES),
    "t5, gated": (transformers.T5Config, T5_SIZES | {"feed_forward_proj": "gated-gelu"}),
    "t5, scaled": (transformers.T5Config, T5_SIZES | {"scale_decoder_outputs": True}),
    "t5, not scaled": (transformers.T5Config, T5_SIZES | {"scale_decoder_outputs": False}),
    "mt5": (transformers.MT5Config, T5_SIZES | {"tie_word_embeddings": False}),
    "umt5": (transformers.UMT5Config, T5_SIZES),
    "bart": (transformers.BartConfig, BART_SIZES),
}


def a_model(name: str, checkpoints: dict[str, Path]) -> tuple[Any, Any]:
    """Return a random model and a tokenizer for it."""
    config, sizes = MODELS[name]
    if name == "bart":  # whose vocabulary is RoBERTa's
        tokenizer = load_tokenizer(checkpoints["roberta"], split_words=False)
    else:
        tokenizer = transformers.T5Tokenizer(vocab=T5_SPECIALS + PIECES + SENTINELS)
    torch.manual_seed(0)
    model = transformers.AutoModelForSeq2SeqLM.from_config(config(vocab_size=len(tokenizer), **sizes)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(0, 0.3)
        if name == "bart":
            model.final_logits_bias.normal_()
    return model, tokenizer


def plain(model: Any, tokenizer: Any, statement: Statement, name: str) -> list[float]:
    """Return the log probability of each of a name's tokens, from one forward pass over the whole texts."""
    spans = encode_spans(tokenizer, [statement], [name], max_tokens=None)
    ids, start, end = spans.tokens_of(0), int(spans.start_X[0]), int(spans.end_X[0])
    if model.config.model_type == "bart":
        blank = tokenizer.mask_token_id
        written = [2, *ids[:end]]  # </s> <s> before name
    else:
        blank = tokenizer.convert_tokens_to_ids("<extra_id_0>")
        written = [0, blank, *ids[start:end], tokenizer.convert_tokens_to_ids("<extra_id_1>")]
    read = [*ids[:start], blank, *ids[end:]]
    with torch.inference_mode():
        logits = model(input_ids=torch.tensor([read]), decoder_input_ids=torch.tensor([written])).logits[0]
    first = start if model.config.model_type == "bart" else 1
    asked = zip(range(first, first + end - start), ids[start:end], strict=True)
    return [float(logits[place].log_softmax(-1)[token]) for place, token in asked]


def test_every_type_that_is_asked_is_tested() -> None:
    assert {name.partition(",")[0] for name in MODELS} == set(FILLINGS)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("batch_tokens", [None, 1, 70])
def test_scores_are_those_of_one_name_at_a_time(
    name: str, batch_tokens: int | None, checkpoints: dict[str, Path]
) -> None:
    model, tokenizer = a_model(name, checkpoints)
    ranks: RanksNames = Seq2SeqLM(model, tokenizer)
    scores = ranks.score_names(STATEMENTS, NAMES, with_after=True, batch_tokens=batch_tokens)
    for row, statement in enumerate(STATEMENTS):
        for column, asked in enumerate(NAMES):
            expected = plain(model, tokenizer, statement, asked)
            assert scores.tokens_SN[row, column] == len(expected)
            assert scores.first_SN[row, column] == pytest.approx(expected[0], abs=1e-4)
            assert scores.name_SN[row, column] == pytest.approx(sum(expected), abs=1e-4)


def test_a_cache_that_gives_other_numbers_is_not_used(
    checkpoints: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    model, tokenizer = a_model("bart", checkpoints)
    right = Seq2SeqLM(model, tokenizer)
    expected = right.score_names(STATEMENTS, NAMES)
    assert right.sharing == TOGETHER
    decode = Seq2SeqLM._decode

    def forgetful(self: Seq2SeqLM, rows: Any, encoded: Any, cache: Any) -> Any:
        return decode(self, rows, encoded, None)  # as a model that takes no cache would

    monkeypatch.setattr(Seq2SeqLM, "_decode", forgetful)
    ranks = Seq2SeqLM(model, tokenizer)
    found = ranks.score_names(STATEMENTS, NAMES)
    assert re.fullmatch(f"{ALONE}: {TOGETHER}, differ by .* nats", ranks.sharing)
    assert same(found, expected, slice(None))


def same(scores: NameScores, others: NameScores, part: Any) -> bool:
    """True if a part of the tables holds what the others hold, log probabilities within 1e-5."""
    tables: list[Any] = [list(scores), list(others)]
    return all(
        numpy.allclose(mine[part].astype(float), other.astype(float), atol=1e-5, equal_nan=True)
        for mine, other in zip(*tables, strict=True)
    )


@pytest.mark.parametrize("name", ["t5", "bart"])
def test_order_does_not_matter_and_a_name_scores_the_same_alone(
    name: str, checkpoints: dict[str, Path]
) -> None:
    ranks = Seq2SeqLM(*a_model(name, checkpoints))
    whole = ranks.score_names(STATEMENTS, NAMES)
    assert same(whole, ranks.score_names(STATEMENTS[::-1], NAMES[::-1]), numpy.s_[::-1, ::-1])
    assert same(whole, ranks.score_names(STATEMENTS[2:], NAMES[3:4]), numpy.s_[2:, 3:4])


def test_the_form_of_the_answer(checkpoints: dict[str, Path]) -> None:
    ranks = Seq2SeqLM(*a_model("t5", checkpoints))
    scores = ranks.score_names(STATEMENTS[:2], ["a", "colds", "β"], with_before=True, with_after=True)
    assert ranks.family == "encoder-decoder"
    assert scores.tokens_SN.tolist() == [[2, 6, 2]] * 2  # "▁" is a piece
    assert scores.straddles_SN.tolist() == [[False, True, False], [False, False, False]]
    assert scores.unknown_SN is not None
    assert scores.unknown_SN.tolist() == [[0, 0, 1]] * 2
    assert numpy.isnan(scores.before_SN).all()  # it is read, not scored
    assert numpy.isnan(scores.after_SN).all()
    tables: list[Any] = list(scores)
    assert [table.dtype.name for table in tables] == ["int16", *["float32"] * 4, "bool", "int16"]


def test_the_encoder_runs_once_a_statement(checkpoints: dict[str, Path]) -> None:
    model, tokenizer = a_model("t5", checkpoints)
    read: list[list[int]] = []
    model.get_encoder().register_forward_pre_hook(
        lambda _, __, given: read.append(given["input_ids"][0].tolist()), with_kwargs=True
    )
    ranks = Seq2SeqLM(model, tokenizer)
    ranks.score_names(STATEMENTS[:1], ["a"])  # the check of sharing reads more
    read.clear()
    ranks.score_names(STATEMENTS[:2], ["a", "pain", "cold ab"], batch_tokens=1)
    sentinel = tokenizer.convert_tokens_to_ids("<extra_id_0>")
    assert [ids.count(sentinel) for ids in read] == [1, 1]
    # What stands behind a blank keeps the tokens that it has behind a name: "." and not "▁."
    assert tokenizer.convert_ids_to_tokens(read[0])[-3:] == ["<extra_id_0>", ".", "</s>"]


def test_bf16_is_near_fp32(checkpoints: dict[str, Path]) -> None:
    tables = []
    for precision in ("fp32", "bf16"):
        model, tokenizer = a_model("t5", checkpoints)
        ranks = Seq2SeqLM(model, tokenizer, precision=precision)
        tables.append(ranks.score_names(STATEMENTS, NAMES).name_SN)
    assert not numpy.array_equal(tables[0], tables[1])
    assert numpy.allclose(tables[0], tables[1], rtol=0.05, atol=0.5)


def test_a_sentinel_with_a_space_is_found(checkpoints: dict[str, Path]) -> None:
    model, _ = a_model("mt5", checkpoints)
    pieces = [*T5_SPECIALS, *PIECES, ("▁<extra_id_0>", 0.0)]
    tokenizer = transformers.T5Tokenizer(vocab=pieces, extra_ids=0, additional_special_tokens=["</s>"])
    asked = Seq2SeqLM(model, tokenizer)
    assert tokenizer.convert_ids_to_tokens(asked.blank) == "▁<extra_id_0>"


def test_types_that_fill_in_no_known_way_are_refused(checkpoints: dict[str, Path]) -> None:
    tokenizer = load_tokenizer(checkpoints["roberta"], split_words=False)
    for config in (transformers.MBartConfig, transformers.PegasusConfig, transformers.MarianConfig):
        sizes = {name: size for name, size in BART_SIZES.items() if not name.endswith("_id")}
        model = transformers.AutoModelForSeq2SeqLM.from_config(
            config(vocab_size=len(tokenizer), pad_token_id=1, **sizes)
        )
        with pytest.raises(UserError) as error:
            Seq2SeqLM(model, tokenizer)
        assert str(error.value) == (
            f"a model of type '{config.model_type}': how it was trained to fill a blank is not known; "
            "choose one of type bart, mt5, t5, umt5"
        )


def test_a_tokenizer_without_the_blank_is_refused(checkpoints: dict[str, Path]) -> None:
    model, _ = a_model("t5", checkpoints)
    with pytest.raises(UserError) as error:
        Seq2SeqLM(model, load_tokenizer(checkpoints["bert"], split_words=False))
    assert str(error.value) == (
        "its tokenizer has no <extra_id_0>, which a model of type 't5' fills; "
        "take the tokenizer that it was trained with"
    )


def test_a_decoder_that_begins_with_nothing_is_refused(checkpoints: dict[str, Path]) -> None:
    model, tokenizer = a_model("t5", checkpoints)
    model.config.decoder_start_token_id = None
    with pytest.raises(UserError, match=r"config\.json names no decoder_start_token_id"):
        Seq2SeqLM(model, tokenizer)


def test_a_text_beyond_the_positions_of_the_model_is_refused(checkpoints: dict[str, Path]) -> None:
    ranks = Seq2SeqLM(*a_model("bart", checkpoints))  # 60 positions
    ranks.score_names([Statement("a" * 57, "")], ["the"])  # <s>, 57, Ġthe, </s>
    with pytest.raises(UserError, match=": 61 tokens, and this model takes 60; shorten it"):
        ranks.score_names([Statement("a" * 58, "")], ["the"])
