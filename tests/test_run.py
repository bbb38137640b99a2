"""Planning a grid: what is run, with which rates, and what counts as recorded."""

import shutil
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from kebench.cards import Suggested
from kebench.cli import main
from kebench.cli.run_plan import plan_lines, unequal_footing
from kebench.errors import UserError
from kebench.finetune.encode import choose_rows
from kebench.finetune.plan import Job, TaskFiles, read_budget
from kebench.pretrain.recipe import read_recipe as read_pretraining
from kebench.records import (
    OtherName,
    Protocol,
    Record,
    Subset,
    read_other_names,
    write_other_names,
    write_record,
)
from kebench.run import Grid, Rates, check_jobs, parse_learning_rates, plan_grid, rates_of
from kebench.runtime import Device
from kebench.transe.recipe import read_recipe as read_transe
from tests.finetune.small_tasks import NER, RELATION, model_card, write_small_tasks
from tests.report.sample_records import sample_record
from tests.tiny_checkpoints import write_tiny_bert, write_tiny_old_bert


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a data folder with the two small tasks."""
    monkeypatch.setenv("KEBENCH_CACHE", str(tmp_path / "cache"))
    return write_small_tasks(tmp_path / "data")


def plan(data: Path, models: list[Path], **changes: Any) -> Grid:
    given: dict[str, Any] = {"seeds": 2, "learning_rates": (), "precision": "fp32", "out": data / "out"}
    budget = read_budget(changes.pop("budget", "quick"), {})
    return plan_grid(
        [str(model) for model in models], [NER, RELATION], budget=budget, data=data, **given | changes
    )


def test_a_grid_is_tasks_times_models_times_rates_times_seeds(data: Path, tmp_path: Path) -> None:
    models = [write_tiny_bert(tmp_path / "a"), write_tiny_bert(tmp_path / "b", seed=1)]
    grid = plan(data, models, learning_rates=(1e-5, 3e-5))
    assert len(grid.jobs) == len(grid.missing) == 2 * 2 * 2 * 2
    assert len({job.identity for job in grid.jobs}) == 16


def test_one_model_under_two_names_is_run_once_and_that_is_said(
    data: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first = write_tiny_bert(tmp_path / "first")
    second = shutil.copytree(first, tmp_path / "second")
    assert len(plan(data, [first, second, first], learning_rates=(1e-5, 1e-5)).jobs) == 2 * 2
    assert caplog.messages == ["second: the same weights as first; counted once, as first"]
    jobs = plan(data, [first, second]).jobs
    assert {job.card.name for job in jobs} == {"first"}


def test_a_second_name_of_what_is_recorded_is_said_and_planned_under_the_first(
    data: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first = write_tiny_bert(tmp_path / "first")
    job, other = plan(data, [first], seeds=1).jobs
    write_record(job.stem(data / "out"), record_of(job), {})
    second = shutil.copytree(first, tmp_path / "second")
    grid = plan(data, [second], seeds=1)
    assert caplog.messages == ["second: the same weights as first; recorded as first"]
    # one is recorded, and the other will be under the same name: a table would tear the model apart
    assert [(job.card.name, job.identity) for job in grid.missing] == [("first", other.identity)]
    named = OtherName(recorded_as="first", model_hash=job.model_hash, fidelity="fixed")
    assert grid.other_names == {"second": named}
    write_other_names(data / "out", grid.other_names)
    write_other_names(data / "out", {"third": named})
    assert read_other_names(data / "out") == {"second": named, "third": named}


def record_of(job: Job) -> Record:
    """Return what a job would leave, with somebody else's scores."""
    return sample_record().model_copy(
        update={
            "identity": job.identity, "model": job.card.name, "model_hash": job.model_hash,
            "task": job.task.card.name, "seed": job.seed, "settings": job.settings, "protocol": job.protocol,
        }
    )  # fmt: skip


