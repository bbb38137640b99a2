"""A kind of task that only this test knows runs from its card to every report, with scores below zero."""

import json
import random
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import pytest
from scipy.stats import pearsonr

from kebench.cli import main
from kebench.errors import UserError
from kebench.grid import Grid, Sheet
from kebench.kinds.card import TaskCard
from kebench.kinds.encoded import Answer, Encoded, encode_texts
from kebench.kinds.errors import Asked, Errors
from kebench.kinds.kind import Kind, Read, Stored, StoredSplit, Words
from kebench.kinds.lines import LineError, numbered_lines
from kebench.kinds.registry import KINDS
from kebench.kinds.stored import read_predictions
from kebench.records import read_record, record_paths

WORDS = ["gout", "lung", "heart", "fever", "pain", "drug", "gene", "cell", "blood", "liver"]


class Likeness(NamedTuple):
    """Two texts, and how alike they are."""

    id: str
    first: str
    second: str
    value: float

    @property
    def text(self) -> str:
        return f"{self.first} {self.second}"

    @property
    def words(self) -> tuple[str, ...]:
        return (self.first, self.second)

    @property
    def gold(self) -> str:
        return f"{self.value:g}"


class LikenessCard(TaskCard):
    kind: Literal["likeness"] = "likeness"
    format: Literal["two-texts"]
    metric: Literal["pearson", "spearman"] = "pearson"


def read(card: LikenessCard, path: Path) -> Read:
    rows = []
    for number, line in numbered_lines(path, card.remedy):
        if line:
            fields = line.split("\t")
            if len(fields) != 4:
                raise LineError(path, number, f"{len(fields)} columns, expected 4", card.remedy)
            rows.append(Likeness(*fields[:3], float(fields[3])))
    return Read(rows)


def encode(tokenizer: Any, rows: Sequence[Likeness], card: LikenessCard, max_length: int) -> Encoded:
    texts = [(row.first, row.second) for row in rows]
    values = [row.value for row in rows]
    return encode_texts(tokenizer, texts, values, max_length=max_length, label_type=np.float32)


def predicted(
    card: LikenessCard, rows: Sequence[Likeness], encoded: Encoded, answers: Sequence[Answer]
) -> dict[str, Any]:
    return {
        "ids": [row.id for row in rows],
        "gold": [row.value for row in rows],
        "predicted": [float(answer.labels[0]) for answer in answers],
        "num_cut": int(encoded.was_cut.values.sum()),
    }


class StoredValues(StoredSplit):
    gold: list[float]
    predicted: list[float]
    num_cut: int


class StoredLikeness(Stored):
    dev: StoredValues
    test: StoredValues


def errors(asked: Asked) -> Errors:
    run = asked.runs[0]
    far = sorted(range(len(run.gold)), key=lambda row: -abs(run.gold[row] - run.predicted[row]))[:3]
    rows = [(str(row), run.gold[row], run.predicted[row]) for row in far]
    return Errors(
        Sheet(asked.title, (), (Grid(("pair", "gold", "predicted"), [tuple(r) for r in rows]),), ()), []
    )


LIKENESS = Kind(
    name="likeness",
    short="sim",
    title="Likeness",
    words=Words("pair", "pair", "pair", "value"),
    card=LikenessCard,
    metrics=("pearson", "spearman"),
    task_type="sentence-similarity",
    read=read,
    hashed=lambda card: [[card.kind, card.format, card.metric]],
    encode=encode,
    num_outputs=lambda card: 1,
    head="regression",
    predicted=predicted,
    stored=StoredLikeness,
    labels_of=lambda row: [row.gold],
    loss="squared error, longer text cut",
    errors=errors,
)
CARD = """
name = "{name}"
title = "Pairs of words"
suite = "made-up"
kind = "likeness"
format = "two-texts"
folders = ["{name}"]
max_length = 32
licence = "none"
citation = "none"
access = {{ kind = "registration", instructions = "none" }}
"""


@pytest.fixture(scope="module")
def likeness() -> Iterator[None]:
    KINDS["likeness"] = LIKENESS
    yield
    del KINDS["likeness"]


