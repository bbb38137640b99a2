"""Pseudo-log-likelihoods of names are those of one masked text at a time, whatever is asked with them."""

from pathlib import Path
from typing import Any, get_args

import numpy
import pytest
import torch
from tokenizers.pre_tokenizers import ByteLevel

from kebench.cards import read_model_card
from kebench.errors import UserError
from kebench.model.checkpoint import load_masked_lm, load_tokenizer
from kebench.model.masked_lm import HEADS, MaskedLM
from kebench.model.masked_ranks import MaskedRanks, Pll, batches
from kebench.model.source import cached_folder
from kebench.model.spans import encode_spans
from kebench.model.statements import NameScores, RanksNames, Statement
from tests.model.test_masked_lm import FAMILIES, SMALL
from tests.tiny_checkpoints import write_tiny_kebiolm

PLLS: tuple[Pll, ...] = get_args(Pll)
BYTE_LEVEL = {"roberta", "xlm-roberta", "camembert", "modernbert"}
# Names of one token and of many; one begins another, one comes twice, one looks like special tokens.
NAMES = ["cancer", "the cancer of cancers", "the cancer", "pain-killers", "cancer", "[MASK] </s>", "in"]
STATEMENTS = [
    Statement("aspirin may treat", "."),
    Statement("", " may be treated by the drug."),
    Statement("The gene, in", "and others, is of the protein"),
]


def a_model(family: str, checkpoints: dict[str, Path]) -> tuple[Any, Any]:
    """Return a random model of a family, and a tokenizer for it."""
    folder = checkpoints["modernbert" if family in BYTE_LEVEL else "bert"]
    tokenizer = load_tokenizer(folder, split_words=False)
    config, kind, more = FAMILIES[family]
    sizes = (
        SMALL | more | {"vocab_size": len(tokenizer), "initializer_range": 0.5, "max_position_embeddings": 99}
    )
    torch.manual_seed(0)
    return kind(config(**sizes)).eval(), tokenizer


def plain(model: Any, tokenizer: Any, pll: Pll, statement: Statement, name: str) -> dict[str, float]:
    """Score one name by the definition: a masked text for each token, and all logits of it."""
    spans = encode_spans(tokenizer, [statement], [name], max_tokens=None)
    ids, words = spans.tokens_of(0), spans.word_T.tolist()
    start, end = int(spans.start_X[0]), int(spans.end_X[0])
    places = [place for place in range(len(ids)) if not spans.special_T[place]]
    texts = []
    for place in places:
        rest_of_word = [other for other in range(place, len(ids)) if words[other] == words[place]]
        masked = [place] if pll == "original" else rest_of_word
        if start <= place < end and pll == "answer-l2r":
            masked = list(range(place, end))
        if start <= place < end and pll == "independent":
            masked = list(range(start, end))
        texts.append([tokenizer.mask_token_id if at in masked else ids[at] for at in range(len(ids))])
    with torch.inference_mode():
        log_prob = model(torch.tensor(texts)).logits.log_softmax(-1)
    found = {"name": 0.0, "first": 0.0, "before": 0.0, "after": 0.0}
    for row, place in enumerate(places):
        side = "before" if place < start else "after" if place >= end else "name"
        found[side] += float(log_prob[row, place, ids[place]])
        if place == start:
            found["first"] = float(log_prob[row, place, ids[place]])
    return found


def assert_plain(scores: NameScores, model: Any, tokenizer: Any, pll: Pll) -> None:
    for row, statement in enumerate(STATEMENTS):
        for column, name in enumerate(NAMES):
            for side, expected in plain(model, tokenizer, pll, statement, name).items():
                found = getattr(scores, f"{side}_SN")[row, column]
                assert found == pytest.approx(expected, abs=1e-4), (pll, statement, name, side)


def test_every_family_with_a_known_head_is_tested() -> None:
    assert set(FAMILIES) == set(HEADS)


@pytest.mark.parametrize("family", FAMILIES)
def test_scores_are_those_of_one_masked_text_a_token(family: str, checkpoints: dict[str, Path]) -> None:
    whole, tokenizer = a_model(family, checkpoints)
    packing = MaskedLM(a_model(family, checkpoints)[0])
    # What is masked does not depend on the family; left to right masks names and words.
    for pll in PLLS if family in ("bert", "modernbert") else PLLS[2:3]:
        ranks: RanksNames = MaskedRanks(packing, tokenizer, pll=pll)
        scores = ranks.score_names(STATEMENTS, NAMES, with_before=True, with_after=True)
        assert_plain(scores, whole, tokenizer, pll)


@pytest.fixture
def ranks(checkpoints: dict[str, Path]) -> MaskedRanks:
    model, tokenizer = a_model("bert", checkpoints)
    return MaskedRanks(MaskedLM(model), tokenizer, pll="within-word")


