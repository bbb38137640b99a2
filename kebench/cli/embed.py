"""`kebench embed`: entity vectors by TransE, from a knowledge base or a folder of triples."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from kebench.cli.options import logging_options
from kebench.cli.tables import print_unpadded

if TYPE_CHECKING:
    from kebench.runtime import Device
    from kebench.transe.embed import Plan
    from kebench.transe.embeddings import EmbeddingsCard
    from kebench.transe.metrics import Numbers

RECIPE = "transe"


@click.command()
@click.argument("source", metavar="SOURCE", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), required=True, help="The new folder of embeddings.")
@click.option("--recipe", default=RECIPE, show_default=True, help="transe, transe-mini, or a .toml file.")
@click.option("--evaluate", is_flag=True, help="Hold triples out and rank them.")
@click.option("--epochs", type=int, help="Instead of the recipe's.")
@click.option("--dimension", type=int, help="Instead of the recipe's.")
@click.option("--learning-rate", type=float, help="Instead of the recipe's.")
@click.option("--batch-size", type=int, help="Instead of the recipe's.")
@click.option("--margin", type=float, help="Instead of the recipe's.")
@click.option("--norm", type=int, help="Of the distance, 2 or 1, instead of the recipe's.")
@click.option("--num-negatives", type=int, help="Corruptions of each triple, instead of the recipe's.")
@click.option(
    "--filtered-negatives/--any-negatives", default=None, help="Whether a corruption may be a known triple."
)
@click.option("--held-out-share", type=float, help="Of the pairs of entities, with --evaluate.")
@click.option("--seed", type=int, help="Instead of the recipe's.")
@click.option(
    "--device",
    type=click.Choice(["auto", "cpu", "cuda"]),
    default="auto",
    show_default=True,
    help="Where to train.",
)
@logging_options("the loss of each epoch and the speed", beside="logs, beside --out")
def embed(
    source: Path,
    out: Path,
    recipe: str,
    evaluate: bool,
    device: str,
    loggers: tuple[str, ...],
    log_dir: Path | None,
    **changes: Any,
) -> None:
    """Train a vector for each entity of a knowledge base with TransE.

    SOURCE is a knowledge base (kebench kb import), or a folder with train.txt, valid.txt and test.txt:
    lines of head, relation and tail with tabs between, without a header. All triples are trained on, unless
    --evaluate holds some out; a held-out triple that stands in an earlier of these files is left out.
    Stopped at any moment, the same command goes on from the last kept epoch.
    """
    from kebench.loggers import chosen_logging, logged_run
    from kebench.runtime import choose_device
    from kebench.transe.embed import find_finished, make_embeddings, plan_embeddings
    from kebench.transe.recipe import read_recipe

    logging = chosen_logging(loggers, log_dir, default=out.parent / "logs")
    settings = read_recipe(recipe, **changes)
    plan = plan_embeddings(source, settings, evaluate=evaluate)
    card = find_finished(out, plan.identity)
    if card:
        _say(f"nothing to do: {out} holds these embeddings")
    else:
        chosen = choose_device(device, "fp32")
        _say_what_follows(plan, chosen, recipe, evaluate)
        logged = {"recipe": recipe, "identity": plan.identity} | settings.model_dump()
        with logged_run(logging, out.resolve().name, settings=logged) as write:
            card = make_embeddings(plan, out, source=source.resolve().name, device=chosen.name, watch=write)
    _print_card(card, out)


def _say(text: str) -> None:
    click.echo(text, err=True)


def _say_what_follows(plan: "Plan", device: "Device", recipe: str, evaluate: bool) -> None:
    """State what is trained on, with which settings, and where, each with its reason."""
    graph, settings = plan.graph, plan.settings
    _say(f"graph: {len(graph.entities):,} entities, {len(graph.relations):,} relations")
    held_out = ", ".join(f"{len(triples):,} {name}" for name, triples in graph.held_out.items())
    reason = f"held out: {held_out} (--evaluate)" if evaluate else "nothing held out (no --evaluate)"
    _say(f"training on {len(graph.triples['train']):,} triples; {reason}")
    num_triples = {split: len(triples) for split, triples in graph.triples.items()}
    for line in _notes_on_splits(graph.left_out, graph.pairs_in_train, num_triples):
        _say(line)
    negatives = "unknown" if settings.filtered_negatives else "any"
    corruptions = "1 corruption" if settings.num_negatives == 1 else f"{settings.num_negatives} corruptions"
    _say(
        f"recipe {recipe}: dimension {settings.dimension}, L{settings.norm}, margin {settings.margin:g}, "
        f"{corruptions} a triple ({negatives})"
    )
    _say(
        f"Adam {settings.learning_rate:g}, batch {settings.batch_size}, {settings.epochs} epochs, "
        f"seed {settings.seed}"
    )
    _say(f"device {device.name} ({device.reason})")


def _notes_on_splits(
    left_out: dict[str, dict[str, int]], pairs_in_train: dict[str, int], num_triples: dict[str, int]
) -> list[str]:
    """Return a line for each split of which something was left out, or is half known from train."""
    from kebench.transe.graph import describe_left_out

    lines = [f"left out of {split}: {describe_left_out(counts)}" for split, counts in left_out.items()]
    return lines + [
        f"{split}: {number:,} of {num_triples[split]:,} triples "
        "join a pair that train joins too (any relation)"
        for split, number in pairs_in_train.items()
        if number
    ]


def _print_card(card: "EmbeddingsCard", out: Path) -> None:
    click.echo(
        f"{out}: {card.num_entities:,} entities, {card.num_relations:,} relations, "
        f"dimension {card.settings.dimension}, loss {card.loss_by_epoch[-1]:.4f}"
    )
    if card.evaluation is None:
        click.echo("not evaluated; pass --evaluate and another --out to hold triples out and rank them")
        return
    _print_evaluation(card.evaluation)
    triples = ", ".join(f"{card.num_triples[split]:,} {split}" for split in card.evaluation)
    click.echo(f"filtered ranks of {triples} triples among all {card.num_entities:,} entities")
    for line in _notes_on_splits(card.left_out or {}, card.pairs_in_train or {}, card.num_triples):
        click.echo(line)


def _print_evaluation(evaluation: "dict[str, Numbers]") -> None:
    """Print realistic ranks for heads, tails and both, and for both also what ties could change."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("split", "asked for", "ties"):
        table.add_column(name, no_wrap=True)
    for name in ("MRR", "Hits@1", "Hits@3", "Hits@10", "mean rank"):
        table.add_column(name, justify="right", no_wrap=True)
    for split, sides in evaluation.items():
        for side, ties in sides.items():
            for name, numbers in ties.items():
                if side == "both" or name == "realistic":
                    shares = [f"{numbers[of]:.4f}" for of in ("mrr", "hits_at_1", "hits_at_3", "hits_at_10")]
                    table.add_row(split, side, name, *shares, f"{numbers['mean_rank']:,.1f}")
    print_unpadded(table)
