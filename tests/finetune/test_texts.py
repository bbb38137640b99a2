"""Texts and pairs of texts: as the tokenizer puts them, which end is cut, and what the classifier reads."""

import random
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from tokenizers import Tokenizer, processors

from kebench.cards import ModelCard
from kebench.errors import UserError
from kebench.finetune.classifier import HEADS, Classifier, collate
from kebench.finetune.loop import predict
from kebench.finetune.plan import TaskFiles
from kebench.kinds.encoded import Cut, Encoded, encode_texts
from kebench.kinds.pairs import Pair
from kebench.kinds.registry import KINDS
from kebench.kinds.tagging import Sentence
from kebench.kinds.texts import Labelled
from kebench.model.checkpoint import load_encoder, load_tokenizer
from kebench.model.source import ResolvedModel
from kebench.run import _check_model
from tests.finetune.conftest import WRITERS
from tests.finetune.small_tasks import NER, RELATION, model_card
from tests.kinds.forms import LABELS, made_up, written
from tests.tiny_checkpoints import write_tiny_kebiolm

WORDS = ["the", "protein", "in", "cancer", "of", "disease", "xq7", "patients", "-", "gene"]
MAX_LENGTH = 24


def text(draw: random.Random, shortest: int, longest: int) -> str:
    return " ".join(draw.choices(WORDS, k=draw.randint(shortest, longest)))


def tokenizer_of(folder: Path, family: str) -> Any:
    return load_tokenizer(folder, family=family, casing="uncased")


def pieces_and_segments(encoded: Encoded, row: int) -> tuple[list[int], list[int]]:
    return encoded.pieces.row(row).tolist(), encoded.segments.row(row).tolist()


@pytest.mark.parametrize(("cut", "strategy"), [("second", "only_second"), ("longer", "longest_first")])
@pytest.mark.parametrize("family", WRITERS)
def test_a_pair_is_what_transformers_makes_of_it(
    checkpoints: dict[str, Path], family: str, cut: Cut, strategy: str
) -> None:
    draw = random.Random(0)
    tokenizer = tokenizer_of(checkpoints[family], family)
    max_length = 24 if family in ("bert", "electra") else 64  # others' pieces are bytes
    pairs = [(text(draw, 1, 3), text(draw, 1, 60)) for _ in range(40)]
    encoded = encode_texts(tokenizer, pairs, [0] * 40, max_length=max_length, cut=cut)
    for row, (first, second) in enumerate(pairs):
        expected = tokenizer(
            first, second, truncation=strategy, max_length=max_length, return_token_type_ids=True
        )
        pieces, segments = pieces_and_segments(encoded, row)
        assert pieces == expected["input_ids"]
        # no segments at all where a tokenizer tells none apart
        assert segments == (expected["token_type_ids"] if encoded.segments.values.size else [])
        whole = tokenizer(first, second)["input_ids"]
        assert encoded.was_cut.row(row).tolist() == [int(len(whole) > max_length)]
    assert bool(encoded.segments.values.size) == (family in ("bert", "electra"))
    assert 0 < encoded.was_cut.values.sum() < 40


def test_the_end_of_a_passage_is_cut_and_never_the_question(checkpoints: dict[str, Path]) -> None:
    tokenizer = tokenizer_of(checkpoints["bert"], "bert")
    question, passage = "the gene of cancer", "in the disease of the patients the protein the end"
    encoded = encode_texts(tokenizer, [(question, passage)], [0], max_length=12, cut="second")
    kept = tokenizer.decode(encoded.pieces.row(0))
    assert kept == "[CLS] the gene of cancer [SEP] in the disease of the [SEP]"


@pytest.mark.parametrize("num_words", [12, 8, 9, 10, 60])
def test_a_question_that_leaves_no_place_is_cut_too(checkpoints: dict[str, Path], num_words: int) -> None:
    tokenizer = tokenizer_of(checkpoints["bert"], "bert")
    pairs = [(" ".join(["gene"] * num_words), " ".join(["cancer"] * 20)), ("gene", "cancer")]
    encoded = encode_texts(tokenizer, pairs, [0, 0], max_length=12, cut="second")  # room for 9 pieces
    pieces = tokenizer.convert_ids_to_tokens(encoded.pieces.row(0).tolist())
    assert len(pieces) == 12
    assert pieces.count("cancer") >= 1
    assert pieces.count("gene") == (8 if num_words == 8 else 12 - 3 - pieces.count("cancer"))
    assert encoded.was_cut.values.tolist() == [1, 0]
    assert tokenizer.decode(encoded.pieces.row(1)) == "[CLS] gene [SEP] cancer [SEP]"


