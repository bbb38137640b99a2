"""Names in statements get the probabilities that a causal model gives them one text at a time."""

import itertools
from collections.abc import Sequence
from typing import Any

import numpy
import pytest
import torch
import transformers
from numpy.testing import assert_allclose, assert_array_equal
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from kebench.errors import UserError
from kebench.model import causal_lm
from kebench.model.causal_lm import (
    BATCHES,
    ONE_BY_ONE,
    PREFIXED_BATCHES,
    PREFIXED_TRIES,
    TRIES,
    WAYS,
    CausalLM,
    _repeated,
)
from kebench.model.shared_prefixes import Costs, Sequences, plan_batches, plan_tries
from kebench.model.statements import NameScores, Statement

START, END = 0, 1
WORDS = "propranolol may treat hypertension, gout and asthma in patients with heart failure."
WINDOW = 8


def byte_level_bpe(*, split: bool = True) -> transformers.PreTrainedTokenizerFast:
    """A byte-level tokenizer with some merges. split: at words, so that no token holds parts of two."""
    raw = Tokenizer(models.BPE())
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=split)
    raw.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=330,
        special_tokens=["<s>", "<e>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    raw.train_from_iterator([WORDS] * 9, trainer)
    return transformers.PreTrainedTokenizerFast(tokenizer_object=raw, bos_token="<s>", eos_token="<e>")


TOKENIZER = byte_level_bpe()
SMALL: dict[str, Any] = {
    "vocab_size": len(TOKENIZER), "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4,
    "intermediate_size": 48, "max_position_embeddings": 160, "initializer_range": 0.3,
    "bos_token_id": START, "eos_token_id": END, "pad_token_id": END,
}  # fmt: skip
GROUPED = {"num_key_value_heads": 2, "head_dim": 8}
WINDOWED = GROUPED | {"sliding_window": WINDOW}
# class of configuration, class of model, settings, the way that is expected to be used
FAMILIES: dict[str, tuple[Any, Any, dict[str, Any], str]] = {
    "llama": (transformers.LlamaConfig, transformers.LlamaForCausalLM, GROUPED, PREFIXED_TRIES),
    "qwen2": (transformers.Qwen2Config, transformers.Qwen2ForCausalLM, GROUPED, PREFIXED_TRIES),
    "qwen3": (transformers.Qwen3Config, transformers.Qwen3ForCausalLM, GROUPED, PREFIXED_TRIES),
    "phi3": (transformers.Phi3Config, transformers.Phi3ForCausalLM, GROUPED, PREFIXED_TRIES),
    "olmo2": (transformers.Olmo2Config, transformers.Olmo2ForCausalLM, GROUPED, PREFIXED_TRIES),
    "gpt_neox": (transformers.GPTNeoXConfig, transformers.GPTNeoXForCausalLM, {}, PREFIXED_TRIES),
    "gpt2": (transformers.GPT2Config, transformers.GPT2LMHeadModel, {}, PREFIXED_TRIES),
    "biogpt": (transformers.BioGptConfig, transformers.BioGptForCausalLM, {}, PREFIXED_TRIES),
    "opt": (
        transformers.OPTConfig,
        transformers.OPTForCausalLM,
        {"ffn_dim": 48, "word_embed_proj_dim": 16, "init_std": 0.3},
        PREFIXED_TRIES,
    ),
    "falcon": (transformers.FalconConfig, transformers.FalconForCausalLM, {}, PREFIXED_TRIES),
    "mistral": (transformers.MistralConfig, transformers.MistralForCausalLM, WINDOWED, PREFIXED_TRIES),
    "gemma2": (
        transformers.Gemma2Config,
        transformers.Gemma2ForCausalLM,
        WINDOWED | {"final_logit_softcapping": 3.0},
        PREFIXED_TRIES,
    ),
    "gemma3": (
        transformers.Gemma3TextConfig,
        transformers.Gemma3ForCausalLM,
        WINDOWED | {"layer_types": ["sliding_attention", "full_attention"]},
        PREFIXED_TRIES,
    ),
    "gpt_oss": (
        transformers.GptOssConfig,
        transformers.GptOssForCausalLM,
        WINDOWED | {"num_local_experts": 4, "num_experts_per_tok": 2},
        PREFIXED_TRIES,
    ),
    "cohere": (
        transformers.CohereConfig,
        transformers.CohereForCausalLM,
        {"logit_scale": 0.3},
        PREFIXED_TRIES,
    ),
    "granite": (
        transformers.GraniteConfig,
        transformers.GraniteForCausalLM,
        GROUPED | {"logits_scaling": 3.0},
        PREFIXED_TRIES,
    ),
    "llama4": (
        transformers.Llama4TextConfig,
        transformers.Llama4ForCausalLM,
        GROUPED | {"num_local_experts": 2, "attention_chunk_size": WINDOW, "intermediate_size_mlp": 48},
        PREFIXED_BATCHES,
    ),
    "bloom": (transformers.BloomConfig, transformers.BloomForCausalLM, {}, PREFIXED_BATCHES),
    "mpt": (
        transformers.MptConfig,
        transformers.MptForCausalLM,
        {"d_model": 32, "n_heads": 4, "n_layers": 2},
        PREFIXED_BATCHES,
    ),
    "gpt_neo": (
        transformers.GPTNeoConfig,
        transformers.GPTNeoForCausalLM,
        {
            "attention_types": [[["global", "local"], 1]], "num_layers": 2, "num_heads": 4,
            "window_size": WINDOW,
        },
        PREFIXED_BATCHES,
    ),
    "mamba": (transformers.MambaConfig, transformers.MambaForCausalLM, {}, BATCHES),
    "lfm2": (
        transformers.Lfm2Config,
        transformers.Lfm2ForCausalLM,
        GROUPED | {"layer_types": ["conv", "full_attention"], "block_auto_adjust_ff_dim": False},
        BATCHES,
    ),
}  # fmt: skip
STATEMENTS = [
    Statement("Propranolol may treat", "."),
    Statement("Gout may be treated by allopurinol. Propranolol may treat", " in patients."),
    Statement("", " may be treated by propranolol."),
    Statement("", " may be treated by allopurinol."),
]
# one is the beginning of another, one stands twice, one is one token, one reads like a special token
NAMES = [
    "gout",
    "hypertension",
    "hypertension in patients",
    "é",
    "gout",
    "asthma <e> failure",
    "a",
    "gouty 12",
]


def small(family: str) -> Any:
    config, kind, more, _ = FAMILIES[family]
    # GPT-Neo derives the numbers of its layers and heads from others
    kept = {key: value for key, value in SMALL.items() if family != "gpt_neo" or not key.startswith("num_")}
    torch.manual_seed(0)
    return kind(config(**kept | more)).eval()


def small_of(vocabulary: int) -> Any:
    torch.manual_seed(0)
    config = transformers.LlamaConfig(**SMALL | {"vocab_size": vocabulary})
    return transformers.LlamaForCausalLM(config).eval()


@pytest.fixture(scope="module", params=FAMILIES)
def family(request: pytest.FixtureRequest) -> tuple[str, Any]:
    return request.param, small(request.param)


@pytest.fixture(scope="module")
def llama() -> Any:
    return small("llama")


def plain_log_probs(model: Any, tokens: Sequence[int]) -> torch.Tensor:
    """What a model says of each token but the first: the whole text alone, all logits, nothing else given."""
    with torch.inference_mode():
        logits = model(input_ids=torch.tensor([tokens])).logits[0].double()
    return logits[:-1].log_softmax(-1)[torch.arange(len(tokens) - 1), torch.tensor(tokens[1:])]


def plain_scores(model: Any, statements: Sequence[Statement], names: Sequence[str]) -> dict[str, Any]:
    """Sums over the parts of each text, which are encoded apart: the tests' tokenizer splits at words."""
    found: dict[str, list[float]] = {field: [] for field in ("tokens", "name", "first", "before", "after")}
    for (before, after), name in itertools.product(statements, names):
        parts = [before, f" {name}" if before else name, after]
        pieces = [
            TOKENIZER(part, add_special_tokens=False, split_special_tokens=True)["input_ids"]
            for part in parts
        ]
        log_probs = plain_log_probs(model, [START, *itertools.chain(*pieces)])
        low, high = len(pieces[0]), len(pieces[0]) + len(pieces[1])
        found["tokens"].append(high - low)
        found["name"].append(float(log_probs[low:high].sum()))
        found["first"].append(float(log_probs[low]))
        found["before"].append(float(log_probs[:low].sum()))
        found["after"].append(float(log_probs[high:].sum()))
    return {field: numpy.array(of).reshape(len(statements), len(names)) for field, of in found.items()}


def assert_equal_scores(scores: NameScores, plain: dict[str, Any], *, atol: float = 1e-4) -> None:
    assert_array_equal(scores.tokens_SN, plain["tokens"])
    for field in ("name", "first", "before", "after"):
        assert_allclose(getattr(scores, f"{field}_SN"), plain[field], atol=atol, rtol=0, err_msg=field)


def score(lm: CausalLM, statements: Sequence[Statement], names: Sequence[str], **more: Any) -> NameScores:
    return lm.score_names(statements, names, with_before=True, with_after=True, **more)


# --- exactness, and which ways an architecture allows ------------------------------------------------------


def test_every_way_that_passes_the_check_equals_the_plain_reference(family: tuple[str, Any]) -> None:
    name, model = family
    statements = STATEMENTS[1:3]
    plain = plain_scores(model, statements, NAMES[:5])
    lm = CausalLM(model, TOKENIZER, start=(START,))
    # each way in turn, as if those of less work had been refused
    for number_refused in (0, 2, 3, 4):
        lm.refused = dict.fromkeys(WAYS[:number_refused], "")
        lm.checked_text = lm.checked_row = 0
        assert_equal_scores(score(lm, statements, NAMES[:5], batch_tokens=60), plain)
    if FAMILIES[name][-1] == PREFIXED_TRIES:
        lm.refused = {PREFIXED_TRIES: ""}
        assert_equal_scores(score(lm, statements, NAMES[:5]), plain)


def test_the_way_of_least_work_that_is_right_is_used(family: tuple[str, Any]) -> None:
    name, model = family
    lm = CausalLM(model, TOKENIZER, start=(START,))
    expected = FAMILIES[name][-1]
    assert lm.sharing.partition(";")[0] == expected
    assert (TRIES in lm.refused) == (expected != PREFIXED_TRIES)


def test_what_is_not_used_is_said_with_the_reason() -> None:
    lm = CausalLM(small("lfm2"), TOKENIZER, start=(START,))
    assert lm.sharing.startswith(
        "padded batches; not tries: TypeError: layers of type conv; not batches behind"
    )


@pytest.mark.parametrize("name", ["mistral", "gemma2", "gemma3", "gpt_oss"])
def test_the_check_sees_a_window_that_a_mask_leaves_out(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    masked = CausalLM._mask

    def without_window(self: CausalLM, one: Any, behind: int) -> Any:
        mask = masked(self, one, behind)
        if one.end_L is None:
            return mask
        monkeypatch.setattr(self.config, "sliding_window", 10**6)
        wide = masked(self, one, behind)
        monkeypatch.setattr(self.config, "sliding_window", WINDOW)
        return wide["full_attention"] if isinstance(wide, dict) else wide

    monkeypatch.setattr(CausalLM, "_mask", without_window)
    lm = CausalLM(small(name), TOKENIZER, start=(START,))
    assert " differs by " in f" {lm.sharing}"
    assert lm.refused[TRIES].startswith("differs by")


def test_the_check_sees_a_convolution_over_neighbours_in_a_row(monkeypatch: pytest.MonkeyPatch) -> None:
    model = small("lfm2")
    lm = CausalLM(model, TOKENIZER, start=(START,))
    masked = CausalLM._mask

    def unaware(self: CausalLM, one: Any, behind: int) -> Any:
        types, self.config.layer_types = self.config.layer_types, None
        try:
            return masked(self, one, behind)
        finally:
            self.config.layer_types = types

    monkeypatch.setattr(CausalLM, "_mask", unaware)
    lm.check_sharing()
    assert lm.refused[TRIES].startswith("differs by")


def test_a_longer_text_than_was_checked_is_checked_before_it_is_asked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # A window longer than the first probe, which the configuration hides from the mask.
    model = small("mistral")
    model.config.sliding_window = 100
    masked = CausalLM._mask

    def without_window(self: CausalLM, one: Any, behind: int) -> Any:
        window, self.config.sliding_window = self.config.sliding_window, None
        try:
            return masked(self, one, behind)
        finally:
            self.config.sliding_window = window

    monkeypatch.setattr(CausalLM, "_mask", without_window)
    lm = CausalLM(model, TOKENIZER, start=(START,))
    assert lm.sharing == PREFIXED_TRIES
    long = [Statement(" ".join(["Propranolol may treat gout."] * 11) + " It may treat", ".")]
    assert_equal_scores(score(lm, long, NAMES), plain_scores(model, long, NAMES))
    assert lm.refused[TRIES].startswith("differs by")


def test_logits_that_a_model_changes_unknown_to_us_are_taken_from_the_model(llama: Any) -> None:
    class Unknown(transformers.LlamaForCausalLM):
        def forward(self, *args: Any, **given: Any) -> Any:
            found = super().forward(*args, **given)
            found.logits = found.logits / 2 + 0.1 * torch.arange(found.logits.shape[-1])
            return found

    model = Unknown(llama.config).eval()
    model.load_state_dict(llama.state_dict())
    lm = CausalLM(model, TOKENIZER, start=(START,))
    assert_equal_scores(score(lm, STATEMENTS, NAMES), plain_scores(model, STATEMENTS, NAMES))
    assert lm.has_own_logits
    assert not CausalLM(llama, TOKENIZER, start=(START,)).has_own_logits


def test_a_model_of_which_no_way_is_right_is_refused(llama: Any) -> None:
    class Odd(transformers.LlamaForCausalLM):
        def forward(self, *args: Any, position_ids: Any = None, **given: Any) -> Any:
            found = super().forward(*args, position_ids=position_ids, **given)
            found.logits = found.logits * (3 if position_ids is None else 2)
            return found

    with pytest.raises(UserError) as error:
        CausalLM(Odd(llama.config), TOKENIZER, start=(START,)).check_sharing()
    assert str(error.value).startswith(
        "llama: a text that is scored alone gets other probabilities than by the model's own forward pass "
        "(differs by "
    )
    assert str(error.value).endswith(" nats); such a model cannot be asked")


# --- the same numbers for any batch and order --------------------------------------------------------------


@pytest.mark.parametrize("way", WAYS)
def test_a_score_does_not_depend_on_what_else_is_asked(llama: Any, way: str) -> None:
    lm = CausalLM(llama, TOKENIZER, start=(START,))
    lm.check_sharing(128, 512)
    lm.refused = {other: "" for other in WAYS if other not in (way, TRIES, ONE_BY_ONE)}
    if way not in (TRIES, PREFIXED_TRIES):
        lm.refused[TRIES] = ""
    assert lm._way() == way
    whole = score(lm, STATEMENTS, NAMES)
    alone = [score(lm, [statement], [name]) for statement in STATEMENTS for name in NAMES]
    backwards = score(lm, STATEMENTS[::-1], NAMES[::-1], batch_tokens=17)
    pairs = lm.score_pairs([(STATEMENTS[3], NAMES[1]), (STATEMENTS[0], NAMES[2])], with_after=True)
    assert_allclose(pairs.name_SN, whole.name_SN[[3, 0], [1, 2]], atol=1e-4, rtol=0)
    assert_allclose(pairs.after_SN, whole.after_SN[[3, 0], [1, 2]], atol=1e-4, rtol=0)
    for field in NameScores._fields:
        values = getattr(whole, field)
        assert_allclose(
            values.ravel(), [getattr(one, field)[0, 0] for one in alone], atol=1e-4, rtol=0, err_msg=field
        )
        assert_allclose(values, getattr(backwards, field)[::-1, ::-1], atol=1e-4, rtol=0, err_msg=field)
    assert_array_equal(whole.name_SN[:, 0], whole.name_SN[:, 4])  # "gout" stands twice


def test_without_the_sides_the_names_scores_are_the_same(llama: Any) -> None:
    lm = CausalLM(llama, TOKENIZER, start=(START,))
    whole, short = score(lm, STATEMENTS, NAMES), lm.score_names(STATEMENTS, NAMES)
    assert_allclose(short.name_SN, whole.name_SN, atol=1e-4, rtol=0)
    assert_allclose(short.first_SN, whole.first_SN, atol=1e-4, rtol=0)
    assert numpy.isnan(short.before_SN).all()
    assert numpy.isnan(short.after_SN).all()


def test_the_three_sums_are_the_whole_text(llama: Any) -> None:
    lm = CausalLM(llama, TOKENIZER, start=(START,))
    scores = score(lm, STATEMENTS[:1], NAMES[:1])
    text = [START, *TOKENIZER("Propranolol may treat gout.")["input_ids"]]
    whole = scores.before_SN + scores.name_SN + scores.after_SN
    assert_allclose(whole, [[float(plain_log_probs(llama, text).sum())]], atol=1e-4)


def test_all_first_tokens_together_have_probability_one(llama: Any) -> None:
    lm = CausalLM(llama, TOKENIZER, start=(START,))
    context = [START, *TOKENIZER("Propranolol may treat")["input_ids"]]
    every = [[*context, token] for token in range(len(TOKENIZER))]
    found = lm.token_log_probs(every, [len(context)] * len(every))
    assert numpy.exp(numpy.concatenate(found).astype(numpy.float64)).sum() == pytest.approx(1, abs=1e-5)


def test_log_probs_begin_where_each_sequence_is_asked(llama: Any) -> None:
    lm = CausalLM(llama, TOKENIZER, start=(START,))
    tokens = [START, *TOKENIZER("hypertension")["input_ids"]]
    plain = plain_log_probs(llama, tokens).numpy()
    found = lm.token_log_probs([tokens, tokens, tokens[:3], tokens], [1, 3, 2, len(tokens)])
    for one, expected in zip(found, [plain, plain[2:], plain[1:2], plain[:0]], strict=True):
        assert_allclose(one, expected, atol=1e-4)
    assert lm.token_log_probs([], []) == []
    with pytest.raises(ValueError, match="no probability"):
        lm.token_log_probs([tokens], [0])


def test_under_autocast_the_softmax_is_in_float32(llama: Any) -> None:
    lm = CausalLM(llama, TOKENIZER, start=(START,), precision="bf16")
    low, plain = score(lm, STATEMENTS, NAMES), plain_scores(llama, STATEMENTS, NAMES)
    assert_equal_scores(low, plain, atol=1.0)
    assert abs(low.name_SN - plain["name"]).max() > 1e-3  # it is computed in bf16
    context = [START, *TOKENIZER("Propranolol may treat")["input_ids"]]
    found = lm.token_log_probs(
        [[*context, token] for token in range(len(TOKENIZER))], [len(context)] * len(TOKENIZER)
    )
    assert numpy.exp(numpy.concatenate(found).astype(numpy.float64)).sum() == pytest.approx(1, abs=1e-5)


# --- tokens and characters ---------------------------------------------------------------------------------


def test_a_token_with_letters_of_two_parts_is_the_names_and_is_marked(llama: Any) -> None:
    # One token for "t." and one for "treat g", as a tokenizer that does not split at words may have them.
    raw = byte_level_bpe(split=False)
    pieces = [raw.convert_ids_to_tokens(token) for token in raw("treat gout.")["input_ids"]]
    lm = CausalLM(small_of(len(raw)), raw, start=(START,))
    scores = score(lm, [Statement("treat", "."), Statement("treat", "?")], ["hypertension", "gout"])
    for row, after in enumerate(".?"):
        for column, name in enumerate(["hypertension", "gout"]):
            text = f"treat {name}{after}"
            encoded = raw(text, return_offsets_mapping=True)
            log_probs = plain_log_probs(lm.model, [START, *encoded["input_ids"]])
            sums, straddles = {"before": 0.0, "name": 0.0, "after": 0.0}, False
            for (low, high), log_prob in zip(encoded["offset_mapping"], log_probs, strict=True):
                letters = {place for place in range(low, high) if text[place] != " "}
                held = {
                    part
                    for part, of in (
                        ("before", range(5)),
                        ("name", range(6, 6 + len(name))),
                        ("after", [len(text) - 1]),
                    )
                    if letters & set(of)
                }
                straddles |= len(held) > 1
                sums["name" if "name" in held or not held else held.pop()] += float(log_prob)
            assert scores.straddles_SN[row, column] == straddles
            for part, expected in sums.items():
                assert getattr(scores, f"{part}_SN")[row, column] == pytest.approx(expected, abs=1e-4)
    assert scores.straddles_SN.any(), f"the test's tokens do not straddle: {pieces}"
    assert not score(CausalLM(lm.model, TOKENIZER, start=(START,)), STATEMENTS, NAMES).straddles_SN.any()


def test_a_space_that_is_a_token_is_the_names(llama: Any) -> None:
    # digits stand apart in this tokenizer, and so does the space before them
    raw = Tokenizer(models.BPE(vocab={letter: place for place, letter in enumerate("xya01.Ġ")}, merges=[]))
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=raw)
    lm = CausalLM(llama, tokenizer, start=(START,))
    scores = score(lm, [Statement("a", " a.")], ["11"])
    plain = plain_log_probs(llama, [START, 2, 6, 4, 4, 6, 2, 5])
    assert scores.tokens_SN.item() == 3
    assert scores.before_SN.item() == pytest.approx(float(plain[0]), abs=1e-4)
    assert scores.name_SN.item() == pytest.approx(float(plain[1:4].sum()), abs=1e-4)
    assert scores.after_SN.item() == pytest.approx(float(plain[4:].sum()), abs=1e-4)


def test_the_side_of_padding_of_the_tokenizer_does_not_matter(llama: Any) -> None:
    left = byte_level_bpe()
    left.padding_side, left.pad_token = "left", "<e>"
    plain = plain_scores(llama, STATEMENTS, NAMES)
    assert_equal_scores(score(CausalLM(llama, left, start=(START,)), STATEMENTS, NAMES), plain)


@pytest.mark.parametrize("start", [(), (START,), (END,), (END, START)])
def test_start_tokens_are_those_given_and_no_others(llama: Any, start: tuple[int, ...]) -> None:
    lm = CausalLM(llama, TOKENIZER, start=start)
    scores = lm.score_names(STATEMENTS[:1], ["gout"])
    context = [*start, *TOKENIZER("Propranolol may treat")["input_ids"]]
    plain = plain_log_probs(llama, [*context, *TOKENIZER(" gout")["input_ids"]])[len(context) - 1 :]
    assert scores.name_SN.item() == pytest.approx(float(plain.sum()), abs=1e-4)


# --- what is refused ---------------------------------------------------------------------------------------


def test_without_a_start_token_a_texts_first_token_has_no_probability(llama: Any) -> None:
    lm = CausalLM(llama, TOKENIZER, start=())
    for statements, more in ((STATEMENTS[2:3], {}), (STATEMENTS[:1], {"with_before": True})):
        with pytest.raises(UserError) as error:
            lm.score_names(statements, ["gout"], **more)
        assert str(error.value) == (
            "name 'gout' with its statement: nothing stands before the text's first token, so it has no "
            "probability; give the model a start token"
        )


def test_a_name_without_tokens_is_refused(llama: Any) -> None:
    with pytest.raises(UserError) as error:
        CausalLM(llama, TOKENIZER, start=(START,)).score_names(STATEMENTS[:1], ["gout", ""])
    assert str(error.value) == "name '': this model's tokenizer makes no token of it; leave it out"


def test_characters_of_a_name_that_the_tokenizer_does_not_know_are_counted(llama: Any) -> None:
    known = {letter: place for place, letter in enumerate("?xya01.")}
    raw = Tokenizer(models.BPE(vocab=known, merges=[], unk_token="?"))
    raw.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=raw, unk_token="?")
    scores = CausalLM(llama, tokenizer, start=(1,)).score_names([Statement("xé", ".")], ["a", "aé1"])
    assert scores.unknown_SN is not None
    assert scores.unknown_SN.tolist() == [[0, 1]]


