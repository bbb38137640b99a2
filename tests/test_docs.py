"""The docs say what the code does: every command and every write is in them, and the help page is current."""

import os
import re
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest

from kebench.cli import COMMANDS
from kebench.files import CRASH_POINTS, WRITES

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = (ROOT / "README.md", *sorted(DOCS.glob("*.md")), ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md")
MAKER = runpy.run_path(str(DOCS / "make_commands.py"))
COMMAND_PATHS = dict(MAKER["walk"]())


def page(name: str) -> str:
    return (DOCS / name).read_text(encoding="utf-8")


def test_every_write_and_crash_point_is_described() -> None:
    assert len(CRASH_POINTS) == 2 * len(WRITES)
    written = re.search(
        r"^\| write \|.*\n\|[-|]+\|\n((?:\|.*\n)+)", page("RELIABILITY.md"), flags=re.MULTILINE
    )
    assert written
    assert sorted(re.findall(r"^\| `([^`]+)` \|", written[1], flags=re.MULTILINE)) == sorted(WRITES)


def test_the_command_page_is_current() -> None:
    # In a process of its own: click keeps the help option of a command that another test has called alone.
    made = subprocess.run(
        [sys.executable, str(DOCS / "make_commands.py"), "--print"],
        env=os.environ | {"PYTHONPATH": str(DOCS.parent)},
        capture_output=True,
        check=True,
    ).stdout.decode()
    assert page("COMMANDS.md") == made, (
        "docs/COMMANDS.md is not what --help says; run: python docs/make_commands.py"
    )


@pytest.mark.parametrize("path", COMMAND_PATHS)
def test_every_command_and_option_is_on_the_command_page(path: str) -> None:
    own = re.search(rf"^#+ {path}$(.*?)(?=^#|\Z)", page("COMMANDS.md"), flags=re.MULTILINE | re.DOTALL)
    assert own
    named = re.findall(r"--?[a-z][a-z0-9-]*", own[1])
    assert [option for option in options_of(COMMAND_PATHS[path]) if option not in named] == []


@pytest.mark.parametrize("path", COMMAND_PATHS)
def test_every_command_says_in_its_first_line_what_it_does(path: str) -> None:
    assert re.fullmatch(r"[A-Z].*[.?]", first_help_line(COMMAND_PATHS[path]))


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_the_one_line_help_is_the_command_s_own(name: str) -> None:
    assert COMMANDS[name] == first_help_line(COMMAND_PATHS[f"kebench {name}"])


def options_of(command: click.Command) -> list[str]:
    parameters: list[Any] = [p for p in command.params if isinstance(p, click.Option)]
    return [name for option in parameters for name in (*option.opts, *option.secondary_opts)]


def first_help_line(command: click.Command) -> str:
    return (command.help or "").strip().partition("\n")[0]


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_every_link_to_a_file_of_ours_leads_somewhere(path: Path) -> None:
    links = re.findall(r"\]\((?!https?://|#)([^)#]+)", path.read_text(encoding="utf-8"))
    assert [link for link in links if not (path.parent / link).exists()] == []


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_every_command_that_a_page_shows_exists(path: Path) -> None:
    blocks = re.findall(r"^```bash\n(.*?)^```", path.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    spans = re.findall(r"`(kebench [^`]*)`", path.read_text(encoding="utf-8"))
    shown = re.findall(r"^kebench( [a-z]+)( [a-z]+)?", "\n".join([*blocks, *spans]), re.MULTILINE)
    assert [words for words in shown if not is_command(*words)] == []


def is_command(first: str, second: str) -> bool:
    """Tell whether ` data`, ` get` are a command; a command that is no group may have any argument."""
    command = COMMAND_PATHS.get(f"kebench{first}")
    is_group = isinstance(command, click.Group)
    return command is not None and (not is_group or not second or f"kebench{first}{second}" in COMMAND_PATHS)
