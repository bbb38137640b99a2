"""`kebench rescore`: further metrics of stored runs, beside their records."""

import json
import shutil
from pathlib import Path

import pytest
from sklearn.metrics import accuracy_score, f1_score

from kebench.cli import main
from kebench.kinds.stored import read_predictions
from kebench.records import read_record, record_paths, write_record
from kebench.shipped import shipped

RECORDED = shipped("results/recorded")


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """The recorded runs of one task of each kind."""
    for task in ("gad", "ncbi-disease"):
        shutil.copytree(RECORDED / task / "minilm", tmp_path / "out" / task / "minilm")
    return tmp_path / "out"


def test_every_metric_of_the_kind_is_computed_and_the_record_stays(
    results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path: path.read_bytes() for path in record_paths(results)}
    main(["rescore", str(results)])
    shown = capsys.readouterr()
    assert "6 files of further scores written" in shown.err
    for path, content in before.items():
        assert path.read_bytes() == content
        record, test = read_record(path), read_predictions(path)["test"]
        if record.kind == "relation":
            both = test["gold"], test["predicted"]
            assert record.test.further["accuracy"] == pytest.approx(100 * accuracy_score(*both))
            assert record.test.further["macro_f1"] == pytest.approx(100 * f1_score(*both, average="macro"))
        else:
            assert record.test.further.keys() == {"entity_f1_lenient", "word_macro_f1"}
    main(["rescore", str(results)])
    assert "0 files" in capsys.readouterr().err
    assert sorted(before) == record_paths(results)


def test_runs_of_other_rates_never_share_a_mean(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = next(path for path in record_paths(results) if read_record(path).task == "gad")
    record, predictions = read_record(path), read_predictions(path)
    settings = record.settings.model_copy(update={"learning_rate": 9e-9})
    other = record.model_copy(update={"settings": settings, "identity": "9" * len(record.identity)})
    write_record(path.with_name("other"), other, predictions)
    main(["rescore", str(results), "--metric", "accuracy", "--format", "json"])
    rows = {row["settings"]: row for row in json.loads(capsys.readouterr().out)}
    assert {said: row["runs"] for said, row in rows.items()} == {
        "learning rate 9e-09": 1, f"learning rate {record.settings.learning_rate}": 3,
    }  # fmt: skip
    test = predictions["test"]
    assert rows["learning rate 9e-09"]["test, mean"] == pytest.approx(
        100 * accuracy_score(test["gold"], test["predicted"])
    )


def test_a_leaderboard_shows_a_metric_once_it_was_computed(
    results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(["leaderboard", "--results", str(results), "--metric", "accuracy"])
    assert "no accuracy in its record; 'kebench rescore'" in capsys.readouterr().err
    main(["rescore", str(results), "--metric", "accuracy"])
    said = capsys.readouterr().err
    assert "not computed of 3 runs: accuracy is no metric of ncbi-disease; NER has entity_f1" in said
    main(["leaderboard", "--results", str(results), "--metric", "accuracy"])
    shown = capsys.readouterr().out
    assert "Accuracy in percent" in shown
    assert "accuracy is no metric of ncbi-disease" in shown
    assert "NCBI" not in shown


def test_what_cannot_be_computed_is_said_with_the_reason(
    results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(["rescore", str(results), "--metric", "acuracy"])
    assert "no metric 'acuracy'; did you mean 'accuracy'?" in capsys.readouterr().err
    [path, *_] = record_paths(results / "..") or record_paths(results)
    (path.parent / path.name.replace(".json", ".predictions.json.gz")).unlink()
    main(["rescore", str(results)])
    assert "predictions.json.gz: cannot be read (No such file" in capsys.readouterr().err


@pytest.mark.parametrize("content", ["another's", "{", ""])
def test_scores_of_another_run_or_damaged_ones_are_passed_over_and_written_again(
    results: Path, content: str, caplog: pytest.LogCaptureFixture
) -> None:
    main(["rescore", str(results)])
    one, other, *_ = sorted(results.glob("gad/minilm/*.scores.json"))
    before = other.read_bytes()
    other.write_text(one.read_text() if content == "another's" else content)
    record = read_record(other.with_name(other.name.replace(".scores.json", ".json")))
    assert record.test.further == {}
    assert "no scores of its record, passed over" in caplog.text
    main(["rescore", str(results)])
    assert other.read_bytes() == before


def test_a_run_that_is_made_again_has_no_scores_of_the_one_before(results: Path) -> None:
    main(["rescore", str(results)])
    path = record_paths(results)[0]
    record, predictions = read_record(path), read_predictions(path)
    write_record(path.with_suffix(""), record, predictions)
    assert not path.with_name(path.name.replace(".json", ".scores.json")).exists()


def test_further_scores_hold_dev_and_test_by_metric(results: Path) -> None:
    main(["rescore", str(results)])
    content = json.loads(next(iter(results.glob("gad/minilm/*.scores.json"))).read_text())
    assert list(content) == ["schema", "identity", "dev", "test"]
    assert set(content["test"]) == {"macro_f1", "accuracy"}
