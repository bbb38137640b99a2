"""The converter: released files to a directory of ours, and back."""

import json
import shutil
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest
import torch
from click.testing import CliRunner, Result

from kebench.cli.model import model as command
from kebench.errors import UserError
from kebench.model.checkpoint import load_masked_lm, load_tokenizer
from tests.model.test_kebiolm import padded, small, texts

NAMES = ["[PAD_ENT]", "[UNK_ENT]", "[NIL_ENT]", *(f"C{number:07}" for number in range(3, 40))]


@pytest.fixture
def released(tmp_path: Path) -> Path:
    """Files as the authors' code wrote them: a pickle, old LayerNorm names, a config without a model_type."""
    folder = tmp_path / "released"
    folder.mkdir()
    model = small(fidelity="released")
    weights = {
        name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): value
        for name, value in model.state_dict().items()
    }
    torch.save(
        weights | {"bert.embeddings.position_ids": torch.arange(20)[None]}, folder / "pytorch_model.bin"
    )
    config = model.config.to_dict()
    for name in ("model_type", "fidelity", "special_entities", "fusion_layer_norm", "backbone"):
        config.pop(name)
    (folder / "config.json").write_text(json.dumps(config))
    rows = [{"entity_name": name, "id": row, "names": ["x"]} for row, name in enumerate(NAMES)]
    (folder / "entity.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *(f"p{number}" for number in range(55))]
    (folder / "vocab.txt").write_text("".join(f"{piece}\n" for piece in pieces))
    return folder


def convert(source: Path, out: Path, *options: str) -> Result:
    return CliRunner().invoke(
        command, ["convert", str(source), "--out", str(out), *options], catch_exceptions=False
    )


def test_a_released_checkpoint_becomes_a_directory_that_says_the_same(released: Path, tmp_path: Path) -> None:
    result = convert(released, tmp_path / "ours")
    assert "2 layers of text and 1 of text and entities, 37 entities and 3 special rows" in result.stdout
    converted = load_masked_lm(tmp_path / "ours").eval()
    assert converted.config.fidelity == "released"
    assert converted.config.special_entities == [0, 1, 2]
    with torch.no_grad():
        expected = small(fidelity="released")(padded(texts())).logits
        assert torch.equal(converted(padded(texts())).logits, expected)
    table = pyarrow.parquet.read_table(tmp_path / "ours" / "entities.parquet")
    assert table["cui"].to_pylist() == NAMES
    assert load_tokenizer(tmp_path / "ours").convert_tokens_to_ids("p3") == 8


def test_and_back(released: Path, tmp_path: Path) -> None:
    convert(released, tmp_path / "ours", "--fidelity", "fixed")
    convert(tmp_path / "ours", tmp_path / "back", "--to", "released")
    before, after = (
        torch.load(folder / "pytorch_model.bin", weights_only=True)
        for folder in (released, tmp_path / "back")
    )
    for name, value in after.items():
        old = name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta")
        assert torch.equal(value, before[old]), name
    ids = [json.loads(line) for line in (tmp_path / "back" / "entity.jsonl").read_text().splitlines()]
    assert [one["entity_name"] for one in ids] == NAMES
    assert json.loads((tmp_path / "back" / "config.json").read_text())["num_context_layers"] == 2
    assert (tmp_path / "back" / "vocab.txt").read_text() == (released / "vocab.txt").read_text()


def test_our_own_model_gets_the_three_special_rows_that_the_released_code_wants(
    released: Path, tmp_path: Path
) -> None:
    lines = [
        json.dumps({"entity_name": f"C{number}", "id": number}) for number in range(40)
    ]  # as of a model of ours: no special row
    (released / "entity.jsonl").write_text("\n".join(lines))
    convert(released, tmp_path / "ours")
    result = convert(tmp_path / "ours", tmp_path / "back", "--to", "released")
    assert "40 entities and 3 special rows" in result.stdout
    memory = torch.load(tmp_path / "back" / "pytorch_model.bin", weights_only=True)[
        "bert.entity_linker.entity_embeddings.weight"
    ]
    assert memory.shape[0] == 43
    assert memory[:3].abs().max() == 0
    first = json.loads((tmp_path / "back" / "entity.jsonl").read_text().splitlines()[3])
    assert first == {"entity_name": "C0", "id": 3}


def damaged(released: Path, what: str) -> None:
    if what == "entities":
        (released / "entity.jsonl").write_text('{"entity_name": "C1", "id": 99}\n')
    elif what == "no entities":
        (released / "entity.jsonl").unlink()
    elif what == "config":
        stated: dict[str, Any] = json.loads((released / "config.json").read_text())
        (released / "config.json").write_text(json.dumps(stated | {"num_context_layers": 9}))
    elif what == "layers":
        stated = json.loads((released / "config.json").read_text())
        (released / "config.json").write_text(json.dumps(stated | {"num_hidden_layers": 4}))
    elif what in ("heads", "width"):
        stated = json.loads((released / "config.json").read_text())
        changed = {"num_attention_heads": "x"} if what == "heads" else {"hidden_size": 32}
        (released / "config.json").write_text(json.dumps(stated | changed))
    elif what == "weights":
        torch.save({"x": torch.ones(1)}, released / "pytorch_model.bin")
    else:
        path = released / "pytorch_model.bin"
        path.write_bytes(path.read_bytes()[:1000])


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("entities", r'entity.jsonl line 1: expected {"entity_name": ..., "id": 0 to 39}'),
        ("no entities", r"entity.jsonl: cannot be read .* it comes with the released weights"),
        ("config", r"config.json: no KeBioLM can be made of it .*num_context_layers = 9; expected 0 to 3"),
        ("heads", r"config.json: no KeBioLM can be made of it \("),
        ("width", r"word_embeddings.weight is \(60, 16\) in the weights, \(60, 32\) by config.json"),
        ("layers", r"the weights lack bert.recontext_encoder.layer.1"),
        ("weights", r"no bert.entity_linker.entity_embeddings.weight; this is no released KeBioLM"),
        ("cut off", r"pytorch_model.bin: not a readable weights file"),
    ],
)
def test_files_that_do_not_fit_are_refused_and_nothing_is_written(
    released: Path, what: str, message: str, tmp_path: Path
) -> None:
    damaged(released, what)
    with pytest.raises(UserError, match=message):
        convert(released, tmp_path / "ours")
    assert not (tmp_path / "ours").exists()


def test_a_folder_that_exists_or_is_no_kebiolm_is_refused(released: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="exists; choose another --out, or remove it"):
        convert(released, released)
    convert(released, tmp_path / "ours")
    with pytest.raises(UserError, match="already a directory of ours; --to released makes"):
        convert(tmp_path / "ours", tmp_path / "again")
    shutil.copytree(released, tmp_path / "bert")
    with pytest.raises(UserError, match="says 'bert', not kebiolm; nothing to convert"):
        convert(tmp_path / "bert", tmp_path / "out", "--to", "released")


def test_what_is_suggested_for_a_checkpoint_goes_with_it_both_ways(released: Path, tmp_path: Path) -> None:
    said = '{"learning_rates":[0.0002],"reason":"small","origin":"minilm"}'
    (released / "suggested.json").write_text(said)
    convert(released, tmp_path / "ours")
    convert(tmp_path / "ours", tmp_path / "back", "--to", "released")
    for folder in ("ours", "back"):
        assert json.loads((tmp_path / folder / "suggested.json").read_text()) == json.loads(said)
