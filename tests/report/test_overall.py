"""The one score of a suite: what it is made of, what lacks it, how differences of it are tested."""

import json
import math
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kebench.cli import main
from kebench.records import Record, read_record, record_paths
from kebench.report.compare import Settings, compare_overall, unit_counts
from kebench.report.overall import Overall, overall_of
from kebench.report.published import read_published_tables
from kebench.report.table import Table, build_leaderboard
from kebench.tasks.card import all_task_cards
from tests.report.boards import render_latex, render_terminal
from tests.report.sample_records import NER_TASKS, OTHER_TASKS, RELATION_TASKS, sample_record

KINDS = {
    "ner": NER_TASKS,
    "pico": ["ebm-pico"],
    "relation": RELATION_TASKS,
    "similarity": ["biosses"],
    "classification": ["hoc"],
    "qa": ["pubmedqa", "bioasq"],
}
TASKS = [task for names in KINDS.values() for task in names]


def records_of(
    model: str, *, seeds: Mapping[str, int] = {}, without: Sequence[str] = (), start: float = 50
) -> list[Record]:
    """Return runs on the thirteen tasks: 50, 51 ... in the order of TASKS, and a point more for each seed."""
    return [
        sample_record(model, task, seed=seed, test=start + place + seed)
        for place, task in enumerate(TASKS)
        if task not in without
        for seed in range(seeds.get(task, 3))
    ]


def table_of(records: Sequence[Record], **options: Any) -> Table:
    board = build_leaderboard(records, cards=all_task_cards(), suite="blurb", **options)
    (table,) = board.tables
    return table


def only(records: Sequence[Record]) -> Overall:
    (one,) = overall_of(table_of(records))
    return one


def test_the_score_is_the_mean_of_the_six_averages() -> None:
    found = only(records_of("minilm"))
    averages = [np.mean([50 + TASKS.index(task) + 1 for task in names]) for names in KINDS.values()]
    assert [one.mean if one else None for one in found.averages] == pytest.approx(averages)
    assert found.score
    assert found.score.mean == pytest.approx(np.mean(averages))
    # each seed's score is a point above that of the seed before
    assert (found.score.sd, found.score.n) == (pytest.approx(1.0), 3)


def test_tasks_of_different_seeds_give_a_deviation_made_of_theirs() -> None:
    found = only(records_of("minilm", seeds={"biosses": 10}))
    assert found.score
    sd_of_ten = float(np.std(np.arange(10), ddof=1))
    variances = [
        ((sd_of_ten if task == "biosses" else 1.0) / (6 * len(names))) ** 2
        for names in KINDS.values()
        for task in names
    ]
    assert found.score.sd == pytest.approx(math.sqrt(sum(variances)))
    assert found.score.n is None


@pytest.mark.parametrize("task", ["ebm-pico", "gad"])
def test_a_model_without_a_task_has_no_score_and_the_table_names_it(task: str) -> None:
    table = table_of([*records_of("minilm"), *records_of("bert-tiny", without=[task])])
    assert {one.label: one.score is None for one in overall_of(table)} == {"minilm": False, "bert-tiny": True}
    board = build_leaderboard(
        [*records_of("minilm"), *records_of("bert-tiny", without=[task])], cards=all_task_cards()
    )
    shown = render_terminal(board, width=80, is_styled=False)
    assert f"No BLURB score of bert-tiny: under this protocol without {task}." in " ".join(shown.split())
    assert "BLURB score: the mean of the averages of the 6 kinds of task." in shown


def test_a_task_under_two_protocols_is_in_no_score() -> None:
    again = sample_record("minilm", "hoc", seed=0, data="of others")
    assert only([*records_of("minilm"), again]).score is None