def test_a_text_beyond_the_limit_of_the_configuration_is_refused(llama: Any) -> None:
    lm = CausalLM(llama, TOKENIZER, start=(START,))
    fits = "x" * 157  # a token each; with the start, " " and "z" they are 160
    assert lm.score_names([Statement(fits, "")], ["z"]).tokens_SN.item() == 2
    with pytest.raises(UserError) as error:
        lm.score_names([Statement("x", ""), Statement(f"{fits}x", "")], ["z"])
    assert str(error.value) == (
        "name 'z' with its statement: 161 tokens, and the model takes 160 (max_position_embeddings of its "
        "config); shorten the text or give fewer shots"
    )


def test_tokens_that_the_model_does_not_know_are_refused(llama: Any) -> None:
    with pytest.raises(UserError) as error:
        CausalLM(llama, TOKENIZER, start=(START,)).token_log_probs([[0, 5], [0, 9999]], [1, 1])
    assert str(error.value) == (
        f"text 2: token 9999, and the model knows {len(TOKENIZER)} tokens; "
        "give the tokenizer that the model was trained with"
    )


def test_weights_in_half_precision_are_refused() -> None:
    with pytest.raises(UserError, match=r"its weights are torch\.bfloat16, in which errors cannot be told"):
        CausalLM(small("llama").bfloat16(), TOKENIZER, start=(START,))


