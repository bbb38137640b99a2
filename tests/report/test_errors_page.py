"""`kebench errors --out`: one file that runs no script, with sentences in colour and reliability plots."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kebench.cli import main
from kebench.records import record_stem, write_record
from tests.report.browser import accessibility_faults, opened_browser
from tests.report.sample_records import sample_record

pytest.importorskip("altair")
WORDS = ("Patients", "with", "<b>gout</b>", "or", "Wilson", "disease", "and", "xyz")
GOLD, PREDICTED = "OOBOBIOB", "OOBBOBOO"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Data of one sentence, and two runs on it: gout right, a boundary wrong, xyz missed, 'or' spurious."""
    folder = tmp_path_factory.mktemp("errors")
    data = folder / "data" / "ncbi-disease"
    data.mkdir(parents=True)
    lines = "".join(f"{word}\t{tag}\n" for word, tag in zip(WORDS, GOLD, strict=True))
    for split in ("train", "dev", "test"):
        (data / f"{split}.tsv").write_text(lines + "\n")
    for seed in (0, 1):
        record = sample_record("tiny", "ncbi-disease", seed=seed)
        stem = record_stem(folder / "results", task=record.task, model="tiny", seed=seed,
                           learning_rate=record.settings.learning_rate, identity=record.identity)  # fmt: skip
        stem.parent.mkdir(parents=True, exist_ok=True)
        part = {"ids": ["0"], "gold": [GOLD], "predicted": [PREDICTED], "num_kept": [8],
                "confidence_permille": [[990, 980, 900, 500, 600, 700, 980, 990]]}  # fmt: skip
        write_record(stem, record, {"kind": "ner", "negative": "", "dev": part, "test": part})
    return folder


@pytest.fixture(scope="module")
def page(folder: Path) -> Path:
    options = ["--results", str(folder / "results"), "--data", str(folder / "data")]
    main(["errors", "--model", "tiny", "--task", "ncbi-disease", *options, "--out", str(folder / "e.html")])
    return folder / "e.html"


def test_it_holds_the_tables_a_plot_of_each_kind_and_the_sentence_in_colour(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert text.count("<svg") == 2
    assert "script-src &#39;none&#39;" in text
    assert "<script" not in text
    assert '<mark class="correct" title="correct">&lt;b&gt;gout&lt;/b&gt;' in text
    assert '<mark class="missed" title="missed">xyz' in text
    assert '<mark class="spurious" title="spurious">or' in text
    assert re.search(r'<mark class="boundary" title="boundary">Wilson disease', text)
    # of three predicted: [2] 0.9 right; [3] 0.5 and [5] without a B before it is none
    assert "Expected calibration error of predicted entities" in text
    assert "[~boundary]" not in text  # the terminal's legend; here colours say it
    assert "share it only where the data may be shared" in text


def test_a_page_without_sentences_does_not_say_that_it_holds_some(folder: Path) -> None:
    options = ["--results", str(folder / "results"), "--data", str(folder / "data"), "--n", "0"]
    main(["errors", "--model", "tiny", "--task", "ncbi-disease", *options, "--out", str(folder / "n.html")])
    assert "It holds sentences" not in (folder / "n.html").read_text(encoding="utf-8")


def test_plots_that_are_not_installed_are_named_before_anything_is_written(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "altair", None)
    options = ["--results", str(folder / "results"), "--data", str(folder / "data")]
    with pytest.raises(SystemExit):
        main(
            [
                "errors",
                "--model",
                "tiny",
                "--task",
                "ncbi-disease",
                *options,
                "--out",
                str(folder / "no.html"),
            ]
        )
    assert "pip install 'kebench[charts]'" in capsys.readouterr().err
    assert not (folder / "no.html").exists()


@pytest.fixture(scope="module")
def browser(page: Path) -> Iterator[Any]:
    with opened_browser(f"file://{page}") as driver:
        yield driver


@pytest.mark.slow
def test_a_browser_complains_of_nothing_and_neither_does_axe(browser: Any) -> None:
    assert browser.get_log("browser") == []
    assert accessibility_faults(browser) == []


def test_a_phone_shows_it_without_scrolling_sideways(browser: Any) -> None:
    browser.set_window_size(360, 740)
    width, inner = browser.execute_script("return [document.documentElement.scrollWidth, innerWidth]")
    assert width <= inner
