"""Sheets for programs: the printed numbers as numbers, and what is missing as nothing."""

import csv
import io
import json

import pytest

from kebench.cli import main
from kebench.grid import Grid, Sheet
from kebench.report.sheet_export import sheets_as_csv, sheets_as_json
from kebench.shipped import shipped

SHEET = Sheet(
    "Title, quoted",
    ("caption",),
    (Grid(("kind", "number", "%", "said"), (("1", "1,234", "56.0", "a, b"), ("-", "–", "-", ""))),),
    ("a note",),
)


def test_json_holds_everything_and_numbers_are_numbers() -> None:
    assert json.loads(sheets_as_json([SHEET], sentences=[])) == {
        "schema": 1,
        "sheets": [
            {
                "title": "Title, quoted",
                "captions": ["caption"],
                "grids": [
                    {
                        "headings": ["kind", "number", "%", "said"],
                        "rows": [["1", 1234, 56.0, "a, b"], ["-", None, None, None]],
                        "best": [],
                    }
                ],
                "notes": ["a note"],
            }
        ],
        "sentences": [],
    }


def test_csv_has_a_line_for_each_cell() -> None:
    lines = list(csv.DictReader(io.StringIO(sheets_as_csv([SHEET]))))
    where = {"title": "Title, quoted", "grid": "1", "row": "1", "column": "number"}
    assert lines[0] == where | {"value": "1234", "is_best": "False"}
    assert lines[2]["value"] == "a, b"
    assert [line["value"] for line in lines[3:]] == ["", "", ""]


@pytest.mark.parametrize("task", ["gad", "ncbi-disease"])
def test_errors_are_written_for_programs(task: str, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--model", "minilm", "--task", task, "--results", str(shipped("results/recorded"))]
    main(["errors", *options, "--n", "1", "--format", "json"])
    found = json.loads(capsys.readouterr().out)
    grids = found["sheets"][0]["grids"]
    assert "agreement of seeds" in {grid["headings"][0] for grid in grids}
    main(["errors", *options, "--n", "0", "--format", "csv"])
    shown = capsys.readouterr()
    numbers = {int(line["grid"]) for line in csv.DictReader(io.StringIO(shown.out))}
    assert numbers == set(range(1, len(grids) + 1))
    assert "the tables alone" not in shown.err


@pytest.mark.realdata
def test_json_has_the_sentences_and_csv_says_that_it_has_not(
    real_data: object, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--model", "minilm", "--task", "ncbi-disease", "--results", str(shipped("results/recorded"))]
    options += ["--data", f"{real_data}/blurb", "--n", "1"]
    main(["errors", *options, "--format", "json"])
    (sentence,) = json.loads(capsys.readouterr().out)["sentences"]
    assert sentence["place"] == 344
    assert {one["kind"] for one in sentence["stretches"]} >= {"", "missed"}
    main(["errors", *options, "--format", "csv"])
    assert "csv: the tables alone; --format json has the sentences too" in capsys.readouterr().err
