"""`kebench table`: the paper's tables beside ours, and its stars computed again."""

import csv
import io
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from kebench.cli import main
from kebench.report.strata import Overlap
from kebench.shipped import shipped
from kebench.stats.printed import Printed, printed_p
from kebench.stats.seeds import one_sample_t, welch_from_summaries, welch_t
from tests.probe.small_probes import prediction_table
from tests.probe.test_scores_command import QUERIES, small_record, write_probe, write_set
from tests.report.sample_records import NER_TASKS, sample_record, write_sample
from tests.report.test_render import assert_golden


def printed(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    main(["table", *arguments])
    return capsys.readouterr().out


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    with pytest.raises(SystemExit) as stop:
        main(["table", *arguments])
    assert stop.value.code == 2
    return capsys.readouterr().err.splitlines()[-1]


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """KeBioLM as printed on NCBI, a point above on BC5dis, once on GAD; and an ablation of another name."""
    records = [
        sample_record("kebiolm", task, seed=seed, test=0.0, as_published=mean + (seed - 2) * 0.2)
        for task, mean in (("ncbi-disease", 89.1), ("bc5cdr-disease", 87.1))
        for seed in range(5)
    ]
    records.append(sample_record("kebiolm", "gad", test=84.0))
    records += [
        sample_record("my-wem", task, seed=seed, as_published=80.0 + seed)
        for task in NER_TASKS
        for seed in (0, 1)
    ]
    write_sample(tmp_path, records)
    return tmp_path


@pytest.fixture
def miniature(tmp_path: Path) -> Path:
    """Two models on three tasks of the miniature: 70 and 71, and 60 and 61, on BC5chem, DDI and GAD."""
    records = [
        sample_record(model, task, seed=seed, test=mean + seed, as_published=mean + seed)
        for model, mean in (("mine", 70.0), ("mine-rand", 60.0))
        for task in ("mini-bc5cdr-chem", "mini-ddi", "mini-gad")
        for seed in (0, 1)
    ]
    write_sample(tmp_path, records)
    return tmp_path


def test_scores_on_another_suite_stand_in_the_layout_of_a_table(
    miniature: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    chosen = ["--results", str(miniature), "--suite", "mini", "--as", "mine=kebiolm", "--as"]
    said = printed(capsys, "paper-3", *chosen, "mine-rand=kebiolm-rand")
    lines = [line.split() for line in said.splitlines()]
    assert lines.count(["ours", "KeBioLM", "+rand"]) == 2
    assert ["BC5chem", "70.5±0.7", "60.5±0.7"] in lines
    assert ["GAD", "70.5±0.7", "60.5±0.7"] in lines
    assert ["NER", "average", "–", "–"] in lines


def test_a_suite_without_a_model_of_the_table_is_told(
    miniature: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = refused(capsys, "paper-3", "--results", str(miniature), "--suite", "mini")
    assert "--as MODEL=ROW, with the rows kebiolm, kebiolm-no-wem, kebiolm-rand, kebiolm-frz" in said
    assert "leave it out" in refused(capsys, "paper-5", "--suite", "mini")
    said = refused(capsys, "paper-3", "--results", str(miniature), "--suite", "minni")
    assert "no suite 'minni'; did you mean 'mini'" in said
    twice = refused(
        capsys, "paper-3", "--results", str(miniature), "--as", "mine=kebiolm", "--as", "mine-rand=kebiolm"
    )
    assert "another model stands beside kebiolm already" in twice


def test_a_difference_stands_with_whether_it_is_noise(
    results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = printed(capsys, "paper-2", "--results", str(results)).splitlines()
    rows = {
        line.split()[0]: line.split() for line in lines if line.startswith(("NCBI", "BC5dis", "GAD", "DDI"))
    }
    assert rows["NCBI"] == ["NCBI", "89.1±0.3", "(5)", "89.1±0.3*", "+0.0", "yes"]
    assert rows["BC5dis"] == ["BC5dis", "87.1±0.3", "(5)", "86.1±0.3*", "+1.0", "no"]
    assert rows["GAD"] == ["GAD", "84.0", "(1)", "84.3±1.0*", "-0.3", "–"]
    assert rows["DDI"] == ["DDI", "–", "81.9±0.8", "–", "–"]


def test_our_model_may_have_another_name(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shown = printed(capsys, "paper-3", "--results", str(results), "--as", "my-wem=kebiolm-no-wem")
    assert "-wem (my-wem)" in shown
    assert "NER average" in shown
    assert "80.5±0.7 (2)" in shown


def test_a_table_without_records_is_printed_as_it_is(
    results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = printed(capsys, "paper-4", "--results", str(results), "--as", "my-wem=kebiolm-4-8")
    assert "ours" in shown
    write_sample(results / "other", [sample_record("minilm")])
    shown = printed(capsys, "paper-3", "--results", str(results / "other"))
    assert "as printed; no record of ours is of these models" in shown


def test_weights_that_share_a_name_are_not_mixed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    records = [
        sample_record("kebiolm", task, weights=one) for one in "xy" for task in ("gad", "ncbi-disease")
    ]
    write_sample(tmp_path, records)
    assert "has several rows: kebiolm [" in refused(capsys, "paper-2", "--results", str(tmp_path))
    with pytest.raises(SystemExit):
        main(["model", "card", "kebiolm", "--results", str(tmp_path)])


def test_a_row_that_may_not_be_compared_has_no_verdict(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_sample(tmp_path, [sample_record("bio-lm", "gad", seed=seed, test=80.0 + seed) for seed in (0, 1)])
    shown = printed(capsys, "paper-2", "--results", str(tmp_path))
    row = next(line.split() for line in shown.splitlines() if line.startswith("GAD"))
    assert row[-1] == "–"
    assert "bio-lm uses other metrics than BLURB" in " ".join(shown.split())


def test_misspelt_names_are_refused(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    message = refused(capsys, "paper-3", "--results", str(results), "--as", "my-wem=kebiolm-wem")
    assert message.startswith("kebench: --as my-wem=kebiolm-wem: no row 'kebiolm-wem'; did you mean")
    message = refused(capsys, "paper-3", "--results", str(results), "--as", "my-wem")
    assert message == "kebench: --as my-wem: no row of the table is named; pass --as my-wem=ROW"
    message = refused(capsys, "paper-3", "--results", str(results), "--as", "my-wen=kebiolm-rand")
    assert "no records of model 'my-wen'; did you mean 'my-wem'?" in message


@pytest.mark.parametrize(("form", "name"), [("terminal", "stars.txt"), ("latex", "stars.tex")])
def test_the_stars_of_the_paper_are_the_golden_ones(
    form: str, name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert_golden(name, printed(capsys, "paper-stars", "--format", form))


def test_a_point_p_is_that_of_scores_with_the_printed_mean_and_deviation() -> None:
    # Five scores of mean 84.3 and sample deviation 1.0: 84.3 + (-1, -1, 0, 1, 1), as 4 / (5 - 1) is 1.
    scores = [83.3, 83.3, 84.3, 85.3, 85.3]
    printed_gad = Printed(84.3, 1.0, 5, 82.3, 1)
    for sides in ("greater", "two-sided"):
        exact = printed_p(printed_gad, sides=sides, is_exact=True)
        assert exact.low == exact.high == pytest.approx(one_sample_t(scores, 82.3, sides=sides).p)
        rounded = printed_p(printed_gad, sides=sides)
        assert rounded.low < exact.low < rounded.high


def test_the_stars_have_point_p_and_one_sided_holm(capsys: pytest.CaptureFixture[str]) -> None:
    points, ranges = json.loads(printed(capsys, "paper-stars", "--format", "json"))["sheets"][0]["grids"]
    assert points["headings"] == [
        "p", "printed", "one-sided", "one-sided, Holm", "two-sided", "two-sided, Holm", "two-sided, BH"
    ]  # fmt: skip
    assert ranges["headings"][1:] == points["headings"][1:]
    names = [row[0] for row in points["rows"]]
    rows = dict(zip(names, (row[1:] for row in points["rows"]), strict=True))
    beside = {(names[one["row"]], one["column"]): one for one in points["beside"]}

    def texts(name: str, *columns: int) -> list[str]:
        cells = zip((rows[name][column - 1] for column in columns), columns, strict=True)
        return [f"{p:.3f} {beside[name, column]['mark']}" for p, column in cells]

    # t = .5 / (.3 / sqrt 5) = 3.727, p = .0102; fourth of eight by p, so Holm takes it five times.
    assert rows["BC5dis"][0] == "*"
    assert texts("BC5dis", 2, 3, 4) == ["0.010 yes", "0.051 no", "0.020 yes"]
    assert texts("GAD", 2, 3) == ["0.006 yes", "0.033 yes"]
    assert texts("ChemProt", 2, 3) == ["0.045 yes", "0.178 no"]
    assert rows["RE average"][2] is None
    row = [row[0] for row in ranges["rows"]].index("BC5dis")
    (found,) = (one for one in ranges["beside"] if (one["row"], one["column"]) == (row, 3))
    assert [round(end, 3) for end in found["interval"]] == [0.017, 0.157]
    assert found["mark"] == "?"


def test_what_survives_is_said_in_words(capsys: pytest.CaptureFixture[str]) -> None:
    shown = " ".join(printed(capsys, "paper-stars").split())
    assert "one-sided: hold: BC5dis, NCBI, JNLPBA, GAD; undecided: ChemProt." in shown
    assert "one-sided, Holm: hold: NCBI, JNLPBA, GAD; undecided: BC5dis, ChemProt." in shown
    assert "two-sided, Holm: hold: NCBI, JNLPBA; undecided: BC5dis, GAD; fall: ChemProt." in shown


def test_tests_from_summaries_are_those_of_the_scores() -> None:
    a, b = [1.0, 2.0, 4.0], [2.0, 5.0, 9.0, 4.0]
    sd = (7 / 3) ** 0.5, (26 / 3) ** 0.5
    welch = welch_from_summaries((7 / 3, sd[0], 3), (5.0, sd[1], 4))
    assert welch == pytest.approx(welch_t(a, b, sides="two-sided").p)
    exact = welch_from_summaries((7 / 3, sd[0], 3), (5.0, 0.0, None))
    assert exact == pytest.approx(one_sample_t(a, 5.0, sides="two-sided").p)
    assert welch_from_summaries((1.0, 0.0, 3), (2.0, 0.0, None)) is None
    with pytest.raises(ValueError, match="at least two"):
        welch_from_summaries((1.0, 1.0, 1), (2.0, 0.0, None))


@pytest.mark.slow
@pytest.mark.realdata
def test_the_data_are_counted_beside_table_1(real_data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shown = printed(capsys, "paper-1", "--data", str(real_data / "blurb"))
    cells = [line.split() for line in shown.splitlines()]
    rows = {row[0]: row[1:] for row in cells if len(row) == 7}
    assert rows["GAD"] == ["4,261", "4,261", "535", "535", "534", "534"]
    assert rows["NCBI"][:2] == ["5,134", "5,137"]
    assert "NCBI train: the files that BLURB's scripts write hold 5134" in shown


# Table 1 of the paper: mentions, those in UMLS, and in KeBioLM; its sums are those of the left half.
RIGHT_HALF = {
    "BC5chem": (15935, 10373, 8993),
    "BC5dis": (12850, 8846, 3878),
    "NCBI": (6884, 1985, 1091),
    "BC2GM": (24583, 2808, 2423),
    "JNLPBA": (59963, 6099, 5233),
    "ChemProt": (39022, 13106, 10772),
    "DDI": (15738, 10429, 9212),
}


def test_the_right_half_of_table_1_is_printed_as_it_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (sheet,) = json.loads(printed(capsys, "paper-1", "--data", str(tmp_path), "--format", "json"))["sheets"]
    left, right = sheet["grids"]
    assert {row[0]: (row[1], row[2], row[4]) for row in right["rows"]} == RIGHT_HALF
    sums = {row[0]: row[2] + row[4] + row[6] for row in left["rows"]}
    for task in ("BC5chem", "BC5dis", "NCBI", "BC2GM", "JNLPBA"):
        assert sums[task] == RIGHT_HALF[task][0]
    shares = {row[0]: (row[3], row[5]) for row in right["rows"]}
    assert shares["JNLPBA"][1] == pytest.approx(
        8.7, abs=0.05
    )  # the lowest of section 4.2, which names another task
    assert shares["DDI"][1] == pytest.approx(58.5, abs=0.05)


def test_our_knowledge_base_stands_beside_the_right_half(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    known = [Overlap(task="ncbi-disease", mentions=200, in_kb=50, in_corpus=None)]
    monkeypatch.setattr("kebench.cli.table.count_known", lambda *_: known)
    monkeypatch.setattr("kebench.umls.knowledge_base.KnowledgeBase.open", lambda _: None)
    command = ["paper-1", "--data", str(tmp_path), "--kb", "kb", "--format", "json"]
    right = json.loads(printed(capsys, *command))["sheets"][0]["grids"][1]
    assert right["headings"][:7] == [
        "known mentions", "all", "all, paper", "in KB", "% in KB", "in UMLS, paper", "% in UMLS, paper"
    ]  # fmt: skip
    assert len(set(right["headings"])) == len(right["headings"]), "a CSV names its cells by these"
    row = next(row for row in right["rows"] if row[0] == "NCBI")
    assert row[1:] == [200, 6884, 50, 25.0, 1985, 100 * 1985 / 6884, None, None, 1091, 100 * 1091 / 6884]


def test_options_of_paper_1_are_refused_elsewhere(capsys: pytest.CaptureFixture[str]) -> None:
    assert "count the mentions of paper-1; leave them out" in refused(capsys, "paper-2", "--kb", "x")
    assert "name the knowledge base too" in refused(capsys, "paper-1", "--corpus", "x")


@pytest.mark.parametrize("form", ["terminal", "markdown", "latex", "csv", "json"])
@pytest.mark.parametrize("name", ["paper-1", "paper-2", "paper-3", "paper-4", "paper-6", "paper-7"])
def test_without_anything_of_ours_the_printed_table_stands(
    name: str,
    form: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KEBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("KEBENCH_DATA", str(tmp_path))
    number = {
        "paper-1": "10,?373|10\\{,\\}373", "paper-2": "93.3", "paper-3": "92.8", "paper-4": "78.8",
        "paper-6": "13.92", "paper-7": "pheochromocytoma",
    }[name]  # fmt: skip
    assert re.search(number, printed(capsys, name, "--format", form))


def test_without_probes_tables_6_and_7_stand_as_printed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("kebench.cli.table.shipped", lambda name: _shipped_without_probes(name, tmp_path))
    main(["table", "paper-6"])
    found = capsys.readouterr()
    assert ["KeBioLM", "14.01", "1.48", "3.26"] in [line.split() for line in found.out.splitlines()]
    assert "as printed; no probe of ours" in found.out
    remedy = "make some with 'kebench probe run', or name their folder with --results"
    assert found.err == f"no probes in results/local; {remedy}\n"
    rows = [re.split(r"  +", line) for line in printed(capsys, "paper-7").splitlines()]
    assert ["query and answer", "SciBERT", "KeBioLM"] in rows
    assert ["phentolamine may diagnose [MASK]", "depression", "pheochromocytoma"] in rows
    assert ["C0023884: liver", "the form of hepatic", "hepatic only"] in rows
    for options in (["paper-7", "--hits"], ["paper-6", "--as", "bert-tiny=kebiolm"]):
        assert "results/local: no probes; make some with 'kebench probe run'" in refused(capsys, *options)


def _shipped_without_probes(name: str, elsewhere: Path) -> Path:
    return elsewhere if name == "results/pretraining" else shipped(name)


def test_the_papers_examples_stand_below_ours_unless_some_are_chosen(
    probed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = printed(capsys, *examples_of(probed))
    assert shown.index("thing 0 may treat") < shown.index("Table 7 of Yuan et al. 2021, as printed")
    assert "as printed" not in printed(capsys, *examples_of(probed, "--n", "1"))


def test_data_that_are_not_there_are_dashes_and_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = printed(capsys, "paper-1", "--data", str(tmp_path))
    assert "GAD – 4,261 – 535 – 534" in " ".join(shown.split())
    assert "no folder gad or GAD" in " ".join(shown.split())


def test_a_cloze_set_stands_beside_table_5(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_set(tmp_path / "set", QUERIES)
    rows = {
        line.split("  ")[0]: line.split()[-2:]
        for line in printed(capsys, "paper-5", "--set", str(tmp_path / "set")).splitlines()
    }
    assert rows["#Queries"] == ["3", "143,771"]
    assert rows["#Avg. CUIs"][1] == "2.39"
    assert "paper-5 needs a cloze set" in refused(capsys, "paper-5")


def test_probes_stand_beside_table_6_and_differ_only_on_the_papers_set(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_probe(tmp_path, small_record())
    shown = printed(capsys, "paper-6", "--results", str(tmp_path), "--as", "bert-tiny=scibert")
    row = next(line.split() for line in shown.splitlines() if line.startswith("bert-tiny, all"))
    assert row[-3:] == ["2.75", "–", "–"]
    assert "Another set than the paper's" in shown
    record = small_record()
    papers = record.model_copy(update={"set": "umls-2020aa", "model": "scibert"})
    write_probe(tmp_path / "papers", papers)
    shown = printed(capsys, "paper-6", "--results", str(tmp_path / "papers"))
    row = next(line.split() for line in shown.splitlines() if line.startswith("scibert, all"))
    ours = record.scores.released.overall.hit.macro_percent
    assert ours is not None
    assert row[-2] == f"{ours - 2.75:+.2f}"


def test_published_rows_that_no_model_of_ours_stands_beside_are_printed_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_probe(tmp_path, small_record())
    shown = printed(capsys, "paper-6", "--results", str(tmp_path))
    assert ["KeBioLM", "14.01", "1.48", "3.26"] in [line.split() for line in shown.splitlines()]
    assert "--as MODEL=ROW puts one beside a row" in " ".join(shown.split())
    shown = printed(capsys, "paper-6", "--results", str(tmp_path), "--as", "bert-tiny=scibert")
    assert "SciBERT" not in "".join(shown.splitlines()[1:])
    assert "--as MODEL=ROW" not in shown


def test_a_table_is_csv_and_json_too(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = list(
        csv.DictReader(io.StringIO(printed(capsys, "paper-2", "--results", str(results), "--format", "csv")))
    )
    (cell,) = (one for one in lines if (one["row"], one["column"]) == ("NCBI", "published"))
    assert (cell["value"], cell["deviation"], cell["mark"]) == ("89.1", "0.3", "*")
    (sheet,) = json.loads(printed(capsys, "paper-2", "--results", str(results), "--format", "json"))["sheets"]
    rows = sheet["grids"][0]["rows"]
    (row,) = (row for row in rows if row[0] == "NCBI")
    assert row == ["NCBI", pytest.approx(89.1), 89.1, pytest.approx(0.0), "yes"]
    (ours,) = (
        one for one in sheet["grids"][0]["beside"] if (one["row"], one["column"]) == (rows.index(row), 1)
    )
    assert (ours["n"], ours["deviation"]) == (5, pytest.approx(0.1**0.5))


def test_no_hit_is_a_sentence(
    probed: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "tests.probe.test_scores_command.PREDICTIONS",
        prediction_table([(0, "drug", -1.0), (1, "drug", -1.0)]),
    )
    folder = write_probe(probed / "none", small_record(model="none", model_hash="7" * 64))
    shown = printed(capsys, "paper-7", "--results", str(folder), "--set", str(probed / "set"), "--hits")
    assert "No model answers any of the 2 queries looked at" in " ".join(shown.split())
    assert "query and answer" not in shown


def test_no_probe_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "no probes; make some" in refused(capsys, "paper-6", "--results", str(tmp_path))
    missing = refused(capsys, "paper-6", "--results", str(tmp_path / "nowhere"))
    assert "nowhere: no such folder of probes; make some with" in missing


@pytest.fixture
def probed(tmp_path: Path) -> Path:
    """Two probes of one set of three queries: two were decoded and answered, the third accepts nothing."""
    write_set(tmp_path / "set", QUERIES)
    for model, weights in (("bert-tiny", "1"), ("minilm", "3")):
        write_probe(tmp_path / "local", small_record(model=model, model_hash=weights * 64))
    return tmp_path


def examples_of(probed: Path, *options: str) -> list[str]:
    return ["paper-7", "--results", str(probed / "local"), "--set", str(probed / "set"), *options]


def test_examples_stand_with_gold_and_each_models_answers(
    probed: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    lines = printed(capsys, *examples_of(probed)).splitlines()
    assert max(map(len, lines)) <= 80
    rows = [re.split(r"  +", line) for line in lines]
    assert ["query and answer", "bert-tiny", "minilm"] in rows
    # By mean: drug -1.0, headache -1.2, asthma -1.5; the second query has one answer, of four pieces.
    first = rows.index(["thing 0 may treat [MASK].", "drug", "drug"])
    assert rows[first + 1] == ["C1: asthma; C2: headache", "headache*", "headache*"]
    assert ["thing 1 may treat [MASK].", "–", "–"] in rows
    assert not any("thing 2" in line for line in lines)  # it was not decoded
    assert "taken evenly from the 2 that all of these probes decoded" in " ".join(" ".join(lines).split())


def test_a_right_answer_far_down_is_named_with_its_place(
    probed: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "tests.probe.test_scores_command.PREDICTIONS",
        prediction_table(
            [(0, "drug", -1.0), (0, "cold", -1.2), (0, "asthma", -1.5), (0, "severe drug", -2.2)]
        ),
    )
    folder = write_probe(probed / "deep", small_record(model="deep", model_hash="5" * 64))
    shown = printed(capsys, "paper-7", "--results", str(folder), "--set", str(probed / "set"))
    assert "severe drug; at 4: asthma" in " ".join(shown.split())


def test_only_models_and_hits_that_are_asked_for_are_shown(
    probed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = printed(capsys, *examples_of(probed, "--models", "minilm", "--hits", "--n", "1"))
    assert "bert-tiny" not in shown
    assert shown.count("[MASK]") == 1
    assert "2 of 2 looked at" in " ".join(shown.split())


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("pdflatex"), reason="no pdflatex")
def test_examples_compile_in_latex(probed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    body = printed(capsys, *examples_of(probed, "--format", "latex"))
    text = "\\documentclass{article}\n\\usepackage{array,booktabs}\n\\begin{document}\n" + body
    (probed / "seven.tex").write_text(text + "\\end{document}\n", encoding="utf-8")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "seven.tex"]
    made = subprocess.run(command, cwd=probed, capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stdout[-2000:]
    assert "Overfull" not in made.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["paper-7", "--results", "nowhere"], "nowhere: no such folder of probes; make some with"),
        (["paper-7", "--results", "."], ".: no probes; make some with 'kebench probe run', or name"),
        (["paper-6", "--hits"], "paper-6: --models, --n and --hits choose the examples of paper-7"),
    ],
)
def test_examples_that_cannot_be_shown_say_why(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert message in refused(capsys, *arguments)


def test_a_misspelt_model_of_examples_is_refused(probed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    message = refused(capsys, *examples_of(probed, "--models", "minlm"))
    assert "no probe of model 'minlm'; did you mean 'minilm'?" in message
