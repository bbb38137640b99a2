"""`kebench probe run`: ask masked language models the queries of a set."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from kebench.cli.cluster import runs_on_cluster
from kebench.errors import Refusals, UserError

if TYPE_CHECKING:
    from kebench.probe.plan import ProbePlan
    from kebench.probe.record import ProbeRecord
    from kebench.runtime import Device

FOLDER = click.Path(path_type=Path)


@click.command("run")
@click.option(
    "--model", "models", multiple=True, required=True, help="A card, folder or source; may be repeated."
)
@click.option("--set", "folder", type=FOLDER, required=True, help="The folder of a query set.")
@click.option(
    "--out", type=FOLDER, default=Path("results/local"), show_default=True, help="Where results go."
)
@click.option(
    "--mode",
    type=click.Choice(["fixed", "released", "paper"]),
    help="How blanks are filled: our way, that of the code released with KeBioLM, or the paper's; default: "
    "the set's.",
)
@click.option(
    "--decoder",
    "method",
    type=click.Choice(["independent", "order", "confidence"]),
    help="Which blank is filled next, instead of the mode's (confidence).",
)
@click.option(
    "--beam",
    type=click.IntRange(1, 100),
    help="States kept for a query and number of masks, instead of 5.",
)
@click.option("--max-masks", type=click.IntRange(1, 50), help="Most word pieces of an answer, instead of 10.")
@click.option(
    "--refine",
    type=click.IntRange(0, 50),
    help="Most rounds of predicting the least probable token anew; default 0.",
)
@click.option("--queries", type=click.IntRange(1), help="Only so many, drawn at random with --seed.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of that draw.")
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True,
              help="Where to compute.")  # fmt: skip
@click.option("--precision", type=click.Choice(["auto", "fp32", "bf16"]), default="auto", show_default=True,
              help="Of the arithmetic in the model.")  # fmt: skip
@click.option("--batch-tokens", type=click.IntRange(1), help="Word pieces in one forward pass.")
@click.option("--workers", default=1, show_default=True, type=click.IntRange(1),
              help="Processes that share it, each with a GPU of its own.")  # fmt: skip
@click.option("--skip-headless", is_flag=True, help="Leave out models without a trained head.")
@click.option("--allow-remote-code", is_flag=True, help="Run code that comes with a checkpoint.")
@runs_on_cluster(several=True)
def probe_run(
    models: tuple[str, ...],
    folder: Path,
    out: Path,
    mode: str | None,
    queries: int | None,
    seed: int,
    device: str,
    precision: str,
    batch_tokens: int | None,
    workers: int,
    allow_remote_code: bool,
    skip_headless: bool,
    **changes: Any,
) -> None:
    """Fill the blanks of a query set with masked language models, and score the answers.

    What is recorded is not made again, and a probe that was stopped goes on. To use several GPUs, add
    --workers; to use several machines, start the same command on each: they share the work.
    """
    from kebench.probe.decoders import read_decoder
    from kebench.probe.plan import plan_probe
    from kebench.probe.query_set import QuerySet
    from kebench.probe.run import drop_parts, find_finished, run_probe, run_probes
    from kebench.probe.set_places import remember_set
    from kebench.run import resolve
    from kebench.runtime import choose_device, use_own_gpu

    if out.exists() and not out.is_dir():
        raise UserError(f"{out}: a file; name a folder for the results with --out")
    query_set = QuerySet.open(folder)
    remember_set(folder, query_set.manifest.content_hash)
    chosen = choose_device(device, precision)
    use_own_gpu(chosen.name)
    fill_as: Any = mode or query_set.manifest.mode
    decoder = read_decoder(fill_as, **changes)
    refusals = Refusals()
    resolved = refusals.of_each(models, partial(resolve, allow_remote_code=allow_remote_code))
    if skip_headless:
        for one in (one for one in resolved if one.card.mlm_head is False):
            click.echo(f"{one.card.name}: left out, its checkpoint has no trained head", err=True)
        resolved = [one for one in resolved if one.card.mlm_head is not False]
    plans = [
        plan_probe(
            one,
            query_set,
            mode=fill_as,
            decoder=decoder,
            precision="bf16" if chosen.precision == "bf16" else "fp32",
            queries=queries,
            seed=seed,
        )
        for one in resolved
    ]
    missing = [plan for plan in plans if not find_finished(plan, out)]
    check = partial(_check_model, allow_remote_code=allow_remote_code)
    remarks = refusals.of_each(missing, check, name=lambda plan: plan.card.name)
    refusals.raise_all()
    click.echo(f"device {chosen.name}, {chosen.precision} ({chosen.reason})", err=True)
    for remark in (remark for of_model in remarks for remark in of_model):
        click.echo(remark, err=True)
    how: dict[str, Any] = {
        "device": chosen,
        "allow_remote_code": allow_remote_code,
        "batch_tokens": batch_tokens,
    }
    with _helped(workers if missing else 1, partial(run_probes, missing, out, **how), chosen):
        for plan in plans:
            _say_what_follows(plan)
            record = find_finished(plan, out)
            if plan not in missing:
                click.echo(f"nothing to do: {plan.out(out)} holds this probe", err=True)
            if record:
                drop_parts(plan, out)
            _print_record(record or run_probe(plan, out, **how), plan.out(out))


def _check_model(plan: "ProbePlan", *, allow_remote_code: bool) -> list[str]:
    """Return what is out of the common in a model; UserError if it cannot be probed."""
    from kebench.model.masked_lm import check_masked_lm

    card = plan.card
    trusted = card.trust_remote_code and allow_remote_code
    remarks = check_masked_lm(plan.folder, family=card.family, casing=card.casing, trust_remote_code=trusted)
    return [f"{card.name}: WARNING: {remark}" for remark in remarks]


def _helped(workers: int, work: Callable[[], object], device: "Device") -> AbstractContextManager[None]:
    """Let further processes do the same work beside this one."""
    from kebench.processes import beside

    if workers == 1:
        return nullcontext()
    click.echo(f"{workers} processes share the work (--workers)", err=True)
    return beside(workers, work, uses_gpus=device.name != "cpu")


def _say_what_follows(plan: "ProbePlan") -> None:
    decoder, subset = plan.decoder, plan.subset
    drawn = f"{subset.queries:,} of" if subset.queries else "all"
    seed = f" (seed {subset.seed})" if subset.queries else ""
    total = f"{len(plan.query_set):,} queries{seed}"
    click.echo(f"{plan.card.name}: {drawn} {total} in {plan.query_set.folder}", err=True)
    click.echo(
        f"decoder {decoder.method}, beam {decoder.beam}, 1 to {decoder.max_masks} masks, mode {plan.mode}",
        err=True,
    )


def _print_record(record: "ProbeRecord", folder: Path) -> None:
    """Print the scores of one probe, what became of its queries, and where it is."""
    from kebench.cli.tables import print_table

    rows = []
    for name, by_us, as_released in (
        ("all", record.scores.fixed.overall, record.scores.released.overall),
        ("type 1", record.scores.fixed.type_1, record.scores.released.type_1),
        ("type 2", record.scores.fixed.type_2, record.scores.released.type_2),
    ):
        ranked = by_us.by_mean
        figures = (as_released.hit, by_us.hit, ranked.acc_1, ranked.acc_5, ranked.mrr)
        shown = [_percent(figure.macro_percent) for figure in figures]
        rows.append((name, f"{by_us.queries:,}", *shown))
    click.echo(f"{record.model} on {record.set}")
    print_table(("queries", "n", "hit, released", "hit", "Acc@1", "Acc@5", "MRR"), rows)
    counts, decoder = record.counts, record.decoder
    click.echo(
        f"hit: among all {decoder.beam} x {decoder.max_masks} answers. Acc and MRR: ranked by mean log"
    )
    click.echo("probability. Percent, means over relations.")
    click.echo(
        f"{counts.decoded:,} of {counts.queries:,} decoded ({counts.truncated:,} with fewer masks); "
        f"not decoded: {counts.too_long:,} too"
    )
    click.echo(
        f"long, {counts.unusable:,} without one mask. Missed by all: {counts.without_answers:,} without "
        "answers."
    )
    click.echo(f"Only longer answers have {counts.answers_longer_than_max_masks:,}.")
    click.echo(f"predictions and record: {folder}")


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"
