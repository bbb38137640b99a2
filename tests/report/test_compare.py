"""`kebench compare` on the recorded runs, and what it refuses."""

import gzip
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from kebench.cli import main
from kebench.kinds.registry import metric_of
from kebench.kinds.stored import read_predictions
from kebench.records import read_record, record_paths
from kebench.report.compare import Comparison, Settings, compare, document_of, sum_by_document
from kebench.report.compare_words import comparison_fields, comparison_sheet
from kebench.report.table import build_leaderboard
from kebench.scoring.metrics import METRICS
from kebench.scoring.score import Score
from kebench.shipped import shipped
from kebench.stats.seeds import one_sample_t
from kebench.tasks.card import all_task_cards
from tests.report.sample_records import sample_grid, sample_record, write_sample
from tests.report.test_render import assert_golden

RECORDED = shipped("results/recorded")
PREDICTED = {"kind": "relation", "negative": "0", "test": {"ids": ["a"], "gold": ["1"], "predicted": ["1"]}}


def compared(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[dict[str, Any]]:
    main(["compare", *arguments, "--format", "json"])
    content = json.loads(capsys.readouterr().out)
    comparisons: list[dict[str, Any]] = content["comparisons"]
    return comparisons


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    with pytest.raises(SystemExit) as stop:
        main(["compare", *arguments])
    assert stop.value.code == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    return shown.err.splitlines()[-1]


@pytest.mark.parametrize("path", record_paths(RECORDED), ids=lambda path: "/".join(path.parts[-3:]))
def test_the_counts_of_units_add_up_to_the_recorded_score(path: Path) -> None:
    record, predictions = read_record(path), read_predictions(path)
    score = record.test
    assert tuple(metric_of(record).units(predictions, "test").sum(axis=0)) == (
        score.details["num_gold"],
        score.details["num_predicted"],
        score.details["num_correct"],
    )
    gold, predicted, correct = metric_of(record, "as-published").units(predictions, "test").sum(axis=0)
    assert 200 * correct / (gold + predicted) == pytest.approx(as_published(score))


def as_published(score: Score) -> float:
    return score.further.get("entity_f1_lenient", score.score_percent)


def test_documents_are_those_that_ids_begin_with() -> None:
    assert document_of("10064839.T1.T2") == "10064839"
    assert document_of("DDI-DrugBank.d297.s3.p0") == "DDI-DrugBank.d297"
    assert document_of("10070173.s4") == "10070173"
    assert document_of("trial.7.s0") == "trial.7"
    split = {"gold": ["a", "a", "a"], "predicted": ["a", "false", "a"]}
    metric = METRICS["micro_f1"]
    counts = metric.units({"negative": "false", "test": split}, "test")
    assert sum_by_document(counts, ["1.T1.T2", "2.T1.T2", "1.T1.T3"], metric=metric).tolist() == [
        [2, 2, 2],
        [1, 0, 0],
    ]


def test_rates_that_others_chose_are_said_above_the_comparison() -> None:
    def captions(a: tuple[float, str | None], b: tuple[float, str | None]) -> tuple[list[str], list[str]]:
        records = []
        for model, (rate, origin) in (("minilm", a), ("bert-tiny", b)):
            made = sample_record(model, "gad", rate=rate)
            chosen = made.provenance.model_copy(update={"learning_rate_from": origin})
            records.append(made.model_copy(update={"provenance": chosen}))
        board = build_leaderboard(records, cards=all_task_cards())
        (found,) = compare(board, "minilm", "bert-tiny", settings=Settings(), predictions=lambda _: PREDICTED)
        return [
            line for line in comparison_sheet(found).captions if line.startswith("UNEQUAL")
        ], comparison_fields(found)["unequal_footing"]

    said = (
        "UNEQUAL FOOTING: learning rates tried: minilm {}; bert-tiny {}. The difference may be one of rates: "
    )
    said += "run both with the same, 'kebench run --learning-rates'"
    assert captions((2e-4, "card"), (5e-5, "budget")) == (
        [said.format("0.0002 (suggested by its card)", "5e-05 (the budget's)")],
        ["gad"],
    )
    assert captions((2e-4, "option"), (5e-5, "option"))[0] == [
        said.format("0.0002 (the user's)", "5e-05 (the user's)")
    ]
    assert captions((2e-4, None), (1e-3, None))[0] == [said.format("0.0002", "0.001")]
    assert captions((2e-4, "card"), (1e-3, "card")) == ([], [])
    assert captions((5e-5, "card"), (5e-5, "budget")) == ([], [])


def test_two_models_are_compared_on_every_task_that_both_have(capsys: pytest.CaptureFixture[str]) -> None:
    (comparison,) = compared(
        capsys, "minilm", "bert-tiny", "--results", str(RECORDED), "--tasks", "gad,ddi", "--resamples", "999"
    )
    assert [task["task"] for task in comparison["tasks"]] == ["ddi", "gad"]
    ddi, gad = comparison["tasks"]
    assert gad["difference_percent"] == pytest.approx(gad["a"]["mean_percent"] - gad["b"]["mean_percent"])
    low, high = next(test["interval"] for test in gad["tests"] if test["test"] == "paired bootstrap")
    assert low < gad["difference_percent"] < high
    for test in (*gad["tests"], *ddi["tests"]):
        assert {"test", "sides", "n", "p", "p_corrected"} <= set(test)
    by_name = {test["test"]: test for test in ddi["tests"]}
    assert by_name["Welch t"]["p"] is None  # one seed
    assert by_name["permutation"]["n"] == [5716]


def test_each_test_has_its_own_family(capsys: pytest.CaptureFixture[str]) -> None:
    tasks = ["--results", str(RECORDED), "--tasks", "gad,ddi", "--resamples", "999"]
    (comparison,) = compared(capsys, "minilm", "bert-tiny", *tasks)
    assert comparison["family"]["welch"] == ["GAD"]
    assert comparison["family"]["permutation"] == ["DDI", "GAD"]


def test_tests_over_examples_need_the_same_seeds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for model, seeds in (("minilm", "012"), ("bert-tiny", "01")):
        for path in (RECORDED / "gad" / model).glob("seed*"):
            if path.name[4] in seeds:
                target = tmp_path / "gad" / model / path.name
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(path, target)
    (comparison,) = compared(capsys, "minilm", "bert-tiny", "--results", str(tmp_path))
    tests = {test["test"]: test for test in comparison["tasks"][0]["tests"]}
    assert tests["permutation"]["p"] is None
    assert tests["permutation"]["note"] == "it needs the same seeds of both models"
    assert tests["both"]["p"] is None
    assert tests["Welch t"]["p"] is not None
    main(["compare", "minilm", "bert-tiny", "--results", str(tmp_path)])
    assert "it needs the same seeds of both models" in " ".join(capsys.readouterr().out.split())


def test_a_model_is_not_compared_with_itself(capsys: pytest.CaptureFixture[str]) -> None:
    assert "are one row of the leaderboard" in refused(capsys, "minilm", "minilm", "--results", str(RECORDED))


def test_a_model_that_is_only_a_published_row_is_pointed_to(capsys: pytest.CaptureFixture[str]) -> None:
    assert refused(capsys, "minilm", "pubmedbert", "--results", str(RECORDED)) == (
        "kebench: no records of model 'pubmedbert', but a published row: pass --published, with the row "
        "behind the measured model"
    )


def test_options_that_a_published_score_cannot_have_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["minilm", "biobert", "--published", "--unit", "document", "--results", str(RECORDED)]
    assert "without --unit and --metric" in refused(capsys, *arguments)


def test_both_is_the_larger_of_the_two_questions(capsys: pytest.CaptureFixture[str]) -> None:
    (comparison,) = compared(capsys, "minilm", "bert-tiny", "--results", str(RECORDED), "--tasks", "gad")
    p = {test["test"]: test["p"] for test in comparison["tasks"][0]["tests"]}
    assert p["both"] == max(p["Welch t"], p["permutation"])


def test_a_family_of_two_doubles_the_smaller_p(capsys: pytest.CaptureFixture[str]) -> None:
    tasks = ["--tasks", "gad,ncbi-disease", "--results", str(RECORDED), "--resamples", "999"]
    (comparison,) = compared(capsys, "minilm", "bert-tiny", *tasks)
    tests = [
        next(test for test in task["tests"] if test["test"] == "paired t") for task in comparison["tasks"]
    ]
    smaller, larger = sorted(tests, key=lambda test: test["p"])
    assert smaller["p_corrected"] == pytest.approx(2 * smaller["p"])
    assert larger["p_corrected"] == pytest.approx(larger["p"])


@pytest.mark.parametrize(
    ("form", "name"), [("terminal", "compare.txt"), ("latex", "compare.tex"), ("markdown", "compare.md")]
)
def test_a_comparison_reads_as_the_golden_one(
    form: str, name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    arguments = ["--results", str(RECORDED), "--tasks", "ncbi-disease,ddi,gad", "--format", form]
    main(["compare", "minilm", "bert-tiny", *arguments])
    text = capsys.readouterr().out
    assert_golden(name, text)
    if form == "terminal":
        assert max(map(len, text.splitlines())) <= 80


def averages(a_by_seed: dict[int, float], b_by_seed: dict[int, float]) -> Comparison:
    """Compare `minilm` and `bert-tiny` on the relation tasks, where seeds average as given."""
    records = [
        sample_record(model, task, seed=seed, rate=1e-3, test=average + shift)
        for model, by_seed in (("minilm", a_by_seed), ("bert-tiny", b_by_seed))
        for seed, average in by_seed.items()
        for task, shift in (("chemprot", -20.0), ("ddi", 5.0), ("gad", 15.0))
    ]
    board = build_leaderboard(records, cards=all_task_cards())
    settings = Settings(num_resamples=999)
    (comparison,) = compare(board, "minilm", "bert-tiny", settings=settings, predictions=lambda _: NOTHING)
    return comparison


NOTHING = {"kind": "relation", "negative": "false", "test": {"gold": ["a"], "predicted": ["a"], "ids": ["1"]}}


def test_averages_are_tested_over_each_seeds_average() -> None:
    # Differences by seed 5, 7, 9: mean 7, sd 2, t = 7 / (2 / sqrt 3) = 6.062, df 2, p = .0262; the interval
    # is 7 +- 4.3027 x 1.1547.
    comparison = averages({0: 60.0, 1: 62.0, 2: 64.0}, {0: 55.0, 1: 55.0, 2: 55.0})
    (average,) = comparison.averages
    paired = average.p_values["paired"]
    assert (average.a.mean, average.b.mean, average.difference) == pytest.approx((62.0, 55.0, 7.0))
    assert (paired.p, paired.n, paired.sides) == (pytest.approx(0.0262, abs=1e-4), (3,), "two-sided")
    assert paired.interval == pytest.approx((2.0317, 11.9683), abs=1e-3)
    assert comparison_fields(comparison)["family"]["paired"] == ["ChemProt", "DDI", "GAD"]
    assert comparison_fields(comparison)["averages"][0]["tests"][1]["p_corrected"] is None


def test_averages_over_other_seeds_are_not_paired_and_it_says_so() -> None:
    comparison = averages({0: 60.0, 1: 62.0, 2: 64.0}, {0: 55.0, 1: 56.0})
    (average,) = comparison.averages
    assert average.p_values["paired"].p is None
    assert average.p_values["welch"].p is not None
    (note,) = [note for note in comparison_sheet(comparison).notes if note.startswith("No ")]
    assert note == "No paired t of the average of RE: it needs the same seeds of both models."


def test_tasks_with_other_seeds_have_an_average_but_no_test_of_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    (comparison,) = compared(
        capsys, "minilm", "bert-tiny", "--results", str(RECORDED), "--tasks", "re", "--resamples", "999"
    )
    (average,) = comparison["averages"]
    assert average["difference_percent"] == pytest.approx(12.2, abs=0.05)  # 51.3 less 39.1
    assert [(test["p"], test["interval"]) for test in average["tests"]] == [(None, None)] * 2
    assert average["tests"][0]["note"].startswith("the tasks of a model have different seeds")


def test_a_published_average_is_tested_outside_the_family(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # Seeds average 72, 73, 74 as published on the five NER tasks; BioBERT is printed with 86.0.
    write_sample(tmp_path, sample_grid())
    (comparison,) = compared(capsys, "minilm", "biobert", "--published", "--results", str(tmp_path))
    ner, relation = comparison["averages"]
    assert (ner["kind"], ner["mean_percent"], ner["published_percent"]) == ("ner", 73.0, 86.0)
    assert ner["tests"][0]["p"] == pytest.approx(one_sample_t([72, 73, 74], 86.0, sides="two-sided").p)
    assert (relation["correction"], relation["tests"][0]["p_corrected"]) == ("none", None)


def test_a_published_score_is_tested_as_in_the_paper(capsys: pytest.CaptureFixture[str]) -> None:
    comparisons = compared(
        capsys,
        "minilm",
        "biobert",
        "--published",
        "--results",
        str(RECORDED),
        "--tasks",
        "gad,ddi",
        "--sides",
        "less",
    )
    (comparison,) = comparisons
    ddi, gad = comparison["tasks"]
    assert (gad["published_percent"], comparison["metric"]) == (80.9, "as-published")
    assert gad["tests"][0]["p"] < 0.05
    assert (ddi["tests"][0]["p"], ddi["tests"][0]["note"]) == (None, "it needs two seeds")


def test_of_several_published_rows_those_that_have_a_task_are_compared(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """PubMedBERT is printed in Table 2, and twice with JNLPBA and GAD alone."""
    write_sample(
        tmp_path, [sample_record("mine", "ddi", seed=seed, as_published=80.0 + seed) for seed in (0, 1)]
    )
    (comparison,) = compared(capsys, "mine", "pubmedbert", "--published", "--results", str(tmp_path))
    assert [one["task"] for one in comparison["tasks"]] == ["ddi"]
    write_sample(tmp_path / "other", [sample_record("mine", "mini-gad")])
    message = refused(capsys, "mine", "pubmedbert", "--published", "--results", str(tmp_path / "other"))
    assert "mine has been run on no task of which a score of pubmedbert is printed" in message


def test_a_published_row_with_other_metrics_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    message = refused(capsys, "minilm", "bio-lm", "--published", "--results", str(RECORDED))
    assert message.endswith("uses other metrics than BLURB (micro against macro F1); not compared")


def test_misspelt_models_are_refused_with_a_suggestion(capsys: pytest.CaptureFixture[str]) -> None:
    message = refused(capsys, "minlm", "bert-tiny", "--results", str(RECORDED))
    assert message.startswith("kebench: no records of model 'minlm'; did you mean 'minilm'?")
    message = refused(capsys, "minilm", "biobrt", "--published", "--results", str(RECORDED))
    assert message.startswith("kebench: no published row of 'biobrt'; did you mean 'biobert'?")


def test_models_without_a_common_protocol_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_sample(tmp_path, [sample_record("minilm"), sample_record("bert-tiny", epochs=60)])
    message = refused(capsys, "minilm", "bert-tiny", "--results", str(tmp_path))
    assert "no task under one protocol" in message


def test_weights_that_share_a_name_have_to_be_told_apart(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_sample(
        tmp_path, [sample_record("minilm"), sample_record("minilm", weights="2"), sample_record("bert-tiny")]
    )
    message = refused(capsys, "minilm", "bert-tiny", "--results", str(tmp_path))
    assert "has several rows: minilm [" in message


def test_ner_has_no_documents_to_draw(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--results", str(RECORDED), "--tasks", "gad", "--unit", "document"]
    assert "its id names no document" in refused(capsys, "minilm", "bert-tiny", *arguments)


def test_documents_of_chemprot_are_drawn(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [
        "--results",
        str(RECORDED),
        "--tasks",
        "chemprot",
        "--unit",
        "document",
        "--resamples",
        "999",
    ]
    (comparison,) = compared(capsys, "minilm", "bert-tiny", *arguments)
    permutation = next(test for test in comparison["tasks"][0]["tests"] if test["test"] == "permutation")
    assert (permutation["unit"], permutation["n"]) == ("documents", [727])  # of 800, those with a pair


@pytest.mark.parametrize(
    "content", [b"{}", b"[]", b'{"kind": "ner", "dev": {}, "test": {"gold": ["O"]}}', b"nonsense"]
)
def test_torn_predictions_are_named(
    content: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(RECORDED / "gad", tmp_path / "gad")
    path = next((tmp_path / "gad" / "minilm").glob("*.predictions.json.gz"))
    path.write_bytes(gzip.compress(content))
    message = refused(capsys, "minilm", "bert-tiny", "--results", str(tmp_path))
    assert message.startswith(f"kebench: {path}: cannot be read (")


def test_missing_predictions_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_sample(tmp_path, [sample_record("minilm"), sample_record("bert-tiny")])
    for path in tmp_path.glob("*/minilm/*.predictions.json.gz"):
        path.unlink()
    message = refused(capsys, "minilm", "bert-tiny", "--results", str(tmp_path))
    assert "predictions.json.gz: cannot be read (No such file or directory); remove" in message
    assert message.count("predictions.json.gz") == 1