# --- plans -------------------------------------------------------------------------------------------------

COSTS = Costs(fixed=3.0, attention=0.01)


def random_sequences(seed: int) -> Sequences:
    drawn = numpy.random.default_rng(seed)
    return Sequences([drawn.integers(0, 3, drawn.integers(2, 9)) for _ in range(12)], [1] * 12)


def test_a_trie_forwards_each_beginning_once() -> None:
    # 0 1 2 3 | 0 1 2 4 5 | 0 1 | 0 7 8: the last of each is not forwarded, so nodes are 0, 01, 012, 0124, 07
    texts = [numpy.array(one) for one in ([0, 1, 2, 3], [0, 7, 8], [0, 1], [0, 1, 2, 4, 5])]
    sequences = Sequences(texts, [1, 1, 1, 1])
    assert sequences.num_nodes == 5
    [group] = plan_tries(sequences, most_tokens=99, costs=COSTS, may_cache=True)
    [row] = group.passes
    assert row.token_RL.tolist() == [[0, 1, 2, 4, 7]]
    assert row.position_RL.tolist() == [[0, 1, 2, 3, 1]]
    assert row.end_L is not None
    assert row.end_L.tolist() == [5, 4, 4, 4, 5]


@pytest.mark.parametrize("seed", range(20))
def test_rows_are_cut_where_all_of_them_cost_the_least(seed: int) -> None:
    sequences = random_sequences(seed)

    def cost(rows: list[range]) -> float:
        nodes = [
            {
                tuple(sequences.tokens[place][: end + 1])
                for place in row
                for end in range(sequences.size_B[place])
            }
            for row in rows
        ]
        return sum(3 + len(found) + 0.01 * len(found) ** 2 for found in nodes)

    cuts = itertools.chain.from_iterable(
        itertools.combinations(range(1, len(sequences)), number) for number in range(len(sequences))
    )
    least = min(
        cost([range(*bounds) for bounds in itertools.pairwise([0, *cut, len(sequences)])]) for cut in cuts
    )
    groups = plan_tries(sequences, most_tokens=10**6, costs=COSTS, may_cache=False)
    lengths = [one.token_RL.size for group in groups for one in group.passes]
    assert sum(3 + length + 0.01 * length**2 for length in lengths) == pytest.approx(least)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("limit", [1, 6, 40])
