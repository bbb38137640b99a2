"""`kebench pretrain`: KeBioLM, its ablations, and the control, from a linked corpus."""

from dataclasses import dataclass
from pathlib import Path

import click

from kebench.cli.cluster import runs_on_cluster
from kebench.cli.found import say
from kebench.cli.options import (
    argument,
    changes_of,
    device_option,
    log_dir_option,
    log_option,
    option,
    precision_option,
    takes,
)
from kebench.cli.tables import print_table
from kebench.files import check_can_be_made
from kebench.grid import Cell, GridRows
from kebench.loggers import NO_LOGGING, chosen_logging, logged_run
from kebench.pretrain.card import PretrainingCard
from kebench.pretrain.curve import HELD_OUT
from kebench.pretrain.recipe import read_recipe
from kebench.run import resolve
from kebench.runtime import choose_device, launched_processes, new_accelerator


@dataclass(frozen=True, kw_only=True)
class PretrainOptions:
    """The options of the command. Those that change settings are None where they leave them."""

    recipe: str = argument()
    corpus: Path = option(help="A linked corpus (kebench annotate).")
    entities: Path | None = option(help="Entity vectors (kebench embed), where the recipe needs them.")
    backbone: str = option(help="The model to begin with: a card's name, a directory, a source.")
    out: Path = option(help="The new checkpoint's directory.")
    seed: int | None = option(changes=True, help="Instead of the recipe's.")
    steps: int | None = option(
        changes=True, help="Updates in all, instead of the recipe's; 0: as many as the epochs make."
    )
    epochs: int | None = option(changes=True, help="Instead of the recipe's.")
    batch_size: int | None = option(changes=True, help="Sequences of an update, instead of the recipe's.")
    learning_rate: float | None = option(changes=True, help="Instead of the recipe's.")
    max_tokens: int | None = option(changes=True, help="Word pieces of a sequence, instead of the recipe's.")
    context_layers: int | None = option(changes=True, help="Layers of text alone, instead of the recipe's.")
    entity_size: int | None = option(changes=True, help="Dimension of the vectors, instead of the recipe's.")
    gradient_checkpointing: bool | None = option(
        "--gradient-checkpointing/--no-gradient-checkpointing",
        changes=True,
        help="Less memory, a third more time.",
    )
    compile: bool | None = option(
        "--compile/--no-compile", changes=True, help="Let torch compile the model; tried little so far."
    )
    checkpoint_every: int | None = option(
        changes=True, help="Steps between kept states, instead of the recipe's."
    )
    evaluate_every: int | None = option(changes=True, help="Steps between looks at held-out text.")
    micro_batch: int | None = option(
        type=click.IntRange(1), help="Sequences in memory at once; default: 8 on the CPU, 64 on CUDA or less."
    )
    device: str = device_option("Where to train.")
    precision: str = precision_option("auto: bf16 where CUDA multiplies in it.")
    loggers: tuple[str, ...] = log_option("losses, rates, held-out scores and speed")
    log_dir: Path | None = log_dir_option("logs, beside --out")


@click.command()
@takes(PretrainOptions, within=runs_on_cluster(several=False))
def pretrain(options: PretrainOptions) -> None:
    """Pretrain KeBioLM or one of its variants.

    RECIPE is a name ('kebench recipe list') or a .toml file. What comes out is a checkpoint directory for
    'kebench run', 'kebench probe' and transformers. Stopped at any moment, the same command goes on from the
    last kept state; under 'accelerate launch' it takes all GPUs.
    """
    from kebench.pretrain.plan import plan_pretraining
    from kebench.pretrain.run import drop_leftovers, find_finished
    from kebench.pretrain.run import pretrain as run

    out = options.out
    logging = chosen_logging(options.loggers, options.log_dir, default=out.parent / "logs")
    settings = read_recipe(options.recipe, **changes_of(options))
    device = choose_device(options.device, options.precision)
    plan = plan_pretraining(
        options.recipe, settings, corpus=options.corpus, embeddings=options.entities,
        backbone=resolve(options.backbone), precision=device.precision,
    )  # fmt: skip
    if card := find_finished(plan, out):
        if launched_processes()[0] == 0:
            drop_leftovers(plan)
            say(f"nothing to do: {out} holds this model")
            _print_card(card, out)
        return
    check_can_be_made(out)
    accelerator = new_accelerator(device)
    if accelerator.is_main_process:  # what is trained, on what, and where, each with its reason
        counts, rate = plan.corpus.manifest.counts, settings.learning_rate
        say(f"recipe {plan.recipe} ({settings.label}); backbone {plan.backbone.card.name}")
        say(f"corpus: {counts.documents:,} documents, {counts.mentions:,} mentions of {counts.cuis:,} CUIs")
        if plan.embeddings:
            vectors = plan.embeddings.card
            say(f"entity vectors: {vectors.num_entities:,} of {vectors.source}")
        elif settings.architecture == "kebiolm":
            say("entity vectors: drawn at random (the recipe)")
        say(f"batch {settings.batch_size} x {settings.max_tokens}, AdamW {rate:g}, seed {settings.seed}")
        say(f"device {device.name}, {device.precision} ({device.reason})")
    logged = {"recipe": plan.recipe, "backbone": plan.backbone.card.name, "identity": plan.identity}
    with logged_run(
        logging if accelerator.is_main_process else NO_LOGGING,
        out.resolve().name,
        settings=logged | settings.model_dump(),
    ) as write:

        def watch(row: dict[str, float]) -> None:
            groups = {name: "held_out" if name in HELD_OUT else "train" for name in row if name != "step"}
            write(int(row["step"]), {f"{group}/{name}": row[name] for name, group in groups.items()})

        card = run(plan, out, accelerator=accelerator, micro_batch=options.micro_batch, watch=watch)
    if accelerator.is_main_process:
        _print_card(card, out)


def _print_card(card: PretrainingCard, out: Path) -> None:
    train, held_out = card.sequences["train"], card.sequences["held-out"]
    rows: GridRows = [
        ("steps", card.steps),
        ("sequences", train["sequences"]),
        ("word pieces", train["pieces"]),
        ("mentions", train["mentions"]),
        ("held out: sequences", held_out["sequences"]),
        ("held out: mentions", held_out["mentions"]),
    ]
    if card.num_entities:
        rows += [("entities", card.num_entities), ("of them without a vector, drawn", card.drawn_entities)]
    for name, value in card.held_out.items():
        rows.append((f"held out: {name.replace('_', ' ')}", Cell(value, ",.2f")))
    print_table(("", "number"), rows)
    click.echo(f"checkpoint: {out}")