def test_tasks_of_other_settings_meet_in_one_table_only_on_request() -> None:
    records = records_of("minilm", without=["biosses"])
    records += [
        sample_record("minilm", "biosses", seed=seed, epochs=20, test=60.0 + seed) for seed in range(3)
    ]
    board = build_leaderboard(records, cards=all_task_cards(), suite="blurb")
    assert len(board.tables) == 2
    assert not any(one.score for table in board.tables for one in overall_of(table))
    across = build_leaderboard(records, cards=all_task_cards(), suite="blurb", across_protocols=True)
    (table,) = across.tables
    assert overall_of(table)[0].score
    shown = " ".join(render_terminal(across, width=80, is_styled=False).split())
    assert "BIOSSES: quick: 20 epochs" in shown
    assert "GAD, HoC, PubMedQA, BioASQ: quick: 3 epochs" in shown


def test_the_latex_has_the_score_in_a_table_of_its_own() -> None:
    board = build_leaderboard(records_of("minilm"), cards=all_task_cards(), suite="blurb")
    assert "BLURB score" in render_latex(board)


def test_the_papers_eight_tasks_have_a_table_where_it_is_asked_for() -> None:
    records = records_of("minilm")
    assert [one.suite for one in build_leaderboard(records, cards=all_task_cards()).tables] == ["blurb"]
    board = build_leaderboard(
        [record for record in records if record.task not in OTHER_TASKS],
        cards=all_task_cards(),
        published=read_published_tables("blurb"),
        suite="kebiolm",
    )
    (table,) = board.tables
    below = [row.row.label for row in table.blocks[0].published]
    assert "KeBioLM" in below
    assert "PubMedBERT" in below
    assert (table.suite, table.score, [block.kind for block in table.blocks]) == (
        "kebiolm",
        "",
        ["ner", "relation"],
    )


# --- tests of a difference ---------------------------------------------------------------------------------


def answers(skill: float, task: str, seed: int, num: int = 60) -> dict[str, Any]:
    """Return predictions of a model that is right with some probability; the gold is the task's own."""
    gold_of, draw = random.Random(task), random.Random(f"{task} {seed} {skill}")
    golds, founds = [], []
    for _ in range(num):
        right = draw.random() < skill
        if task == "biosses":
            gold: Any = gold_of.uniform(0, 4)
            found: Any = gold if right else draw.uniform(0, 4)
        elif task == "hoc":
            gold = [label for label in "ab" if gold_of.random() < 0.4]
            found = gold if right else [label for label in "ab" if draw.random() < 0.4]
        elif task in NER_TASKS or task == "ebm-pico":
            names = ["O", "I-PAR", "I-INT"] if task == "ebm-pico" else ["O", "B"]
            gold = [gold_of.choice(names) for _ in range(5)]
            found = gold if right else [draw.choice(names) for _ in range(5)]
            gold, found = (gold, found) if task == "ebm-pico" else ("".join(gold), "".join(found))
        else:
            gold = gold_of.choice(["yes", "no"])
            found = gold if right else draw.choice(["yes", "no"])
        golds.append(gold)
        founds.append(found)
    header = {"negative": "no", "labels": ["a", "b"], "types": ["PAR", "INT"] if task == "ebm-pico" else []}
    part = {"ids": [str(row) for row in range(num)], "gold": golds, "predicted": founds}
    return {**header, "test": {**part, "num_kept": [5] * num}}


