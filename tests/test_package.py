"""The wheel holds what commands need, nothing else, and runs without the checkout."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]
SHIPPED = ("baselines", "pretraining", "probing", "results/published", "results/recorded")


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a wheel of the checkout, built without the network."""
    out = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(out)]
    subprocess.run(command, cwd=REPOSITORY, check=True, capture_output=True)
    (built,) = out.glob("*.whl")
    return built


def test_the_wheel_ships_package_cards_and_results_and_nothing_else(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {name.split("/")[0] for name in names} == {"kebench", f"kebench-{version(wheel)}.dist-info"}
    for folder in SHIPPED:
        for path in (REPOSITORY / folder).rglob("*.toml"):
            assert f"kebench/_shipped/{path.relative_to(REPOSITORY)}" in names
    for path in (REPOSITORY / "kebench").rglob("*"):
        if path.suffix in (".toml", ".tsv", ".txt"):
            assert str(path.relative_to(REPOSITORY)) in names
    assert not [
        name for name in names if "results/local" in name or name.endswith((".safetensors", ".bin", ".pyc"))
    ]


def version(wheel: Path) -> str:
    return wheel.name.split("-")[1]


@pytest.mark.slow
def test_the_installed_wheel_finds_its_folders_far_from_the_checkout(wheel: Path, tmp_path: Path) -> None:
    target = tmp_path / "site"
    install = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--no-index",
        "--target",
        str(target),
    ]
    subprocess.run([*install, str(wheel)], check=True)
    environment = {**os.environ, "PYTHONPATH": str(target), "KEBENCH_CACHE": str(tmp_path / "cache")}
    commands = {
        "-m kebench model list": "biobert",
        "-m kebench task list": "ncbi-disease",
        "-c import\tkebench;print(kebench.__file__)": str(target),
    }
    for command, wanted in commands.items():
        words = [word.replace("\t", " ") for word in command.split(" ")]
        run = subprocess.run(
            [sys.executable, *words],
            cwd=tmp_path,
            env=environment,
            check=True,
            capture_output=True,
            text=True,
        )
        assert wanted in run.stdout