def test_the_paper_s_rates_are_not_replaced_by_a_card_s() -> None:
    card = model_card("tiny", "bert").model_copy(
        update={"suggested": Suggested(learning_rates=(1e-3,), reason="tiny")}
    )
    assert rates_of(card, read_budget("quick", {}), ()) == ((1e-3,), "card")
    assert rates_of(card, read_budget("quick", {}), (1e-3,)) == ((1e-3,), "option")
    assert rates_of(card, read_budget("paper", {}), ()) == ((1e-5, 3e-5, 5e-5), "budget")


def test_the_maximum_length_is_the_task_s_or_the_model_s_if_that_is_less(data: Path, tmp_path: Path) -> None:
    long_task = NER.model_copy(update={"max_length": 512})
    budget = read_budget("quick", {})
    (job,) = plan_grid(
        [str(write_tiny_bert(tmp_path / "a"))], [long_task], seeds=1, budget=budget, learning_rates=(),
        precision="fp32", data=data, out=data / "out",
    ).jobs  # fmt: skip
    assert job.settings.max_length == 128


@pytest.mark.parametrize("words", ["nan", "inf", "0", "-1e-5", "fast", "1e-5,nan"])
def test_a_rate_that_is_none_is_refused(words: str) -> None:
    with pytest.raises(UserError, match="expected positive numbers"):
        parse_learning_rates(words)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("5", r"5 is no rate of AdamW's, which lie between 1e-08 and 0.1; is 5e-5 meant\?$"),
        ("1e-5,3", r"3 is no rate .*; is 3e-5 meant\?$"),
        ("1e38", "mind the exponent, as in 5e-5$"),
        ("5e-50", "mind the exponent"),
    ],
)
def test_a_rate_that_can_only_be_a_slip_is_refused(words: str, said: str) -> None:
    with pytest.raises(UserError, match=f"--learning-rates {words}: {said}" if said[0] == "5" else said):
        parse_learning_rates(words)


def test_a_card_that_suggests_such_a_rate_is_refused() -> None:
    with pytest.raises(ValidationError, match=r"less than or equal to 0\.1"):
        Suggested(learning_rates=(5,), reason="a slip")


def test_rates_of_different_origin_are_said_and_the_same_rates_are_not() -> None:
    budget = read_budget("quick", {})

    def said(*rates: tuple[str, Rates]) -> str:
        jobs = [
            Job(
                model_card(name, "bert"), Path(), name, TaskFiles(NER, {}, {}), 0,
                budget.settings(learning_rate=rate, max_length=24),
                Protocol(
                    version=1, budget="quick", fidelity="fixed", metric=NER.metric, precision="fp32",
                    subset=Subset(),
                ),
                one.origin,
            )
            for name, one in rates for rate in one.values
        ]  # fmt: skip
        return unequal_footing(jobs, budget)

    card, other = Rates((1e-3,), "card"), Rates((2e-4,), "card")
    assert said(("tiny", card), ("continued", Rates((5e-5,), "budget"))) == (
        "UNEQUAL FOOTING: learning rates differ by origin: tiny 0.001 (suggested by its card); continued "
        "5e-05 (budget quick). A difference between these models may be one of rates; "
        "--learning-rates 5e-05,0.001 tries the same for all"
    )
    assert said(("tiny", card), ("small", other)) == ""
    assert said(("tiny", Rates((1e-3,), "option")), ("continued", Rates((1e-3,), "option"))) == ""
    assert said(("tiny", Rates((5e-5,), "card")), ("continued", Rates((5e-5,), "budget"))) == ""


def test_budgets_name_the_paper_s_grid() -> None:
    paper = read_budget("paper", {})
    assert (paper.epochs, paper.batch_size, paper.warmup_fraction, paper.order) == (60, 16, 0.1, "shuffled")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("epochs", 0),
        ("epochs", 100_000),
        ("batch_size", 0),
        ("batch_size", 10_000),
        ("weight_decay", 5.0),
        ("warmup_fraction", 10.0),
        ("patience", -1),
        ("max_grad_norm", float("inf")),
        ("train_rows", 0),
    ],
)
def test_an_option_out_of_range_is_refused_by_its_name(name: str, value: float) -> None:
    with pytest.raises(UserError, match=f"^--{name.replace('_', '-')} {value}: "):
        read_budget("quick", {name: value})


