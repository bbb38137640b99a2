"""Model cards: every shipped one reads, and a wrong one is refused with file and field."""

import re
from pathlib import Path

import pytest

from kebench.cards import ModelCard, model_card_paths, read_card, read_model_card
from kebench.errors import UserError
from kebench.model.layout import kind_of_family
from kebench.shipped import shipped

NAMES = sorted(path.stem for path in shipped("baselines").glob("*.toml"))

# Table 2 of the KeBioLM paper.
PAPER = {"biobert", "scibert", "clinicalbert", "bluebert", "diseasebert", "bio-lm", "pubmedbert", "kebiolm"}


@pytest.mark.parametrize("name", NAMES)
def test_a_shipped_card_reads_and_is_filled_in(name: str) -> None:
    card = read_model_card(name)
    assert card.title
    assert card.licence
    assert kind_of_family(card.family) is not None, "told without torch"
    assert card.kind in ("", kind_of_family(card.family))
    assert re.fullmatch(r"([0-9a-f]{64})?", card.sha256)
    assert re.fullmatch(r"([0-9a-f]{40})?", card.revision)
    assert re.search(r"\b(19|20)\d\d\b", card.citation) or card.source_kind == "embedded", (
        "a citation has a year"
    )
    assert not card.trust_remote_code


@pytest.mark.parametrize("name", NAMES)
def test_a_shipped_cards_source_has_the_form_of_its_kind(name: str) -> None:
    forms = {
        "hub": r"[\w.-]+/[\w.-]+",
        "package": r"[\w-]+==[\w.]+#[\w/]+(/[\w.-]+\.gguf)?",
        "url": r"https://\S+",
        "manual": r".+",
        "embedded": r"[\w-]+",
    }
    card = read_model_card(name)
    assert re.fullmatch(forms[card.source_kind], card.source_value)
    assert card.sha256 or card.source_kind != "package", "a stranger's upload is held to its sha256"


def test_the_papers_eight_models_have_cards() -> None:
    assert set(NAMES) >= PAPER


CARD = """
name = "mine"
title = "Mine"
family = "bert"
source = "path:/somewhere"
casing = "cased"
licence = "MIT"
citation = ""
"""


def read(text: str, tmp_path: Path) -> ModelCard:
    (tmp_path / "mine.toml").write_text(text)
    return read_card(tmp_path / "mine.toml", ModelCard)


def test_a_card_says_nothing_of_an_mlm_head_nobody_has_looked_for(tmp_path: Path) -> None:
    assert read(CARD, tmp_path).mlm_head is None


@pytest.mark.parametrize(
    ("wrong", "expected"),
    [
        (
            CARD.replace('"cased"', '"upper"'),
            r"mine\.toml: casing = 'upper': Input should be 'cased' or 'uncased'",
        ),
        (CARD + 'colour = "red"\n', r"mine\.toml: colour = 'red': Extra inputs are not permitted"),
        (CARD.replace('licence = "MIT"', ""), r"mine\.toml: licence: Field required"),
        (CARD.replace("path:", "ftp:"), r"'ftp:/somewhere' names no source; expected one of hub, package"),
        (CARD.replace('"Mine"', "Mine"), r"mine\.toml: not valid TOML"),
    ],
)
def test_a_wrong_card_is_refused_with_file_and_field(tmp_path: Path, wrong: str, expected: str) -> None:
    with pytest.raises(UserError, match=expected):
        read(wrong, tmp_path)


def test_a_card_is_called_like_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "baselines").mkdir()
    (tmp_path / "baselines" / "yours.toml").write_text(CARD)
    with pytest.raises(UserError, match="name = 'mine', expected 'yours' as in the file's name"):
        read_model_card("yours")


def test_a_card_in_the_working_folder_comes_before_a_shipped_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "baselines").mkdir()
    (tmp_path / "baselines" / "minilm.toml").write_text(CARD.replace('"mine"', '"minilm"'))
    assert read_model_card("minilm").title == "Mine"
    assert model_card_paths()["biobert"].is_file()


def test_an_unknown_name_is_met_with_the_nearest() -> None:
    expected = r"no model 'kebilm'; did you mean 'kebiolm'\? 'kebench model list' shows all"
    with pytest.raises(UserError, match=expected):
        read_model_card("kebilm")
