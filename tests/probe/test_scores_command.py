"""What `kebench probe show` and `kebench probe scores` print."""

import csv
import io
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result

from kebench.cli.probe_scores import scores
from kebench.cli.probe_show import show
from kebench.errors import UserError
from kebench.probe.query_set import remember_set
from kebench.probe.record import ProbeRecord, ProbeSubset, probe_folder, write_probe_record
from kebench.probe.scores import score_probe
from tests.probe.small_probes import (
    answer,
    prediction_table,
    probe_record,
    query_table,
    word_pieces,
    write_set,
)

QUERIES = query_table(
    ("may_treat", [answer("C1", "asthma"), answer("C2", "headache")], True, False),
    ("may_treat", [answer("C3", "cold")], False, True),
    ("isa", [], False, False),
)
PREDICTIONS = prediction_table(
    [(0, "drug", -1.0), (0, "asthma", -1.5), (0, "head ##ache", -2.4), (1, "cold ( disorder )", -8.0)]
)


@pytest.fixture(scope="module")
def probed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `set`, a query set, and `local`, one probe of it."""
    folder = tmp_path_factory.mktemp("probed")
    write_set(folder / "set", QUERIES)
    write_probe(folder / "local", small_record())
    return folder


def small_record(**changes: Any) -> ProbeRecord:
    generator = np.random.default_rng(0)
    found = score_probe(QUERIES, PREDICTIONS, word_pieces(), max_masks=2, generator=generator)
    return probe_record(found, **changes)


def write_probe(out: Path, record: ProbeRecord) -> Path:
    folder = probe_folder(out, set_name=record.set, model=record.model, identity=record.identity)
    folder.mkdir(parents=True)
    pq.write_table(PREDICTIONS, folder / "predictions.parquet")
    word_pieces().save(str(folder / "tokenizer.json"))
    write_probe_record(folder, record)
    return folder


def arguments_of(probed: Path, *options: str) -> list[str]:
    place = ["--set", str(probed / "set"), "--model", "bert-tiny", "--results", str(probed / "local")]
    return [*place, *options]


def shown(probed: Path, *options: str) -> str:
    result = CliRunner().invoke(show, arguments_of(probed, *options), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def table(probed: Path, *options: str) -> Result:
    places = [str(probed / "local")] if (probed / "local").is_dir() else []
    return CliRunner().invoke(scores, [*places, *options], catch_exceptions=False)


def test_folders_of_scores_are_named_by_option_as_well(probed: Path) -> None:
    by_option = CliRunner().invoke(scores, ["--results", str(probed / "local")], catch_exceptions=False)
    assert by_option.stdout == table(probed).stdout
    assert "bert-tiny" in by_option.stdout


def test_an_example_shows_query_gold_and_the_best_answers_of_one_and_of_more_masks(probed: Path) -> None:
    # by mean: drug -1.0, headache -1.2, asthma -1.5
    assert shown(probed, "--relation", "may_treat", "--n", "1") == (
        "thing 0 may treat [MASK].\n"
        "  relation    may_treat, query 0\n"
        "  accepted    asthma (C1), headache (C2)\n"
        "  one mask    drug (log p -1.00)\n"
        "  more masks  headache (2 masks, mean log p -1.20)\n"
        "  HIT         headache, 2 of 3 answers\n"
    )


def test_predictions_without_a_column_are_refused(probed: Path, tmp_path: Path) -> None:
    probed = shutil.copytree(probed, tmp_path / "copy")
    (path,) = (probed / "local").rglob("predictions.parquet")
    pq.write_table(pq.read_table(path).rename_columns({"num_masks": "num_mascs"}), path)
    with pytest.raises(UserError, match=r"damaged \(no column num_masks of int8\); copy the probe's whole"):
        CliRunner().invoke(show, arguments_of(probed), catch_exceptions=False)


def test_where_the_rules_disagree_both_are_said(probed: Path) -> None:
    assert "HIT         cold ( disorder ), 1 of 1 answers; by the released rule a miss" in shown(probed)


def test_hits_and_misses_are_told_apart(probed: Path) -> None:
    assert shown(probed, "--hits").count("HIT") == 2
    missed = shown(probed, "--misses")
    assert "accepted    nothing" in missed
    assert "one mask    -" in missed
    assert missed.endswith("miss        none of 0 answers is accepted\n")


def test_no_line_of_an_example_is_wider_than_the_page(probed: Path, tmp_path: Path) -> None:
    many = query_table(
        ("isa", [answer(f"C{n}", "a long name of a concept " * 5) for n in range(9)], False, False)
    )
    write_set(tmp_path / "set", many)
    folder = write_probe(tmp_path / "local", small_record())
    arguments = [str(folder), "--set", str(tmp_path / "set")]
    lines = CliRunner().invoke(show, arguments, catch_exceptions=False).stdout.splitlines()
    assert max(map(len, lines)) <= 80
    assert len(lines) == 9  # the accepted names are cut after four lines


def test_of_a_probe_of_some_queries_only_those_are_shown_that_were_asked(
    probed: Path, tmp_path: Path
) -> None:
    folder = write_probe(tmp_path, small_record(subset=ProbeSubset(queries=2)))
    result = CliRunner().invoke(show, [str(folder), "--set", str(probed / "set")], catch_exceptions=False)
    assert [line for line in result.stdout.splitlines() if "[MASK]" in line] == [
        "thing 0 may treat [MASK].",
        "thing 1 may treat [MASK].",
    ]


def test_hits_are_looked_for_among_so_many_queries_and_that_is_said(
    probed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kebench.cli.probe_show.LOOKED_AT", 2)
    result = CliRunner().invoke(show, arguments_of(probed, "--hits"), catch_exceptions=False)
    assert "looked for hits among 2 of 3 queries, evenly taken" in result.stderr
    assert result.stdout.count("HIT") == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "name either the folder"),
        (["--model", "bert-tyny"], r"no probe of model 'bert-tyny'; did you mean 'bert-tiny'\? make some"),
        (
            ["--model", "bert-tiny", "--relation", "may_teat"],
            r"did you mean 'may_treat'\? 'kebench probe stats",
        ),
        (["--model", "bert-tiny", "--score", "sum"], "--score is of ranked probes and multiple choice, and"),
        (["--model", "bert-tiny", "--hits", "--misses"], "--hits and --misses leave no query; name one"),
    ],
)
def test_a_mistake_is_said_with_what_to_do(probed: Path, arguments: list[str], message: str) -> None:
    wanted = ["--set", str(probed / "set"), "--results", str(probed / "local"), *arguments]
    with pytest.raises(UserError, match=message):
        CliRunner().invoke(show, wanted, catch_exceptions=False)


def test_a_set_is_found_where_it_was_last_seen(
    probed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KEBENCH_CACHE", str(tmp_path / "cache"))
    wanted = ["--model", "bert-tiny", "--results", str(probed / "local"), "--relation", "may_treat"]
    with pytest.raises(UserError, match="set umls 22222222: not seen on this machine; name its folder by"):
        CliRunner().invoke(show, wanted, catch_exceptions=False)
    moved = write_set(tmp_path / "set", QUERIES)
    remember_set(moved, "2" * 64)
    result = CliRunner().invoke(show, wanted, catch_exceptions=False)
    assert result.stdout == shown(probed, "--relation", "may_treat")
    assert f"{moved}: the set of this probe" in result.stderr
    (moved / "set.json").unlink()
    with pytest.raises(UserError, match=r"set umls 22222222: .*no set of queries.*, or name it with --set"):
        CliRunner().invoke(show, wanted, catch_exceptions=False)


def test_a_folder_that_holds_another_set_by_now_is_not_taken(
    probed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KEBENCH_CACHE", str(tmp_path / "cache"))
    remember_set(write_set(tmp_path / "set", QUERIES, content_hash="3" * 64), "2" * 64)
    with pytest.raises(UserError, match="holds another set than umls 22222222 by now; name it with --set"):
        CliRunner().invoke(
            show, ["--model", "bert-tiny", "--results", str(probed / "local")], catch_exceptions=False
        )


def test_predictions_of_another_set_are_refused(probed: Path, tmp_path: Path) -> None:
    folder = write_probe(tmp_path, small_record(set_hash="3" * 64))
    with pytest.raises(UserError, match="set 22222222, but the predictions are of umls 33333333"):
        CliRunner().invoke(show, [str(folder), "--set", str(probed / "set")], catch_exceptions=False)


def test_a_set_that_is_not_whole_is_refused(probed: Path, tmp_path: Path) -> None:
    other = write_set(tmp_path / "set", QUERIES)
    pq.write_table(QUERIES.slice(1), other / "queries.parquet")
    wanted = ["--set", str(other), "--model", "bert-tiny", "--results", str(probed / "local")]
    with pytest.raises(UserError, match=r"queries\.parquet: not the file that set\.json describes"):
        CliRunner().invoke(show, wanted, catch_exceptions=False)


@pytest.mark.parametrize("name", ["predictions.parquet", "tokenizer.json"])
def test_a_file_that_was_cut_off_is_one_line(name: str, probed: Path, tmp_path: Path) -> None:
    path = write_probe(tmp_path, small_record()) / name
    path.write_bytes(path.read_bytes()[:-10])
    arguments = [str(path.parent), "--set", str(probed / "set")]
    with pytest.raises(UserError, match=rf"{name}: (damaged|no tokenizer) \(.*\); copy the probe's whole"):
        CliRunner().invoke(show, arguments, catch_exceptions=False)


def test_a_set_without_its_number_of_queries_is_refused(probed: Path, tmp_path: Path) -> None:
    path = write_set(tmp_path / "set", QUERIES) / "set.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"counts": {}}))
    arguments = [str(tmp_path), "--set", str(path.parent)]
    with pytest.raises(UserError, match=r"set\.json: counts: .*no number of queries; build the set again"):
        CliRunner().invoke(show, arguments, catch_exceptions=False)


def test_no_hits_are_no_mistake(probed: Path) -> None:
    wanted = arguments_of(probed, "--relation", "isa", "--hits")
    result = CliRunner().invoke(show, wanted, catch_exceptions=False)
    assert (result.exit_code, result.stdout) == (0, "")
    assert "no hits among those that the options leave" in result.stderr


def test_scores_are_broken_down_by_what_the_record_holds(probed: Path) -> None:
    lines = table(probed, "--by", "relation").stdout.splitlines()
    assert max(map(len, lines)) <= 80
    assert [line.split() for line in lines[3:]] == [
        ["relation", "queries", "hit", "Acc@1", "Acc@5", "MRR"],
        ["─" * 48],
        ["isa", "1", "0.00", "0.00", "0.00", "0.00"],
        ["may_treat", "2", "100.00", "50.00", "100.00", "75.00"],
    ]
    markdown = table(probed, "--by", "answer-length", "--format", "markdown").stdout
    assert "| none | 1 | 0.00 | 0.00 | 0.00 | 0.00 |" in markdown
    assert "may\\_treat & 2 & 100.00" in table(probed, "--by", "relation", "--format", "latex").stdout
    rows = list(csv.DictReader(io.StringIO(table(probed, "--by", "relation", "--format", "csv").stdout)))
    groups = json.loads(table(probed, "--by", "relation", "--format", "json").stdout)["groups"]
    assert [(row["group"], float(row["mrr_percent"])) for row in rows] == [("isa", 0), ("may_treat", 75)]
    assert [str(one["queries"]) for one in groups] == [row["queries"] for row in rows]
    assert table(probed, "--by", "semantic-type").exit_code == 0  # the set has none


def test_a_set_may_be_named_by_its_folder(probed: Path, tmp_path: Path) -> None:
    assert table(probed, "--set", str(probed / "set")).stdout == table(probed).stdout
    other = write_set(tmp_path / "set", QUERIES, content_hash="3" * 64)
    with pytest.raises(UserError, match=r"no probe of the set in .*set; make some with"):
        table(probed, "--set", str(other))


def test_notes_stand_once_below_all_tables(probed: Path, tmp_path: Path) -> None:
    write_probe(tmp_path, small_record(set_hash="3" * 64))
    for form in ("table", "markdown"):
        text = table(probed, str(tmp_path), "--format", form).stdout
        assert text.count("Macro averages over relations") == 1
        assert text.count("bert-tiny") == 2


def test_an_unfinished_probe_is_said(tmp_path: Path) -> None:
    folder = write_probe(tmp_path, small_record())
    folder.with_suffix(".parts").mkdir()
    assert f"{folder}: not finished; the command that began it" in table(tmp_path, str(tmp_path)).stderr


def test_a_name_that_is_its_own_identifier_is_printed_once(probed: Path, tmp_path: Path) -> None:
    write_set(tmp_path / "set", query_table(("r", [answer("asthma", "asthma")], False, False)))
    folder = write_probe(tmp_path / "local", small_record())
    arguments = [str(folder), "--set", str(tmp_path / "set")]
    assert "  accepted    asthma\n" in CliRunner().invoke(show, arguments, catch_exceptions=False).stdout


def test_the_table_has_a_row_a_probe_and_the_papers_below(probed: Path) -> None:
    # may_treat: the released rule hits query 0, its type 1 is query 1; ours hits both, its type 1 is query 0
    lines = table(probed).stdout.splitlines()
    assert lines[0] == "umls [22222222], 3 queries; fixed, confidence, beam 5, 1 to 2 masks, one a slot,"
    assert lines[3:9] == [
        "                  hit, released        hit, fixed         ranked, all",
        "model          type 1 type 2   all type 1 type 2   all Acc@1 Acc@5   MRR",
        "─" * 72,
        "bert-tiny        0.00  50.00 25.00 100.00  50.00 50.00 25.00 50.00 37.50",
        "─" * 72,
        "published",
    ]
    assert max(map(len, lines)) <= 80
    assert any(line.startswith("† Yuan et al. 2021, Table 6") for line in lines)


def test_the_paper_stands_aside_if_asked(probed: Path) -> None:
    assert "published" not in table(probed, "--no-published").stdout


def test_every_format_holds_the_same_figures(probed: Path) -> None:
    assert "| bert-tiny | 0.00 | 50.00 | 25.00 | 100.00 |" in table(probed, "--format", "markdown").stdout
    assert "bert-tiny & 0.00 & 50.00 & 25.00 & 100.00 &" in table(probed, "--format", "latex").stdout
    rows = list(csv.DictReader(io.StringIO(table(probed, "--format", "csv").stdout)))
    figures = json.loads(table(probed, "--format", "json").stdout)["figures"]
    assert len(rows) == len(figures) == 3 + 3 * 7 + 4 * 3  # released hits, fixed figures, printed ones
    [mrr] = [
        one
        for one in figures
        if (one["bucket"], one["metric"], one["ranking"]) == ("overall", "mrr", "by_mean")
    ]
    assert mrr["macro_percent"] == 37.5
    assert [row["macro_percent"] for row in rows if row["model"] == "kebiolm"] == ["14.01", "1.48", "3.26"]


def test_a_folder_without_probes_says_how_to_make_some(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no probes; make some with 'kebench probe run'"):
        CliRunner().invoke(scores, [str(tmp_path)], catch_exceptions=False)


def test_examples_are_rows_too(probed: Path) -> None:
    def rows(form: str) -> str:
        return CliRunner().invoke(show, arguments_of(probed, "--format", form), catch_exceptions=False).stdout

    lines, found = list(csv.DictReader(io.StringIO(rows("csv")))), json.loads(rows("json"))["examples"]
    assert [line["query"] for line in lines] == [str(one["query"]) for one in found]
    assert {line["is_hit"] for line in lines} == {"True", "False"}
    assert rows("markdown").count("\n| ") == 2 + len(found)
