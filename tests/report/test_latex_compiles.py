"""The LaTeX of every command that prints tables: pdflatex sets it as it is, on the page, without an error.

The document loads booktabs, array and siunitx together, as a paper that has several of these tables does.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

import pytest

from kebench.cli import main
from kebench.grid import UNDEFINED, Cell, Grid, Sheet
from kebench.pretrain.curve import curve_text
from kebench.report.published import read_published_tables
from kebench.report.table import build_leaderboard
from kebench.report.write_latex import sheets_as_latex
from kebench.shipped import shipped
from kebench.tasks.card import all_task_cards
from tests.pretrain.test_curves import row
from tests.probe.sets import small_kb
from tests.probe.test_scores_command import QUERIES, small_record, write_probe, write_set
from tests.report.boards import render_latex
from tests.report.sample_records import RELATION_TASKS, sample_grid, sample_record

PACKAGES = ("booktabs", "array", "siunitx")
RECORDED = ["--results", str(shipped("results/recorded"))]


def has_tex() -> bool:
    if not shutil.which("pdflatex"):
        return False
    found = [
        subprocess.run(["kpsewhich", f"{one}.sty"], capture_output=True, check=False) for one in PACKAGES
    ]
    return not any(one.returncode for one in found)


pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not has_tex(), reason="no pdflatex with booktabs, array and siunitx here"),
]


def compile_latex(bodies: Iterable[str], folder: Path) -> None:
    """Set texts, a page each; fails at an error, or at a line that stands more than 5 pt over the edge."""
    loads = "".join(f"\\usepackage{{{package}}}" for package in PACKAGES)
    pages = "\n\\clearpage\n".join(bodies)
    document = f"\\documentclass{{article}}{loads}\n\\begin{{document}}\n{pages}\n\\end{{document}}\n"
    (folder / "tables.tex").write_text(document, encoding="ascii")
    command = ["pdflatex", "-halt-on-error", "-interaction=nonstopmode", "tables.tex"]
    done = subprocess.run(
        command, cwd=folder, capture_output=True, check=False, env={**os.environ, "max_print_line": "1000"}
    )
    log = done.stdout.decode(errors="replace")
    assert done.returncode == 0, log[-2000:]
    too_wide = re.findall(r"Overfull \\hbox \((\d+\.\d+)pt too wide\) .*?lines? (\d+)", log)
    lines = document.splitlines()
    found = [(points, lines[int(line) - 1][:80]) for points, line in too_wide if float(points) > 5]
    assert not found


def printed(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    main([*arguments, "--format", "latex"])
    return capsys.readouterr().out


def test_scores_and_comparisons(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    both = ["--model", "minilm", "--against", "bert-tiny"]
    few = ["--resamples", "999", "--tasks", "gad,ncbi-disease"]
    commands = [
        ["leaderboard", *RECORDED],
        ["leaderboard", *RECORDED, "--columns", "energy,co2,hours,cost", "--price-per-hour", "2.5 $"],
        ["compare", "minilm", "bert-tiny", *RECORDED, *few],
        ["compare", "minilm", "pubmedbert", "--published", *RECORDED],
        ["significance", *RECORDED],
        ["records", *RECORDED, "--sql", "select task, min(test_percent) - 90 as x from records group by all"],
        ["errors", *both, "--task", "ncbi-disease", "--n", "3", *RECORDED],
        ["errors", *both, "--task", "chemprot", *RECORDED],
    ]  # fmt: skip
    compile_latex([printed(capsys, *command) for command in commands], tmp_path)


def test_tables_of_the_paper(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    names = ("paper-1", "paper-2", "paper-3", "paper-4", "paper-6", "paper-7", "paper-stars")
    pages = [printed(capsys, "table", name, "--data", str(tmp_path)) for name in names[:1]]
    pages += [printed(capsys, "table", name) for name in names[1:]]
    pages.append(printed(capsys, "table", "paper-2", *RECORDED, "--as", "minilm=kebiolm"))
    compile_latex(pages, tmp_path)


def test_listings_and_probes(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    probes, query_set = tmp_path / "probes", tmp_path / "set"
    write_set(query_set, QUERIES)
    annotated, corpus = tmp_path / "gold.txt", tmp_path / "corpus"
    annotated.write_text("1|t|Bad migraine.\n1|a|\n1\t4\t12\tmigraine\tDisease\tD1\n")
    of_set = ["--set", str(query_set), "--results", str(probes)]
    kb = small_kb(tmp_path / "kb")
    main(["annotate", str(annotated), "--kb", str(kb.folder), "--out", str(corpus)])
    capsys.readouterr()
    (tmp_path / "kebiolm").mkdir()
    (tmp_path / "kebiolm" / "curves.jsonl").write_text(curve_text([row(step) for step in range(1, 41)]))
    for number, model in enumerate(("minilm", "a-model-of-some-lab_with_a_long-name")):
        write_probe(probes, small_record(model=model, model_hash=str(number) * 64))
    commands = [
        ["task", "list"], ["task", "show", "ddi"], ["model", "list"], ["recipe", "list"],
        ["data", "check", "--tasks", "mini"], ["overlap", "--kb", str(kb.folder), "--tasks", "mini"],
        ["recipe", "show", "kebiolm-mini"], ["model", "show", "minilm"], ["kb", "stats", str(kb.folder)],
        ["probe", "stats", str(query_set), "--by", "relation"],
        ["probe", "show", "--model", "minilm", *of_set],
        ["errors", "--model", "minilm", "--probe", *of_set[1:]], ["table", "paper-5", *of_set[:2]],
        ["corpus", "stats", str(corpus)],
        ["corpus", "score", str(corpus), "--gold", str(annotated), "--kb", str(kb.folder)],
        ["table", "paper-7", *of_set], ["curves", str(tmp_path / "kebiolm")],
        ["probe", "scores", str(probes)], ["probe", "scores", str(probes), "--by", "relation"],
    ]  # fmt: skip
    compile_latex([printed(capsys, *command) for command in commands], tmp_path)


def test_scores_below_zero_undefined_ones_and_published_rows(tmp_path: Path) -> None:
    records = [
        sample_record(model, task, seed=seed, test=None if task == "gad" else mean + seed)
        for model, mean in (("minilm", -7.0), ("bert-tiny", 6.0), ("bert-mini", -70.0))
        for task in RELATION_TASKS
        for seed in range(3)
    ]
    cards = all_task_cards()
    below = render_latex(build_leaderboard(records, cards=cards))
    assert "table-format=-2.1" in below
    assert "\\kebsecond{$-$6.0}}-6.0" in below
    rows = [("a", Cell(-1.5, deviation=0.5), Cell(form="+.1f", interval=(-2, -1))), ("b", UNDEFINED, None)]
    sheet = Sheet("negative", (), (Grid(("x", "y", "z"), rows, second=frozenset({(0, 1)})),), second="second")
    assert "a & \\underline{$-$1.5}$\\pm$0.5 & $-$2.0 to $-$1.0 \\\\" in sheets_as_latex([sheet])
    board = build_leaderboard(sample_grid(), cards=cards, published=read_published_tables("blurb"))
    compile_latex([below, sheets_as_latex([sheet]), render_latex(board)], tmp_path)


def test_a_table_of_many_rows_goes_on_in_further_tables(tmp_path: Path) -> None:
    rows = [(f"relation_{number}", number) for number in range(100)]
    source = sheets_as_latex([Sheet("long", (), (Grid(("relation", "queries"), rows),), ("a note",))])
    assert source.count("\\begin{table}") == source.count("\\end{table}") == 3
    assert source.count("(Continued.)") == 2
    assert source.count("a note") == 1
    compile_latex([source], tmp_path)
