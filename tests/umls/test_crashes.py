"""A kill at any moment of an import or an export leaves nothing or the complete result."""

import subprocess
from functools import partial
from pathlib import Path

import pytest

from kebench.umls.knowledge_base import KnowledgeBase
from kebench.umls.rrf import REMEDY
from tests import forks
from tests.faults.places import no_file_above
from tests.forks import KILLED
from tests.umls.releases import imported, write_release


def kebench(
    *arguments: str, crash_at: str = "", limit_bytes: int | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a command in a process of its own; limit_bytes: of the largest file it can write."""
    before = partial(no_file_above, limit_bytes) if limit_bytes else None
    return forks.run(*arguments, crash_at=crash_at, before=before)


@pytest.mark.parametrize("moment", ["written", "renamed"])
def test_a_killed_import_leaves_nothing_or_all_and_the_same_command_ends_it(
    moment: str, tmp_path: Path
) -> None:
    release, out = write_release(tmp_path / "release"), tmp_path / "out" / "kb"
    command = ("kb", "import", str(release), "--out", str(out))
    assert kebench(*command, crash_at=f"kb.{moment}").returncode == KILLED
    assert out.exists() == (moment == "renamed")
    assert kebench(*command).returncode == 0
    assert KnowledgeBase.open(out).manifest.tables == imported(release, tmp_path / "other").manifest.tables


@pytest.mark.parametrize("moment", ["written", "renamed"])
def test_a_killed_export_leaves_nothing_or_all(moment: str, tmp_path: Path) -> None:
    kb, out = imported(write_release(tmp_path / "release"), tmp_path / "kb"), tmp_path / "out" / "rrf"
    command = ("kb", "export", str(kb.folder), "--rrf", str(out))
    assert kebench(*command, crash_at=f"rrf.{moment}").returncode == KILLED
    assert out.exists() == (moment == "renamed")
    if moment == "renamed":
        assert len(list(out.iterdir())) == 3


def test_a_full_disk_is_one_line_and_leaves_nothing(mini_release: Path, tmp_path: Path) -> None:
    out = tmp_path / "out" / "kb"
    run = kebench("kb", "import", str(mini_release), "--out", str(out), limit_bytes=5_000)
    assert (run.returncode, run.stdout) == (2, "")
    assert run.stderr.splitlines() == [
        f"kebench: {out.parent}: the disk is full or refuses to be written; free some space there"
    ]
    assert list(out.parent.iterdir()) == []


def test_a_full_disk_while_exporting_is_one_line_and_leaves_nothing(
    mini_kb: KnowledgeBase, tmp_path: Path
) -> None:
    out = tmp_path / "out" / "rrf"
    run = kebench("kb", "export", str(mini_kb.folder), "--rrf", str(out), limit_bytes=5_000)
    assert (run.returncode, run.stdout) == (2, "")
    assert run.stderr.splitlines() == [
        f"kebench: {out.parent}: the disk is full or refuses to be written; free some space there"
    ]
    assert list(out.parent.iterdir()) == []


def test_damage_is_one_line_and_exit_code_2(tmp_path: Path) -> None:
    release = write_release(tmp_path / "release")
    (release / "MRREL.RRF").write_text("C0000001|RO\n")
    run = kebench("kb", "import", str(release), "--out", str(tmp_path / "kb"))
    assert (run.returncode, run.stdout) == (2, "")
    assert run.stderr.splitlines() == [
        f"kebench: {release}/MRREL.RRF line 1: 2 fields, expected 16; {REMEDY}"
    ]
