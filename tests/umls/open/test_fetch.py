"""Fetching the wheels; pip itself is replaced, there is no network in tests."""

import hashlib
import subprocess
from pathlib import Path
from typing import Any

import pytest

from kebench.errors import UserError
from kebench.umls.open import sources

CONTENT = b"a wheel"
WHEEL = sources.Wheel("small", "1.0", "small-1.0-py3-none-any.whl", hashlib.sha256(CONTENT).hexdigest(), 7)


@pytest.fixture
def pip(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Put a pip in place that writes `content`, or fails with `error`; it notes its commands."""
    behaviour: dict[str, Any] = {"content": CONTENT, "error": "", "commands": []}

    def run(command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        behaviour["commands"].append(command)
        if behaviour["error"]:
            return subprocess.CompletedProcess(command, 1, "", behaviour["error"])
        (Path(command[command.index("-d") + 1]) / WHEEL.file).write_bytes(behaviour["content"])
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(subprocess, "run", run)
    monkeypatch.setattr(sources, "wheels", lambda: [WHEEL])
    return behaviour


def test_a_wheel_is_downloaded_once(pip: dict[str, Any], tmp_path: Path) -> None:
    for _ in range(2):
        [path] = sources.fetch_wheels(tmp_path / "wheels")
        assert path.read_bytes() == CONTENT
    [command] = pip["commands"]
    assert "--no-deps" in command
    assert "--only-binary=:all:" in command
    assert command[-1] == "small==1.0"


def test_a_damaged_wheel_is_fetched_again(pip: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / WHEEL.file).write_bytes(b"a whale")
    assert sources.fetch_wheels(tmp_path)[0].read_bytes() == CONTENT


def test_another_file_under_the_name_is_refused(pip: dict[str, Any], tmp_path: Path) -> None:
    pip["content"] = b"something else"
    with pytest.raises(UserError, match=r"small==1\.0: pip's index gives SHA-256 [0-9a-f]+, expected"):
        sources.fetch_wheels(tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (
            "WARNING: MaxRetryError\nERROR: nothing",
            "no network (pip: ERROR: nothing); try again, or put the wheel",
        ),
        (
            "ERROR: No matching distribution",
            "pip cannot download it (ERROR: No matching distribution); check the name",
        ),
    ],
)
def test_what_pip_says_is_passed_on(pip: dict[str, Any], error: str, message: str, tmp_path: Path) -> None:
    pip["error"] = error
    with pytest.raises(UserError) as refused:
        sources.fetch_wheels(tmp_path)
    assert message in str(refused.value)
