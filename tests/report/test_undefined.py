"""A score without gold is a marked dash everywhere, empty in CSV, null in JSON, and in no mean or test."""

import csv
import io
import json
from pathlib import Path

import pytest

from kebench.chart_styles import model_styles
from kebench.cli import main
from kebench.errors import UserError
from kebench.kinds.errors import Run, mean_percent, scores_grid
from kebench.kinds.relation import marker_grid
from kebench.records import Record, stem_of, write_record
from kebench.report.compare import Settings, compare
from kebench.report.frame import row_of_record
from kebench.report.merge import contradiction
from kebench.report.page_board import Board
from kebench.report.selection import choose_rate
from kebench.report.significance import significance, significance_of
from kebench.report.table import Leaderboard, build_leaderboard
from kebench.scoring.score import Score
from kebench.tasks.card import all_task_cards
from tests.report.boards import render_csv, render_json, render_latex, render_markdown, render_terminal
from tests.report.sample_records import RELATION_TASKS, sample_grid, sample_record, write_sample


def records() -> list[Record]:
    """Two models on three relation tasks, of which GAD's test set has no gold."""
    return [
        sample_record(model, task, seed=seed, test=None if task == "gad" else mean + seed)
        for model, mean in (("minilm", 70.0), ("bert-tiny", 60.0))
        for task in RELATION_TASKS
        for seed in range(3)
    ]


def board() -> Leaderboard:
    return build_leaderboard(records(), cards=all_task_cards())


NOTE = "–° Undefined: no gold in the test set of GAD. It enters no average."


def test_in_a_terminal_it_is_a_marked_dash_and_so_is_the_average_over_it() -> None:
    lines = render_terminal(board(), width=80, is_styled=False).splitlines()
    assert [line.split() for line in lines if line.startswith(("minilm ", "bert-tiny "))][:2] == [
        ["minilm", "71.0±1.0*", "71.0±1.0*", "–°", "–°"],
        ["bert-tiny", "61.0±1.0", "61.0±1.0", "–°", "–°"],
    ]
    assert NOTE in lines


def test_markdown_and_latex_have_the_dash_and_the_note() -> None:
    assert "| bert-tiny | 61.0 ± 1.0 | 61.0 ± 1.0 | –° | –° |" in render_markdown(board())
    assert f"- {NOTE}" in render_markdown(board())
    latex = render_latex(board())
    assert "{--$^{\\circ}$} & {--$^{\\circ}$} \\\\" in latex
    assert "no gold in the test set of GAD" in latex


def test_csv_has_it_empty_and_json_null_with_the_reason() -> None:
    rows = list(csv.DictReader(io.StringIO(render_csv(board()))))
    shown = [row for row in rows if row["model"] == "minilm" and row["task"] in ("gad", "average")]
    assert [(row["mean_percent"], row["sd_percent"], row["is_best"]) for row in shown] == [
        ("", "", "False")
    ] * 2
    assert [row["note"] for row in shown] == [
        "no gold in the test set: the score is undefined",
        "the score of a task is undefined, and so is the average",
    ]
    assert [row["seeds"] for row in shown] == ["0 1 2", ""]
    numbers = json.loads(render_json(board()))["tables"][0]["numbers"]
    assert {number["mean_percent"] for number in numbers if number["task"] == "gad"} == {None}


def test_a_comparison_shows_it_and_tests_the_other_tasks_alone() -> None:
    (found,) = compare(board(), "minilm", "bert-tiny", settings=_quick(), predictions=_predictions)
    assert [task.column.task for task in found.tasks] == ["chemprot", "ddi"]
    assert [column.task for _, column in found.undefined] == ["gad"]
    assert found.averages == ()


def _quick() -> Settings:
    return Settings(num_resamples=999)


def _predictions(record: Record) -> dict[str, object]:
    part = {"ids": ["a.b.c"], "gold": ["1"], "predicted": ["1"], "num_cut": 0, "num_missing_markers": 0}
    return {"kind": "relation", "negative": "0", "dev": part, "test": part}


def test_a_comparison_on_nothing_but_it_is_refused() -> None:
    only = build_leaderboard([one for one in records() if one.task == "gad"], cards=all_task_cards())
    with pytest.raises(UserError) as refused:
        compare(only, "minilm", "bert-tiny", settings=_quick(), predictions=_predictions)
    assert str(refused.value) == (
        "minilm and bert-tiny: F1 is undefined on gad, of which the test set has no gold; nothing to compare"
    )


def test_significance_tests_no_pair_on_it() -> None:
    (found,) = significance(board(), test="welch", settings=_quick(), predictions=_predictions)
    assert len(found.pairs) == 2
    assert {column for _, column in found.undefined} == {
        column.hash for _, column in found.columns if column.task == "gad"
    }