def test_a_document_loses_its_end_whatever_the_tokenizers_files_say(
    checkpoints: dict[str, Path], tmp_path: Path
) -> None:
    tokenizer = tokenizer_of(checkpoints["bert"], "bert")
    tokenizer.truncation_side = "left"
    tokenizer.save_pretrained(tmp_path)
    (tmp_path / "config.json").write_text((checkpoints["bert"] / "config.json").read_text())
    encoded = encode_texts(tokenizer_of(tmp_path, "bert"), ["gene in the cancer"], [0], max_length=4)
    assert tokenizer.decode(encoded.pieces.row(0)) == "[CLS] gene in [SEP]"
    assert encoded.segments.values.size == 0


def classifier(folder: Path, family: str = "bert", **options: Any) -> Classifier:
    """Return a model whose answers vary: a layer of small weights gives near ties."""
    encoder = load_encoder(folder, family=family)
    torch.manual_seed(0)
    model = Classifier(encoder, **{"num_outputs": 3, "states_per_decision": 1} | options).eval()
    torch.nn.init.normal_(model.linear.weight)
    return model


def pairs_of(folder: Path, family: str) -> tuple[Any, Encoded]:
    draw = random.Random(1)
    tokenizer = tokenizer_of(folder, family)
    pairs = [(text(draw, 1, 3), text(draw, 1, 30)) for _ in range(5)]
    return tokenizer, encode_texts(tokenizer, pairs, [0] * 5, max_length=MAX_LENGTH, cut="second")


@pytest.mark.parametrize("family", ["bert", "electra", "kebiolm"])
def test_segments_reach_the_encoder(checkpoints: dict[str, Path], tmp_path: Path, family: str) -> None:
    folder = write_tiny_kebiolm(tmp_path / "kebiolm") if family == "kebiolm" else checkpoints[family]
    tokenizer, encoded = pairs_of(folder, family)
    model = classifier(folder, family)
    batch = collate(encoded, np.arange(5), pad_id=tokenizer.pad_token_id)
    assert batch.segments_BT is not None
    with torch.inference_mode():
        logits_PL = model(batch)
        flat = model(batch._replace(segments_BT=torch.zeros_like(batch.segments_BT)))
        without = model(batch._replace(segments_BT=None))
        reference = model.encoder(
            input_ids=batch.pieces_BT, attention_mask=batch.mask_BT, token_type_ids=batch.segments_BT
        ).last_hidden_state[:, 0]
        expected = reference @ model.linear.weight.T
    assert torch.allclose(logits_PL, expected, atol=1e-5)
    assert torch.allclose(flat, without, atol=1e-6)
    assert (logits_PL - flat).abs().max() > 1e-3


def test_logits_of_pairs_are_those_of_transformers_own_model(checkpoints: dict[str, Path]) -> None:
    tokenizer = tokenizer_of(checkpoints["bert"], "bert")
    reference = transformers.AutoModel.from_pretrained(checkpoints["bert"]).eval()
    pairs = [("the gene", "in cancer of the patients"), ("disease", "the protein")]
    encoded = encode_texts(tokenizer, pairs, [0, 0], max_length=MAX_LENGTH, cut="second")
    model = classifier(checkpoints["bert"])
    inputs = tokenizer(*map(list, zip(*pairs, strict=True)), padding=True, return_tensors="pt")
    assert inputs["token_type_ids"].any()
    with torch.inference_mode():
        found = model(collate(encoded, np.arange(2), pad_id=tokenizer.pad_token_id))
        expected = model.linear(reference(**inputs).last_hidden_state[:, 0])
    assert torch.allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("family", ["roberta", "modernbert"])
def test_an_encoder_without_segments_reads_pairs(checkpoints: dict[str, Path], family: str) -> None:
    tokenizer, encoded = pairs_of(checkpoints[family], family)
    model = classifier(checkpoints[family], family)
    assert not model.takes_segments
    batch = collate(encoded, np.arange(5), pad_id=tokenizer.pad_token_id)
    told = batch._replace(
        segments_BT=torch.ones_like(batch.pieces_BT)
    )  # by a tokenizer that tells them apart
    with torch.inference_mode():
        assert torch.equal(model(batch), model(told))


def test_the_mean_is_over_a_texts_own_pieces(checkpoints: dict[str, Path]) -> None:
    tokenizer, encoded = pairs_of(checkpoints["bert"], "bert")
    model = classifier(checkpoints["bert"], reads_mean=True)
    assert len(set(encoded.pieces.lengths().tolist())) > 1
    with torch.inference_mode():
        padded = model(collate(encoded, np.arange(5), pad_id=tokenizer.pad_token_id))
        for row in range(5):
            pieces, segments = map(torch.tensor, pieces_and_segments(encoded, row))
            hidden = model.encoder(input_ids=pieces[None], token_type_ids=segments[None]).last_hidden_state
            expected = model.linear(hidden[0].mean(0))
            assert torch.allclose(padded[row], expected, atol=1e-5)


