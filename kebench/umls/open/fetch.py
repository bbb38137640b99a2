"""Brings the two wheels of open-kb (wheels.toml) into a folder, with pip, without installing anything."""

import tempfile
import tomllib
from pathlib import Path
from typing import NamedTuple

from kebench.download import NoNetworkError, pip_download
from kebench.errors import UserError
from kebench.files import cache_folder, sha256_of, write_atomically
from kebench.progress import progress


class Wheel(NamedTuple):
    """One distribution: the version that open-kb is made from, and its wheel."""

    distribution: str
    version: str
    file: str
    sha256: str
    bytes: int


def wheels() -> list[Wheel]:
    """Return the distributions of wheels.toml."""
    tables = tomllib.loads((Path(__file__).parent / "wheels.toml").read_text(encoding="utf-8"))
    return [Wheel(distribution, **fields) for distribution, fields in tables.items()]


def wheels_folder() -> Path:
    """Return where the wheels are kept: the folder open-kb in the cache."""
    return cache_folder() / "open-kb"


def fetch_wheels(folder: Path) -> list[Path]:
    """Return the wheels in a folder, downloading those that are not there. Each is checked by its SHA-256."""
    missing = [
        wheel
        for wheel in wheels()
        for path in [folder / wheel.file]
        if not (path.is_file() and path.stat().st_size == wheel.bytes and sha256_of(path) == wheel.sha256)
    ]
    if missing:
        total = sum(wheel.bytes for wheel in missing)
        with progress("fetching open-kb's wheels", total=total, unit="bytes") as advance:
            for wheel in missing:
                _fetch(wheel, folder / wheel.file)
                advance(wheel.bytes)
    return [folder / wheel.file for wheel in wheels()]


def _fetch(wheel: Wheel, path: Path) -> None:
    requirement = f"{wheel.distribution}=={wheel.version}"
    with tempfile.TemporaryDirectory(prefix="kebench-wheel-") as temporary:
        try:
            pip_download(requirement, Path(temporary))
        except NoNetworkError as error:
            raise UserError(
                f"{requirement}: no network ({error}); try again, or put the wheel {wheel.file} into "
                f"{path.parent} yourself"
            ) from None
        fetched = Path(temporary) / wheel.file
        found = f"SHA-256 {sha256_of(fetched)}" if fetched.is_file() else "no such wheel"
        if found != f"SHA-256 {wheel.sha256}":
            raise UserError(
                f"{requirement}: pip's index gives {found}, expected {wheel.file} with {wheel.sha256}; "
                "check pip's index"
            )
        write_atomically(path, fetched.read_bytes(), point="data")