@pytest.fixture(scope="module")
def results(likeness: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a card, data, and runs of two models on it; values say how many words two texts share."""
    folder = tmp_path_factory.mktemp("made-up")
    (folder / "tasks").mkdir()
    (folder / "tasks" / "alike.toml").write_text(CARD.format(name="alike"))
    draw = random.Random(0)
    for split, size in (("train", 48), ("dev", 16), ("test", 24)):
        lines = []
        for row in range(size):
            first, second = (draw.sample(WORDS, 4) for _ in range(2))
            shared = len({*first} & {*second})
            lines.append(f"{row}\t{' '.join(first)}\t{' '.join(second)}\t{shared}")
        (folder / "data" / "alike").mkdir(parents=True, exist_ok=True)
        (folder / "data" / "alike" / f"{split}.tsv").write_text("\n".join(lines) + "\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        models = ["--model", "bert-mini", "--model", "bert-mini-random"]
        how = ["--budget", "smoke", "--seeds", "3", "--out", "out"]
        main(["run", *models, "--tasks", "made-up", "--data", "data", *how])
    return folder


def output(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    capsys.readouterr()
    main(list(arguments))
    return capsys.readouterr().out


@pytest.fixture
def here(results: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(results)
    return results


def test_data_check_counts_pairs_and_names_a_wrong_line(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "48" in output(capsys, "data", "check", "--tasks", "made-up-sim,alike", "--data", "data")
    wrong = here / "wrong" / "alike"
    shutil.copytree(here / "data" / "alike", wrong)
    (wrong / "test.tsv").write_text("1\ta\tb\n")
    with pytest.raises(SystemExit, match="2"):
        main(["data", "check", "--tasks", "alike", "--data", "wrong"])
    assert "test.tsv line 1: 3 columns, expected 4" in capsys.readouterr().out


def test_a_record_holds_the_score_by_scipy(here: Path) -> None:
    for path in record_paths(here / "out"):
        record, stored = read_record(path), read_predictions(path)
        assert (record.kind, record.protocol.metric) == ("likeness", "pearson")
        expected = pearsonr(stored["test"]["gold"], stored["test"]["predicted"])[0]
        assert record.test.score_percent == pytest.approx(100 * expected, abs=1e-6)
        assert set(record.test.further) == {"spearman"}


def test_the_leaderboard_heads_and_names_the_score(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shown = output(capsys, "leaderboard", "--results", "out")
    assert "Likeness" in shown
    assert "Pearson's r" in shown
    assert "F1" not in shown
    by_csv = output(capsys, "leaderboard", "--results", "out", "--format", "csv")
    means = [float(value) for value in re.findall(r"-?\d+\.\d{3,}", by_csv)]
    assert means
    ranked = output(capsys, "leaderboard", "--results", "out", "--metric", "spearman")
    assert "Spearman's rho" in ranked


def test_compare_and_significance_test_the_difference(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content = json.loads(
        output(capsys, "compare", "bert-mini", "bert-mini-random", "--results", "out", "--format", "json",
               "--resamples", "999")
    )  # fmt: skip
    [task] = content["comparisons"][0]["tasks"]
    tests = {test["test"]: test for test in task["tests"]}
    assert 0 < tests["permutation"]["p"] <= 1
    low, high = tests["paired bootstrap"]["interval"]
    assert low < task["difference_percent"] < high
    assert "pairs" in tests["permutation"]["unit"]
    assert "Likeness" in output(capsys, "significance", "--results", "out")


def test_every_other_report_takes_it(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "sentence-similarity" in output(capsys, "model", "card", "bert-mini", "--results", "out")
    assert "pair" in output(capsys, "errors", "--model", "bert-mini", "--task", "alike", "--results", "out",
                            "--data", "data")  # fmt: skip
    asked = output(capsys, "records", "--results", "out", "--sql",
                   "select count(*) as runs from records where task = 'alike'")  # fmt: skip
    assert "6" in asked
    merged = output(capsys, "merge", "out", "--out", "merged")
    assert "6" in merged
    assert "spearman" in output(capsys, "rescore", "merged")
    pytest.importorskip("altair")
    output(capsys, "page", "--results", "out", "--out", "page")
    page = (here / "page" / "index.html").read_text()
    assert "Pearson" in page


def test_its_latex_compiles(here: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    if not shutil.which("pdflatex"):
        pytest.skip("no pdflatex")
    table = output(capsys, "leaderboard", "--results", "out", "--format", "latex")
    packages = r"\documentclass{article}\usepackage{array,booktabs,siunitx}"
    document = rf"{packages}\begin{{document}}{table}\end{{document}}"
    (tmp_path / "t.tex").write_text(document)
    done = subprocess.run(
        ["pdflatex", "-halt-on-error", "-interaction=nonstopmode", "t.tex"],
        cwd=tmp_path, check=False, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-2000:]


def test_without_the_kind_its_card_and_runs_are_refused(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from kebench.tasks.card import read_task_card

    monkeypatch.delitem(KINDS, "likeness")
    monkeypatch.chdir(here / "out")  # where no card of that kind is
    with pytest.raises(SystemExit, match="2"):
        main(["leaderboard", "--results", "."])
    monkeypatch.chdir(here)
    assert "no run of a kind that this kebench has: likeness; show" in capsys.readouterr().err
    with pytest.raises(UserError, match=r"alike\.toml: kind = 'likeness'; expected one of ner, pico"):
        read_task_card("alike")
