"""Planning a grid: what is run, with which rates, and what counts as recorded."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from kebench.cards import Suggested
from kebench.errors import UserError
from kebench.finetune.budgets import read_budget
from kebench.model.source import ResolvedModel
from kebench.run import Grid, parse_learning_rates, plan_grid, rates_of
from tests.finetune.small_tasks import NER, RELATION, model_card, write_small_tasks
from tests.tiny_checkpoints import write_tiny_bert


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Return a data folder with the two small tasks."""
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


def test_the_paper_s_rates_are_not_replaced_by_a_card_s() -> None:
    card = model_card("tiny", "bert").model_copy(
        update={"suggested": Suggested(learning_rates=(1e-3,), reason="tiny")}
    )
    model = ResolvedModel(card, Path())
    assert rates_of(model, read_budget("quick", {}), ()) == (1e-3,)
    assert rates_of(model, read_budget("quick", {}), (2e-3,)) == (2e-3,)
    assert rates_of(model, read_budget("paper", {}), ()) == (1e-5, 3e-5, 5e-5)


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


def test_budgets_name_the_paper_s_grid() -> None:
    paper = read_budget("paper", {})
    assert (paper.epochs, paper.batch_size, paper.warmup_fraction, paper.order) == (60, 16, 0.1, "shuffled")


@pytest.mark.parametrize(
    ("name", "value"), [("epochs", 0), ("max_grad_norm", float("inf")), ("train_rows", 0)]
)
def test_an_option_out_of_range_is_refused_by_its_name(name: str, value: float) -> None:
    with pytest.raises(UserError, match=f"--{name.replace('_', '-')}"):
        read_budget("quick", {name: value})
