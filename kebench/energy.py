"""Measures what energy a run takes, with codecarbon: offline, and without a file of its own.

Not part of a run's identity. What is measured, what is only estimated and from what stands in the
record. A meter that fails costs one line of warning, and the record has no energy; never 0.
"""

import importlib.util
import logging
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any, NamedTuple

from kebench.errors import UserError, did_you_mean, first_line
from kebench.records import Energy, EnergyPart

# What codecarbon can read, by its own word for it; everything else is an estimate.
_COUNTERS = {
    "intel_rapl": "RAPL",
    "windows_emi": "Windows energy meter",
    "intel_power_gadget": "Intel Power Gadget",
}
_STOPGAP_WATTS = 4  # a thread; codecarbon.core.cpu, DEFAULT_POWER_PER_CORE
_FEWEST_WATTS = 10  # ours; no processor that trains models is rated lower
_EVERY_SECONDS = 5.0  # ours; codecarbon's 15 would be longer than a small run

_log = logging.getLogger(__name__)

ReadMeter = Callable[[], Energy | None]


class Metering(NamedTuple):
    """How energy is measured. country: ISO code (DEU) whose grid CO2 is reckoned by; "" for no CO2."""

    country: str = ""


def chosen_metering(wanted: bool, country: str) -> Metering | None:
    """Return what --energy and --country ask for. Raises UserError if it cannot be had."""
    if not wanted:
        if country:
            raise UserError("--country: CO2 is reckoned from energy; pass --energy too")
        return None
    if importlib.util.find_spec("codecarbon") is None:
        raise UserError(
            "--energy: the package codecarbon is not installed; pip install 'kebench[energy]', "
            "or leave out --energy"
        )
    if os.environ.get("LOCAL_WORLD_SIZE", "1") != os.environ.get("WORLD_SIZE", "1"):
        raise UserError("--energy: measures one machine, but processes run on several; leave it out")
    if country:
        from codecarbon.input import DataSource

        known: dict[str, Any] = DataSource().get_global_energy_mix_data()
        if country not in known:
            raise UserError(
                f"--country {country}{did_you_mean(country.upper(), known)} expected an ISO code of three "
                "letters, such as DEU, of a country whose electricity codecarbon knows"
            )
    return Metering(country)


@contextmanager
def energy_meter(metering: Metering | None, *, accelerator: Any) -> Iterator[ReadMeter]:
    """Measure from here on; yield what ends that and returns the energy, or None if there is none.

    metering: None measures nothing. Alone, a process is measured by its own load and its own GPU;
    where several train together, the main one measures the machine.
    """
    if metering is None or not accelerator.is_main_process:
        yield lambda: None
        return
    tracker = None
    try:
        tracker = _started(metering, accelerator)
    # Whatever a machine refuses to tell must not end a run.
    except Exception as error:
        _warn(error)

    def read() -> Energy | None:
        nonlocal tracker
        measuring, tracker = tracker, None
        try:
            if measuring is not None:
                measuring.stop()
                return _energy_of(measuring, metering)
        except Exception as error:
            _warn(error)
        return None

    try:
        yield read
    finally:
        read()  # ends the threads that measure


def _warn(error: Exception) -> None:
    _log.warning("energy was not measured (%s); the run goes on", first_line(error))


def _started(metering: Metering, accelerator: Any) -> Any:
    """Return codecarbon's tracker, measuring. What it would write or send by itself is turned off."""
    from codecarbon import OfflineEmissionsTracker

    logging.getLogger("codecarbon").setLevel(logging.CRITICAL)  # importing it sets another one
    is_alone = accelerator.num_processes == 1
    # As NVML numbers them: none on the CPU, the one in use, or all that several processes see.
    gpus: list[int | str] | None = [] if accelerator.device.type != "cuda" else None
    if gpus is None and is_alone:
        import torch

        place = torch.cuda.current_device()
        named = [one.strip() for one in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")]
        visible = [one for one in named if one]
        gpus = [visible[place]] if visible else [place]
    tracker = OfflineEmissionsTracker(
        # Without a country nobody asks for CO2; an intensity keeps codecarbon from looking for one.
        country_iso_code=metering.country or "USA",
        force_carbon_intensity_g_co2e_kwh=None if metering.country else 0.0,
        region=None,
        cloud_provider=None,
        cloud_region=None,
        tracking_mode="process" if is_alone else "machine",
        gpu_ids=gpus,
        measure_power_secs=_EVERY_SECONDS,
        output_methods=[],
        output_handlers=[],
        output_dir=tempfile.gettempdir(),
        emissions_endpoint=None,
        electricitymaps_api_token="",
        api_call_interval=-1,
        allow_multiple_runs=True,
        log_level="critical",
    )
    tracker.start()
    _warn_of_defaults(tracker)
    return tracker


def _warn_of_defaults(tracker: Any) -> None:
    """Say it where the watts of the processor are codecarbon's stopgap, and no figure of this processor."""
    for hardware in tracker._hardware:
        if type(hardware).__name__ != "CPU" or hardware._mode in _COUNTERS:
            continue
        watts = hardware._tdp or 0
        if watts == _STOPGAP_WATTS * (os.cpu_count() or 1) or watts < _FEWEST_WATTS:
            _warn_once(
                f"energy: codecarbon does not know this processor and takes it for one of {watts:g} W; its "
                "energy is a guess, and of a server far too low"
            )


@cache
def _warn_once(line: str) -> None:
    _log.warning(line)


def _energy_of(tracker: Any, metering: Metering) -> Energy:
    found = tracker.final_emissions_data
    parts: dict[str, EnergyPart] = {}
    for hardware in tracker._hardware:  # no public name says what was measured with what
        name, is_estimate = type(hardware).__name__, False
        if name == "RAM":
            kind, measured_with, is_estimate = "ram", "watts for its size", True
        elif name == "GPU":
            import torch

            kind, measured_with = "gpu", "AMD SMI" if torch.version.hip else "NVML"
        elif name == "CPU" and hardware._mode in _COUNTERS:
            kind, measured_with = "cpu", _COUNTERS[hardware._mode]
        elif name == "CPU":
            share = "load" if hardware._mode == "cpu_load" else "half"
            kind, measured_with, is_estimate = "cpu", f"{share} x {hardware._tdp or 0:g} W (TDP)", True
        else:  # Apple's chips and the Raspberry Pi name their part; both are read, not guessed
            kind, measured_with = str(hardware.chip_part).lower(), name
        kwh = float(getattr(found, f"{kind}_energy"))
        if kind != "gpu" or tracker._gpu_ids != []:
            parts[kind] = EnergyPart(kwh=kwh, measured_with=measured_with, is_estimate=is_estimate)
    return Energy(
        cpu=parts.get("cpu"),
        gpu=parts.get("gpu"),
        ram=parts.get("ram"),
        country=metering.country,
        co2_kg=float(found.emissions) if metering.country else None,
        meter=f"codecarbon {found.codecarbon_version}",
    )
