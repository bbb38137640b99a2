"""`kebench pretrain`: KeBioLM, its ablations, and the control, from a linked corpus."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from kebench.cli.cluster import runs_on_cluster
from kebench.cli.options import logging_options

if TYPE_CHECKING:
    from kebench.pretrain.card import PretrainingCard
    from kebench.pretrain.plan import PretrainingPlan
    from kebench.runtime import Device

FOLDER = click.Path(path_type=Path)


@click.command()
@click.argument("recipe")
@click.option("--corpus", type=FOLDER, required=True, help="A linked corpus (kebench annotate).")
@click.option("--entities", type=FOLDER, help="Entity vectors (kebench embed), where the recipe needs them.")
@click.option(
    "--backbone", required=True, help="The model to begin with: a card's name, a directory, a source."
)
@click.option("--out", type=FOLDER, required=True, help="The new checkpoint's directory.")
@click.option("--seed", type=int, help="Instead of the recipe's.")
@click.option(
    "--steps", type=int, help="Updates in all, instead of the recipe's; 0: as many as the epochs make."
)
@click.option("--epochs", type=int, help="Instead of the recipe's.")
@click.option("--batch-size", type=int, help="Sequences of an update, instead of the recipe's.")
@click.option("--learning-rate", type=float, help="Instead of the recipe's.")
@click.option("--max-tokens", type=int, help="Word pieces of a sequence, instead of the recipe's.")
@click.option("--context-layers", type=int, help="Layers of text alone, instead of the recipe's.")
@click.option("--entity-size", type=int, help="Dimension of the vectors, instead of the recipe's.")
@click.option("--gradient-checkpointing/--no-gradient-checkpointing", default=None,
              help="Less memory, a third more time.")  # fmt: skip
@click.option(
    "--compile/--no-compile", default=None, help="Let torch compile the model; tried little so far."
)
@click.option("--checkpoint-every", type=int, help="Steps between kept states, instead of the recipe's.")
@click.option("--evaluate-every", type=int, help="Steps between looks at held-out text.")
@click.option("--micro-batch", type=click.IntRange(1),
              help="Sequences in memory at once; default: 8 on the CPU, 64 on CUDA or less.")  # fmt: skip
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True,
              help="Where to train.")  # fmt: skip
@click.option("--precision", type=click.Choice(["auto", "fp32", "bf16"]), default="auto", show_default=True,
              help="auto: bf16 where CUDA multiplies in it.")  # fmt: skip
@logging_options("losses, rates, held-out scores and speed", beside="logs, beside --out")
@runs_on_cluster(several=False)
def pretrain(
    recipe: str,
    corpus: Path,
    entities: Path | None,
    backbone: str,
    out: Path,
    micro_batch: int | None,
    device: str,
    precision: str,
    loggers: tuple[str, ...],
    log_dir: Path | None,
    **changes: Any,
) -> None:
    """Pretrain KeBioLM or one of its variants.

    RECIPE is a name ('kebench recipe list') or a .toml file. What comes out is a checkpoint directory for
    'kebench run', 'kebench probe' and transformers. Stopped at any moment, the same command goes on from the
    last kept state; under 'accelerate launch' it takes all GPUs.
    """
    from kebench.files import check_can_be_made
    from kebench.loggers import NO_LOGGING, chosen_logging, logged_run
    from kebench.pretrain.plan import plan_pretraining
    from kebench.pretrain.recipe import read_recipe
    from kebench.pretrain.run import drop_leftovers, find_finished
    from kebench.pretrain.run import pretrain as run
    from kebench.run import resolve
    from kebench.runtime import choose_device, launched_processes, new_accelerator

    logging = chosen_logging(loggers, log_dir, default=out.parent / "logs")
    settings = read_recipe(recipe, **changes)
    chosen = choose_device(device, precision)
    plan = plan_pretraining(
        recipe, settings, corpus=corpus, embeddings=entities, backbone=resolve(backbone),
        precision=chosen.precision,
    )  # fmt: skip
    if card := find_finished(plan, out):
        if launched_processes()[0] == 0:
            drop_leftovers(plan)
            click.echo(f"nothing to do: {out} holds this model", err=True)
            _print_card(card, out)
        return
    check_can_be_made(out)
    accelerator = new_accelerator(chosen)
    if accelerator.is_main_process:
        _say_what_follows(plan, chosen)
    logging = logging if accelerator.is_main_process else NO_LOGGING
    with logged_run(logging, out.resolve().name, settings=_logged_settings(plan)) as write:
        card = run(
            plan, out, accelerator=accelerator, micro_batch=micro_batch,
            watch=lambda row: write(row["step"], _logged_numbers(row)),
        )  # fmt: skip
    if accelerator.is_main_process:
        _print_card(card, out)


def _logged_settings(plan: "PretrainingPlan") -> dict[str, Any]:
    """Return what stands beside a pretraining in a logger."""
    who = {"recipe": plan.recipe, "backbone": plan.backbone.card.name, "identity": plan.identity}
    return who | plan.settings.model_dump()


def _logged_numbers(row: dict[str, Any]) -> dict[str, float]:
    """Return a step of the curve by the names that loggers show."""
    from kebench.pretrain.curve import HELD_OUT

    numbers = {name: value for name, value in row.items() if name != "step"}
    return {f"{'held_out' if name in HELD_OUT else 'train'}/{name}": one for name, one in numbers.items()}


def _say_what_follows(plan: "PretrainingPlan", device: "Device") -> None:
    """State what is trained, on what, and where, each with its reason."""
    settings, counts = plan.settings, plan.corpus.manifest.counts
    vectors = plan.embeddings.card if plan.embeddings else None
    lines = [
        f"recipe {plan.recipe} ({settings.label}); backbone {plan.backbone.card.name}",
        f"corpus: {counts.documents:,} documents, {counts.mentions:,} mentions of {counts.cuis:,} CUIs",
        f"batch {settings.batch_size} x {settings.max_tokens}, AdamW {settings.learning_rate:g}, "
        f"seed {settings.seed}",
        f"device {device.name}, {device.precision} ({device.reason})",
    ]
    if vectors:
        lines.insert(2, f"entity vectors: {vectors.num_entities:,} of {vectors.source}")
    elif settings.architecture == "kebiolm":
        lines.insert(2, "entity vectors: drawn at random (the recipe)")
    for line in lines:
        click.echo(line, err=True)


def _print_card(card: "PretrainingCard", out: Path) -> None:
    from kebench.cli.tables import print_table

    train, held_out = card.sequences["train"], card.sequences["held-out"]
    rows = [
        ("steps", f"{card.steps:,}"),
        ("sequences", f"{train['sequences']:,}"),
        ("word pieces", f"{train['pieces']:,}"),
        ("mentions", f"{train['mentions']:,}"),
        ("held out: sequences", f"{held_out['sequences']:,}"),
        ("held out: mentions", f"{held_out['mentions']:,}"),
    ]
    if card.num_entities:
        rows += [
            ("entities", f"{card.num_entities:,}"),
            ("of them without a vector, drawn", f"{card.drawn_entities:,}"),
        ]
    rows += [
        (f"held out: {name.replace('_', ' ')}", f"{value:,.2f}") for name, value in card.held_out.items()
    ]
    print_table(("", "number"), rows)
    click.echo(f"checkpoint: {out}")
