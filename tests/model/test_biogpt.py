"""BioGPT's tokenizer: the pieces of its own slow one, and where in the text each stands."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import transformers

from kebench.errors import UserError
from kebench.model.checkpoint import load_causal_lm, load_lm_tokenizer
from kebench.model.start_token import tokens_put
from tests.tiny_checkpoints import write_tiny_lm

sacremoses = pytest.importorskip("sacremoses", reason="pip install 'kebench[biogpt]'")

TEXTS = [
    "Propranolol may treat hypertension.",
    "5-hydroxytryptamine (5-HT) and TNF-alpha, i.e. cachectin; Dr. Smith's IL-2...",
    "10,000 cells at 37.5 °C & pH < 7.4 | [Na+] \"high\" 'low' `x`",
    "Sjögren's syndrome, β-catenin and the Epstein–Barr virus",
    "a--b - c -d e- @-@ &amp; @GENE$ can't won't o'clock",
    "U.S.A. vs. No. 5 Fig. 2. The end",
    "  two  blanks\tand a tab\u200b ",
    "</s> is special, <unk> too",
    "",
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BioGPT with its own files; some pieces that its merges make on the way are in no vocabulary."""
    place = write_tiny_lm(tmp_path_factory.mktemp("biogpt"), "biogpt", vocab_size=208)
    for name in ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"):
        (place / name).unlink(missing_ok=True)
    letters = [chr(code) for code in range(33, 127)]
    steps = (
        "h y, hy p, hyp e, t r, tr e, tre a, trea t</w>, l o, lo l</w>, @ -, @- @</w>, & a, &a p, &ap o, "
        "&apo s, &apos ;, &apos; s</w>"
    )
    merges = steps.split(", ")
    pieces = ["<s>", "<pad>", "</s>", "<unk>", *letters, *(f"{letter}</w>" for letter in letters)]
    pieces += [merge.replace(" ", "") for merge in merges if merge not in ("tr e", "& a")]
    (place / "vocab.json").write_text(json.dumps({piece: number for number, piece in enumerate(pieces)}))
    (place / "merges.txt").write_text("\n".join(f"{merge} 1" for merge in merges) + "\n")
    return place


@pytest.mark.parametrize("text", TEXTS)
def test_the_pieces_are_those_of_the_slow_tokenizer(folder: Path, text: str) -> None:
    slow: Any = transformers.BioGptTokenizer.from_pretrained(folder)
    assert load_lm_tokenizer(folder)(text)["input_ids"] == slow(text)["input_ids"]


@pytest.mark.parametrize("text", TEXTS)
def test_each_piece_stands_where_its_letters_do(folder: Path, text: str) -> None:
    tokenizer = load_lm_tokenizer(folder)
    encoding = tokenizer(text, return_offsets_mapping=True, add_special_tokens=False)
    last = 0
    for number, (start, end) in zip(encoding["input_ids"], encoding["offset_mapping"], strict=True):
        assert last - 1 <= start < end <= len(text)  # two pieces may be of one escaped sign
        last = end
        piece = tokenizer.convert_ids_to_tokens(number).removesuffix("</w>")
        if piece not in ("<unk>", "</s>") and not set(piece) & set("&;@"):
            assert text[start:end] == piece or len(text[start:end]) == 1
    covered = {place for start, end in encoding["offset_mapping"] for place in range(start, end)}
    assert all(place in covered for place, letter in enumerate(text) if letter.isalnum())


def test_a_piece_with_an_escaped_sign_has_the_place_of_all_its_letters(folder: Path) -> None:
    text = "Smith's & b"
    encoding = load_lm_tokenizer(folder)(text, return_offsets_mapping=True, add_special_tokens=False)
    assert [text[start:end] for start, end in encoding["offset_mapping"]][5:] == ["'s", *"&&&&", "b"]


def test_without_sacremoses_the_command_that_installs_it_is_named(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "sacremoses", None)
    with pytest.raises(UserError, match=r"needs the package sacremoses; pip install 'kebench\[biogpt\]'"):
        load_lm_tokenizer(folder)


def test_its_own_token_stands_before_a_text_and_the_model_reads_it(folder: Path) -> None:
    tokenizer = load_lm_tokenizer(folder)
    assert tokenizer.convert_ids_to_tokens(list(tokens_put(tokenizer))) == ["</s>"]
    ids = tokenizer("Propranolol may treat", return_tensors="pt")["input_ids"]
    assert load_causal_lm(folder)(ids).logits.isfinite().all()
