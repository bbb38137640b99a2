"""`kebench leaderboard` as users call it."""

import json
from pathlib import Path

import pytest

from kebench.cli import main
from kebench.cli.found import recorded_name
from kebench.model.source import model_hash
from kebench.records import OtherName, stem_of, write_other_names, write_record
from tests.report.sample_records import sample_grid, sample_record, write_sample
from tests.tiny_checkpoints import write_tiny_bert


@pytest.fixture
def results(tmp_path: Path) -> Path:
    write_sample(tmp_path / "results", sample_grid())
    return tmp_path / "results"


def leaderboard(*arguments: str | Path) -> None:
    main(["leaderboard", *map(str, arguments)])


def refused(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> str:
    with pytest.raises(SystemExit) as stop:
        main(["leaderboard", *map(str, arguments)])
    assert stop.value.code == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    return shown.err.splitlines()[-1]


@pytest.mark.parametrize("form", ["terminal", "markdown", "latex", "csv", "json"])
def test_every_format_prints_measured_and_published_models(
    form: str, results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    leaderboard("--results", results, "--format", form)
    shown = capsys.readouterr()
    assert "minilm" in shown.out
    assert "KeBioLM" in shown.out
    assert shown.err == ""


def test_published_rows_can_be_left_out(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    leaderboard("--results", results, "--no-published")
    assert "BioBERT" not in capsys.readouterr().out


def test_published_rows_do_not_stand_under_the_miniature(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_sample(tmp_path, [sample_record(task="mini-gad")])
    leaderboard("--results", tmp_path)
    assert "published" not in capsys.readouterr().out


def test_a_model_may_be_named_by_its_folder(
    results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "checkpoints" / "minilm"
    folder.mkdir(parents=True)
    leaderboard("--results", results, "--models", folder, "--tasks", "gad", "--format", "json")
    (table,) = json.loads(capsys.readouterr().out)["tables"]
    assert {number["model"] for number in table["numbers"]} == {"minilm"}
    assert recorded_name("hub:somebody/BERT-mine", {"bert-mine"}) == "bert-mine"
    assert recorded_name("./gone/minilm", {"minilm"}) == "./gone/minilm"


@pytest.fixture
def twice_named(tmp_path: Path) -> Path:
    """Return records of minilm, whose weights lie in ./copy too, and of bert-tiny."""
    copy = write_tiny_bert(tmp_path / "copy")
    mine = {"model_hash": model_hash(copy)}
    records = [sample_record("minilm", "gad", seed=seed).model_copy(update=mine) for seed in (0, 1)]
    records += [sample_record("bert-tiny", "gad", seed=seed) for seed in (0, 1)]
    split = {"ids": ["a"], "gold": ["1"], "predicted": ["1"], "num_cut": 0, "num_missing_markers": 0}
    predictions = {"kind": "relation", "negative": "0", "dev": split, "test": split}
    for record in records:
        stem = stem_of(tmp_path / "results", record)
        stem.parent.mkdir(parents=True, exist_ok=True)
        write_record(stem, record, predictions)
    return tmp_path / "results"


def test_both_names_of_a_model_stand_in_the_tables_and_are_understood(
    twice_named: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(twice_named.parent)
    hashed = model_hash(Path("copy"))
    write_other_names(
        twice_named, {"copy": OtherName(recorded_as="minilm", model_hash=hashed, fidelity="fixed")}
    )
    leaderboard("--results", twice_named, "--no-published")
    assert "minilm (= copy)" in capsys.readouterr().out
    leaderboard("--results", twice_named, "--no-published", "--models", "./copy")
    shown = capsys.readouterr().out
    assert "minilm (= copy)" in shown
    assert "bert-tiny" not in shown
    for name in ("copy", "./copy", "minilm"):
        options = ["--results", str(twice_named), "--resamples", "999"]
        main(["compare", name, "bert-tiny", *options, "--format", "csv"])
        assert ",gad," in capsys.readouterr().out
    main(["compare", "./copy", "bert-tiny", "--results", str(twice_named), "--resamples", "999"])
    assert capsys.readouterr().out.startswith("minilm (= copy) against bert-tiny")


def test_a_folder_whose_weights_are_recorded_under_another_name_is_found_by_them(
    twice_named: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(twice_named.parent)
    main(["compare", "./copy", "bert-tiny", "--results", str(twice_named), "--resamples", "999"])
    assert capsys.readouterr().out.startswith("minilm against bert-tiny")


def test_a_name_of_other_weights_or_a_damaged_file_of_names_changes_no_table(
    twice_named: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_other_names(
        twice_named, {"copy": OtherName(recorded_as="minilm", model_hash="gone", fidelity="fixed")}
    )
    leaderboard("--results", twice_named)
    assert "copy" not in capsys.readouterr().out
    (twice_named / "other-names.json").write_text("[]")
    leaderboard("--results", twice_named)
    assert "other-names.json: the file: Input should be" in capsys.readouterr().err


def test_tasks_and_models_can_be_chosen(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    leaderboard("--results", results, "--tasks", "gad,ddi", "--models", "minilm,kebiolm", "--format", "json")
    (table,) = json.loads(capsys.readouterr().out)["tables"]
    assert {number["model"] for number in table["numbers"]} == {"minilm", "kebiolm"}
    assert {number["task"] for number in table["numbers"]} == {"ddi", "gad", "average"}
    measured = [number for number in table["numbers"] if number["origin"] == "measured"]
    assert {number["task"] for number in measured} == {"ddi", "gad"}  # no average without ChemProt


def test_folders_are_merged_and_a_run_in_both_counts_once(
    results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_sample(tmp_path / "more", [*sample_grid(), sample_record("minilm", "gad", rate=1e-3, seed=3)])
    leaderboard("--results", results, "--results", tmp_path / "more", "--format", "json")
    (table,) = json.loads(capsys.readouterr().out)["tables"]
    counts = {
        (number["model"], number["task"]): number["n"]
        for number in table["numbers"]
        if number["origin"] == "measured"
    }
    assert counts["minilm", "gad"] == 4
    assert counts["minilm", "ddi"] == 3


def test_a_contradicting_record_is_named_with_the_one_that_stays(
    results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record = sample_grid()[0]
    other = record.model_copy(update={"test": record.test.model_copy(update={"score_percent": 1.5})})
    write_sample(tmp_path / "more", [other])
    leaderboard("--results", results)
    alone = capsys.readouterr().out
    leaderboard("--results", results, "--results", tmp_path / "more")
    shown = capsys.readouterr()
    assert shown.out == alone
    kept, left_out = (stem_of(folder, record) for folder in (results, tmp_path / "more"))
    assert shown.err == (
        f"contradiction: {kept}.json stays, {left_out}.json is left out: test.score_percent is 69.0 here and "
        "1.5 there\n"
    )


@pytest.mark.parametrize("columns", ["0", "7"])
def test_a_width_that_is_none_is_taken_for_80(
    columns: str, results: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    leaderboard("--results", results)
    wide = capsys.readouterr().out
    monkeypatch.setenv("COLUMNS", columns)
    leaderboard("--results", results)
    assert capsys.readouterr().out == wide


def test_the_first_runs_of_a_user_do_not_hide_the_shipped_ones_without_a_word(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write_sample(tmp_path / "results" / "local", [sample_record("mine", "gad")])
    error = refused(capsys, "--models", "minilm")
    assert error.startswith(
        "kebench: results/local: no records of model 'minilm'; those shipped with kebench"
    )
    assert "pass --results results/local --results " in error
    assert error.endswith("results/recorded")
    for command in (["errors", "--model", "mine", "--task", "ddi"], ["compare", "mine", "minilm"]):
        with pytest.raises(SystemExit):
            main(command)
        assert "those shipped with kebench have some" in capsys.readouterr().err


def test_the_default_folder_is_named_on_stderr(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write_sample(tmp_path / "results" / "local", sample_grid())
    leaderboard()
    assert capsys.readouterr().err == "records of results/local\n"


def test_an_empty_folder_is_refused_with_a_remedy(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert refused(capsys, "--results", tmp_path) == (
        f"kebench: {tmp_path}: no records; run some with 'kebench run', "
        "or name a folder that has some with --results"
    )


def test_a_missing_folder_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "no such folder of records" in refused(capsys, "--results", tmp_path / "nowhere")


def test_an_unknown_model_is_refused_with_the_nearest_name(
    results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    error = refused(capsys, "--results", results, "--models", "minilmm")
    assert "no records of model 'minilmm'; did you mean 'minilm'? there are" in error


def test_an_unknown_suite_is_refused_with_those_that_exist(
    results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    error = refused(capsys, "--results", results, "--suite", "glue")
    assert error == "kebench: no suite 'glue'; there are blurb, blurb-pico-dev, kebiolm, mini, typed"


def test_a_choice_that_leaves_nothing_is_refused(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    error = refused(capsys, "--results", results, "--suite", "mini")
    assert "48 records, none that --suite, --tasks and --models leave" in error


def test_the_published_metric_is_stated_with_how_rates_were_chosen(
    results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    leaderboard("--results", results, "--metric", "as-published")
    shown = capsys.readouterr()
    assert "lenient seqeval" in shown.out
    assert "rates were chosen by the strict dev score" in shown.err


def test_a_run_in_two_folders_counts_once(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    leaderboard("--results", results)
    alone = capsys.readouterr().out
    leaderboard("--results", results, "--results", results)
    assert capsys.readouterr().out == alone


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("{", "Invalid JSON"),
        ('{"hello": 1}', "Field required"),
        ('{"schema": 3}', "schema: Input should be 2"),
    ],
)
def test_a_file_that_is_no_record_of_ours_is_named_and_nothing_else_changes(
    content: str, reason: str, results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    leaderboard("--results", results)
    undisturbed = capsys.readouterr()
    stray = results / "gad" / "minilm" / "seed9-lr0.1-0123456789abcdef.json"
    stray.write_text(content)
    leaderboard("--results", results)
    shown = capsys.readouterr()
    assert shown.out == undisturbed.out
    (line,) = shown.err.splitlines()
    assert line.startswith(f"left out: {stray}: not a record (")
    assert reason in line


def test_a_record_that_cannot_be_read_is_left_out_too(
    results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lost = results / "gad" / "minilm" / "lost.json"
    lost.symlink_to(results / "nowhere.json")
    leaderboard("--results", results)
    assert capsys.readouterr().err == f"left out: {lost}: cannot be read (No such file or directory)\n"
