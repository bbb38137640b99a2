"""`kebench demo`: the main job, small and whole: fine-tune on the embedded miniature, print a leaderboard."""

import sys
from pathlib import Path

import click

from kebench.cli.found import LOCAL
from kebench.cli.leaderboard import leaderboard
from kebench.cli.run import run
from kebench.errors import UserError
from kebench.mini.build import miniature_data
from kebench.records import record_paths

MODELS = ("bert-mini", "bert-mini-random")
SEEDS = 3
EPOCHS = 5  # half of the quick budget's: the whole demo stays under four minutes on two cores


@click.command()
@click.option(
    "--out", type=click.Path(path_type=Path), default=LOCAL, show_default=True, help="Where records go."
)
@click.option("--seeds", default=SEEDS, show_default=True, type=click.IntRange(1), help="Seeds 0 to N-1.")
@click.pass_context
def demo(ctx: click.Context, out: Path, seeds: int) -> None:
    """Fine-tune a small BERT on the embedded miniature and print a leaderboard.

    No download, no licence: the facts, the text and the model are made here, on first use, and
    kept in the cache. The second model is the same BERT without pretraining: what that is worth.
    """
    ctx.invoke(run, models=MODELS, tasks="mini", seeds=seeds, epochs=EPOCHS, out=out)
    click.echo()
    ctx.invoke(leaderboard, folders=(out,), suite="mini")
    num_records = sum(path.parent.parent.name.startswith("mini-") for path in record_paths(out))
    if not num_records:
        raise UserError(f"{out}: no record was written; see the lines above")
    click.echo(f"\nrecords and predictions  {out} ({num_records} of the miniature)")
    click.echo(f"tasks                    {miniature_data()}")
    click.echo(
        "bert-mini-random is bert-mini without its pretraining; scores on the miniature mean nothing outside."
    )
    click.echo(f"next: the README's first real run; {sys.argv[0]} --help shows all commands")
