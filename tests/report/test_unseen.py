"""`--without-seen`: runs scored again without the test examples that stand in train or dev too."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from kebench.cli import main
from kebench.errors import UserError
from kebench.kinds.stored import read_predictions, score_split
from kebench.records import Record, record_paths, stem_of, write_record
from kebench.report.model_index import model_index
from kebench.report.rescore import say_left_out, without_seen
from kebench.report.table import build_leaderboard
from kebench.shipped import shipped
from kebench.tasks.card import all_task_cards
from tests.report.boards import render_terminal
from tests.report.sample_records import sample_record

RECORDED = shipped("results/recorded")
# Of six instances the first two were seen. All: 4 gold, 4 predicted, 3 right, F1 75. Left: 2, 2, 1, F1 50.
GOLD = ["1", "1", "1", "1", "0", "0"]
PREDICTED = ["1", "1", "1", "0", "1", "0"]


def predictions(**more: Any) -> dict[str, Any]:
    part = {
        "ids": list("abcdef"),
        "gold": GOLD,
        "predicted": PREDICTED,
        "num_cut": 0,
        "num_missing_markers": 0,
    }
    return {"schema": 1, "kind": "relation", "negative": "0", "dev": part, "test": {**part, **more}}


def run(model: str, *, seed: int = 0, seen: int = 2) -> Record:
    record = sample_record(model, "ddi", seed=seed, seen=(seen, 6))
    return record.model_copy(update={"test": score_split(predictions(), "test")})


def refuse(record: Record) -> list[int]:
    raise UserError("not kept")


def test_a_run_is_scored_on_what_is_left() -> None:
    [record], _, _ = without_seen([run("a")], lambda _: predictions(seen=[0, 1]), find_seen=refuse)
    assert (record.test.score_percent, record.test.details["num_gold"], record.test.num_examples) == (
        50,
        2,
        4,
    )
    assert run("a").test.score_percent == 75


def test_its_predictions_are_those_of_what_is_left_and_confidences_stay_beside_them() -> None:
    stored = predictions(seen=[0, 1], confidence_permille=[1, 2, 3, 4, 5, 6])
    unseen = without_seen([run("a")], lambda _: stored, find_seen=refuse)
    test = unseen.predictions(run("a"))["test"]
    assert (test["ids"], test["predicted"], test["confidence_permille"]) == (
        list("cdef"),
        PREDICTED[2:],
        [3, 4, 5, 6],
    )
    assert unseen.predictions(run("a"))["dev"] == stored["dev"]


def test_older_predictions_ask_the_data_which_rows_were_seen() -> None:
    [record], _, _ = without_seen([run("a")], lambda _: predictions(), find_seen=lambda _: [0, 1, 2, 3])
    assert record.test.score_percent is None  # what is left has no gold


def test_the_caption_says_how_many_were_left_out_and_no_mark_is_left() -> None:
    unseen = without_seen([run("a")], lambda _: predictions(seen=[0, 1]), find_seen=refuse)
    board = say_left_out(build_leaderboard(unseen.records, cards=all_task_cards()), unseen)
    shown = " ".join(render_terminal(board, width=80, is_styled=False).split())
    assert "without test examples that stand in train or dev (DDI 2 of 6)" in shown
    assert "△" not in shown


def test_a_leaderboard_marks_a_task_of_which_more_than_a_hundredth_was_seen() -> None:
    def shown(num_seen: int) -> str:
        record = sample_record("minilm", "ddi", seen=(num_seen, 200))
        board = build_leaderboard([record], cards=all_task_cards())
        return " ".join(render_terminal(board, width=80, is_styled=False).split())

    assert "DDI△" in shown(3)
    assert (
        "△ DDI test set: 3 of 200 instances stand in train or dev too: its score shows in part what a model "
        "remembers." in shown(3)
    )
    assert "DDI△" not in shown(2)  # 1%
    assert "what a model remembers, not what it has learnt" in shown(120)


SEEN = "2 of 6 instances stand in train or dev too: its score shows in part what a model remembers"


def test_errors_sql_significance_and_model_card_say_what_was_seen(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, seen=[0, 1])
    monkeypatch.setenv("KEBENCH_DATA", str(tmp_path / "nowhere"))
    main(["errors", "--model", "minilm", "--task", "ddi", "--results", str(tmp_path), "--format", "json"])
    title = json.loads(capsys.readouterr().out)["sheets"][0]["title"]
    assert title == f"minilm on DDI: F1 75.0 over 2 seeds, rate 5e-05 ({SEEN})"
    sql = "select distinct num_seen, num_examples from records"
    main(["records", "--results", str(tmp_path), "--sql", sql, "--format", "json"])
    assert json.loads(capsys.readouterr().out) == [{"num_seen": 2, "num_examples": 6}]
    main(["significance", "--results", str(tmp_path)])
    assert f"△ DDI test set: {SEEN}." in " ".join(capsys.readouterr().out.split())
    board = build_leaderboard([run("minilm")], cards=all_task_cards())
    assert SEEN in " ".join(model_index(board, "minilm", tasks=all_task_cards()).split())


def write(out: Path, *, seen: list[int] | None) -> None:
    """Write two models' runs with two seeds each."""
    for model in ("minilm", "bert-tiny"):
        for seed in range(2):
            record = run(model, seed=seed)
            stem = stem_of(out, record)
            stem.parent.mkdir(parents=True, exist_ok=True)
            write_record(stem, record, predictions() if seen is None else predictions(seen=seen))


