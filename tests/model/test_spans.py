"""Texts as tokens: whose each token is, and what is refused."""

import string
from pathlib import Path
from typing import Any

import pytest
import transformers
from tokenizers import Tokenizer, models

from kebench.errors import UserError
from kebench.model.checkpoint import load_tokenizer
from kebench.model.spans import Spans, encode_spans
from kebench.model.statements import Statement

# A vocabulary of SentencePiece's form; "s." is one piece, as some real ones have it.
PIECES = [("▁", -2.0), ("▁may", -4.0), ("▁treat", -4.0), ("s.", -4.0)]
PIECES += [(letter, -5.0) for letter in string.ascii_letters + string.digits + ".,-"]
T5_SPECIALS = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0)]
SENTINELS = [(f"<extra_id_{number}>", 0.0) for number in range(99, -1, -1)]
TOKENIZERS = ("bert", "roberta", "modernbert", "t5")


@pytest.fixture
def tokenizers(checkpoints: dict[str, Path]) -> dict[str, Any]:
    """One tokenizer of each kind: WordPiece, byte-level with and without spaces in offsets, SentencePiece."""
    return {
        "t5": transformers.T5Tokenizer(vocab=T5_SPECIALS + PIECES + SENTINELS),
        **{name: load_tokenizer(checkpoints[name], split_words=False) for name in TOKENIZERS[:3]},
    }


def sides_of(tokenizer: Any, spans: Spans, text: int = 0) -> tuple[str, str, str]:
    """Return what is before the name, the name and what is behind it, as their tokens spell it."""
    start, end = spans.bound_X[text : text + 2]
    tokens = tokenizer.convert_ids_to_tokens(spans.tokens_of(text))
    shown = [
        "" if special else token for token, special in zip(tokens, spans.special_T[start:end], strict=True)
    ]
    name = slice(spans.start_X[text], spans.end_X[text])
    parts = shown[: name.start], shown[name], shown[name.stop :]
    before, named, after = ("".join(part).replace("##", "").replace("Ġ", "▁") for part in parts)
    return before, named, after


@pytest.mark.parametrize("kind", TOKENIZERS)
def test_the_space_before_a_name_is_its_first_token_s(kind: str, tokenizers: dict[str, Any]) -> None:
    spans = encode_spans(tokenizers[kind], [Statement("x may treat", ".")], ["pain"], max_tokens=None)
    space = "" if kind == "bert" else "▁"
    start = "▁" if kind == "t5" else ""
    expected = (f"{start}x{space}may{space}treat", f"{space}pain", ".")
    assert sides_of(tokenizers[kind], spans) == expected
    assert not spans.straddles_X[0]
    assert spans.unknown_X[0] == 0


@pytest.mark.parametrize("kind", TOKENIZERS)
def test_a_name_at_the_start_has_no_space_before_it(kind: str, tokenizers: dict[str, Any]) -> None:
    spans = encode_spans(tokenizers[kind], [Statement("", " may treat x.")], ["pain"], max_tokens=None)
    before, name, after = sides_of(tokenizers[kind], spans)
    assert (before, name) == ("", "▁pain" if kind == "t5" else "pain")
    assert after.replace("▁", "") == "maytreatx."


def test_a_token_that_the_name_shares_is_the_name_s_and_marked(tokenizers: dict[str, Any]) -> None:
    spans = encode_spans(
        tokenizers["t5"], [Statement("x may treat", ".")], ["colds", "cold"], max_tokens=None
    )
    assert sides_of(tokenizers["t5"], spans, 0) == ("▁x▁may▁treat", "▁colds.", "")
    assert sides_of(tokenizers["t5"], spans, 1) == ("▁x▁may▁treat", "▁cold", ".")
    assert spans.straddles_X.tolist() == [True, False]