def test_losses_are_torchs() -> None:
    torch.manual_seed(0)
    outputs_PL, held_PL = torch.randn(6, 10), (torch.rand(6, 10) > 0.5).float()
    loss = HEADS["sigmoid"].summed_loss(outputs_PL, held_PL) / 6
    assert torch.allclose(loss, torch.nn.BCEWithLogitsLoss()(outputs_PL, held_PL))
    values_P1, gold_P = torch.randn(6, 1), torch.randn(6)
    loss = HEADS["regression"].summed_loss(values_P1, gold_P) / 6
    assert torch.allclose(loss, torch.nn.MSELoss()(values_P1[:, 0], gold_P))


def examples(kind: str) -> tuple[Any, list[Any]]:
    """Return a card and twenty examples of very different lengths."""
    draw = random.Random(2)
    card: Any = {"ner": NER, "relation": RELATION}.get(kind) or made_up(kind)
    rows: list[Any] = []
    for number in range(20):
        name, words = str(number), text(draw, 1, 30)
        match kind:
            case "ner":
                rows.append(Sentence(name, tuple(words.split()), "O" * len(words.split())))
            case "pico":
                rows.append(Sentence(name, tuple(words.split()), ["O"] * len(words.split())))
            case "relation":
                rows.append(Pair(name, f"@DRUG$ {words} @DISEASE$", "treats"))
            case "similarity":
                rows.append(Labelled(name, (text(draw, 1, 5), words), 1.5, 1))
            case "classification":
                rows.append(Labelled(name, (words,), LABELS[:1], 1))
            case _:
                rows.append(Labelled(name, (text(draw, 1, 5), words), "yes", 1))
    return card, rows


@pytest.mark.parametrize("pooling", ["first", "mean"])
@pytest.mark.parametrize("name", KINDS)
def test_answers_do_not_depend_on_the_batch(
    checkpoints: dict[str, Path], accelerator: Any, name: str, pooling: str
) -> None:
    kind = KINDS[name]
    if pooling == "mean" and not kind.reads_text:
        pytest.skip("words are read one by one")
    card, rows = examples(name)
    tokenizer = tokenizer_of(checkpoints["bert"], "bert")
    kind.prepare(tokenizer, card)
    encoded = kind.encode(tokenizer, rows, card, MAX_LENGTH)
    model = classifier(
        checkpoints["bert"],
        num_outputs=kind.num_outputs(card),
        states_per_decision=kind.states_per_decision,
        head=kind.head,
        reads_mean=pooling == "mean",
    )
    model.encoder.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    one, seven, all_at_once = (
        predict(model, encoded, pad_id=tokenizer.pad_token_id, accelerator=accelerator, head=model.head,
                batch_size=size)
        for size in (1, 7, 64)
    )  # fmt: skip
    assert len({*encoded.pieces.lengths().tolist()}) > 5
    for other in (seven, all_at_once):
        for a, b in zip(one, other, strict=True):
            assert np.allclose(a.labels, b.labels, atol=1e-4)
            assert np.abs(a.permille - b.permille).max(initial=0) <= 1
    answers = {f"{answer.labels.tolist()} {answer.permille.tolist()}" for answer in one}
    assert len(answers) > 1, "a model that answers one thing shows nothing"
    stored = kind.predicted(card, rows, encoded, seven)
    stored_all = {"kind": name, **kind.header(card), "dev": stored, "test": stored}
    kind.stored.model_validate(stored_all)


def task_files(folder: Path) -> TaskFiles:
    card = made_up("qa")
    path = written(folder, "a\tthe gene\tin cancer\tyes\nb\tthe gene\tin cancer\tno\n")
    splits = ("train", "dev", "test")
    return TaskFiles(card, dict.fromkeys(splits, path), dict.fromkeys(splits, "0" * 64))


def test_a_model_whose_tokenizer_puts_nothing_before_a_text_needs_a_pooling(
    checkpoints: dict[str, Path], tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(checkpoints["modernbert"], tmp_path / "no-cls"))
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.post_processor = processors.TemplateProcessing(
        single="$A [SEP]",
        pair="$A [SEP] $B [SEP]",
        special_tokens=[("[SEP]", tokenizer.token_to_id("[SEP]"))],
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    card, files = model_card("no-cls", "modernbert"), task_files(tmp_path)

    def check(model: ModelCard, tasks: list[TaskFiles]) -> list[str]:
        return _check_model(ResolvedModel(model, folder), tasks=tasks, allow_remote_code=False)

    with pytest.raises(UserError) as error:
        check(card, [files])
    assert str(error.value) == (
        "no-cls: its tokenizer puts no token before a text, of which small-qa could be decided; say "
        'pooling = "mean" (or "first") in its card'
    )
    assert check(card, [])
    for pooling in ("mean", "first"):
        assert check(card.model_copy(update={"pooling": pooling}), [files])
    usual = ResolvedModel(model_card("tiny-bert", "bert"), checkpoints["bert"])
    assert _check_model(usual, tasks=[files], allow_remote_code=False)
