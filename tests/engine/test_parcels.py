"""Files that travel: read in place where they are the same, and otherwise kept by their content."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from kebench.engine.ray import locate, parcels_of, unpack
from kebench.engine.work import read_files
from kebench.finetune.plan import Job
from tests.engine.conftest import jobs_in


@pytest.fixture
def job(place: Path) -> Job:
    """Return one job."""
    return jobs_in(place)[0]


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an empty cache."""
    monkeypatch.setenv("KEBENCH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_files_that_are_there_are_read_where_they_are(job: Job, cache: Path) -> None:
    places = {parcel.key: locate(parcel, None) or {} for parcel in parcels_of(job)}
    assert unpack(job, parcels_of(job), places) == job
    assert not cache.exists()


def test_files_that_are_not_there_are_asked_for_once_and_kept(job: Job, cache: Path) -> None:
    asked = []
    for parcel in parcels_of(job):
        elsewhere = parcel._replace(paths={name: Path("/nowhere") / name for name in parcel.paths})
        assert locate(elsewhere, None) is None

        def content(parcel=parcel):  # type: ignore[no-untyped-def]
            asked.append(parcel.key)
            return read_files(parcel.paths)

        places = [locate(elsewhere, content) for _ in range(2)]
        assert places[0] == places[1]
        assert {name: path.read_bytes() for name, path in (places[0] or {}).items()} == read_files(
            parcel.paths
        )
    assert asked == [parcel.key for parcel in parcels_of(job)]


def test_a_kept_file_that_is_damaged_is_asked_for_again(job: Job, cache: Path) -> None:
    weights = parcels_of(job)[0]
    elsewhere = weights._replace(paths={name: Path("/nowhere") / name for name in weights.paths})
    kept = locate(elsewhere, lambda: read_files(weights.paths)) or {}
    path = max(kept.values(), key=lambda path: path.stat().st_size)
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    assert locate(elsewhere, None) is None
    assert locate(elsewhere, lambda: read_files(weights.paths)) == kept
    assert path.read_bytes() == whole


def test_a_file_that_another_has_changed_is_not_taken_for_ours(job: Job, cache: Path) -> None:
    data = parcels_of(job)[1]
    path = next(iter(data.paths.values()))
    before = path.stat()
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns + 1))
    try:
        assert locate(data, None) is None
    finally:
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def test_a_job_that_has_travelled_is_the_same_run(job: Job, cache: Path) -> None:
    parcels = parcels_of(job)
    gone = [one._replace(paths={name: Path("/nowhere") / name for name in one.paths}) for one in parcels]
    contents = {one.key: read_files(one.paths) for one in parcels}
    places = {one.key: locate(one, lambda one=one: contents[one.key]) or {} for one in gone}  # type: ignore[misc]
    there = unpack(job, gone, places)
    assert there.folder.is_relative_to(cache)
    assert all(path.is_relative_to(cache) for path in there.task.paths.values())
    assert there.identity == job.identity


KEEP = """
import sys
from pathlib import Path
from kebench.engine.ray import Parcel, locate
parcel = Parcel("k" * 64, {"a": Path("/nowhere/a")}, {"a": (1, 1)})
place = locate(parcel, lambda: {"a": b"content"})
print((place or {})["a"].read_text())
"""


@pytest.mark.parametrize("point", ["shipped.written", "shipped.renamed"])
def test_a_node_killed_while_it_keeps_files_keeps_them_whole_or_not_at_all(cache: Path, point: str) -> None:
    command, environment = [sys.executable, "-c", KEEP], os.environ | {"KEBENCH_CACHE": str(cache)}
    killed = subprocess.run(
        command, env=environment | {"KEBENCH_CRASH_AT": point}, capture_output=True, check=False
    )
    assert killed.returncode == -signal.SIGKILL
    again = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert again.stdout == "content\n"