def test_the_interval_of_a_difference_is_that_of_a_plain_stratified_bootstrap() -> None:
    from kebench.scoring.metrics import METRICS

    skills = {"minilm": 0.8, "bert-tiny": 0.7}
    stored = {
        (model, task, seed): answers(skill, task, seed)
        for model, skill in skills.items()
        for task in TASKS
        for seed in range(2)
    }
    metric = {task: METRICS[sample_record(task=task).protocol.metric] for task in TASKS}
    records = [
        sample_record(model, task, seed=seed, test=metric[task].score(one, "test"))
        for (model, task, seed), one in stored.items()
    ]
    table = table_of(records)
    keys = {one.label: one.key for one in overall_of(table)}
    settings = Settings(num_resamples=4000)
    counts = unit_counts(lambda record: stored[record.model, record.task, record.seed], settings)
    found = compare_overall(table, (keys["minilm"], keys["bert-tiny"]), settings, counts)
    assert found
    weights = {task: 1 / (6 * len(names)) for names in KINDS.values() for task in names}
    units = {key: metric[key[1]].units(one, "test") for key, one in stored.items()}

    def score(rows: Mapping[str, Any]) -> float:
        total = 0.0
        for task in TASKS:
            for seed in range(2):
                for sign, model in ((1, "minilm"), (-1, "bert-tiny")):
                    some = units[model, task, seed][rows[task]]
                    total += sign * weights[task] * float(metric[task].percent(some.sum(axis=0))) / 2
        return total

    whole = {task: np.arange(60) for task in TASKS}
    assert found.difference == pytest.approx(score(whole))
    rng = np.random.default_rng(7)
    drawn = [score({task: rng.integers(60, size=60) for task in TASKS}) for _ in range(1500)]
    assert found.p_values["bootstrap"].interval == pytest.approx(np.quantile(drawn, [0.025, 0.975]), abs=0.6)
    assert found.p_values["permutation"].n == (60 * 13,)
    assert found.p_values["welch"].p is not None


def test_other_seeds_on_a_task_leave_no_test_over_examples() -> None:
    table = table_of([*records_of("minilm"), *records_of("bert-tiny", seeds={"hoc": 2}, start=40)])
    keys = [one.key for one in overall_of(table)]
    counts = unit_counts(lambda record: answers(0.7, record.task, record.seed), Settings())
    found = compare_overall(table, (keys[0], keys[1]), Settings(num_resamples=999), counts)
    assert found
    assert found.p_values["permutation"].p is None
    assert found.p_values["permutation"].note == "hoc: it needs the same seeds of both models"


def test_compare_and_significance_show_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from kebench.records import stem_of, write_record
    from kebench.scoring.metrics import METRICS

    form = {"dev": {"ids": [], "gold": [], "predicted": [], "num_cut": 0, "num_kept": []}}
    for model, skill in (("minilm", 0.8), ("bert-tiny", 0.6)):
        for task in TASKS:
            for seed in range(2):
                one = answers(skill, task, seed)
                record = sample_record(model, task, seed=seed)
                percent = METRICS[record.protocol.metric].score(one, "test")
                record = sample_record(model, task, seed=seed, test=percent)
                part = {**one["test"], "num_cut": 0, "num_missing_markers": 0}
                dev = {**form["dev"], "num_missing_markers": 0}
                stem = stem_of(tmp_path, record)
                stem.parent.mkdir(parents=True, exist_ok=True)
                labels = ["a", "b"] if task == "hoc" else ["yes", "no"]
                stored = {"kind": record.kind, **one, "labels": labels, "dev": dev, "test": part}
                write_record(stem, record, stored)
    assert len([read_record(path) for path in record_paths(tmp_path)]) == 52
    main(
        [
            "compare",
            "minilm",
            "bert-tiny",
            "--results",
            str(tmp_path),
            "--suite",
            "blurb",
            "--resamples",
            "999",
        ]
    )
    shown = " ".join(capsys.readouterr().out.split())
    assert "BLURB score: difference +" in shown
    compared = ["compare", "minilm", "bert-tiny"]
    chosen = ["--results", str(tmp_path), "--suite", "blurb", "--resamples", "999"]
    main([*compared, *chosen])
    shown = " ".join(capsys.readouterr().out.split())
    assert "BLURB score: difference +" in shown
    main([*compared, *chosen, "--format", "json"])
    overall = json.loads(capsys.readouterr().out)["comparisons"][0]["overall"]
    assert overall["score"] == "BLURB score"
    assert overall["difference_percent"] > 0
    main(["significance", *chosen])
    shown = " ".join(capsys.readouterr().out.split())
    assert "minilm - bert-tiny +" in shown
    main(["leaderboard", "--results", str(tmp_path), "--suite", "blurb", "--format", "csv"])
    assert ",overall," in capsys.readouterr().out
