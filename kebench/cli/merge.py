"""`kebench merge`: the records of several machines in one folder."""

import sys
from pathlib import Path

import click

from kebench.cli.found import say
from kebench.errors import counted
from kebench.report.merge import merge as merge_folders


@click.command()
@click.argument("folders", metavar="DIR...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Where they come together.")
def merge(folders: tuple[Path, ...], out: Path) -> None:
    """Copy runs and probes of several folders into one, and report what contradicts.

    What --out holds already stays as it is. A run counts as the same if its identity is: model, data,
    hyper-parameters and seed. If its scores differ between machines, the first is kept, the other is named,
    and the command ends with 1.
    """
    done = merge_folders(folders, out)
    for line in done.refused:
        say(f"left out: {line}")
    for kept, other, difference in done.conflicts:
        say(f"contradiction: {kept} stays, {other} is left out: {difference}")
    click.echo(
        f"{out}: {counted(done.runs, 'run')} and {counted(done.probes, 'probe')} taken, "
        f"{done.known:,} known already, {counted(len(done.conflicts), 'contradiction')}, "
        f"{len(done.refused):,} left out"
    )
    if done.conflicts or done.refused:
        sys.exit(1)
