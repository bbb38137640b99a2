"""A kill at any moment of a build, an import or an export leaves nothing or the complete result."""

from pathlib import Path

import pytest

from kebench.probe.query_set import QuerySet
from kebench.umls.knowledge_base import KnowledgeBase
from tests.forks import KILLED
from tests.probe.sets import built
from tests.umls.test_crashes import kebench


@pytest.mark.parametrize("moment", ["written", "renamed"])
def test_a_killed_build_leaves_nothing_or_all_and_the_same_command_ends_it(
    moment: str, mini_kbs: dict[str, KnowledgeBase], mini_sets: dict[str, QuerySet], tmp_path: Path
) -> None:
    out = tmp_path / "out" / "set"
    command = ("probe", "build", str(mini_kbs["fixed"].folder), "--recipe", "mini", "--out", str(out))
    assert kebench(*command, crash_at=f"query-set.{moment}").returncode == KILLED
    assert out.exists() == (moment == "renamed")
    assert kebench(*command).returncode == 0
    assert QuerySet.open(out).table().equals(mini_sets["fixed"].table())
    assert {path.name for path in out.iterdir()} == {
        "queries.parquet",
        "set.json",
        "candidates.parquet",
        "asked.parquet",
        "shots.parquet",
    }


@pytest.mark.parametrize("moment", ["written", "renamed"])
def test_a_killed_import_leaves_nothing_or_all(moment: str, tmp_path: Path) -> None:
    (tmp_path / "mine.csv").write_text("query,answers\ngout is [MASK].,a disease\n")
    out = tmp_path / "out" / "set"
    command = ("probe", "import", str(tmp_path / "mine.csv"), "--out", str(out))
    assert kebench(*command, crash_at=f"query-set.{moment}").returncode == KILLED
    assert out.exists() == (moment == "renamed")
    assert kebench(*command).returncode == 0
    assert len(QuerySet.open(out)) == 1


@pytest.mark.parametrize("moment", ["written", "renamed"])
def test_a_killed_export_leaves_nothing_or_all(
    moment: str, mini_sets: dict[str, QuerySet], tmp_path: Path
) -> None:
    out = tmp_path / "out" / "ids.csv"
    command = ("probe", "export", str(mini_sets["fixed"].folder), "--ids", str(out))
    assert kebench(*command, crash_at=f"query-set.{moment}").returncode == KILLED
    assert out.exists() == (moment == "renamed")
    assert kebench(*command).returncode == 0
    assert len(out.read_text().splitlines()) == 1 + len(mini_sets["fixed"])


def test_a_full_disk_is_one_line_and_leaves_nothing(
    mini_kbs: dict[str, KnowledgeBase], tmp_path: Path
) -> None:
    out = tmp_path / "out" / "set"
    run = kebench("probe", "build", str(mini_kbs["fixed"].folder), "--out", str(out), limit_bytes=5_000)
    assert (run.returncode, run.stdout) == (2, "")
    assert run.stderr.splitlines()[-1] == (
        f"kebench: {out.parent}: the disk is full or refuses to be written; free some space there"
    )
    assert list(out.parent.iterdir()) == []


def test_a_set_that_another_process_made_meanwhile_is_not_taken_for_ours(
    mini_kbs: dict[str, KnowledgeBase], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from kebench.errors import UserError
    from kebench.probe import build

    write = build.write_queries

    def write_and_lose(*arguments: object, **options: object) -> None:
        monkeypatch.setattr(build, "write_queries", write)
        built(mini_kbs["fixed"], tmp_path / "set", seed=5)
        write(*arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(build, "write_queries", write_and_lose)
    with pytest.raises(UserError, match="another process has just made another set there"):
        built(mini_kbs["fixed"], tmp_path / "set")