def test_a_token_with_the_space_before_a_name_and_none_of_its_letters_is_not_the_name_s() -> None:
    pieces = [("<unk>", 0.0), ("treat ", -1.0), ("may ", -1.0), *PIECES]
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(models.Unigram(pieces, unk_id=0)), unk_token="<unk>"
    )
    spans = encode_spans(tokenizer, [Statement("may treat", ".")], ["ab"], max_tokens=None)
    assert sides_of(tokenizer, spans) == ("may treat ", "ab", ".")
    assert not spans.straddles_X[0]


def test_texts_come_statement_by_statement(tokenizers: dict[str, Any]) -> None:
    statements = [Statement("x may treat", "."), Statement("y", " z.")]
    spans = encode_spans(tokenizers["bert"], statements, ["a", "bc"], max_tokens=None)
    sides = [sides_of(tokenizers["bert"], spans, text) for text in range(4)]
    assert sides == [("xmaytreat", "a", "."), ("xmaytreat", "bc", "."), ("y", "a", "z."), ("y", "bc", "z.")]


def test_many_texts_are_those_of_one_at_a_time(
    tokenizers: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kebench.model.spans._AT_ONCE", 2)
    statements = [Statement("x may treat", "."), Statement("", " z.")]
    names = ["a", "bc d", "βγ"]
    spans = encode_spans(tokenizers["bert"], statements, names, max_tokens=None)
    asked = [(statement, name) for statement in statements for name in names]
    for text, (statement, name) in enumerate(asked):
        alone = encode_spans(tokenizers["bert"], [statement], [name], max_tokens=None)
        assert spans.tokens_of(text) == alone.tokens_of(0)
        for column in ("start_X", "end_X", "straddles_X", "unknown_X"):
            assert getattr(spans, column)[text] == getattr(alone, column)[0]


@pytest.mark.parametrize(
    ("kind", "name"), [("bert", "[MASK] a [SEP]"), ("roberta", "<mask> a </s>"), ("modernbert", "[MASK] a")]
)
def test_special_tokens_in_a_name_stay_text(kind: str, name: str, tokenizers: dict[str, Any]) -> None:
    tokenizer = tokenizers[kind]
    spans = encode_spans(tokenizer, [Statement("x", ".")], [name], max_tokens=None)
    assert not set(spans.token_T[~spans.special_T]) & set(tokenizer.all_special_ids)
    assert spans.special_T.sum() == 2


def test_a_special_token_that_cannot_stay_text_is_refused(tokenizers: dict[str, Any]) -> None:
    with pytest.raises(UserError) as error:
        encode_spans(tokenizers["t5"], [Statement("x", ".")], ["a", "<extra_id_0> b"], max_tokens=None)
    assert str(error.value) == (
        "'x <extra_id_0> b.': holds '<extra_id_0>', which this model's tokenizer takes for a token of its "
        "own; leave it out"
    )


def test_unknown_tokens_of_a_name_are_counted(tokenizers: dict[str, Any]) -> None:
    spans = encode_spans(tokenizers["bert"], [Statement("β x", " γ.")], ["βγ", "a δ ε"], max_tokens=None)
    assert spans.unknown_X.tolist() == [1, 2]


@pytest.mark.parametrize(("kind", "name"), [("bert", "\u200b"), ("roberta", ""), ("t5", "")])
def test_a_name_without_tokens_is_refused(kind: str, name: str, tokenizers: dict[str, Any]) -> None:
    with pytest.raises(UserError) as error:
        encode_spans(tokenizers[kind], [Statement("x", " y.")], ["a", name], max_tokens=None)
    assert str(error.value) == f"name {name!r}: this model's tokenizer makes no token of it; leave it out"


def test_a_text_beyond_the_limit_is_refused(tokenizers: dict[str, Any]) -> None:
    encode_spans(tokenizers["bert"], [Statement("x y", ".")], ["a"], max_tokens=6)
    with pytest.raises(UserError) as error:
        encode_spans(tokenizers["bert"], [Statement("x y", ".")], ["a", "b c"], max_tokens=6)
    assert str(error.value) == (
        "'x y b c.': 7 tokens, and this model takes 6; shorten it, or put fewer examples before it"
    )
