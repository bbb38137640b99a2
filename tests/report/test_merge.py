"""`kebench merge`: what is taken, what is known, what contradicts, what is refused."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from kebench.cli import main
from kebench.kinds.stored import read_predictions
from kebench.records import OtherName, read_other_names, read_record, record_paths, write_other_names
from kebench.shipped import shipped
from tests.probe.test_scores_command import small_record, write_probe
from tests.report.sample_records import sample_record, write_sample

RECORDED = shipped("results/recorded")


def merge(*arguments: Path | str) -> int:
    try:
        main(["merge", *map(str, arguments)])
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


@pytest.fixture
def machines(tmp_path: Path) -> tuple[Path, Path]:
    """Two folders that share GAD's bert-tiny; minilm's is in the second alone."""
    for name, models in (("one", ("bert-tiny",)), ("two", ("bert-tiny", "minilm"))):
        for model in models:
            shutil.copytree(RECORDED / "gad" / model, tmp_path / name / "gad" / model)
    return tmp_path / "one", tmp_path / "two"


def test_runs_come_together_with_their_predictions_and_count_once(
    machines: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "all"
    assert merge(*machines, "--out", out) == 0
    shared, all_runs = (len(record_paths(machine)) for machine in machines)
    told = f"{all_runs} runs and 0 probes taken, {shared} known already, 0 contradictions, 0 left out"
    assert told in capsys.readouterr().out
    found = {path.name for path in record_paths(out)}
    assert found == {
        path.name for path in (RECORDED / "gad").glob("*/*.json") if path.parent.name != "bert-mini"
    }
    for path in record_paths(out):
        original = RECORDED / path.relative_to(out)
        assert read_record(path) == read_record(original)
        assert read_predictions(path) == read_predictions(original)
    assert merge(*machines, "--out", out) == 0
    assert f"0 runs and 0 probes taken, {all_runs + shared} known already" in capsys.readouterr().out


def test_the_other_names_of_models_come_along_and_those_of_the_target_stay(
    machines: tuple[Path, Path], tmp_path: Path
) -> None:
    one, two, held = (OtherName(recorded_as=name, model_hash="0", fidelity="fixed") for name in "abc")
    write_other_names(machines[0], {"copy": one, "mine": one})
    write_other_names(machines[1], {"theirs": two})
    write_other_names(tmp_path / "all", {"copy": held})
    assert merge(*machines, "--out", tmp_path / "all") == 0
    assert read_other_names(tmp_path / "all") == {"copy": held, "mine": one, "theirs": two}


def test_a_contradiction_is_named_and_the_first_stays(
    machines: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one, two = machines
    changed = record_paths(two)[0]
    content = json.loads(changed.read_text())
    before, content["dev"]["score_percent"] = content["dev"]["score_percent"], 1.5
    changed.write_text(json.dumps(content))
    assert merge(one, two, "--out", tmp_path / "all") == 1
    shown = capsys.readouterr()
    assert f"{changed} is left out: dev.score_percent is {before} here and 1.5 there" in shown.err
    assert "6 runs and 0 probes taken, 2 known already, 1 contradiction," in shown.out


def test_where_and_when_a_run_was_made_is_no_contradiction(
    machines: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one, two = machines
    changed = record_paths(two)[0]
    content = json.loads(changed.read_text())
    content["provenance"]["seconds"] = 1e6
    changed.write_text(json.dumps(content))
    assert merge(one, two, "--out", tmp_path / "all") == 0


def test_torn_files_and_strange_predictions_are_left_out(
    machines: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, two = machines
    torn, stolen, cut = record_paths(two)[:3]
    torn.write_text(torn.read_text()[:100])
    other = record_paths(two)[-1]
    shutil.copy(beside(other), beside(stolen))
    beside(cut).write_bytes(beside(cut).read_bytes()[:50])
    assert merge(two, "--out", tmp_path / "all") == 1
    shown = capsys.readouterr()
    assert [line.split(": ")[1] for line in shown.err.splitlines()] == [
        str(torn),
        str(stolen),
        str(beside(cut)),
    ]
    assert "its predictions give another dev score" in shown.err
    assert "3 runs and 0 probes taken, 0 known already, 0 contradictions, 3 left out" in shown.out


def test_a_torn_file_of_the_target_is_named_stays_and_does_not_stop_the_others(
    machines: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one, two = machines
    out = tmp_path / "all"
    merge(one, "--out", out)
    torn, copy = record_paths(out)[0], record_paths(one)[0]
    torn.write_text(torn.read_text()[:100])
    capsys.readouterr()
    assert merge(one, two, "--out", out) == 1
    shown = capsys.readouterr()
    first, *others = shown.err.splitlines()
    assert first.startswith(f"left out: {torn}")
    assert others[0] == (
        f"left out: {copy}: {torn} is in its place and cannot be read; remove that and merge again"
    )
    assert "3 runs and 0 probes taken, 4 known already, 0 contradictions, 3 left out" in shown.out
    assert len(torn.read_text()) == 100
    torn.unlink()
    assert merge(one, "--out", out) == 0


def test_a_torn_probe_of_the_target_is_named_and_stays(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_probe(tmp_path / "one", small_record())
    out = tmp_path / "all"
    merge(tmp_path / "one", "--out", out)
    (torn,) = out.rglob("probe.json")
    torn.write_text("{")
    assert merge(tmp_path / "one", "--out", out) == 1
    assert f"left out: {torn}" in capsys.readouterr().err
    assert torn.read_text() == "{"


def beside(record: Path) -> Path:
    return record.parent / record.name.replace(".json", ".predictions.json.gz")


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("model", "../../escaped", "model: String should match pattern"),
        ("task", "..", "task: a name, not a place"),
        ("model", "red\x1b[31m", "model: String should match pattern"),
        ("seed", 7, "its identity is not that of its settings"),
        ("test", {"score_percent": 99.9}, "its predictions give another test score"),
        ("dev", {"score_percent": 99.9}, "its predictions give another dev score"),
    ],
)
def test_what_is_not_what_it_says_is_left_out(
    field: str,
    value: Any,
    reason: str,
    machines: tuple[Path, Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    one, _ = machines
    path = record_paths(one)[0]
    content = json.loads(path.read_text())
    content[field] = content[field] | value if isinstance(value, dict) else value
    path.write_text(json.dumps(content))
    assert merge(one, "--out", tmp_path / "all") == 1
    shown = capsys.readouterr()
    assert reason in shown.err
    assert "2 runs and 0 probes taken" in shown.out
    assert sorted(path.name for path in tmp_path.iterdir()) == ["all", "one", "two"]


def test_a_missing_folder_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert merge(tmp_path / "nowhere", "--out", tmp_path / "all") == 2
    assert "no such folder of records" in capsys.readouterr().err
    write_sample(tmp_path / "one", [sample_record()])


def test_probes_come_along_and_contradict_likewise(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_probe(tmp_path / "one", small_record())
    assert merge(tmp_path / "one", "--out", tmp_path / "all") == 0
    copied = tmp_path / "all" / folder.relative_to(tmp_path / "one")
    assert sorted(path.name for path in copied.iterdir()) == sorted(path.name for path in folder.iterdir())
    record = json.loads((folder / "probe.json").read_text())
    record["counts"]["queries"] += 1
    (folder / "probe.json").write_text(json.dumps(record))
    assert merge(tmp_path / "one", "--out", tmp_path / "all") == 1
    assert "counts.queries is 3 here and 4 there" in capsys.readouterr().err
    (tmp_path / "one" / "probe.json").unlink(missing_ok=True)
    (folder / "predictions.parquet").unlink()
    assert merge(tmp_path / "one", "--out", tmp_path / "other") == 1
    assert "predictions.parquet: missing; copy the probe's whole folder" in capsys.readouterr().err
