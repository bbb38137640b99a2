"""Logging tells how training goes, and neither moves a score nor ends a run."""

import importlib.util
import logging
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from kebench import loggers
from kebench.cli import COMMANDS, kebench, main
from kebench.engine.local import run_jobs
from kebench.engine.work import RunOptions
from kebench.errors import UserError
from kebench.kinds.stored import read_predictions
from kebench.loggers import LOGGERS, Logger, Logging, chosen_logging, logged_run
from kebench.records import Record, read_record, record_paths
from kebench.runtime import Device
from tests.finetune.small_tasks import NER, job_on

CPU = Device("cpu", "fp32", "as asked")


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Put a logger in place of all others that draws random numbers; return what it is told."""
    seen: list[Any] = []

    def open_noisy(folder: Path, name: str, step: int, settings: Any) -> Logger:
        random.random(), np.random.rand(), torch.rand(3)
        seen.append((name, step, dict(settings)))

        def write(step: int, numbers: Any) -> None:
            random.random(), np.random.rand(), torch.rand(3)
            seen.append((step, dict(numbers)))

        return Logger(write, seen.append)

    monkeypatch.setattr(loggers, "LOGGERS", {"noisy": open_noisy})
    return seen


def recorded(out: Path, job: Any, chosen: Logging = loggers.NO_LOGGING) -> tuple[Record, dict[str, Any]]:
    """Run one job; return its record and its predictions."""
    tally = run_jobs([job], out, device=CPU, options=RunOptions(logging=chosen))
    assert tally.num_failed == 0
    (path,) = record_paths(out)
    return read_record(path), read_predictions(path)


def without_provenance(record: Record) -> dict[str, Any]:
    return record.model_dump(exclude={"provenance"})


def test_a_run_is_the_same_whoever_is_told_of_it(
    checkpoints: dict[str, Path], data: Path, tmp_path: Path, told: list[Any]
) -> None:
    job = job_on(NER, data, checkpoints["bert"])
    alone, predictions = recorded(tmp_path / "alone", job)
    logged, same = recorded(tmp_path / "logged", job, Logging(("noisy",), tmp_path))
    assert without_provenance(logged) == without_provenance(alone)
    assert same == predictions
    assert len(told) > 2


def test_a_logger_is_told_each_step_s_loss_and_rate_and_each_epoch_s_score_and_speed(
    checkpoints: dict[str, Path], data: Path, tmp_path: Path, told: list[Any]
) -> None:
    # 48 sentences in batches of 16 over two epochs are steps 1 to 6; the rate rises in the first of them.
    job = job_on(NER, data, checkpoints["bert"])
    record, _ = recorded(tmp_path / "out", job, Logging(("noisy",), tmp_path))
    (name, first, settings), *steps, is_whole = told
    assert name == f"small-ner/{job.card.name}/seed0-lr0.01-{job.identity[:16]}"
    assert (first, is_whole, settings["seed"], settings["learning_rate"]) == (1, True, 0, 0.01)
    assert [step for step, _ in steps] == [1, 2, 3, 3, 4, 5, 6, 6]
    losses = [numbers["train/loss"] for _, numbers in steps if "train/loss" in numbers]
    assert np.mean(losses[:3]) == pytest.approx(record.train_loss_by_epoch[0], rel=1e-6)
    assert [numbers["train/learning_rate"] for _, numbers in steps[:2]] == [0.0, 0.01]
    epochs = [numbers for _, numbers in steps if "epoch" in numbers]
    assert [numbers["dev/score_percent"] for numbers in epochs] == list(record.dev_percent_by_epoch)
    assert [numbers["train/loss_of_epoch"] for numbers in epochs] == list(record.train_loss_by_epoch)
    assert all(numbers["train/examples_per_second"] > 0 for numbers in epochs)


@pytest.mark.parametrize("moment", ["open", "write", "close"])
def test_a_logger_that_fails_costs_one_line_and_no_run(
    checkpoints: dict[str, Path],
    data: Path,
    tmp_path: Path,
    moment: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fail(*given: Any) -> Any:
        raise OSError("No space left on device")

    def do_nothing(*given: Any) -> None:
        pass

    def open_failing(*given: Any) -> Logger:
        write, close = (fail if moment == name else do_nothing for name in ("write", "close"))
        return fail() if moment == "open" else Logger(write, close)

    monkeypatch.setattr(loggers, "LOGGERS", {"failing": open_failing})
    with caplog.at_level(logging.WARNING, logger="kebench"):
        record, _ = recorded(
            tmp_path / "out", job_on(NER, data, checkpoints["bert"]), Logging(("failing",), tmp_path)
        )
    assert len(record.dev_percent_by_epoch) == 2
    (line,) = (one.getMessage() for one in caplog.records)
    assert "logging to failing failed (No space left on device); the run goes on" in line


def test_a_run_that_fails_is_told_to_the_logger_as_such(told: list[Any], tmp_path: Path) -> None:
    def fail() -> None:
        with logged_run(Logging(("noisy",), tmp_path), "task/model/seed0", settings={}) as write:
            write(1, {"train/loss": 1.0})
            raise ValueError("the run's own")

    with pytest.raises(ValueError, match="the run's own"):
        fail()
    assert told[-1] is False


def test_tensorboard_s_events_hold_the_numbers_and_those_of_a_second_try_count(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    for loss in (3.0, 2.0):  # the first try is killed after a step
        with logged_run(Logging(("tensorboard",), tmp_path), "task/model/seed0", settings={"a": 1}) as write:
            write(1, {"train/loss": loss})
    events = EventAccumulator(str(tmp_path / "tensorboard" / "task" / "model" / "seed0"))
    events.Reload()
    assert [(event.step, event.value) for event in events.Scalars("train/loss")] == [(1, 2.0)]


def test_wandb_is_offline_and_keeps_to_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("wandb")
    monkeypatch.delenv("WANDB_MODE", raising=False)
    monkeypatch.chdir(tmp_path)
    with logged_run(Logging(("wandb",), tmp_path / "logs"), "task/model/seed0", settings={"a": 1}) as write:
        write(1, {"train/loss": 1.0})
    assert [path.name for path in tmp_path.iterdir()] == ["logs"]
    (run,) = (tmp_path / "logs" / "wandb").glob("offline-run-*")
    assert list(run.glob("*.wandb"))


def test_wandb_s_mode_is_the_user_s_where_one_is_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "disabled")
    with logged_run(Logging(("wandb",), tmp_path / "logs"), "task/model/seed0", settings={}) as write:
        write(1, {"train/loss": 1.0})
    assert not list((tmp_path / "logs").rglob("offline-run-*"))


@pytest.mark.parametrize("command", ["run", "pretrain", "embed"])
def test_a_missing_package_is_said_before_anything_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    arguments = {
        "run": ["--model", "none-such", "--tasks", "mini"],
        "pretrain": ["none-such", "--corpus", "none", "--backbone", "none"],
        "embed": ["none-such"],
    }
    out = tmp_path / "out"
    with pytest.raises(SystemExit) as stop:
        main([command, *arguments[command], "--out", str(out), "--log", "wandb"])
    assert stop.value.code == 2
    assert capsys.readouterr().err == (
        "kebench: --log wandb: the package wandb is not installed; pip install 'kebench[log]', "
        "or leave out --log wandb\n"
    )
    assert not out.exists()


def test_a_folder_for_logs_that_nothing_writes_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="--log-dir: nothing is logged; pass --log tensorboard"):
        chosen_logging((), tmp_path, default=tmp_path)


@pytest.mark.parametrize("command", ["run", "pretrain", "embed"])
def test_every_logger_can_be_asked_for(command: str) -> None:
    assert command in COMMANDS
    result = CliRunner().invoke(kebench, [command, "--help"])
    assert f"--log [{'|'.join(LOGGERS)}]" in result.output