class EngineOnCpu:
    """What a plan asks of an engine."""

    device, summary = Device("cpu", "fp32", "no CUDA found"), ""


def test_the_plan_says_every_setting_and_where_it_comes_from(data: Path, tmp_path: Path) -> None:
    short, long = NER, NER.model_copy(update={"name": "long-ner", "max_length": 512})
    budget = read_budget("quick", {"epochs": 3, "dev_rows": 8})
    grid = plan_grid(
        [str(write_tiny_bert(tmp_path / "a"))], [short, long], seeds=1, budget=budget,
        learning_rates=(1e-3,), precision="fp32", data=data, out=data / "out",
    )  # fmt: skip
    lines = plan_lines(grid, budget, EngineOnCpu(), 90, asked={"epochs", "dev_rows", "seeds"})  # type: ignore[arg-type]
    assert lines == [
        "budget quick: a sixth of the epochs, one rate; ours",
        "device cpu (no CUDA found)",
        "settings, and where each comes from:",
        "  learning rate 0.001 (--learning-rates)",
        "  max length    24 on small-ner (the task's card); 128 on long-ner (the limit of",
        "                a)",
        "  seeds         1 (--seeds)",
        "  epochs        at most 3 (--epochs)",
        "  patience      3 epochs without better dev score (budget quick)",
        "  batch         16 examples (budget quick)",
        "  warm-up       0.1 of the steps (budget quick)",
        "  weight decay  0 (budget quick)",
        "  clipping      gradient norm 1 (budget quick)",
        "  order         length-pools (budget quick)",
        "  train rows    all (budget quick)",
        "  dev rows      8 rows of dev, drawn by hash order (--dev-rows)",
        "  precision     fp32 (what cpu takes)",
        "small-ner: 1 run to do",
        "long-ner: 1 run to do",
        "estimate: 90 s for 2 runs, within a factor of three if idle",
    ]
    assert max(map(len, lines)) <= 80


def _label_all(path: Path, label: str, *, but: int | None = None) -> None:
    """Give every row of a relation file a label, but one."""
    rows = [line.rpartition("\t")[0] for line in path.read_text().splitlines()]
    labels = ["treats" if row == but else label for row in range(len(rows))]
    path.write_text("".join(f"{row}\t{one}\n" for row, one in zip(rows, labels, strict=True)))


def _relation_jobs(data: Path, tmp_path: Path, **subset: int) -> list[Any]:
    budget = read_budget("quick", subset)
    return plan_grid(
        [str(write_tiny_bert(tmp_path / "a"))], [RELATION], seeds=1, budget=budget, learning_rates=(),
        precision="fp32", data=data, out=data / "out",
    ).jobs  # fmt: skip


def test_the_plan_says_what_the_files_hold(data: Path, tmp_path: Path) -> None:
    folder = data / "small-relation"
    shutil.copy(folder / "train.tsv", folder / "test.tsv")
    said = check_jobs(_relation_jobs(data, tmp_path))
    assert [line for line in said if line.startswith("small-relation")][-1] == (
        "small-relation test: WARNING: 48 of 48 instances stand in train or dev too: its score shows what a "
        "model remembers, not what it has learnt"
    )
    _label_all(folder / "test.tsv", "false")
    assert "small-relation test: WARNING: no positive instance: its F1 is undefined" in check_jobs(
        _relation_jobs(data, tmp_path)
    )


def test_dev_without_gold_is_refused_before_training(data: Path, tmp_path: Path) -> None:
    path = data / "small-relation" / "dev.tsv"
    _label_all(path, "false")
    with pytest.raises(UserError) as refused:
        check_jobs(_relation_jobs(data, tmp_path))
    assert str(refused.value) == (
        f"{path}: no positive instance, so neither epoch nor learning rate can be chosen by its F1; move "
        "examples with one there from train"
    )


def _row_outside(limit: int) -> int:
    return min(set(range(16)) - set(choose_rows(16, limit, seed=0)))


