"""Every format against a golden file (KEBENCH_UPDATE_GOLDEN=1 rewrites them), and what none may break."""

import csv
import io
import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from kebench.grid import p_text
from kebench.records import Record
from kebench.report.latex_signs import escape_latex
from kebench.report.published import read_published_tables
from kebench.report.table import Leaderboard, build_leaderboard
from kebench.report.write_markdown import escape_markdown
from kebench.tasks.card import all_task_cards
from tests.report.boards import render_csv, render_json, render_latex, render_markdown, render_terminal
from tests.report.sample_records import NER_TASKS, sample_grid, sample_record

GOLDEN = Path(__file__).parents[1] / "golden"


def build(records: list[Record]) -> Leaderboard:
    return build_leaderboard(records, cards=all_task_cards())


def awkward_board() -> Leaderboard:
    """Names that need escaping, rows with holes, a lone seed, a rate of its own, published rows."""
    records = [
        *sample_grid(),
        sample_record("tiny_100%&#$~^|<b>{x}\\", "gad", rate=3e-5, test=81.25),
        sample_record("bert-tiny", "bc2gm", seed=0, epochs=60, test=60),
        sample_record("minilm", "bc2gm", seed=0, epochs=60, test=61),
        sample_record("minilm", "bc2gm", seed=1, epochs=60, test=62),
    ]
    return build_leaderboard(records, cards=all_task_cards(), published=read_published_tables("blurb"))


def plain(board: Leaderboard, width: int = 80) -> str:
    return render_terminal(board, width=width, is_styled=False)


def assert_golden(name: str, text: str) -> None:
    path = GOLDEN / name
    if os.environ.get("KEBENCH_UPDATE_GOLDEN"):
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8"), "review; KEBENCH_UPDATE_GOLDEN=1 rewrites the file"


def test_the_terminals_table_is_the_golden_one() -> None:
    assert_golden("leaderboard.txt", plain(awkward_board()))


def test_the_markdown_table_is_the_golden_one() -> None:
    assert_golden("leaderboard.md", render_markdown(awkward_board()))


def test_the_latex_table_is_the_golden_one() -> None:
    assert_golden("leaderboard.tex", render_latex(awkward_board()))


def test_the_csv_is_the_golden_one() -> None:
    assert_golden("leaderboard.csv", render_csv(awkward_board()))


@pytest.mark.parametrize("is_styled", [True, False])
@pytest.mark.parametrize("width", [40, 80, 100])
def test_no_line_is_longer_than_the_terminal_is_wide(width: int, is_styled: bool) -> None:
    shown = render_terminal(awkward_board(), width=width, is_styled=is_styled)
    without_styles = re.sub(r"\x1b\[[\d;]*m", "", shown)
    assert max(len(line) for line in without_styles.splitlines()) <= width


def test_a_table_with_published_rows_fits_80_columns_without_being_cut() -> None:
    board = build_leaderboard(sample_grid(), cards=all_task_cards(), published=read_published_tables("blurb"))
    for is_styled in (True, False):
        shown = render_terminal(board, width=80, is_styled=is_styled)
        assert shown.count("average") == 2 + 1  # the two blocks' headings and the footnote


def test_the_best_is_bold_where_the_terminal_can_and_starred_where_it_cannot() -> None:
    board = build([sample_record("minilm", test=50), sample_record("bert-tiny", test=40)])
    assert "\x1b[1m50.0" in render_terminal(board, width=80, is_styled=True)
    assert "50.0*" in plain(board)
    assert "\x1b" not in plain(board)


def test_a_lone_seed_has_no_deviation_and_a_hole_is_a_dash() -> None:
    records = [sample_record("minilm", "gad", test=50), sample_record("bert-tiny", "ddi", test=40)]
    rows = [line.split() for line in plain(build(records)).splitlines()]
    assert ["bert-tiny", "40.0", "–", "–"] in rows
    assert ["minilm", "–", "50.0", "–"] in rows


def test_n_stands_in_the_caption_if_it_is_the_same_everywhere() -> None:
    shown = plain(build([sample_record(seed=seed) for seed in range(3)]))
    assert "mean ± sd over 3 seeds" in shown
    assert "50.0±0.0 " in shown


def test_n_stands_in_each_cell_if_it_differs() -> None:
    records = [sample_record(seed=seed) for seed in range(3)] + [sample_record("bert-tiny", test=40)]
    shown = plain(build(records))
    assert "50.0±0.0 (3)*" in shown
    assert "40.0 (1)" in shown


def test_the_rate_of_each_row_is_said_with_its_exceptions() -> None:
    rates = {"bc5cdr-chem": 3e-5, "bc5cdr-disease": 5e-5, "jnlpba": 5e-5}
    board = build([sample_record(task=task, rate=rate) for task, rate in rates.items()])
    assert "by mean dev score: minilm 5e-05 (BC5chem 3e-05)." in plain(board)


def test_markdown_and_latex_print_the_best_in_bold() -> None:
    board = build([sample_record("minilm", test=50), sample_record("bert-tiny", test=40)])
    assert "| minilm | **50.0** |" in render_markdown(board)
    assert r"minilm & \bfseries 50.0 & {--} \\" in render_latex(board)


