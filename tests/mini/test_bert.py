from pathlib import Path

import pytest
import torch

from kebench.mini.bert import MASK, PAD, Pretraining, mask_tokens, write_model

FEW_STEPS = Pretraining(steps=5, batch_size=8)


@pytest.fixture(scope="module")
def corpus(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    lines = (built / "corpus.jsonl").read_text(encoding="utf-8").splitlines()[:60]
    path = tmp_path_factory.mktemp("corpus") / "corpus.jsonl"
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def model(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bert-mini")
    write_model(corpus, folder, seed=1, how=FEW_STEPS)
    return folder


def test_auto_classes_load_it_with_no_missing_weight(model: Path) -> None:
    from transformers import AutoModel, AutoModelForMaskedLM, AutoTokenizer

    for auto in (AutoModel, AutoModelForMaskedLM):
        loaded, report = auto.from_pretrained(model, output_loading_info=True)
        # kebench never uses a pooler, and masked language modelling trains none
        assert not [name for name in report["missing_keys"] if not name.startswith("pooler.")]
    tokenizer = AutoTokenizer.from_pretrained(model)
    assert len(tokenizer) == loaded.config.vocab_size
    assert (tokenizer.mask_token_id, tokenizer.pad_token_id) == (MASK, PAD)


def test_the_head_and_the_embedding_share_their_vocabulary(model: Path) -> None:
    from transformers import AutoModelForMaskedLM

    loaded = AutoModelForMaskedLM.from_pretrained(model)
    assert loaded.cls.predictions.decoder.weight is loaded.bert.embeddings.word_embeddings.weight


def test_the_tokenizer_is_uncased_and_frames_a_sentence(model: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(model)
    assert tokenizer("Patients")["input_ids"] == tokenizer("patients")["input_ids"]
    tokens = tokenizer.convert_ids_to_tokens(tokenizer("patients", "were")["input_ids"])
    assert [t for t in tokens if t.startswith("[")] == ["[CLS]", "[SEP]", "[SEP]"]


def test_the_same_seed_trains_the_same_weights(model: Path, corpus: Path, tmp_path: Path) -> None:
    write_model(corpus, tmp_path, seed=1, how=FEW_STEPS)
    for name in ("model.safetensors", "tokenizer.json"):
        assert (tmp_path / name).read_bytes() == (model / name).read_bytes()


def test_without_pretraining_only_the_weights_differ(model: Path, corpus: Path, tmp_path: Path) -> None:
    write_model(corpus, tmp_path, seed=1, pretrain=False, how=FEW_STEPS)
    assert (tmp_path / "tokenizer.json").read_bytes() == (model / "tokenizer.json").read_bytes()
    assert (tmp_path / "config.json").read_bytes() == (model / "config.json").read_bytes()
    assert (tmp_path / "model.safetensors").read_bytes() != (model / "model.safetensors").read_bytes()


def test_training_leaves_the_global_random_state_alone(corpus: Path, tmp_path: Path) -> None:
    before = torch.random.get_rng_state()
    write_model(corpus, tmp_path, seed=1, how=FEW_STEPS)
    assert torch.equal(before, torch.random.get_rng_state())


def test_only_real_tokens_are_masked_at_the_share_asked_for() -> None:
    token_BT = torch.full((100, 100), 50)
    token_BT[:, 0], token_BT[:, -10:] = 2, PAD
    generator = torch.Generator().manual_seed(1)
    input_BT, is_masked_BT = mask_tokens(token_BT, share=0.15, vocabulary_size=1000, generator=generator)
    assert not is_masked_BT[:, 0].any()
    assert not is_masked_BT[:, -10:].any()
    assert is_masked_BT[:, 1:-10].float().mean().item() == pytest.approx(0.15, abs=0.02)
    assert (input_BT[is_masked_BT] == MASK).float().mean().item() == pytest.approx(0.8, abs=0.05)
    assert torch.equal(input_BT[~is_masked_BT], token_BT[~is_masked_BT])
