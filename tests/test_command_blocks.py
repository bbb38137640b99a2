"""Every command block of the README and of docs/: commands parse, and those without downloads work."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import click
import pytest

from kebench.cli import kebench
from kebench.cli.reproduce import parse

ROOT = Path(__file__).parents[1]
PAGES = [
    ROOT / "README.md",
    *(ROOT / "docs" / name for name in ("TUTORIAL.md", "HOWTO.md", "GUIDE.md", "SCALE.md", "RESULTS.md")),
    ROOT / "CONTRIBUTING.md",
]
RUN, FILE = "<!-- run -->", re.compile(r"<!-- file: (\S+) -->")
_BLOCK = re.compile(r"^( *)```(bash|toml|)\n(.*?)^ *```", re.MULTILINE | re.DOTALL)


class Block(NamedTuple):
    """A fenced block: the mark on the line before it, its language, and its lines without their indent."""

    mark: str
    language: str
    text: str


def blocks_of(path: Path) -> list[Block]:
    text = path.read_text(encoding="utf-8")
    found = []
    for block in _BLOCK.finditer(text):
        mark = text[: block.start()].rstrip("\n").rpartition("\n")[2].strip()
        indent = len(block[1])
        found.append(Block(mark, block[2], "".join(line[indent:] for line in block[3].splitlines(True))))
    return found


def commands_in(text: str) -> list[str]:
    """Return the lines that call kebench, those that go on after a backslash as one."""
    joined = re.sub(r"\\\n\s*", " ", text)
    return [line for line in joined.splitlines() if line.startswith("kebench ")]


def shown_commands() -> list[tuple[str, str]]:
    return [
        (path.name, command)
        for path in PAGES
        if path.exists()
        for block in blocks_of(path)
        if block.language in ("bash", "")
        for command in commands_in(block.text)
    ]


@pytest.mark.parametrize(("page", "line"), shown_commands())
def test_every_command_that_a_page_shows_parses(page: str, line: str) -> None:
    words = shlex.split(line, comments=True)[1:]
    if ">" in words:
        words = words[: words.index(">")]
    if "..." in words:
        pytest.skip("shortened")
    try:
        assert not isinstance(parse(kebench, words), click.Group)
    except click.BadParameter as error:  # files that must exist are taken to exist
        if "does not exist" not in str(error):
            raise
    except click.exceptions.Exit:  # --help
        assert "--help" in words


@pytest.mark.parametrize("name", [path.name for path in PAGES if path.exists() and RUN in path.read_text()])
def test_blocks_that_need_no_download_work_in_their_order(name: str, tmp_path: Path) -> None:
    (path,) = (path for path in PAGES if path.name == name)
    scripts = tmp_path / "bin"
    scripts.mkdir()
    (scripts / "kebench").write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m kebench "$@"\n')
    (scripts / "kebench").chmod(0o755)
    here = tmp_path / "here"
    here.mkdir()
    environment = os.environ | {"PATH": f"{scripts}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    environment.pop("KEBENCH_DATA", None)
    for block in blocks_of(path):
        if file := FILE.fullmatch(block.mark):
            (here / file[1]).write_text(block.text)
        if block.mark == RUN:
            made = subprocess.run(
                ["sh", "-e", "-c", block.text],
                cwd=here,
                env=environment,
                capture_output=True,
                text=True,
                check=False,
            )
            assert made.returncode == 0, f"{block.text}\n{made.stdout}\n{made.stderr}"
            assert "Traceback" not in made.stderr
