"""The files that a job reads, as they travel to a machine that does not see them.

A node that finds the same files at the same place, of the same size and time to the nanosecond, reads them
there: a shared folder, or the same machine. Otherwise they are written once into its cache, named by their
content and sealed with their hashes: what is damaged there is asked for again.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from kebench.engine.work import read_files, write_files
from kebench.files import atomic_folder, cache_folder, hash_of, remove_if_broken
from kebench.finetune.plan import Job
from kebench.model.checkpoint_files import DESCRIPTION_FILES, weight_files

SHIPPED = "shipped"


class Lacking(NamedTuple):
    """What a node answers that has not all files of a job: the keys of the parcels."""

    keys: tuple[str, ...]


class Parcel(NamedTuple):
    """Files that belong together. key: of their content; stamps: size and time of change of each."""

    key: str
    paths: dict[str, Path]
    stamps: dict[str, tuple[int, int]]


def parcels_of(job: Job) -> tuple[Parcel, Parcel]:
    """Return the checkpoint and the data of a job."""
    named = (job.folder / name for name in DESCRIPTION_FILES)
    code = sorted(job.folder.glob("*.py"))
    indexes = job.folder.glob("*.index.json")
    checkpoint = [*(path for path in named if path.is_file()), *weight_files(job.folder), *code, *indexes]
    data = {f"{split}-{path.name}": path for split, path in job.task.paths.items()}
    return _parcel(job.model_hash, {path.name: path for path in checkpoint}), _parcel(
        hash_of(job.task.sha256), data
    )


def _parcel(key: str, paths: dict[str, Path]) -> Parcel:
    paths = {name: path.absolute() for name, path in paths.items()}
    return Parcel(key, paths, {name: _stamp(path) for name, path in paths.items()})


def _stamp(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_size, found.st_mtime_ns


def pack(parcel: Parcel) -> dict[str, bytes]:
    """Return the content of a parcel's files."""
    return read_files(parcel.paths)


def locate(parcel: Parcel, content: Callable[[], dict[str, bytes]] | None) -> dict[str, Path] | None:
    """Return where a parcel's files are on this machine; None if they are not, and there is no content."""
    if all(_is_as_sent(path, parcel.stamps[name]) for name, path in parcel.paths.items()):
        return parcel.paths
    kept = cache_folder() / SHIPPED / parcel.key[:32]
    remove_if_broken(kept)
    if not kept.is_dir():
        if content is None:
            return None
        with atomic_folder(kept, point=SHIPPED, sealed=True) as temporary:
            write_files(temporary, content().items())
    return {name: kept / name for name in parcel.paths}


def _is_as_sent(path: Path, stamp: tuple[int, int]) -> bool:
    try:
        return _stamp(path) == stamp
    except OSError:
        return False


def unpack(job: Job, parcels: Sequence[Parcel], places: Mapping[str, Mapping[str, Path]]) -> Job:
    """Return a job that reads its files where they are on this machine. Its identity stays."""
    checkpoint, data = (places[parcel.key] for parcel in parcels)
    paths = {split: data[f"{split}-{path.name}"] for split, path in job.task.paths.items()}
    return job._replace(folder=checkpoint["config.json"].parent, task=job.task._replace(paths=paths))