def test_a_subset_of_dev_without_gold_is_refused_before_training(data: Path, tmp_path: Path) -> None:
    _label_all(data / "small-relation" / "dev.tsv", "false", but=_row_outside(2))
    with pytest.raises(UserError) as refused:
        check_jobs(_relation_jobs(data, tmp_path, dev_rows=2))
    assert str(refused.value) == (
        "small-relation: no positive instance in the 2 rows of dev that are used, so neither epoch nor "
        "learning rate can be chosen by its F1; raise --dev-rows"
    )


@pytest.mark.parametrize(("read", "name"), [(read_transe, "transe"), (read_pretraining, "kebiolm")])
@pytest.mark.parametrize(("setting", "value"), [("learning_rate", 5.0), ("epochs", 10**6), ("batch_size", 0)])
def test_recipes_refuse_the_same_slips(read: Any, name: str, setting: str, value: float) -> None:
    with pytest.raises(UserError, match=f"^--{setting.replace('_', '-')} {value}: Input should be "):
        read(name, **{setting: value})


def _without_tokenizer(folder: Path) -> Path:
    write_tiny_bert(folder)
    (folder / "tokenizer.json").unlink()
    return folder


def _with_fewer_layers(folder: Path) -> Path:
    write_tiny_bert(folder)
    path = folder / "config.json"
    path.write_text(path.read_text().replace('"num_hidden_layers": 2', '"num_hidden_layers": 1'))
    return folder


def _refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> list[str]:
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 2
    return [line for line in capsys.readouterr().err.splitlines() if line.startswith("kebench: ")]


def test_the_plan_refuses_all_bad_models_at_once_and_names_each(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = write_tiny_bert(tmp_path / "good")
    bad = [_without_tokenizer(tmp_path / "one"), _with_fewer_layers(tmp_path / "two")]
    out = str(tmp_path / "out")
    models = [part for folder in (bad[0], good, bad[1]) for part in ("--model", str(folder))]
    asked = ["run", *models, "--tasks", "mini-gad", "--out", out, "--seeds", "1", "--device", "cpu", "--plan"]
    said = _refused(asked, capsys)
    assert len(said) == 2
    assert said[0].startswith(f"kebench: {bad[0]}: no tokenizer")
    assert said[1].startswith(f"kebench: {bad[1]}: the weights hold ")
    # with one that is no model at all, too
    said = _refused([*asked, "--model", "no-such-model"], capsys)
    assert said[0].startswith("kebench: no model 'no-such-model'")
    assert [line.split(": ")[1] for line in said[1:]] == [str(folder) for folder in bad]
    assert not (tmp_path / "out").exists()


def test_all_missing_tasks_are_named_at_once(data: Path, tmp_path: Path) -> None:
    shutil.rmtree(data / "small-ner")
    (data / "small-relation" / "dev.tsv").unlink()
    with pytest.raises(UserError) as refused:
        plan(data, [write_tiny_bert(tmp_path / "a")])
    first, second = str(refused.value).split("\n")
    assert "small-ner" in first
    assert "small-relation" in second


def test_the_plan_says_which_words_a_model_does_not_know(data: Path, tmp_path: Path) -> None:
    folder = write_tiny_old_bert(tmp_path / "old", cased=False)
    (folder / "tokenizer_config.json").write_text('{"do_lower_case": false}')
    test = data / "small-ner" / "test.tsv"
    test.write_text("The\tO\n" + test.read_text())
    jobs = plan(data, [folder, write_tiny_bert(tmp_path / "new", seed=1)]).missing
    said = [line for line in check_jobs(jobs) if not line.startswith("small-")]
    num_words = sum(1 for line in test.read_text().split("\n") if line)
    share = f"{100 / num_words:.2f}%"
    assert said[0].startswith("old: WARNING: it keeps capitals, and only 0 of its vocabulary's ")
    assert said[1].startswith("old: left out of its weights, as no part of the encoder: cls (")
    assert said[2].startswith(f"old on small-ner test: WARNING: 1 of {num_words} words (")
    shares = f"small-ner 0.00%, 0.00%, {share}"
    assert said[3] == f"old: words unknown to its tokenizer in train, dev, test: {shares}"
    assert said[-1] == "new: its tokenizer knows every word"
