"""`kebench embed`: entity vectors by TransE, from a knowledge base or a folder of triples."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.table import Table

from kebench.cli.found import say
from kebench.cli.options import (
    argument,
    changes_of,
    device_option,
    log_dir_option,
    log_option,
    option,
    takes,
)
from kebench.cli.tables import print_unpadded
from kebench.loggers import chosen_logging, logged_run
from kebench.runtime import choose_device
from kebench.transe.graph import describe_left_out
from kebench.transe.recipe import read_recipe

if TYPE_CHECKING:
    from kebench.transe.embeddings import EmbeddingsCard

RECIPE = "transe"


@dataclass(frozen=True, kw_only=True)
class EmbedOptions:
    """The options of the command. Those that change settings are None where they leave them."""

    source: Path = argument(metavar="SOURCE")
    out: Path = option(help="The new folder of embeddings.")
    recipe: str = option(default=RECIPE, help="transe, transe-mini, or a .toml file.")
    evaluate: bool = option(help="Hold triples out and rank them.")
    epochs: int | None = option(changes=True, help="Instead of the recipe's.")
    dimension: int | None = option(changes=True, help="Instead of the recipe's.")
    learning_rate: float | None = option(changes=True, help="Instead of the recipe's.")
    batch_size: int | None = option(changes=True, help="Instead of the recipe's.")
    margin: float | None = option(changes=True, help="Instead of the recipe's.")
    norm: int | None = option(changes=True, help="Of the distance, 2 or 1, instead of the recipe's.")
    num_negatives: int | None = option(
        changes=True, help="Corruptions of each triple, instead of the recipe's."
    )
    filtered_negatives: bool | None = option(
        "--filtered-negatives/--any-negatives",
        changes=True,
        help="Whether a corruption may be a known triple.",
    )
    held_out_share: float | None = option(changes=True, help="Of the pairs of entities, with --evaluate.")
    seed: int | None = option(changes=True, help="Instead of the recipe's.")
    device: str = device_option("Where to train.")
    loggers: tuple[str, ...] = log_option("the loss of each epoch and the speed")
    log_dir: Path | None = log_dir_option("logs, beside --out")


@click.command()
@takes(EmbedOptions)
def embed(options: EmbedOptions) -> None:
    """Train a vector for each entity of a knowledge base with TransE.

    SOURCE is a knowledge base (kebench kb import), or a folder with train.txt, valid.txt and test.txt:
    lines of head, relation and tail with tabs between, without a header. All triples are trained on, unless
    --evaluate holds some out; a held-out triple that stands in an earlier of these files is left out.
    Stopped at any moment, the same command goes on from the last kept epoch.
    """
    from kebench.transe.embed import find_finished, make_embeddings, plan_embeddings

    out, recipe = options.out, options.recipe
    logging = chosen_logging(options.loggers, options.log_dir, default=out.parent / "logs")
    settings = read_recipe(recipe, **changes_of(options))
    plan = plan_embeddings(options.source, settings, evaluate=options.evaluate)
    card = find_finished(out, plan.identity)
    if card:
        say(f"nothing to do: {out} holds these embeddings")
        _print_card(card, out)
        return
    # What is trained on, with which settings, and where, each with its reason.
    device, graph = choose_device(options.device, "fp32"), plan.graph
    say(f"graph: {len(graph.entities):,} entities, {len(graph.relations):,} relations")
    held_out = ", ".join(f"{len(triples):,} {name}" for name, triples in graph.held_out.items())
    reason = f"held out: {held_out} (--evaluate)" if options.evaluate else "nothing held out (no --evaluate)"
    say(f"training on {len(graph.triples['train']):,} triples; {reason}")
    num_triples = {split: len(triples) for split, triples in graph.triples.items()}
    for line in _notes_on_splits(graph.left_out, graph.pairs_in_train, num_triples):
        say(line)
    negatives = "unknown" if settings.filtered_negatives else "any"
    corruptions = "1 corruption" if settings.num_negatives == 1 else f"{settings.num_negatives} corruptions"
    say(
        f"recipe {recipe}: dimension {settings.dimension}, L{settings.norm}, margin {settings.margin:g}, "
        f"{corruptions} a triple ({negatives})"
    )
    say(
        f"Adam {settings.learning_rate:g}, batch {settings.batch_size}, {settings.epochs} epochs, "
        f"seed {settings.seed}"
    )
    say(f"device {device.name} ({device.reason})")
    logged = {"recipe": recipe, "identity": plan.identity} | settings.model_dump()
    with logged_run(logging, out.resolve().name, settings=logged) as write:
        name = options.source.resolve().name
        card = make_embeddings(plan, out, source=name, device=device.name, watch=write)
    _print_card(card, out)


def _notes_on_splits(
    left_out: dict[str, dict[str, int]], pairs_in_train: dict[str, int], num_triples: dict[str, int]
) -> list[str]:
    """Return a line for each split of which something was left out, or is half known from train."""
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
    # Realistic ranks for heads, tails and both, and for both also what ties could change.
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("split", "asked for", "ties"):
        table.add_column(name, no_wrap=True)
    for name in ("MRR", "Hits@1", "Hits@3", "Hits@10", "mean rank"):
        table.add_column(name, justify="right", no_wrap=True)
    for split, sides in card.evaluation.items():
        for side, ties in sides.items():
            for name, numbers in ties.items():
                if side == "both" or name == "realistic":
                    shares = [f"{numbers[of]:.4f}" for of in ("mrr", "hits_at_1", "hits_at_3", "hits_at_10")]
                    table.add_row(split, side, name, *shares, f"{numbers['mean_rank']:,.1f}")
    print_unpadded(table)
    triples = ", ".join(f"{card.num_triples[split]:,} {split}" for split in card.evaluation)
    click.echo(f"filtered ranks of {triples} triples among all {card.num_entities:,} entities")
    for line in _notes_on_splits(card.left_out or {}, card.pairs_in_train or {}, card.num_triples):
        click.echo(line)