@pytest.mark.parametrize(
    "command",
    [
        ["leaderboard"],
        ["compare", "minilm", "bert-tiny", "--published"],
        ["significance"],
        ["table", "paper-2", "--as", "minilm=kebiolm"],
    ],
)
def test_every_command_marks_it(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    write_sample(tmp_path, records())
    if "--published" in command:
        command = ["compare", "minilm", "pubmedbert", "--published"]
    main([*command, "--results", str(tmp_path)])
    shown = capsys.readouterr().out
    assert "–°" in shown.split("Undefined:")[0]
    assert "Undefined: no gold in the test set of GAD" in shown


def test_the_page_shows_it_last_and_draws_nothing_of_it() -> None:
    pytest.importorskip("altair")
    tested = significance_of(board().tables[0], test="welch", settings=_quick(), predictions=_predictions)
    styles = model_styles(row.label for row in board().tables[0].blocks[0].rows)
    shown = Board(board(), [tested], {}, styles)
    cells = [row["cells"] for row in shown.tables[0]["blocks"][0]["rows"]]
    assert [(row[2]["mean"], row[2]["order"], row[3]["mean"]) for row in cells] == [("–°", "-", "–°")] * 2
    gad = next(cell for cell in shown.cells.values() if cell["task"] == "GAD")
    assert gad["summary"].startswith("F1 –° over 3 seeds; dev F1 60.0")
    assert (gad["runs"][0][1], gad["comparisons"]) == ("–°", [])
    assert gad["column"] not in {plot["id"] for plot in shown.plots}
    assert len(shown.curves) == 3  # of dev, which has gold


def test_records_answer_null_in_sql(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_sample(tmp_path, [one for one in records() if one.task == "gad"])
    main(["records", "--results", str(tmp_path)])
    assert capsys.readouterr().out.splitlines()[1].split()[5] == "-"
    sql = "select count(test_percent) as scores, count(*) as runs from records"
    main(["records", "--results", str(tmp_path), "--sql", sql, "--format", "json"])
    assert json.loads(capsys.readouterr().out) == [{"scores": 0, "runs": 6}]
    assert row_of_record(records()[-1])["test_percent"] is None


def test_errors_say_that_the_score_is_undefined(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KEBENCH_DATA", str(tmp_path / "nowhere"))
    part = {"ids": ["0"], "gold": ["0"], "predicted": ["0"], "num_cut": 0, "num_missing_markers": 0}
    record = sample_record("minilm", "gad", test=None)
    stem = stem_of(tmp_path, record)
    stem.parent.mkdir(parents=True)
    write_record(stem, record, {"schema": 1, "kind": "relation", "negative": "0", "dev": part, "test": part})
    main(["errors", "--model", "minilm", "--task", "gad", "--results", str(tmp_path)])
    assert "minilm on GAD: F1 undefined (no gold in the test set) over 1 seed" in capsys.readouterr().out


def test_rates_that_dev_cannot_tell_apart_are_said() -> None:
    def run(rate: float, dev: Score) -> Record:
        return sample_record(rate=rate).model_copy(update={"dev": dev})

    undefined = records()[-1].test
    choice = choose_rate([run(3e-5, undefined), run(1e-5, undefined)])
    assert choice.learning_rate == 1e-5
    assert choice.note == "no score in dev, so that of these rates the least is shown"
    assert choose_rate([run(3e-5, undefined)]).note == ""


def test_a_label_without_gold_has_no_recall_and_no_f1() -> None:
    runs = [Run(0, ["no", "no"], ["up", "no"])]
    assert scores_grid("label", "micro_f1", runs, ["up"]).texts == (("up", "0", "0.0", "–", "–"),)
    texts = ["@A$ and @B$", "@A$ or @B$"]
    assert marker_grid(runs, texts, ["@A$", "@B$"], [], negative="no").texts[0][-1] == "–"


def test_a_mean_over_an_undefined_number_is_a_dash() -> None:
    assert mean_percent([50.0, 60.0]).text() == "55.0"
    assert mean_percent([50.0, None]).text() == "–"


def test_what_a_later_version_keeps_of_the_files_is_no_contradiction() -> None:
    assert contradiction(sample_record(), sample_record(seen=(1, 100))) == ""


def test_the_grid_s_other_models_keep_their_averages() -> None:
    changed = [
        one.model_copy(update={"test": records()[-1].test})
        if (one.task, one.model) == ("gad", "bert-tiny")
        else one
        for one in sample_grid()
    ]
    block = build_leaderboard(changed, cards=all_task_cards()).tables[0].blocks[1]
    assert [(row.label, row.average is None) for row in block.rows] == [
        ("minilm", False),
        ("bert-tiny", True),
    ]
