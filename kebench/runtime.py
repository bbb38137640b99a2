"""The machine a run meets: device, precision, seeds, peak memory, and where its numbers came from.

torch is imported inside functions: the half of kebench that renders tables never loads it.
"""

import datetime
import importlib.metadata
import os
import platform
import random
import subprocess
import sys
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from kebench import __version__
from kebench.errors import UserError

RECORDED_PACKAGES = ("torch", "transformers", "tokenizers", "accelerate", "numpy", "seqeval")


class Device(NamedTuple):
    """Where tensors live, in which precision the encoder computes, and why."""

    name: str
    precision: str
    reason: str


def choose_device(wanted: str = "auto", precision: str = "auto") -> Device:
    """Return the device to run on: CUDA if there is one, else the CPU.

    bf16 only where the hardware multiplies in it: on CUDA, Ampere or later; fp32 everywhere else.
    """
    is_there = has_cuda()
    if wanted == "cuda" and not is_there:
        raise UserError(
            "--device cuda: torch sees no CUDA device; pass --device cpu or install a CUDA build of torch"
        )
    name = "cuda" if is_there and wanted in ("auto", "cuda") else "cpu"
    reason = "as asked" if wanted != "auto" else ("CUDA found" if is_there else "no CUDA found")
    if precision == "auto":
        precision = "fp32"
        if name == "cuda":
            import torch

            precision = "bf16" if torch.cuda.get_device_capability() >= (8, 0) else "fp32"
    if precision == "bf16" and name == "cpu":
        raise UserError("--precision bf16: meant for CUDA; on the CPU pass --precision fp32")
    return Device(name, precision, reason)


def has_cuda() -> bool:
    """Return whether torch finds a GPU; asked only where there is one: its import takes seconds."""
    shown = ("/dev/nvidiactl", "/dev/dxg", "/dev/kfd")  # NVIDIA; NVIDIA under WSL; AMD
    if sys.platform == "linux" and not any(Path(device).exists() for device in shown):
        return False
    import torch

    return bool(torch.cuda.is_available())


def new_accelerator(device: Device) -> Any:
    """Return accelerate's view of a device, and of the processes that a launcher started."""
    from accelerate import Accelerator

    return Accelerator(
        cpu=device.name == "cpu", mixed_precision="bf16" if device.precision == "bf16" else "no"
    )


def launched_processes() -> tuple[int, int]:
    """Return (rank, number of processes) as `accelerate launch` or torchrun set them; (0, 1) otherwise."""
    return int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))


def use_own_gpu(device: str) -> None:
    """Let "cuda" mean a GPU of this process's own, if a launcher started several on this machine."""
    place = os.environ.get("LOCAL_RANK")
    if device == "cuda" and place is not None:
        import torch

        torch.cuda.set_device(int(place) % torch.cuda.device_count())


def agreed(value: Any, accelerator: Any) -> Any:
    """Return the main process's value on every process that a launcher started."""
    if accelerator.num_processes == 1:
        return value
    from accelerate.utils import broadcast_object_list

    return broadcast_object_list([value])[0]


def seed_everything(seed: int) -> None:
    """Seed the global generators, which dropout and the initialisation of new layers draw from."""
    import numpy
    import torch

    random.seed(seed)
    numpy.random.seed(seed % 2**32)
    torch.manual_seed(seed)


def device_description(device: str) -> str:
    """Return the device's name for a record: the GPU's, or the processor's with torch's thread count."""
    import torch

    if device.startswith("cuda"):
        return str(torch.cuda.get_device_name())
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
        processor = names[0] if names else platform.machine()
    except OSError:
        processor = platform.processor() or platform.machine()
    return f"{processor}, {torch.get_num_threads()} threads"


def reset_peak_memory(device: str) -> None:
    """Start measuring peak memory anew; on the CPU Linux forgets a process's peak when asked."""
    if device.startswith("cuda"):
        import torch

        torch.cuda.reset_peak_memory_stats()
        return
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return  # then the peak is that of the whole process, an upper bound


def peak_memory_mib(device: str) -> float:
    """Return the peak since `reset_peak_memory`: allocated on the GPU, or resident in the process."""
    if device.startswith("cuda"):
        import torch

        return float(torch.cuda.max_memory_allocated()) / 2**20
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(float(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))
    except (OSError, StopIteration):
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def matrix_flops_per_second(device: str) -> float:
    """Measure a matrix product on the device, the best of five: others may be using it too."""
    import torch

    size = 4096 if device.startswith("cuda") else 768
    left = torch.rand(size, size, device=device)
    seconds = []
    for _ in range(6):  # the first one also loads libraries
        started = time.perf_counter()
        float((left @ left)[0, 0])
        seconds.append(time.perf_counter() - started)
    return 2.0 * size**3 / min(seconds[1:])


def utc_now() -> str:
    """Return the time now as 2026-01-31T12:00:00Z."""
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class Begun(NamedTuple):
    """When some work, or what was left of it, was begun; `begin` makes one."""

    device: str
    started_utc: str
    clock: float

    def provenance(self, packages: Iterable[str] = RECORDED_PACKAGES) -> dict[str, Any]:
        """Return what is recorded of the work now that it ends: `software`, when, seconds and peak memory."""
        return {
            **software(packages),
            "started_utc": self.started_utc,
            "seconds": round(time.monotonic() - self.clock, 3),
            "peak_mib": round(peak_memory_mib(self.device), 1),
        }


def begin(device: str) -> Begun:
    """Start the clock of some work; peak memory is counted from here on."""
    reset_peak_memory(device)
    return Begun(device, utc_now(), time.monotonic())


def software(recorded: Iterable[str] = RECORDED_PACKAGES) -> dict[str, Any]:
    """Return what made a number: kebench's version and commit, and those of packages that can move it.

    The commit is that of the checkout kebench runs from, "+changes" if edited, or "" in a wheel.
    """
    packages = {name: importlib.metadata.version(name) for name in recorded}
    packages = {"python": platform.python_version(), **packages}
    root, commit = Path(__file__).parent.parent, ""
    if (root / ".git").exists():
        with suppress(OSError, subprocess.SubprocessError):
            head = _git(root, "rev-parse", "HEAD")
            wanted = ("--porcelain", "--untracked-files=no", "--", "kebench", "baselines")
            commit = f"{head}+changes" if _git(root, "status", *wanted) else head
    return {"kebench_version": __version__, "commit": commit, "packages": packages}


def installed(packages: Iterable[str]) -> list[str]:
    """Return those packages that are installed, for `software`: of extras that not everybody has."""
    return [name for name in packages if any(importlib.metadata.distributions(name=name))]


def _git(root: Path, *arguments: str) -> str:
    run = subprocess.run(
        ["git", "-C", str(root), *arguments], capture_output=True, text=True, timeout=10, check=True
    )
    return run.stdout.strip()
