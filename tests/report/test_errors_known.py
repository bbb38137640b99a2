"""`kebench errors --kb`: mentions in and out of a knowledge base, and where it counts for nothing."""

from pathlib import Path

import pytest

from kebench.cli import main
from kebench.kinds.errors import Run
from kebench.kinds.ner_errors import strata_grid
from kebench.records import record_stem, write_record
from tests.report.sample_records import sample_record
from tests.umls.releases import imported, write_release

NAMES = ("C0000001 ENG P L1 Y MSH PT D006073 N Gout", "C0000002 ENG P L2 Y MSH PT D006527 N Wilson-Disease")
WORDS = ("gout", "and", "Wilson", "disease", "and", "xyz")
GOLD, PREDICTED = "BOBIOB", "BOBOOO"  # gout right, Wilson disease cut short, xyz missed
SEEN = {"gout"}


def is_known(words: object) -> bool:
    return words in {("gout",), ("Wilson", "disease")}


def test_mentions_in_and_out_of_the_knowledge_base_are_told_apart() -> None:
    rows = {
        row[0]: row[1:] for row in strata_grid([Run(0, [GOLD], [PREDICTED])], [WORDS], SEEN, is_known).texts
    }
    assert rows["in the KB"] == ("2", "50.0", "50.0", "0.0")
    assert rows["not in the KB"] == ("1", "0.0", "0.0", "100.0")
    assert rows["in the KB, not in training"] == ("1", "0.0", "100.0", "0.0")
    assert rows["in neither"] == ("1", "0.0", "0.0", "100.0")


def test_without_a_training_set_only_the_knowledge_base_tells() -> None:
    grid = strata_grid([Run(0, [GOLD], [PREDICTED])], [WORDS], None, is_known)
    assert [row[0] for row in grid.texts][-2:] == ["in the KB", "not in the KB"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A knowledge base in kb, the sentence in data, one run on it in results."""
    folder = tmp_path_factory.mktemp("known")
    imported(write_release(folder / "release", NAMES), folder / "kb")
    data = folder / "data" / "ncbi-disease"
    data.mkdir(parents=True)
    lines = "".join(f"{word}\t{tag}\n" for word, tag in zip(WORDS, GOLD, strict=True))
    for split in ("train", "dev", "test"):
        (data / f"{split}.tsv").write_text(lines + "\n")
    record = sample_record("tiny", "ncbi-disease", seed=0)
    stem = record_stem(folder / "results", task=record.task, model="tiny", seed=0,
                       learning_rate=record.settings.learning_rate, identity=record.identity)  # fmt: skip
    stem.parent.mkdir(parents=True)
    part = {"ids": ["0"], "gold": [GOLD], "predicted": [PREDICTED], "num_kept": [6]}
    write_record(stem, record, {"kind": "ner", "negative": "", "dev": part, "test": part})
    return folder


def errors(folder: Path, *options: str, task: str = "ncbi-disease") -> None:
    main(["errors", "--model", "tiny", "--task", task, "--results", str(folder / "results"), *options])


def test_a_name_is_known_by_its_letters_and_the_note_says_so(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    errors(folder, "--kb", str(folder / "kb"), "--data", str(folder / "data"))
    lines = capsys.readouterr().out.splitlines()
    assert ["in", "the", "KB", "2", "50.0", "50.0", "0.0"] in [line.split() for line in lines]
    assert any(line.startswith("in the KB: letters and digits of the mention") for line in lines)


@pytest.mark.parametrize(
    ("options", "task", "message"),
    [
        (["--kb", "nowhere"], "gad", "--kb tells known entities from others; gad has none, leave it out"),
        (["--kb", "nowhere"], "ncbi-disease", "nowhere"),
    ],
)
def test_a_knowledge_base_that_cannot_count_is_refused(
    folder: Path, options: list[str], task: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        errors(folder, *options, "--data", str(folder / "data"), task=task)
    assert stop.value.code == 2
    assert message in capsys.readouterr().err


def test_a_knowledge_base_needs_the_words_of_the_task(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("KEBENCH_DATA", str(tmp_path))
    with pytest.raises(SystemExit) as stop:
        errors(folder, "--kb", str(folder / "kb"))
    assert stop.value.code == 2
    shown = capsys.readouterr()
    assert "no folder ncbi-disease" in shown.err
    assert "without words" not in shown.err
    assert shown.out == ""