def same(scores: NameScores, others: NameScores, part: Any = slice(None)) -> bool:
    """True if a part of the tables holds what the others hold, log probabilities within 1e-5."""
    tables: list[Any] = [list(scores), list(others)]
    return all(
        numpy.allclose(mine[part].astype(float), other.astype(float), atol=1e-5, equal_nan=True)
        for mine, other in zip(*tables, strict=True)
    )


@pytest.mark.parametrize("batch_tokens", [1, 40, 300])
def test_batches_do_not_matter(
    batch_tokens: int, ranks: MaskedRanks, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = ranks.score_names(STATEMENTS, NAMES, with_after=True)
    monkeypatch.setattr("kebench.model.masked_ranks._IN_HAND", 500)
    assert same(ranks.score_names(STATEMENTS, NAMES, with_after=True, batch_tokens=batch_tokens), whole)


def test_order_does_not_matter_and_a_name_scores_the_same_alone(ranks: MaskedRanks) -> None:
    whole = ranks.score_names(STATEMENTS, NAMES, with_before=True)
    backwards = ranks.score_names(STATEMENTS[::-1], NAMES[::-1], with_before=True)
    assert same(backwards, whole, numpy.s_[::-1, ::-1])
    alone = ranks.score_names(STATEMENTS[1:2], NAMES[3:4], with_before=True)
    assert same(whole, alone, numpy.s_[1:2, 3:4])


def test_the_form_of_the_answer(ranks: MaskedRanks) -> None:
    scores = ranks.score_names(STATEMENTS, ["cancer", "βγ the"])
    assert ranks.family == "masked"
    assert scores.tokens_SN.tolist() == [[1, 2]] * 3
    assert scores.unknown_SN is not None
    assert scores.unknown_SN.tolist() == [[0, 1]] * 3
    assert not scores.straddles_SN.any()
    tables: list[Any] = list(scores)
    assert [table.dtype.name for table in tables] == ["int16", *["float32"] * 4, "bool", "int16"]
    assert numpy.isnan(scores.before_SN).all()
    assert numpy.isnan(scores.after_SN).all()
    both = ranks.score_names(STATEMENTS, ["cancer"], with_before=True, with_after=True)
    assert both.before_SN[1, 0] == 0.0  # nothing stands there
    assert (both.after_SN < 0).all()


def test_the_first_tokens_probabilities_sum_to_one(checkpoints: dict[str, Path]) -> None:
    model, tokenizer = a_model("bert", checkpoints)
    packing = MaskedLM(model)
    words = [token for token in tokenizer.get_vocab() if token.isalnum()]
    scores = MaskedRanks(packing, tokenizer, pll="original").score_names(STATEMENTS[:1], words)
    # The rest of the vocabulary (pieces that only continue words, signs) cannot be a name's only token.
    assert (scores.tokens_SN == 1).all()
    rest = [token for token in range(len(tokenizer)) if tokenizer.convert_ids_to_tokens(token) not in words]
    text = tokenizer("aspirin may treat [MASK].", return_tensors="pt")
    plain_model, _ = a_model("bert", checkpoints)
    with torch.inference_mode():
        logits = plain_model(text["input_ids"]).logits[0]
    place = text["input_ids"][0].tolist().index(tokenizer.mask_token_id)
    left = float(logits[place].softmax(-1)[rest].sum())
    assert float(numpy.exp(scores.first_SN).sum()) + left == pytest.approx(1.0, abs=1e-5)


def test_masked_texts_that_are_alike_are_forwarded_once(checkpoints: dict[str, Path]) -> None:
    model, tokenizer = a_model("bert", checkpoints)
    packing = MaskedLM(model)
    forwarded: list[int] = []
    log_probs = packing.log_probs

    def counting(packed: Any, *arguments: Any) -> Any:
        forwarded.append(sum(group.num_texts for group in packed.groups))
        return log_probs(packed, *arguments)

    packing.log_probs = counting
    # One masked text for names of one token, one for names of two.
    MaskedRanks(packing, tokenizer, pll="independent").score_names(
        STATEMENTS[:1] * 2, ["in", "of", "the gene", "the cancer", "of"]
    )
    assert sum(forwarded) == 2


def test_texts_are_cut_into_batches_of_no_more_tokens() -> None:
    bound_I = numpy.array([0, 3, 6, 10, 20, 22])
    assert [(part.start, part.stop) for part in batches(bound_I, 6)] == [(0, 2), (2, 3), (3, 4), (4, 5)]


def test_bf16_is_near_fp32(checkpoints: dict[str, Path]) -> None:
    tables = []
    for precision in ("fp32", "bf16"):
        model, tokenizer = a_model("bert", checkpoints)
        ranks = MaskedRanks(MaskedLM(model, precision=precision), tokenizer, pll="original")
        tables.append(ranks.score_names(STATEMENTS, NAMES).name_SN)
    assert not numpy.array_equal(tables[0], tables[1])
    assert numpy.allclose(tables[0], tables[1], rtol=0.05, atol=0.5)


def test_a_kebiolm_run_as_released_is_refused(tmp_path: Path) -> None:
    for fidelity in ("fixed", "released"):
        folder = write_tiny_kebiolm(tmp_path / fidelity, fidelity=fidelity)
        model = MaskedLM.load(folder)
        tokenizer = load_tokenizer(folder, split_words=False)
        if fidelity == "fixed":
            MaskedRanks(model, tokenizer, pll="original")
            continue
        with pytest.raises(UserError) as error:
            MaskedRanks(model, tokenizer, pll="original")
        assert str(error.value) == (
            "a KeBioLM that runs as released: what it says of a text depends on the texts beside it, so it "
            "cannot rank names; convert the released files with 'kebench model convert --fidelity fixed'"
        )


def test_a_tokenizer_without_words_is_refused_where_words_are_masked(checkpoints: dict[str, Path]) -> None:
    model, tokenizer = a_model("modernbert", checkpoints)
    tokenizer.backend_tokenizer.pre_tokenizer = ByteLevel(add_prefix_space=False, use_regex=False)
    packing = MaskedLM(model)
    MaskedRanks(packing, tokenizer, pll="original").score_names(STATEMENTS, NAMES, with_before=True)
    MaskedRanks(packing, tokenizer, pll="answer-l2r").score_names(STATEMENTS, NAMES)
    needing_words: list[tuple[Pll, bool]] = [("within-word", False), ("answer-l2r", True)]
    for pll, with_before in needing_words:
        with pytest.raises(UserError, match=f"'{pll}' masks words, and this model's tokenizer does not tell"):
            MaskedRanks(packing, tokenizer, pll=pll).score_names(STATEMENTS, NAMES, with_before=with_before)


def test_a_text_beyond_the_positions_of_the_model_is_refused(checkpoints: dict[str, Path]) -> None:
    model, tokenizer = a_model("roberta", checkpoints)  # 99 positions, of which the first two are not used
    tokenizer.model_max_length = int(1e30)
    ranks = MaskedRanks(MaskedLM(model), tokenizer, pll="original")
    assert ranks.max_tokens == 97
    ranks.score_names([Statement("a" * 90, "")], ["the"])  # <s>, 90, Ġthe, </s>
    with pytest.raises(UserError, match=r"'aaa.*\.\.\.': 98 tokens, and this model takes 97; shorten it"):
        ranks.score_names([Statement("a" * 95, "")], ["the"])


def assert_sums_of_lm_pub_quiz(folder: Path) -> None:
    """Hold the sums over all tokens of sentences to those of lm-pub-quiz, which scores these only."""
    peer = pytest.importorskip("lm_pub_quiz", reason="lm-pub-quiz is not installed")
    tokenizer = load_tokenizer(folder, split_words=False)
    names = [
        "hypertension",
        "type 2 diabetes mellitus",
        "angina pectoris",
        "pheochromocytoma",
        "migraine-like",
    ]
    plls: dict[Pll, str] = {
        "original": "original",
        "within-word": "within_word_l2r",
        "answer-l2r": "answer_l2r+word_l2r",
    }
    for pll, metric in plls.items():
        evaluator = peer.Evaluator.from_model(
            load_masked_lm(folder).eval(),
            model_type="MLM",
            tokenizer=tokenizer,
            device="cpu",
            pll_metric=metric,
        )
        ranks = MaskedRanks(MaskedLM.load(folder), tokenizer, pll=pll)
        for before, after in (("Propranolol may treat", "."), ("", " may be treated by propranolol.")):
            expected = evaluator.evaluate_instance(
                template=f"{before} [Y]{after}".strip(), answers=names, reduction="sum", batch_size=8
            )
            # It begins every sentence with a capital.
            asked = names if before else [name[0].upper() + name[1:] for name in names]
            scores = ranks.score_names([Statement(before, after)], asked, with_before=True, with_after=True)
            sums_N = (scores.before_SN + scores.name_SN + scores.after_SN)[0]
            assert sums_N == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize("layout", ["bert", "roberta", "modernbert"])
def test_sums_of_sentences_are_those_of_lm_pub_quiz(layout: str, checkpoints: dict[str, Path]) -> None:
    assert_sums_of_lm_pub_quiz(checkpoints[layout])


@pytest.mark.weights
def test_sums_of_bert_tiny_are_those_of_lm_pub_quiz() -> None:
    folder = cached_folder(read_model_card("bert-tiny"))
    if folder is None:
        pytest.skip("not in the cache; 'kebench model get bert-tiny' fetches it")
    assert_sums_of_lm_pub_quiz(folder)
