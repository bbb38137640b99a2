"""PICO, similarity, documents and questions run from their cards to every report, with baselines."""

import csv
import io
import json
import random
import shutil
import subprocess
from pathlib import Path

import pytest

from kebench.cli import main
from kebench.kinds.registry import KINDS
from kebench.kinds.stored import read_predictions, score_split
from kebench.records import read_record, record_paths
from tests.kinds.forms import FIELDS, LABELS
from tests.tiny_checkpoints import write_tiny_bert

pytestmark = pytest.mark.slow
KIND_NAMES = tuple(FIELDS)
SIZES = {"train": 24, "dev": 12, "test": 16}
WORDS = ["the", "gene", "protein", "cancer", "disease", "patients", "of", "in"]
CARD = """
name = "{task}"
title = "small"
suite = "small"
kind = "{kind}"
folders = ["{task}"]
max_length = 32
licence = "none"
citation = "none"
access = {{ kind = "registration", instructions = "none" }}
"""


def rows(kind: str, split: str, draw: random.Random) -> str:
    """Return a split's file. Ids tell of the split, since no two may share one."""
    lines = {"similarity": ["pair_id\tsent1\tsent2\tscore"], "classification": ["labels\tsentence\tindex"]}
    found = lines.get(kind, [])
    for row in range(SIZES[split]):
        text = " ".join(draw.choices(WORDS, k=draw.randint(3, 9)))
        match kind:
            case "pico":
                tags = [f"{word}\t{'I-PAR' if word == 'patients' else 'I-INT' if word == 'gene' else 'I-OUT' if word == 'cancer' else 'O'}" for word in text.split()]  # fmt: skip  # noqa: E501
                found += [f"-DOCSTART- ({split}{row})", "", *tags, ""]
            case "similarity":
                found.append(f"{split}{row}\t{text}\t{' '.join(draw.sample(WORDS, 3))}\t{row % 5}")
            case "classification":
                held = [word in text for word in ("gene", "cancer", "patients")]
                marks = ",".join(f"{place}_{int(one)}" for place, one in enumerate(held))
                found += [f"{marks}\t{text}\t{split}{row}_s0", f"0_0,1_0,2_0\tthe end\t{split}{row}_s1"]
            case _:
                answer = "yes" if row % 4 else "no"
                found.append(f"{split}{row}\tis the gene in {answer}\t{text}\t{answer}")
    return "\n".join(found) + "\n"


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the four cards, their data, and two seeds of two tiny models on each."""
    folder = tmp_path_factory.mktemp("kinds")
    (folder / "tasks").mkdir()
    draw = random.Random(0)
    for kind, fields in FIELDS.items():
        task = f"small-{kind}"
        own = "".join(f"{name} = {json.dumps(value)}\n" for name, value in fields.items())
        own += f'metric = "{KINDS[kind].metrics[0]}"\n'
        (folder / "tasks" / f"{task}.toml").write_text(own + CARD.format(task=task, kind=kind))
        (folder / "data" / task).mkdir(parents=True)
        for split in SIZES:
            (folder / "data" / task / f"{split}.tsv").write_text(rows(kind, split, draw))
    for seed, name in enumerate(("tiny-a", "tiny-b")):
        write_tiny_bert(folder / name, seed=seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("KEBENCH_CACHE", str(folder / "cache"))
        models = ["--model", "./tiny-a", "--model", "./tiny-b"]
        how = ["--budget", "smoke", "--seeds", "2", "--learning-rates", "1e-2", "--epochs", "2"]
        main(["run", *models, "--tasks", "small", "--data", "data", "--out", "out", "--device", "cpu", *how])
    return folder


@pytest.fixture
def here(results: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(results)
    monkeypatch.setenv("KEBENCH_CACHE", str(results / "cache"))
    monkeypatch.setenv("COLUMNS", "80")
    return results


def output(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    capsys.readouterr()
    main(list(arguments))
    return capsys.readouterr().out


@pytest.mark.parametrize("kind", KIND_NAMES)
def test_a_record_holds_the_score_of_its_predictions(here: Path, kind: str) -> None:
    paths = [path for path in record_paths(here / "out") if path.parts[-3] == f"small-{kind}"]
    assert len(paths) == 4
    for path in paths:
        record, stored = read_record(path), read_predictions(path)
        assert record.kind == kind
        assert record.test == score_split(stored, "test", metric=record.protocol.metric)
        assert record.test.num_examples == SIZES["test"]
        assert set(record.test.further) == {*KINDS[kind].metrics[1:]}


@pytest.mark.parametrize("kind", KIND_NAMES)
def test_errors_are_told_within_a_line_of_a_terminal(
    here: Path, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    of = ["errors", "--model", "tiny-a", "--task", f"small-{kind}", "--results", "out"]
    with_text = output(capsys, *of, "--data", "data")
    without = output(capsys, *of)  # the cache holds none
    beside = output(capsys, *of, "--data", "data", "--against", "tiny-b")
    for shown in (with_text, without, beside):
        assert max(map(len, shown.splitlines())) <= 80
    main([*of, "--data", "data", "--out", "errors.html"])
    assert (here / "errors.html").stat().st_size > 1000
    assert "confidences were kept" not in with_text
    for model in ("tiny-a", "tiny-b"):
        assert model in beside.split("\n\n", 1)[1]
    names = {"pico": "I-PAR", "similarity": "farthest off", "classification": LABELS[0], "qa": "yes"}
    assert names[kind] in with_text


@pytest.mark.parametrize("kind", KIND_NAMES)
def test_two_models_are_compared(here: Path, kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    of = ["--results", "out", "--tasks", f"small-{kind}", "--resamples", "999"]
    content = json.loads(output(capsys, "compare", "tiny-a", "tiny-b", *of, "--format", "json"))
    [task] = content["comparisons"][0]["tasks"]
    tests = {test["test"]: test for test in task["tests"]}
    assert 0 < tests["permutation"]["p"] <= 1
    assert KINDS[kind].title in output(capsys, "significance", *of)


def test_a_page_has_all_of_them(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("altair")
    assert "spearman" in output(capsys, "rescore", "out")
    output(capsys, "page", "--results", "out", "--out", "page")
    page = (here / "page" / "index.html").read_text()
    assert all(KINDS[kind].title in page for kind in KIND_NAMES)


def numbers(capsys: pytest.CaptureFixture[str], *options: str) -> list[dict[str, str]]:
    of = ["leaderboard", "--results", "out", "--baselines", "--format", "csv"]
    return list(csv.DictReader(io.StringIO(output(capsys, *of, *options))))


def test_baselines_are_scored_and_never_ranked(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = numbers(capsys, "--data", "data")
    below = [row for row in found if row["origin"] == "baseline"]
    scores = {(row["task"], row["model"]): row["mean_percent"] for row in below if row["task"] != "average"}
    assert {key: float(text) if text else None for key, text in scores.items()} == {
        ("small-pico", "all-negative"): 0.0,
        ("small-similarity", "constant"): None,
        ("small-classification", "all-negative"): 0.0,
        ("small-classification", "majority"): pytest.approx(majority_of_documents(here)),
        ("small-qa", "majority"): 75.0,  # 12 of 16
    }
    assert {row["is_best"] for row in below} == {"False"}
    [constant] = [row for row in below if row["model"] == "constant" and row["task"] != "average"]
    assert constant["note"] == "no variance of gold or predictions in the test set: the score is undefined"
    measured = {(row["task"], row["column"]) for row in found if row["origin"] == "measured"}
    assert {(row["task"], row["column"]) for row in below} <= measured


def majority_of_documents(folder: Path) -> float:
    """Return the micro F1 of the labels that more than half of the training documents have, by hand."""
    gold = {}
    for split in ("train", "test"):
        lines = (folder / "data" / "small-classification" / f"{split}.tsv").read_text().splitlines()[1:]
        gold[split] = [
            [mark.endswith("_1") for mark in line.split("\t")[0].split(",")] for line in lines[::2]
        ]
    said = [2 * sum(column) > SIZES["train"] for column in zip(*gold["train"], strict=True)]
    right = sum(held and one for row in gold["test"] for held, one in zip(row, said, strict=True))
    return 200 * right / (sum(map(sum, gold["test"])) + SIZES["test"] * sum(said))


def test_baselines_are_marked_in_every_format(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    of = ["leaderboard", "--results", "out", "--baselines", "--data", "data"]
    shown = output(capsys, *of)
    assert max(map(len, shown.splitlines())) <= 80
    [line] = [line for line in shown.splitlines() if line.startswith("constant")]
    assert line.split() == ["constant", "(baseline)", "–°", "–°"]
    assert (
        "° Undefined on small-similarity for constant (baseline): no variance of gold or predictions."
        in " ".join(shown.split())
    )
    plain = output(capsys, *of[:3])
    assert "baseline" not in plain
    markdown, latex = (output(capsys, *of, "--format", form) for form in ("markdown", "latex"))
    assert "| majority (baseline) | 75.0 | 75.0 |" in markdown
    assert "majority (baseline) & 75.0 & 75.0" in latex
    assert "Baselines read no text and are not ranked" in latex
    numbers = json.loads(output(capsys, *of, "--format", "json"))["tables"][0]["numbers"]
    assert {one["origin"] for one in numbers} == {"measured", "baseline"}


def test_where_the_data_are_not_at_hand_a_line_says_so(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = here / "other"
    shutil.copytree(here / "data", other, dirs_exist_ok=True)
    with (other / "small-qa" / "train.tsv").open("a") as stream:
        stream.write("more\tis it\tin\tno\n")
    main(["leaderboard", "--results", "out", "--baselines", "--data", "other"])
    shown = capsys.readouterr()
    assert shown.err == (
        "no majority or constant of small-qa: the files that the runs were made from are not in other; name "
        "their folder by --data\n"
    )
    assert "majority (baseline)" in shown.out  # of the documents
    main(["leaderboard", "--results", "out", "--baselines", "--data", "nowhere"])
    shown = capsys.readouterr()
    assert "no majority or constant of small-similarity, small-classification, small-qa:" in shown.err
    assert "all-negative (baseline)" in shown.out
    assert "majority (baseline)" not in shown.out


def test_its_latex_compiles(here: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    if not shutil.which("pdflatex"):
        pytest.skip("no pdflatex")
    table = output(
        capsys, "leaderboard", "--results", "out", "--baselines", "--data", "data", "--format", "latex"
    )
    packages = r"\documentclass{article}\usepackage{array,booktabs,siunitx}"
    (tmp_path / "t.tex").write_text(rf"{packages}\begin{{document}}{table}\end{{document}}")
    done = subprocess.run(
        ["pdflatex", "-halt-on-error", "-interaction=nonstopmode", "t.tex"],
        cwd=tmp_path, check=False, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-2000:]


def test_tasks_without_data_are_named_at_once_and_may_be_skipped(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    some = here / "some"
    shutil.copytree(here / "data" / "small-qa", some / "small-qa", dirs_exist_ok=True)
    shutil.copytree(here / "data" / "small-pico", some / "small-pico", dirs_exist_ok=True)
    (some / "small-pico" / "train.tsv").unlink(missing_ok=True)
    run = ["run", "--model", "./tiny-a", "--tasks", "small", "--data", "some", "--out", "out", "--plan"]
    lacking = [
        "some/small-pico/train.tsv: missing; see 'kebench data get small-pico'",
        *(
            f"some: no folder small-{kind} for task 'small-{kind}'; see 'kebench data get small-{kind}'"
            for kind in ("similarity", "classification")
        ),
    ]
    with pytest.raises(SystemExit, match="2"):
        main(run)
    remedy = "no data of 3 of 4 tasks; --skip-missing runs the others"
    assert capsys.readouterr().err.splitlines() == [f"kebench: {line}" for line in (*lacking, remedy)]
    main([*run, "--skip-missing"])
    said = capsys.readouterr().err.splitlines()
    assert said[:3] == [f"skipped: {line}" for line in lacking]
    assert said[3].startswith("plan: 5 runs")
    assert any(line == "small-qa: 5 runs to do" for line in said)
    nothing = ["--data", "nowhere" if not (here / "nowhere").exists() else "none", "--skip-missing"]
    with pytest.raises(SystemExit, match="2"):  # nothing would be left
        main([*run, *nothing])
    assert len(capsys.readouterr().err.splitlines()) == 4