def test_latex_escapes_every_sign_that_tex_would_act_on() -> None:
    assert escape_latex("_%&#$~^\\{}") == (
        r"\_\%\&\#\$\textasciitilde{}\textasciicircum{}\textbackslash{}\{\}"
    )


def test_latex_has_the_same_number_of_cells_in_every_row_and_closes_what_it_opens() -> None:
    source = render_latex(awkward_board())
    assert (
        source.count(r"\begin{tabular}") == source.count(r"\end{tabular}") == 5  # of three blocks two are cut
    )  # of three blocks one is cut
    unescaped = re.sub(r"\\[{}&\\]", "", source)
    assert unescaped.count("{") == unescaped.count("}")
    tabulars = re.findall(r"\{@\{\}l(S.*?)@\{\}\}(.*?)\\end\{tabular\}", source, re.DOTALL)
    assert len(tabulars) == 5
    for columns, body in tabulars:
        rows = [line for line in body.splitlines() if line.endswith(r" \\") and "multicolumn" not in line]
        assert {len(re.findall(r"(?<!\\)&", row)) + 1 for row in rows} == {1 + columns.count("S[")}
    assert source.isascii()


@pytest.mark.parametrize(
    ("p", "expected"),
    [
        (0.0123, ".012"),
        (0.0009999, "<.001"),
        (0.001, ".001"),
        (0.99949, ".999"),
        (0.9998, ">.999"),
        (1.0, "1.000"),
        (None, "–"),
    ],
)
def test_a_p_value_is_never_rounded_to_nothing_or_certainty(p: float | None, expected: str) -> None:
    assert p_text(p) == expected


def test_a_long_leaderboard_has_an_environment_for_each_block() -> None:
    short = render_latex(build([sample_record(task=task) for task in ("gad", "ncbi-disease")]))
    assert short.count(r"\begin{table}") == 1
    models = [f"model-{number}" for number in range(18)]
    records = [sample_record(model, task) for model in models for task in ("gad", "ncbi-disease")]
    long = render_latex(build(records))
    assert long.count(r"\begin{table}") == long.count(r"\end{table}") == 2
    assert long.count("(Continued.)") == 1
    assert long.count("Learning rate, by mean dev score") == 1


def test_markdown_escapes_pipes_and_html() -> None:
    assert escape_markdown("a|b<c>*") == r"a\|b&lt;c&gt;\*"


def test_brackets_in_a_name_are_not_taken_for_styles() -> None:
    records = [sample_record(test=60), sample_record(weights="tuned")]
    assert f"minilm [{records[0].model_hash[:8]}]" in plain(build(records))


def test_json_holds_rate_dev_score_and_unrounded_numbers() -> None:
    content = json.loads(render_json(build([sample_record(dev=61.5, test=50 / 3, rate=3e-5)])))
    (number,) = content["tables"][0]["numbers"]
    assert number["mean_percent"] == 50 / 3
    assert (number["sd_percent"], number["n"], number["seeds"]) == (None, 1, [0])
    assert (number["learning_rate"], number["dev_mean_percent"]) == (3e-5, 61.5)


def test_csv_and_json_hold_the_same_numbers() -> None:
    rows = list(csv.DictReader(io.StringIO(render_csv(awkward_board()))))
    tables = json.loads(render_json(awkward_board()))["tables"]
    numbers = [number for table in tables for number in table["numbers"]]
    assert [row["mean_percent"] for row in rows] == [str(number["mean_percent"]) for number in numbers]
    assert {row["origin"] for row in rows} == {"measured", "published"}
    assert not any(row["is_best"] == "True" for row in rows if row["origin"] == "published")


def test_the_caption_says_which_metric_it_is() -> None:
    records = [sample_record(task=task) for task in NER_TASKS]
    board = build_leaderboard(records, cards=all_task_cards(), metric="as-published")
    assert "lenient seqeval" in plain(board, width=200)
    assert "strict" in plain(build(records), width=200)


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("pdflatex"), reason="no TeX here")
@pytest.mark.parametrize("name", sorted(path.name for path in GOLDEN.glob("*.tex")))
def test_latex_compiles_as_it_is(name: str, tmp_path: Path) -> None:
    needs = re.findall(r"usepackage\{(\w+)\}", (GOLDEN / name).read_text())
    if subprocess.run(["kpsewhich", "siunitx.sty"], capture_output=True, check=False).returncode:
        pytest.skip("no siunitx here")
    packages = "".join(f"\\usepackage{{{package}}}" for package in needs)
    content = (GOLDEN / name).read_text()
    document = f"\\documentclass{{article}}{packages}\\begin{{document}}{content}\\end{{document}}"
    (tmp_path / "table.tex").write_text(document)
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "table.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:]
    too_wide = [float(points) for points in re.findall(r"Overfull \\hbox \(([\d.]+)pt", done.stdout)]
    assert not [points for points in too_wide if points > 10]
