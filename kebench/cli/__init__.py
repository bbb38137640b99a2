"""The command line: one thin file per command group, imported only when its command is called.

`kebench --help` must be instant, so the names and one-line helps stand here and nothing is imported
for them; a test holds each against the command's own help.
"""

import errno
import importlib
import logging
import os
import re
import shutil
import sys
from typing import Any

import click

from kebench import __version__
from kebench.cli.harmless import Harmless, spell_out
from kebench.errors import UserError, did_you_mean

# The one-line help of each; its name is that of its module here, and of its click command in it.
COMMANDS: dict[str, str] = {
    "annotate": "Link text to a knowledge base, and write a corpus to pretrain models on.",
    "compare": "Compare two models on the tasks that both have.",
    "corpus": "Describe linked corpora, and score their links.",
    "curves": "Show the losses of pretrainings, and what the models made of held-out text.",
    "data": "Check, fetch and convert the data sets of the tasks.",
    "demo": "Fine-tune a small BERT on the embedded miniature and print a leaderboard.",
    "embed": "Train a vector for each entity of a knowledge base with TransE.",
    "errors": "Show what a model gets wrong on a task, over all seeds, or in a probe.",
    "kb": "Make, describe and export knowledge bases.",
    "leaderboard": "Print mean and deviation of every model on every task.",
    "merge": "Copy runs and probes of several folders into one, and report what contradicts.",
    "model": "List, show, add and fetch checkpoints.",
    "overlap": "Count the mentions of tasks that a knowledge base knows, and scores inside and outside it.",
    "page": "Write a results page: one HTML file that needs no network.",
    "pretrain": "Pretrain KeBioLM or one of its variants.",
    "probe": "Build query sets, probe language models, show and compare what they know.",
    "recipe": "List and show the recipes of pretraining.",
    "records": "Ask the records by SQL, in DuckDB's dialect: a row a run.",
    "reproduce": "Reproduce the KeBioLM paper: every stage in order, each done once.",
    "rescore": "Compute metrics of finished runs from their stored predictions.",
    "run": "Fine-tune models on tasks over seeds and write one record a run.",
    "serve": "Serve the results page while a grid runs.",
    "significance": "Test every model against every other on every task.",
    "table": "Print a table of the KeBioLM paper with our numbers beside the printed ones.",
    "task": "List and show the tasks.",
}

WIDTH = 80  # columns of a terminal that does not say how wide it is
NARROWEST = 20  # ours; fewer columns, 0 among them, are no width

# A full disk, a missing permission, a read-only or wrong place: the user's to mend, no fault of the program.
_NAMES = (
    "ENOSPC", "EDQUOT", "EACCES", "EPERM", "EROFS", "ENOENT", "ENOTDIR", "EEXIST", "EISDIR", "EIO",
    "ENAMETOOLONG", "EFBIG",
)  # fmt: skip
THE_SYSTEMS_REFUSALS = {getattr(errno, name) for name in _NAMES if hasattr(errno, name)}
_SYSTEM_ERROR = re.compile(r"\(os error (\d+)\)|PytorchStreamWriter failed writing|iostream error")


class LazyGroup(click.Group):
    """A group whose commands are imported when they are called, and not for --help."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the commands' names, sorted."""
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command and return it; None if there is none of that name."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = getattr(importlib.import_module(f"kebench.cli.{cmd_name}"), cmd_name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(sorted(COMMANDS.items()))

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        """Find the command that the arguments begin with; UserError with the nearest name if none."""
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            raise UserError(
                f"no command '{args[0]}'{did_you_mean(args[0], COMMANDS)} 'kebench --help' shows all"
            )
        return super().resolve_command(ctx, args)


@click.command(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__)
def kebench() -> None:
    """Does this language model know medicine, and is it really better than the others?"""
    # The library logs, to stderr; --help ends before this.
    logging.basicConfig(format="kebench: %(message)s")
    for handler in logging.getLogger().handlers:
        handler.addFilter(spell_out)
    level = os.environ.get("KEBENCH_LOG", "INFO").upper()
    if level not in logging.getLevelNamesMapping():
        raise UserError(f"KEBENCH_LOG={level}: expected DEBUG, INFO, WARNING or ERROR")
    logging.getLogger("kebench").setLevel(level)
    # A terminal, or COLUMNS, may state a width at which no table can be printed.
    stated = os.environ.get("COLUMNS", "")
    narrowest = min(shutil.get_terminal_size().columns, int(stated) if stated.isdecimal() else WIDTH)
    if narrowest < NARROWEST:
        os.environ["COLUMNS"] = str(WIDTH)


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; a user's mistake is one line on stderr (several, one each) and exit code 2."""
    if "KEBENCH_PARENT" in os.environ:
        from kebench.processes import end_with_starter

        end_with_starter()
    sys.stdout = Harmless(sys.stdout)
    try:
        given = sys.argv[1:] if arguments is None else arguments
        kebench.main(args=given, prog_name="kebench", standalone_mode=False, obj=given)
        sys.stdout.flush()  # here, where a full disk behind it can be told
    except UserError as error:
        _fail(str(error), code=2)
    except click.exceptions.NoArgsIsHelpError as error:
        print(error.format_message(), file=sys.stderr)
        sys.exit(2)
    except click.ClickException as error:
        _fail(error.format_message(), code=2)
    except click.exceptions.Exit as stop:
        sys.exit(stop.exit_code)
    except (click.Abort, KeyboardInterrupt):
        _fail("stopped; what was finished is kept, the same command goes on from there", code=130)
    except BrokenPipeError:
        sys.stderr.close()  # whoever read our output (head, less) has gone
        sys.exit(141)
    except OSError as error:
        if error.errno not in THE_SYSTEMS_REFUSALS:
            raise
        _fail_of_system(error.filename or "a write", error.strerror or "")
    except Exception as error:
        # safetensors and torch write by themselves, and tell of a full disk in words
        found = _SYSTEM_ERROR.search(str(error))
        if found is None or (found[1] and int(found[1]) not in THE_SYSTEMS_REFUSALS):
            raise
        _fail_of_system("a write", os.strerror(int(found[1] or errno.ENOSPC)))
    finally:
        sys.stdout = sys.stdout.stream if isinstance(sys.stdout, Harmless) else sys.stdout


def _fail_of_system(what: str, reason: str) -> None:
    try:
        sys.stdout.flush()
    except OSError:  # what could not be printed now cannot at the end either
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    _fail(f"{what}: {reason}; mend that and run the same command again", code=2)


def _fail(message: str, *, code: int) -> None:
    for line in message.split("\n"):
        print(f"kebench: {line}", file=sys.stderr)
    sys.exit(code)
