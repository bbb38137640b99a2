"""Energy: what is measured, what is a guess, and that neither moves a score nor ends a run."""

import importlib.util
import logging
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from kebench import energy
from kebench.cli import main
from kebench.energy import Metering, chosen_metering, energy_meter
from kebench.engine.local import run_jobs
from kebench.engine.work import RunOptions
from kebench.errors import UserError
from kebench.records import Energy, EnergyPart, Record, read_record, record_paths
from kebench.runtime import Device
from tests.finetune.small_tasks import NER, job_on
from tests.report.sample_records import sample_record

CPU = Device("cpu", "fp32", "as asked")


def recorded(out: Path, job: Any, metering: Metering | None) -> Record:
    """Run one job and return its record."""
    assert run_jobs([job], out, device=CPU, options=RunOptions(metering=metering)).num_failed == 0
    (path,) = record_paths(out)
    return read_record(path)


def fake_tracker(mode: str = "cpu_load", *, country_kg: float = 0.5) -> Any:
    """Return what codecarbon's tracker looks like once it is stopped."""
    hardware = [
        type("RAM", (), {})(),
        type("CPU", (), {"_mode": mode, "_tdp": 65})(),
        type("GPU", (), {})(),
    ]
    found = SimpleNamespace(
        cpu_energy=0.2, gpu_energy=1.0, ram_energy=0.1, emissions=country_kg, codecarbon_version="3.3.2"
    )
    return SimpleNamespace(
        _hardware=hardware, _gpu_ids=[0], final_emissions_data=found, stop=lambda: None, start=lambda: None
    )


def test_a_run_is_the_same_measured_or_not_and_nothing_is_written_beside_it(
    checkpoints: dict[str, Path], data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("codecarbon")
    monkeypatch.chdir(tmp_path)
    job = job_on(NER, data, checkpoints["bert"])
    alone = recorded(tmp_path / "alone", job, None)
    measured = recorded(tmp_path / "measured", job, Metering("DEU"))
    assert measured.model_dump(exclude={"provenance"}) == alone.model_dump(exclude={"provenance"})
    assert alone.provenance.energy_kwh is alone.provenance.energy is None
    found = measured.provenance.energy
    assert found is not None
    assert found.cpu is not None
    assert found.gpu is None  # the run is on the processor
    assert measured.provenance.energy_kwh == pytest.approx(found.kwh)
    assert found.kwh > 0
    assert found.co2_kg is not None
    assert 0.05 < found.co2_kg / found.kwh < 1  # kg of CO2 a kWh of Germany's electricity
    assert {path.name for path in tmp_path.iterdir()} <= {"alone", "measured", "cache"}


@pytest.mark.parametrize(
    ("mode", "measured_with", "is_estimate"),
    [
        ("intel_rapl", "RAPL", False),
        ("cpu_load", "load x 65 W (TDP)", True),
        ("constant", "half x 65 W (TDP)", True),
    ],
)
def test_a_record_says_what_was_read_and_what_was_guessed(
    mode: str, measured_with: str, is_estimate: bool
) -> None:
    found = energy._energy_of(fake_tracker(mode), Metering())
    assert found.cpu == EnergyPart(kwh=0.2, measured_with=measured_with, is_estimate=is_estimate)
    assert found.gpu == EnergyPart(kwh=1.0, measured_with="NVML", is_estimate=False)
    assert found.ram is not None
    assert found.ram.is_estimate
    assert found.is_estimate == is_estimate
    assert found.kwh == pytest.approx(1.3)


@pytest.mark.parametrize(("mode", "watts", "is_said"), [
    ("constant", 8, True), ("cpu_load", 65, False), ("intel_rapl", 8, False),
])  # fmt: skip
def test_watts_that_are_codecarbon_s_stopgap_are_said_once(
    mode: str, watts: int, is_said: bool, caplog: pytest.LogCaptureFixture
) -> None:
    tracker = fake_tracker(mode)
    tracker._hardware = [one for one in tracker._hardware if type(one).__name__ == "CPU"]
    tracker._hardware[0]._tdp = watts
    energy._warn_once.cache_clear()
    with caplog.at_level(logging.WARNING, logger="kebench"):
        energy._warn_of_defaults(tracker)
        energy._warn_of_defaults(tracker)
    said = [one.getMessage() for one in caplog.records]
    assert len(said) == is_said
    assert all("takes it for one of 8 W; its energy is a guess" in line for line in said)


def test_co2_is_only_reckoned_for_a_country_that_was_given() -> None:
    assert energy._energy_of(fake_tracker(), Metering()).co2_kg is None
    assert energy._energy_of(fake_tracker(), Metering("DEU")).co2_kg == 0.5


def test_a_meter_that_fails_costs_one_line_and_leaves_no_energy(
    checkpoints: dict[str, Path],
    data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def refuse(*given: Any) -> Any:
        raise PermissionError("energy_uj: permission denied")

    monkeypatch.setattr(energy, "_started", refuse)
    with caplog.at_level(logging.WARNING, logger="kebench"):
        record = recorded(tmp_path, job_on(NER, data, checkpoints["bert"]), Metering())
    assert record.provenance.energy_kwh is record.provenance.energy is None
    (line,) = (one.getMessage() for one in caplog.records)
    assert line == "energy was not measured (energy_uj: permission denied); the run goes on"


def test_a_meter_ends_with_its_run_even_if_that_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    stopped: list[bool] = []
    tracker = fake_tracker()
    tracker.stop = lambda: stopped.append(True)
    monkeypatch.setattr(energy, "_started", lambda *given: tracker)
    accelerator = SimpleNamespace(is_main_process=True)

    def fail() -> None:
        with energy_meter(Metering(), accelerator=accelerator):
            raise ValueError("the run's own")

    with pytest.raises(ValueError, match="the run's own"):
        fail()
    assert stopped == [True]


def test_a_record_from_before_energy_was_measured_is_still_one() -> None:
    old = sample_record().model_dump(mode="json", by_alias=True)
    del old["provenance"]["energy"], old["provenance"]["energy_kwh"]
    assert Record.model_validate(old).provenance.energy_kwh is None
    assert Energy(cpu=None, gpu=None, ram=None, meter="x").kwh == 0


def test_a_missing_package_is_said_before_anything_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(SystemExit) as stop:
        main(["run", "--model", "none", "--tasks", "mini", "--energy", "--out", str(tmp_path / "out")])
    assert stop.value.code == 2
    assert capsys.readouterr().err == (
        "kebench: --energy: the package codecarbon is not installed; pip install 'kebench[energy]', "
        "or leave out --energy\n"
    )
    assert not (tmp_path / "out").exists()


def test_a_country_is_an_iso_code_and_needs_energy() -> None:
    pytest.importorskip("codecarbon")
    assert chosen_metering(True, "DEU") == Metering("DEU")
    assert chosen_metering(False, "") is None
    with pytest.raises(UserError, match="--country deu; did you mean 'DEU'"):
        chosen_metering(True, "deu")
    with pytest.raises(UserError, match="--country: CO2 is reckoned from energy; pass --energy too"):
        chosen_metering(False, "DEU")


def test_processes_on_several_machines_are_not_measured_in_part(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("codecarbon")
    monkeypatch.setenv("WORLD_SIZE", "16")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "8")
    with pytest.raises(UserError, match="--energy: measures one machine"):
        chosen_metering(True, "")
