"""Writes docs/COMMANDS.md, the `--help` of every command; tests/test_docs.py holds the page against it.

`python docs/make_commands.py` rewrites the page; with `--print` it goes to stdout instead.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

import click

from kebench.cli import COMMANDS, kebench

PAGE = Path(__file__).with_name("COMMANDS.md")
WIDTH = 80  # fixed, so that the page is the same on every terminal
LEAD = """# Commands

The `--help` of every command, written by `python docs/make_commands.py`. Do not edit this page by
hand: change the help in `kebench/cli/`, and write the page anew. A test compares the two.

Results go to stdout; plans, progress and notes go to stderr. The exit code is 0 if all went well,
2 after a user's mistake (one line on stderr says what, where, and what to do) or if a run of a grid
failed, 130 if the command was interrupted, and 141 if the reader of its output went away.

| variable | is |
|---|---|
| `KEBENCH_DATA` | the folder with the tasks' folders, or one that has them in `blurb/` |
| `KEBENCH_CACHE` | the cache; default `$XDG_CACHE_HOME/kebench`, else `~/.cache/kebench` |
| `KEBENCH_LOG` | how much is logged: `DEBUG`, `INFO` (the default), `WARNING` or `ERROR` |
"""


def render_page() -> str:
    """Return the whole page."""
    sections = [LEAD, *(_section(path, command) for path, command in walk())]
    return "\n".join(sections)


def walk() -> Iterator[tuple[str, click.Command]]:
    """Yield ("kebench data get", command) for every command: the group itself first, then by name."""
    yield "kebench", kebench
    context = click.Context(kebench, info_name="kebench")
    for name in sorted(COMMANDS):
        command = kebench.get_command(context, name)
        assert command is not None, f"{name} is in COMMANDS and not found"
        yield from _walk_below(f"kebench {name}", command)


def _walk_below(path: str, command: click.Command) -> Iterator[tuple[str, click.Command]]:
    yield path, command
    if isinstance(command, click.Group):
        for name in sorted(command.commands):
            yield from _walk_below(f"{path} {name}", command.commands[name])


def _section(path: str, command: click.Command) -> str:
    level = "#" * (2 + max(path.count(" ") - 1, 0))
    return f"{level} {path}\n\n```text\n{help_text(path, command)}\n```\n"


def help_text(path: str, command: click.Command) -> str:
    """Return a command's --help, wrapped at `WIDTH` whatever the terminal."""
    settings = {"help_option_names": ["-h", "--help"], "terminal_width": WIDTH, "max_content_width": WIDTH}
    context = click.Context(command, info_name=path, **settings)
    text: str = command.get_help(context)
    return "\n".join(line.rstrip() for line in text.rstrip().splitlines())


if __name__ == "__main__":
    if "--print" in sys.argv[1:]:
        print(render_page(), end="")
    else:
        PAGE.write_text(render_page(), encoding="utf-8", newline="\n")
