"""`kebench model`: what it prints, and where."""

import json
import re
import tomllib
from pathlib import Path

import pytest
import transformers

from kebench.cards import ModelCard, Suggested, card_as_toml, read_card
from kebench.cli import main
from kebench.mini.build import _key
from kebench.model.source import card_of_source
from tests.tiny_checkpoints import write_tiny_bert, write_tiny_lm, write_tiny_old_bert


def fails(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 2
    return capsys.readouterr().err


def test_list_shows_every_card_within_80_columns(
    cache: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    main(["model", "list"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["name", "family", "kind", "casing", "MLM", "head", "source", "cached"]
    assert ["minilm", "bert", "masked", "uncased", "no", "package", "no"] in [line.split() for line in lines]
    assert ["biobert", "bert", "masked", "cased", "-", "hub", "no"] in [line.split() for line in lines]
    assert max(len(line) for line in lines) <= 80


def test_an_embedded_model_is_cached_once_it_is_made(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["model", "list", "--format", "json"])
    rows = {row["name"]: row["cached"] for row in json.loads(capsys.readouterr().out)}
    assert rows["bert-mini"] is False
    (cache / "mini" / f"bert-mini-{_key()}").mkdir(parents=True)
    main(["model", "list", "--format", "json"])
    rows = {row["name"]: row["cached"] for row in json.loads(capsys.readouterr().out)}
    assert (rows["bert-mini"], rows["bert-mini-random"]) == (True, False)


def test_list_as_json_says_what_is_cached(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_tiny_old_bert(cache / "models" / "manual" / "diseasebert")
    main(["model", "list", "--format", "json"])
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert rows["diseasebert"]["cached"] is True
    assert rows["kebiolm"] == {
        "name": "kebiolm",
        "family": "kebiolm",
        "kind": "masked",
        "casing": "uncased",
        "mlm_head": True,
        "source": "manual",
        "cached": False,
    }


def test_show_prints_every_field_and_the_suggested_rates(
    cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["model", "show", "minilm"])
    shown = capsys.readouterr().out
    for field in ModelCard.model_fields:
        assert f"\n{field}" in f"\n{shown}"
    assert "learning_rates     0.0002" in shown


def test_add_writes_a_card_that_reads_back(
    tmp_path: Path, cache: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_tiny_bert(tmp_path / "my bert")
    main(["model", "add", "mine", "--from", "my bert"])
    printed = capsys.readouterr()
    assert printed.out == "baselines/mine.toml\n"
    assert "mine: bert, 2 layers x 16" in printed.err
    assert "uncased pieces, an MLM head" in printed.err
    card = read_card(tmp_path / "baselines" / "mine.toml", ModelCard)
    assert (card.family, card.casing, card.mlm_head) == ("bert", "uncased", True)
    main(["model", "get", "mine"])
    assert capsys.readouterr().out == f"mine\t{tmp_path / 'my bert'}\n"


def test_add_overwrites_no_card(
    tmp_path: Path, cache: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = str(write_tiny_bert(tmp_path / "bert"))
    main(["model", "add", "mine", "--from", folder])
    capsys.readouterr()
    expected = (
        "kebench: 'mine' is there already: baselines/mine.toml; choose another name, or delete that card\n"
    )
    assert fails(["model", "add", "mine", "--from", folder], capsys) == expected


def test_add_writes_no_card_for_what_does_not_load(
    tmp_path: Path, cache: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_tiny_bert(tmp_path / "bert")
    (tmp_path / "bert" / "model.safetensors").write_bytes(b"cut off")
    assert "not a safetensors file" in fails(["model", "add", "mine", "--from", "bert"], capsys)
    assert not (tmp_path / "baselines").exists()


@pytest.mark.parametrize("name", ["Mine", "../mine", "a b"])
def test_add_refuses_a_name_that_no_card_can_have(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = str(write_tiny_bert(tmp_path / "bert"))
    assert f"'{name}' cannot be a model's name" in fails(["model", "add", name, "--from", folder], capsys)


def test_a_card_with_a_suggestion_is_written_so_that_it_reads_the_same() -> None:
    card = card_of_source("path:/a", name="a").model_copy(
        update={"suggested": Suggested(learning_rates=(1e-05, 1e-3), reason='"tiny"', origin="b")}
    )
    assert ModelCard.model_validate(tomllib.loads(card_as_toml(card))) == card


def test_show_and_add_measure_what_stands_before_a_text_of_a_causal_model(
    tmp_path: Path, cache: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_tiny_lm(tmp_path / "gpt", "gpt2")
    main(["model", "add", "mine", "--from", "gpt"])
    said = capsys.readouterr().err
    assert "mine: gpt2, 2 layers x 16, " in said
    assert "276 cased pieces, a causal language model" in said
    (measured,) = re.findall(r"perplexity of 4 English sentences by what stands before them: (.+)", said)
    tokens = [part.split()[0] for part in measured.split(", ") if part.count(" ")]
    assert set(tokens) >= {"none", "<|endoftext|>", "<|im_start|>", "</s>"}
    card = read_card(tmp_path / "baselines" / "mine.toml", ModelCard)
    assert (card.kind, card.start_token, card.mlm_head) == ("causal", tokens[0], False)
    assert f'start_token = "{tokens[0]}", which has the lowest' in said
    main(["model", "show", "mine", "--format", "json"])
    shown = json.loads(capsys.readouterr().out)
    assert next(iter(shown["start_tokens"])) == tokens[0]
    assert shown["start_tokens"]["<|im_start|>"].endswith("(bos_token)")
    main(["model", "get", "mine"])
    assert capsys.readouterr().out == f"mine\t{tmp_path / 'gpt'}\n"


def test_show_says_of_a_start_token_that_it_is_no_token(
    tmp_path: Path, cache: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_tiny_lm(tmp_path / "gpt", "gpt2")
    main(["model", "add", "mine", "--from", "gpt"])
    card = tmp_path / "baselines" / "mine.toml"
    card.write_text(re.sub("start_token = .*", 'start_token = "<|begin|>"', card.read_text()))
    main(["model", "show", "mine"])
    said = capsys.readouterr().err
    assert "mine: cannot be run: the card of 'mine', start_token: '<|begin|>' is no token of" in said


def test_add_leaves_out_a_start_token_that_the_tokenizer_puts(
    tmp_path: Path, cache: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_tiny_lm(tmp_path / "gpt", "gpt2", start="<|endoftext|>")
    main(["model", "add", "mine", "--from", "gpt"])
    said = "start_token is left out: the tokenizer puts <|endoftext|> before a text"
    assert said in capsys.readouterr().err
    assert read_card(tmp_path / "baselines" / "mine.toml", ModelCard).start_token == ""


def test_an_encoder_decoder_gets_a_card(
    tmp_path: Path, cache: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_tiny_lm(tmp_path / "t5", "t5")
    main(["model", "add", "mine", "--from", "t5"])
    assert "pieces, an encoder-decoder language model" in capsys.readouterr().err
    card = read_card(tmp_path / "baselines" / "mine.toml", ModelCard)
    assert (card.kind, card.start_token) == ("encoder-decoder", "")


def test_add_writes_no_card_for_a_model_without_its_head(
    tmp_path: Path, cache: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = write_tiny_lm(tmp_path / "gpt", "gpt2")
    transformers.AutoModel.from_pretrained(folder).save_pretrained(folder)
    said = fails(["model", "add", "mine", "--from", "gpt"], capsys)
    assert "no causal language modelling head: config.json says it was saved as GPT2Model" in said
    assert not (tmp_path / "baselines").exists()


@pytest.mark.parametrize("family", ["llama", "t5"])
def test_commands_that_need_an_encoder_name_the_one_that_does_not(
    tmp_path: Path, cache: Path, capsys: pytest.CaptureFixture[str], family: str
) -> None:
    folder = str(write_tiny_lm(tmp_path / family, family))
    said = fails(["run", "--model", folder, "--tasks", "mini", "--budget", "smoke"], capsys)
    kind = "a causal" if family == "llama" else "an encoder-decoder"
    assert f"a '{family}', {kind} language model; this takes encoders" in said
    assert "asked by 'kebench probe rank'" in said
