"""Scores for other tools: `kebench records --sql`, `kebench model card`."""

import csv
import io
import json
from typing import Any

import pytest
import yaml

from kebench.cli import main
from kebench.shipped import shipped

RECORDED = ["--results", str(shipped("results/recorded"))]


def printed(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    main([*arguments, *RECORDED])
    return capsys.readouterr().out


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    with pytest.raises(SystemExit) as stop:
        main([*arguments, *RECORDED])
    assert stop.value.code == 2
    return capsys.readouterr().err.splitlines()[-1]


def test_sql_sees_a_row_a_run(capsys: pytest.CaptureFixture[str]) -> None:
    sql = "select model, count(*) as runs from records where task = 'gad' group by 1 order by 1"
    rows = json.loads(printed(capsys, "records", "--sql", sql, "--format", "json"))
    assert rows == [{"model": model, "runs": 3} for model in ("bert-mini", "bert-tiny", "minilm")]
    lines = list(csv.reader(io.StringIO(printed(capsys, "records", "--sql", sql, "--format", "csv"))))
    assert lines[:2] == [["model", "runs"], ["bert-mini", "3"]]
    assert "minilm" in printed(capsys, "records")
    assert "test_percent\tdouble" in printed(capsys, "records", "--columns")


def test_decimals_are_aligned_and_numbers_are_never_broken(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "30")
    sql = "select 0.5::double as a, 'a long word and more' as b, 123456.25::double as c union all "
    lines = printed(capsys, "records", "--sql", f"{sql} select 12, 'x', -1 order by 1").splitlines()
    assert [(line.split()[0], line.split()[-1]) for line in lines if line[:4].strip()] == [
        ("a", "c"), ("0.5", "123456"), ("12.0", "-1"),
    ]  # fmt: skip


@pytest.mark.parametrize("sql", ["select task, seed from records", "from (select task, seed from records);"])
def test_rows_that_sql_leaves_unordered_come_sorted(sql: str, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [
        tuple(row.values())
        for row in json.loads(printed(capsys, "records", "--sql", sql, "--format", "json"))
    ]
    assert rows == sorted(rows)
    turned = "select task, seed from records order by task desc, seed desc"
    again = json.loads(printed(capsys, "records", "--sql", turned, "--format", "json"))
    assert [tuple(row.values()) for row in again] == rows[::-1]


def test_bad_sql_is_refused_with_the_engines_word(capsys: pytest.CaptureFixture[str]) -> None:
    message = refused(capsys, "records", "--sql", "selct 1")
    assert message.startswith("kebench: --sql: Parser Error: syntax error")
    assert "'kebench records --columns' names the columns" in message


def test_an_empty_question_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert "--sql: nothing is asked" in refused(capsys, "records", "--sql", "")


def test_what_is_no_number_in_json_is_null(capsys: pytest.CaptureFixture[str]) -> None:
    assert json.loads(
        printed(capsys, "records", "--sql", "select 'nan'::double as x", "--format", "json")
    ) == [{"x": None}]


def test_sql_reads_no_files(capsys: pytest.CaptureFixture[str]) -> None:
    assert "disabled" in refused(capsys, "records", "--sql", "select * from read_csv('/etc/hosts')")


def card_of(text: str) -> dict[str, Any]:
    before, content, after = text.split("---\n")
    assert (before, after) == ("", "")
    card: dict[str, Any] = yaml.safe_load(content)
    return card


def test_a_model_card_holds_every_score_with_its_protocol(capsys: pytest.CaptureFixture[str]) -> None:
    card = card_of(printed(capsys, "model", "card", "minilm"))
    (index,) = card["model-index"]
    assert (card["license"], index["name"], len(index["results"])) == ("apache-2.0", "minilm", 8)
    gad = next(one for one in index["results"] if one["dataset"]["type"] == "gad")
    (metric,) = gad["metrics"]
    assert metric["name"] == "micro F1 over the positive labels, mean of 3 seeds, sd 0.88"
    assert metric["value"] == pytest.approx(73.78, abs=0.005)
    assert metric["args"]["protocol"].startswith("quick: 3 epochs")


def test_a_card_of_an_unknown_model_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert "no records of model 'nobody'" in refused(capsys, "model", "card", "nobody")
