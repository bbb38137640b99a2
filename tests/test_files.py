"""Atomic writes, hashes, and crash points."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from kebench.files import (
    atomic_folder,
    create_atomically,
    hash_of,
    sha256_of,
    sweep_temporaries,
    write_atomically,
)


def test_a_written_file_replaces_the_old_one_and_leaves_nothing_beside(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text("old")
    write_atomically(path, "new", point="record")
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    def fail_half_way() -> None:
        with atomic_folder(tmp_path / "made", point="model") as folder:
            (folder / "half").write_text("x")
            raise RuntimeError("half way")

    with pytest.raises(RuntimeError, match="half way"):
        fail_half_way()
    assert list(tmp_path.iterdir()) == []


def test_of_two_makers_of_one_folder_the_first_wins(tmp_path: Path) -> None:
    with atomic_folder(tmp_path / "made", point="model") as second:
        (second / "who").write_text("second")
        with atomic_folder(tmp_path / "made", point="model") as first:
            (first / "who").write_text("first")
    assert (tmp_path / "made" / "who").read_text() == "first"
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize(("moment", "content"), [("written", "old"), ("renamed", "new")])
def test_a_crash_leaves_the_old_file_or_the_new_one(tmp_path: Path, moment: str, content: str) -> None:
    path = tmp_path / "a.json"
    path.write_text("old")
    code = "import sys, pathlib; from kebench.files import write_atomically; "
    code += "write_atomically(pathlib.Path(sys.argv[1]), 'new', point='record'); print('alive')"
    environment = {**os.environ, "KEBENCH_CRASH_AT": f"record.{moment}:1"}
    run = subprocess.run(
        [sys.executable, "-c", code, path], env=environment, capture_output=True, check=False
    )
    assert (run.returncode, run.stdout) == (-9, b"")
    assert path.read_text() == content


def test_hashes_do_not_depend_on_the_order_of_keys() -> None:
    assert hash_of({"a": 1, "b": [1, 2]}) == hash_of({"b": [1, 2], "a": 1}) != hash_of({"a": 1, "b": [2, 1]})


def test_only_old_temporary_files_of_ours_are_swept(tmp_path: Path) -> None:
    names = [".old.json.12-0123abcd.tmp", ".new.json.12-0123abcd.tmp", ".thesis.tmp"]
    old, new, not_ours = (tmp_path / name for name in names)
    for path in (old, new, not_ours):
        path.write_text("")
    os.utime(old, (0, 0))
    os.utime(not_ours, (0, 0))
    sweep_temporaries(tmp_path)
    assert sorted(tmp_path.iterdir()) == [new, not_ours]


def test_of_two_writers_of_a_new_file_the_first_wins(tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    assert create_atomically(path, "first", point="corpus")
    assert not create_atomically(path, "second", point="corpus")
    assert path.read_text() == "first"
    assert list(tmp_path.iterdir()) == [path]


def test_a_hash_tells_how_much_it_has_read(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"x" * 3_000_000)
    read: list[int] = []
    assert sha256_of(path, on_read=read.append) == hashlib.sha256(path.read_bytes()).hexdigest()
    assert sum(read) == 3_000_000
