"""`kebench significance`: daggers, tasks won and lost, ranks."""

import json
from itertools import combinations
from pathlib import Path

import pytest

from kebench.cli import main
from kebench.grid import Grid, Sheet
from kebench.records import Record
from kebench.report.compare import Settings
from kebench.report.significance import Significance, Test, significance, significance_sheet
from kebench.report.table import build_leaderboard
from kebench.report.write_terminal import sheets_for_terminal
from kebench.shipped import shipped
from kebench.tasks.card import all_task_cards
from tests.report.sample_records import NER_TASKS, sample_grid, sample_record, write_sample
from tests.report.test_render import assert_golden


def only(records: list[Record], *, test: Test = "welch") -> Significance:
    board = build_leaderboard(records, cards=all_task_cards())
    (found,) = significance(board, test=test, settings=Settings(), predictions=lambda record: {})
    return found


def test_the_family_is_all_pairs_on_all_tasks() -> None:
    # Two models on eight tasks: eight pairs. On GAD, 80 against 77 with sd 1 and n = 3: t = 3 / sqrt(2/3) =
    # 3.67, df 4, p = .0213; the largest of eight, so Holm multiplies it by one.
    found = only(sample_grid())
    assert len(found.pairs) == 8
    gad = next(pair for pair in found.pairs if pair.better.model == "bert-tiny")
    assert gad.p == pytest.approx(0.0213, abs=1e-4)


def test_other_seeds_have_no_paired_test_but_one_by_welch() -> None:
    records = [sample_record("minilm", "gad", seed=seed, test=80.0 + seed) for seed in (0, 1, 2)]
    records += [sample_record("bert-tiny", "gad", seed=seed, test=70.0 + seed) for seed in (0, 1)]
    assert only(records, test="welch").pairs[0].p is not None
    (pair,) = only(records, test="paired").pairs
    assert (pair.raw, pair.p, pair.tested.note) == (None, None, "it needs the same seeds of both models")


def test_ranks_need_five_tasks_and_three_models() -> None:
    assert only(sample_grid()).ranking is None
    third = [
        sample_record("third", task, test=50.0, rate=1e-3) for task in (*NER_TASKS, "chemprot", "ddi", "gad")
    ]
    found = only([*sample_grid(), *third])
    assert found.ranking is not None
    assert [key.model for key in found.ranked] == ["minilm", "bert-tiny", "third"]
    assert found.ranking.mean_ranks == (9 / 8, 15 / 8, 3.0)  # bert-tiny is first on GAD alone


def test_it_reads_as_the_golden_one(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    for form, name in (("terminal", "significance.txt"), ("latex", "significance.tex")):
        main(["significance", "--results", str(shipped("results/recorded")), "--format", form])
        assert_golden(name, capsys.readouterr().out)


def test_the_number_of_seeds_stands_with_the_scores() -> None:
    assert "mean ± sd over 3 seeds" in significance_sheet(only(sample_grid())).captions[0]
    without_one = significance_sheet(only(sample_grid()[:-1]))
    assert "mean ± sd (number of seeds)" in without_one.captions[0]
    assert without_one.grids[1].texts[1] == ("bert-tiny", "60.0±1.0 (3)†", "60.0±1.0 (3)†", "79.5±0.7 (2)")


def test_names_are_not_folded_where_the_stars_of_the_best_cells_just_do_not_fit() -> None:
    grid = Grid(("model", "a", "b"), (("minilm", "70.0", "80.0"),), frozenset({(0, 1), (0, 2)}))
    full = sheets_for_terminal([Sheet("", (), (grid,), ())], width=20, is_styled=False)
    assert "minilm  70.0*  80.0*" in full
    narrow = sheets_for_terminal([Sheet("", (), (grid,), ())], width=17, is_styled=False)
    assert [line for line in narrow.splitlines() if "minilm" in line] == ["minilm  70.0*", "minilm  80.0*"]


def test_permutation_and_both_read_the_predictions(capsys: pytest.CaptureFixture[str]) -> None:
    recorded = ["--results", str(shipped("results/recorded")), "--tasks", "gad", "--resamples", "999"]
    main(["significance", *recorded, "--test", "permutation"])
    shown = capsys.readouterr().out
    assert "permutation test over the test set, 999 resamples, two-sided" in " ".join(shown.split())
    assert "66.5±2.9†" in shown
    main(["significance", *recorded, "--test", "both"])
    assert "66.5±2.9†" not in capsys.readouterr().out  # Welch: .039 times 3


def test_json_holds_every_pair_and_the_ranks(capsys: pytest.CaptureFixture[str]) -> None:
    main(["significance", "--results", str(shipped("results/recorded")), "--format", "json"])
    content = json.loads(capsys.readouterr().out)
    (found,) = content["significance"]
    models = [[one.name for one in task.iterdir()] for task in shipped("results/recorded").iterdir()]
    pairs = sum(len(list(combinations(names, 2))) for names in models)
    assert (content["schema"], len(found["tests"]), found["correction"]) == (1, pairs, "holm")
    gad = next(one for one in found["tests"] if (one["task"], one["b"]) == ("gad", "bert-tiny"))
    family = [one for one in found["tests"] if one["kind"] == gad["kind"]]
    assert (gad["a"], gad["test"], gad["n"]) == ("minilm", "Welch t", [3, 3])
    assert gad["family_size"] == len(family)
    assert (found["ranking"]["test"], found["ranking"]["models"][0]) == ("Friedman", "minilm")


def test_one_model_alone_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_sample(tmp_path, [sample_record("minilm")])
    with pytest.raises(SystemExit) as stop:
        main(["significance", "--results", str(tmp_path)])
    assert stop.value.code == 2
    assert "no two models have a task under one protocol" in capsys.readouterr().err
