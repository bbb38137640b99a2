"""Every command block of the README and of docs/: commands parse, and those marked `<!-- run -->` work.

Marked are the blocks that need no download, no licence and no file of the reader's own. Their commands run as
shown, but for those of SHORTER and LEFT_OUT.
"""

import os
import re
import shlex
import subprocess
from pathlib import Path
from typing import NamedTuple

import click
import pytest

from kebench.cli import kebench
from kebench.cli.reproduce import parse
from tests.forks import launcher

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), ROOT / "CONTRIBUTING.md"]
RUN, FILE = "<!-- run -->", re.compile(r"<!-- file: (\S+) -->")
_BLOCK = re.compile(r"^( *)```(\w*)\n(.*?)^ *```", re.MULTILINE | re.DOTALL)
_COMMAND = re.compile(r"(?:^|\s)kebench (.*)")

_FEW_RUNS = "--tasks mini-gad,mini-ncbi-disease --seeds 2 --epochs 1 --train-rows 40 --dev-rows 40"
_FEW_QUERIES = "--queries 20 --max-masks 2"
# A command of a marked block, and what is added to it here, where the later of two options counts.
SHORTER = {
    "kebench run --model bert-mini --model bert-mini-random --tasks mini --seeds 3 --epochs 5": _FEW_RUNS,
    "kebench embed kb/mini --recipe transe-mini --out vectors/mini": "--epochs 2",
    "kebench pretrain kebiolm-mini --corpus corpora/mini --entities vectors/mini --backbone bert-mini "
    "--out models/kebiolm-mini": "--steps 2",
    "kebench run --model models/kebiolm-mini --tasks mini --seeds 1 --learning-rates 1e-3": _FEW_RUNS,
    "kebench probe run --model bert-mini --model bert-mini-random --set sets/mini": _FEW_QUERIES,
    "kebench probe run --model models/kebiolm-mini --set sets/mini --queries 30": _FEW_QUERIES,
}
# A command of a marked block that is not run here, and why.
LEFT_OUT = {
    "kebench reproduce --profile mini": "13 minutes; tests/reproduce runs profiles of small steps",
    "kebench reproduce --profile mini --stage tables --stage page": "is of what the one before has made",
    "kebench reproduce --profile open --set text=abstracts.jsonl --set tasks=ncbi-disease --plan": (
        "is of a file of the reader's, and of data that are fetched"
    ),
}


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


def lines_of(text: str) -> list[str]:
    """Return the lines of a block without their comments, those that go on after a backslash as one."""
    joined = re.sub(r"\\\n\s*", " ", text)
    return [re.sub(r"(^|\s+)#.*", "", line).rstrip() for line in joined.splitlines()]


def commands_in(text: str) -> list[str]:
    """Return the calls of kebench, also those that a launcher or another program makes."""
    calls = (_COMMAND.search(line) for line in lines_of(text))
    return [f"kebench {call[1]}" for call in calls if call]


def as_run_here(text: str) -> str:
    """Return a block's lines as they are run here."""
    lines = [line for line in lines_of(text) if line not in LEFT_OUT]
    return "\n".join(f"{line} {SHORTER.get(line, '')}" for line in lines)


def shown_commands() -> list[tuple[str, str]]:
    return [
        (path.name, command)
        for path in PAGES
        for block in blocks_of(path)
        if block.language in ("bash", "")
        for command in commands_in(block.text)
    ]


@pytest.mark.parametrize(("page", "line"), shown_commands())
def test_every_command_that_a_page_shows_parses(page: str, line: str) -> None:
    words = shlex.split(line)[1:]
    if ">" in words:
        words = words[: words.index(">")]
    is_shortened = "..." in words  # it may stand for an option's value, or for anything else
    words = [
        word for before, word in zip(["", *words], words, strict=False) if word != "..." or before[:2] == "--"
    ]
    try:
        assert not isinstance(parse(kebench, words), click.Group)
    except click.MissingParameter:
        assert is_shortened
    except click.BadParameter as error:  # files that must exist are taken to exist
        if "does not exist" not in str(error):
            raise
    except click.exceptions.Exit:  # --help
        assert "--help" in words


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_no_fence_of_a_page_is_left_over(path: Path) -> None:
    assert path.read_text().count("```") == 2 * len(blocks_of(path))


def test_what_is_left_out_or_shortened_is_shown_in_a_block_that_is_run() -> None:
    marked = [
        line
        for path in PAGES
        for block in blocks_of(path)
        if block.mark == RUN
        for line in lines_of(block.text)
    ]
    assert set(SHORTER) | set(LEFT_OUT) <= set(marked)


@pytest.mark.slow
@pytest.mark.parametrize("name", [path.name for path in PAGES if RUN in path.read_text()])
def test_blocks_that_need_no_download_work_in_their_order(name: str, tmp_path: Path) -> None:
    (path,) = (path for path in PAGES if path.name == name)
    scripts = tmp_path / "bin"
    scripts.mkdir()
    (scripts / "kebench").symlink_to(launcher())
    here = tmp_path / "here"
    here.mkdir()
    environment = os.environ | {"PATH": f"{scripts}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    environment.pop("KEBENCH_DATA", None)
    for block in blocks_of(path):
        if file := FILE.fullmatch(block.mark):
            (here / file[1]).write_text(block.text)
        if block.mark == RUN:
            made = subprocess.run(
                ["sh", "-e", "-c", as_run_here(block.text)],
                cwd=here,
                env=environment,
                capture_output=True,
                text=True,
                check=False,
            )
            assert made.returncode == 0, f"{block.text}\n{made.stdout}\n{made.stderr}"
            assert "Traceback" not in made.stderr
