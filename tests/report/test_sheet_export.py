"""Sheets for programs: numbers whole, and what is missing as nothing."""

import csv
import io
import json

import pytest

from kebench.cli import main
from kebench.grid import UNDEFINED, Cell, Grid, Sheet
from kebench.report.write_csv import sheets_as_csv
from kebench.report.write_json import sheets_as_json
from kebench.shipped import shipped

THIRD = 100 / 3
SHEET = Sheet(
    "Title, quoted",
    ("caption",),
    (
        Grid(
            ("kind", "number", "%", "said"),
            [("1", 1234, Cell(THIRD), "a, b"), ("-", None, UNDEFINED, "")],
            best=frozenset({(0, 1)}),
        ),
        Grid(
            ("task", "mean", "difference", "p"),
            [
                (
                    "gad",
                    Cell(-THIRD, deviation=2 / 3, n=5, mark="†"),
                    Cell(form="+.1f", interval=(-1 / 3, 2.0)),
                    Cell(0.01, "p", corrected=0.03),
                )
            ],
        ),
    ),
    ("a note",),
)


def test_json_holds_everything_and_numbers_whole() -> None:
    assert json.loads(sheets_as_json([SHEET])) == {
        "schema": 1,
        "sheets": [
            {
                "title": "Title, quoted",
                "captions": ["caption"],
                "grids": [
                    {
                        "headings": ["kind", "number", "%", "said"],
                        "rows": [["1", 1234, THIRD, "a, b"], ["-", None, None, None]],
                        "best": [[0, 1]],
                        "beside": [{"row": 1, "column": 2, "mark": "°"}],
                    },
                    {
                        "headings": ["task", "mean", "difference", "p"],
                        "rows": [["gad", -THIRD, None, 0.01]],
                        "best": [],
                        "beside": [
                            {"row": 0, "column": 1, "deviation": 2 / 3, "n": 5, "mark": "†"},
                            {"row": 0, "column": 2, "interval": [-1 / 3, 2.0]},
                            {"row": 0, "column": 3, "corrected": 0.03},
                        ],
                    },
                ],
                "notes": ["a note"],
            }
        ],
    }


def test_csv_has_a_line_for_each_cell_and_what_is_missing_is_empty() -> None:
    lines = list(csv.DictReader(io.StringIO(sheets_as_csv([SHEET]))))
    where = {"title": "Title, quoted", "grid": "1", "row": "1", "column": "number"}
    rest = dict.fromkeys(("deviation", "n", "low", "high", "corrected", "mark"), "")
    assert lines[0] == where | {"value": "1234", "is_best": "True"} | rest
    assert lines[1]["value"] == str(THIRD)
    assert lines[2]["value"] == "a, b"
    assert [line["value"] for line in lines[3:6]] == ["", "", ""]
    mean, difference, p = lines[6:]
    assert (mean["value"], mean["deviation"], mean["n"], mean["mark"]) == (str(-THIRD), str(2 / 3), "5", "†")
    assert (difference["value"], difference["low"], difference["high"]) == ("", str(-1 / 3), "2.0")
    assert (p["value"], p["corrected"]) == ("0.01", "0.03")


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
