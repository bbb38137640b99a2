"""Words that a tokenizer does not know: how many, and the likeliest reason."""

from pathlib import Path
from typing import Any

import pytest

from kebench.finetune.encode import UnknownWords, count_unknown
from kebench.finetune.job import fine_tune
from kebench.kinds.pairs import Pair
from kebench.kinds.tagging import Sentence
from kebench.model.checkpoint import load_tokenizer
from kebench.runtime import software
from tests.finetune.small_tasks import NER, RELATION, job_on
from tests.tiny_checkpoints import write_tiny_old_bert


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkpoint with a bare uncased vocabulary of English letters, and an empty cache."""
    monkeypatch.setenv("KEBENCH_CACHE", str(tmp_path / "cache"))
    return write_tiny_old_bert(tmp_path / "bert", cased=False)


def count(folder: Path, *words: str, casing: str = "uncased", sha256: str = "") -> UnknownWords:
    sentence = Sentence("0", words, "O" * len(words))
    data = sha256 or " ".join(words)
    return count_unknown(load_tokenizer(folder, casing=casing), NER, lambda: [sentence], data_sha256=data)


def test_every_occurrence_counts(folder: Path) -> None:
    found = count(folder, "the", "ανα", "the", "ανα", "disease")
    assert (found.num_words, found.num_unknown, found.by_reason) == (5, 2, {"characters": 2})
    assert found.percent == 40


def test_a_share_of_one_in_a_hundred_needs_no_word(folder: Path) -> None:
    assert count(folder, *["the"] * 99, "ανα").warning == ""
    assert count(folder, *["the"] * 98, "ανα").warning.startswith("1 of 99 words (1.0%) are unknown")


@pytest.mark.parametrize(
    ("words", "casing", "reason", "shown"),
    [
        (["The", "IL2", "the"], "cased", "capitals", "(The, IL2) are known in small letters"),
        (["naïve", "cafés", "the"], "cased", "accents", "(naïve, cafés) are known without accents"),
        (["α-amylase", "NF-κB", "α"], "uncased", "characters", "(α, κ) are or hold characters"),
        (["c" * 101, "the"], "uncased", "length", f"({'c' * 20}...) are longer than 100"),
    ],
)
def test_the_likeliest_reason_is_named(
    folder: Path, words: list[str], casing: str, reason: str, shown: str
) -> None:
    found = count(folder, *words, casing=casing)
    assert found.by_reason == {reason: found.num_unknown}
    assert shown in found.warning


def test_pieces_that_stand_only_at_the_beginning_of_words_are_named_as_that(folder: Path) -> None:
    pieces = (folder / "vocab.txt").read_text().split("\n")
    (folder / "vocab.txt").write_text(
        "\n".join(f"[unused{n}]" if p == "##q" else p for n, p in enumerate(pieces))
    )
    found = count(folder, "aq", "q")
    assert found.by_reason == {"pieces": 1}
    assert "made of characters that are known by themselves alone" in found.warning


def test_entity_indicators_are_no_words(folder: Path) -> None:
    pair = Pair("0", "the @DRUG$ treats α @DISEASE$, cancer", "treats")
    tokenizer = load_tokenizer(folder, casing="uncased")
    found = count_unknown(tokenizer, RELATION, lambda: [pair], data_sha256="x")
    assert (found.num_words, found.num_unknown) == (4, 1)


def test_what_was_counted_is_not_read_again(folder: Path) -> None:
    first = count(folder, "the", "α", sha256="one file")
    assert count(folder, "another", "text", sha256="one file") == first


def test_a_record_holds_the_words_of_every_split(
    folder: Path, data: Path, accelerator: Any, tmp_path: Path
) -> None:
    train = data / "small-ner" / "train.tsv"
    train.write_text(train.read_text() + "\nα\tO\n")
    job = job_on(NER, data, folder, epochs=1)
    record = fine_tune(job, accelerator=accelerator, software=software()).record
    num_words = sum(1 for line in train.read_text().split("\n") if line)
    facts = record.splits["train"]
    assert (facts.num_words, facts.num_unknown_words) == (num_words, 1)
    assert record.splits["test"].num_unknown_words == 0