def test_no_pass_is_larger_than_asked_unless_a_text_is(seed: int, limit: int) -> None:
    sequences = random_sequences(seed)
    longest = int(sequences.size_B.max())
    for groups in (
        plan_tries(sequences, most_tokens=limit, costs=Costs(9, 0), may_cache=True),
        plan_batches(sequences, most_tokens=limit, costs=COSTS, cached=False),
    ):
        for one in (one for group in groups for one in group.passes):
            assert one.token_RL.size <= max(limit, longest + limit // 4)
            everything = one.reads.state_Q
            assert everything.max() <= one.token_RL.size


def test_what_all_texts_begin_with_is_forwarded_once_where_that_costs_less() -> None:
    stem = numpy.arange(50)
    texts = [numpy.append(stem, [60 + place, *range(place, place + 9)]) for place in range(20)]
    sequences = Sequences(texts, [50] * 20)
    costs = Costs(fixed=5, attention=0.01)
    [group] = plan_tries(sequences, most_tokens=60, costs=costs, may_cache=True)
    assert group.prefix is not None
    assert group.prefix.token_RL.tolist() == [stem.tolist()]
    assert group.num_tokens == sequences.num_nodes
    alone = plan_tries(sequences, most_tokens=60, costs=costs, may_cache=False)
    assert sum(one.num_tokens for one in alone) > sequences.num_nodes


def test_logits_are_held_for_some_states_only(llama: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(causal_lm, "_LEAST_ROWS", 5)
    rows = []
    head = CausalLM._logits

    def counted(self: CausalLM, state_UH: torch.Tensor) -> torch.Tensor:
        rows.append(len(state_UH))
        return head(self, state_UH)

    monkeypatch.setattr(CausalLM, "_logits", counted)
    lm = CausalLM(llama, TOKENIZER, start=(START,))
    lm.most_logits = 5 * len(TOKENIZER)
    lm.soft_max_rows = 2
    assert_equal_scores(score(lm, STATEMENTS, NAMES), plain_scores(llama, STATEMENTS, NAMES))
    assert max(rows) == 5


def test_a_cached_prefix_is_not_written_to(llama: Any) -> None:
    cache = transformers.DynamicCache()
    with torch.inference_mode():
        llama(input_ids=torch.tensor([[0, 5, 6]]), past_key_values=cache)
        before = [layer.keys.clone() for layer in cache.layers]
        for times in (1, 3):
            own = _repeated(cache, times)
            llama(input_ids=torch.tensor([[7, 8]] * times), past_key_values=own)
            assert own.get_seq_length() == 5
    assert cache.get_seq_length() == 3
    for layer, keys in zip(cache.layers, before, strict=True):
        assert torch.equal(layer.keys, keys)


@pytest.mark.parametrize("name", ["llama", "gemma3", "gpt2"])
def test_a_pass_of_a_trie_neither_mixes_devices_nor_waits_for_numbers(name: str) -> None:
    # On the device "meta" there are shapes and no numbers: asking for one raises, and so does a CPU tensor.
    lm = CausalLM(small(name), TOKENIZER, start=(START,), device="meta")
    texts = [numpy.append(numpy.arange(2, 20), numpy.arange(place, 2 * place)) for place in range(21, 30)]
    sequences = Sequences(texts, [1] * len(texts))
    log_prob_Q = torch.empty(sequences.num_asked, device="meta")
    with torch.inference_mode():
        for group in lm._plan(TRIES, sequences, 60, Costs(0.0, 0.0)):
            lm._forward(group, log_prob_Q)


# --- lm-pub-quiz -------------------------------------------------------------------------------------------


def test_whole_texts_have_the_sums_of_lm_pub_quiz(llama: Any) -> None:
    evaluators = pytest.importorskip("lm_pub_quiz.evaluators.pll_evaluators")
    tokenizer = byte_level_bpe()
    peer = evaluators.Evaluator.from_model(llama, model_type="CLM", tokenizer=tokenizer, device="cpu")
    statements = [Statement("Propranolol may treat", "."), Statement("Gout", " may treat é.")]
    scores = score(CausalLM(llama, TOKENIZER, start=(START,)), statements, ["gout", "hypertension", "a"])
    whole = scores.before_SN + scores.name_SN + scores.after_SN
    for row, (before, after) in enumerate(statements):
        expected = peer.evaluate_instance(
            template=f"{before} [Y]{after}",
            answers=["gout", "hypertension", "a"],
            reduction="sum",
            batch_size=2,
        )
        assert_allclose(whole[row], expected, atol=1e-3, rtol=0)