def test_compare_leaderboard_and_significance_take_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path, seen=[0, 1])
    options = ["--results", str(tmp_path), "--without-seen"]
    main(["compare", "minilm", "bert-tiny", *options, "--resamples", "999", "--format", "json"])
    [found] = json.loads(capsys.readouterr().out)["comparisons"]
    assert found["without_seen"] is True
    [task] = found["tasks"]
    assert (task["a"]["mean_percent"], task["b"]["mean_percent"]) == (50, 50)
    [permutation] = [test for test in task["tests"] if test["test"] == "permutation"]
    assert permutation["n"] == [4]
    main(["leaderboard", *options])
    assert "50.0±0.0" in capsys.readouterr().out
    main(["significance", *options, "--test", "permutation", "--format", "csv"])
    assert "(DDI 2 of 6)" in capsys.readouterr().out


def test_a_published_row_is_of_the_whole_test_set(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path, seen=[0, 1])
    with pytest.raises(SystemExit):
        main(["compare", "minilm", "pubmedbert", "--published", "--without-seen", "--results", str(tmp_path)])
    assert "printed scores are of whole test sets; leave out --without-seen" in capsys.readouterr().err
    main(["leaderboard", "--without-seen", "--results", str(tmp_path)])
    shown = capsys.readouterr()
    assert "published rows are of whole test sets and not shown" in shown.err
    assert "KeBioLM" not in shown.out


def test_older_runs_need_the_very_data_they_were_made_from(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path / "out", seen=None)
    command = ["compare", "minilm", "bert-tiny", "--results", str(tmp_path / "out"), "--without-seen"]
    with pytest.raises(SystemExit) as stopped:
        main([*command, "--data", str(tmp_path / "nowhere")])
    assert stopped.value.code == 2
    assert (
        "ddi: which test examples were seen is not kept in these older runs; name the data they were made "
        "from by --data" in capsys.readouterr().err
    )
    (tmp_path / "data" / "ddi").mkdir(parents=True)
    for split in ("train", "dev", "test"):
        (tmp_path / "data" / "ddi" / f"{split}.tsv").write_text("1\t@DRUG$ and @DRUG$\tDDI-false\n")
    with pytest.raises(SystemExit):
        main([*command, "--data", str(tmp_path / "data")])
    assert (
        f"they were made from other files than {tmp_path / 'data'} holds; name those by --data"
        in capsys.readouterr().err
    )


@pytest.mark.realdata
def test_recorded_runs_of_jnlpba_lose_98_sentences(
    real_data: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KEBENCH_DATA", str(real_data))
    command = ["compare", "minilm", "bert-tiny", "--tasks", "jnlpba", "--results", str(RECORDED)]
    main([*command, "--without-seen", "--resamples", "999"])
    shown = " ".join(capsys.readouterr().out.split())
    assert "(JNLPBA 98 of 3,856)" in shown
    assert "JNLPBA 66.5 42.3 +24.3" in shown


def test_rows_that_are_none_are_refused(tmp_path: Path) -> None:
    path = record_paths(RECORDED)[0]
    for name in (path.name, path.name.replace(".json", ".predictions.json.gz")):
        shutil.copy(path.parent / name, tmp_path / name)
    stored = read_predictions(tmp_path / path.name)
    for wrong in ([-1], [1, 1], [10**9], "all"):
        stored["test"]["seen"] = wrong
        write_record(tmp_path / path.name.removesuffix(".json"), sample_record(), stored)
        with pytest.raises(UserError, match=r"test.*seen"):
            read_predictions(tmp_path / path.name)
