"""`kebench probe run` and `kebench probe rank`: ask language models the queries of a set."""

import textwrap
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, Literal, TypeVar

import click

from kebench.cli.cluster import runs_on_cluster
from kebench.cli.found import LOCAL, say
from kebench.cli.options import changes_of, device_option, option, precision_option, takes
from kebench.cli.tables import print_sheets, print_table
from kebench.errors import Refusals, UserError
from kebench.grid import Cell, GridRows
from kebench.model.source import ResolvedModel
from kebench.probe.plan import Precision, ProbePlan, plan_fill, read_decoder, subset_of
from kebench.probe.query_set import QuerySet, remember_set
from kebench.probe.questions import QuestionSet
from kebench.probe.record import FillSettings, ProbeRecord, ProbeSubset, RankRecord
from kebench.processes import beside
from kebench.report.probe_ranked import ranked_boards, ranked_sheet
from kebench.run import resolve
from kebench.runtime import choose_device, use_own_gpu
from kebench.scoring.name_scores import MIN_COLUMN_QUERIES, SCORES

AnySet = TypeVar("AnySet", QuerySet, QuestionSet)


def start_token_option() -> Any:
    """Return the field of --start-token."""
    return option(
        "--start-token",
        default="",
        help="What stands before a text that a causal model reads, or 'none'; default: its card's, or what "
        "its tokenizer puts there.",
    )


def pll_option() -> Any:
    """Return the field of --pll."""
    return option(help="Which pseudo-log-likelihood of a masked model; default: answer-l2r.")


@dataclass(frozen=True, kw_only=True)
class AskOptions:
    """What is an option of every way of asking: which models are asked what, and where it is computed."""

    models: tuple[str, ...] = option(
        "--model", required=True, help="A card, folder or source; may be repeated."
    )
    folder: Path = option("--set", help="The folder of a query set.")
    out: Path = option(default=LOCAL, help="Where results go.")
    queries: int | None = option(type=click.IntRange(1), help="Only so many, drawn at random with --seed.")
    seed: int = option(default=0, type=click.IntRange(0), help="Of that draw.")
    device: str = device_option("Where to compute.")
    precision: str = precision_option("Of the arithmetic in the model.")
    batch_tokens: int | None = option(type=click.IntRange(1), help="Word pieces in one forward pass.")
    workers: int = option(
        default=1, type=click.IntRange(1), help="Processes that share it, each with a GPU of its own."
    )
    allow_remote_code: bool = option(help="Run code that comes with a checkpoint.")


@dataclass(frozen=True, kw_only=True)
class FillOptions(AskOptions):
    """The options of `kebench probe run`. Those that change settings are None where they leave them."""

    mode: Literal["fixed", "released", "paper"] | None = option(
        help="How blanks are filled: our way, that of the code released with KeBioLM, or the paper's; "
        "default: the set's."
    )
    method: Literal["independent", "order", "confidence"] | None = option(
        "--decoder", changes=True, help="Which blank is filled next, instead of the mode's (confidence)."
    )
    beam: int | None = option(
        type=click.IntRange(1, 100),
        changes=True,
        help="States kept for a query and number of masks, instead of 5.",
    )
    max_masks: int | None = option(
        type=click.IntRange(1, 50), changes=True, help="Most word pieces of an answer, instead of 10."
    )
    refine: int | None = option(
        type=click.IntRange(0, 50),
        changes=True,
        help="Most rounds of predicting the least probable token anew; default 0.",
    )
    skip_headless: bool = option(help="Leave out models without a trained head.")


@dataclass(frozen=True, kw_only=True)
class RankOptions(AskOptions):
    """The options of `kebench probe rank`."""

    shots: int | None = option(
        type=click.IntRange(0, 32),
        help="Facts of the relation that stand before a statement; default: 4, of a masked model 0.",
    )
    draws: int | None = option(type=click.IntRange(1, 20), help="Draws of these facts, averaged; default: 3.")
    leave_out: int | None = option(
        type=click.IntRange(0, 32),
        help="Facts whose answers are no candidates, in each draw, the shots first; default: the shots, "
        "without shots 4, as for models that see some.",
    )
    wordings: int = option(
        type=click.IntRange(1, 50), default=1, help="Most statements of a relation that are asked."
    )
    negated: bool = option(help="Also ask the negated statement of a relation that has one.")
    names: int = option(
        type=click.IntRange(1, 5), default=1, help="Most names of a candidate that are asked."
    )
    pll: Literal["original", "within-word", "answer-l2r", "independent"] | None = pll_option()
    start: str = start_token_option()


@click.command("run")
@takes(FillOptions, within=runs_on_cluster(several=True))
def probe_run(options: FillOptions) -> None:
    """Fill the blanks of a query set with masked language models, and score the answers.

    What is recorded is not made again, and a probe that was stopped goes on. To use several GPUs, add
    --workers; to use several machines, start the same command on each: they share the work.
    """
    query_set = opened(options, QuerySet.open)
    mode: Any = options.mode or query_set.manifest.mode
    decoder = read_decoder(mode, **changes_of(options))
    settings = FillSettings(mode=mode, decoder=decoder)

    def plan_one(model: ResolvedModel, *, precision: Precision, subset: ProbeSubset) -> ProbePlan | None:
        if options.skip_headless and model.card.mlm_head is False:
            say(f"{model.card.name}: left out, its checkpoint has no trained head")
            return None
        return plan_fill(model, query_set, settings, precision=precision, subset=subset)

    ask(
        options,
        query_set,
        plan_one,
        check=partial(_check_masked_lm, allow_remote_code=options.allow_remote_code),
        show=_print_record,
    )


@click.command("rank")
@takes(RankOptions, within=runs_on_cluster(several=True))
def probe_rank(options: RankOptions) -> None:
    """Rank the candidate answers of a query set by what language models of any kind say of their names.

    Causal, masked and encoder-decoder models are asked the same, and stand in one table. What is recorded is
    not made again, and a probe that was stopped goes on, as with 'kebench probe run'.
    """
    from kebench.probe.rank import check_ranking, plan_rank

    query_set = opened(options, QuerySet.open)
    allowed = options.allow_remote_code

    def plan_one(model: ResolvedModel, *, precision: Precision, subset: ProbeSubset) -> ProbePlan:
        return plan_rank(
            model,
            query_set,
            start=options.start,
            pll=options.pll,
            shots=options.shots,
            draws=options.draws,
            left_out=options.leave_out,
            seed=options.seed,
            wordings=options.wordings,
            negated=options.negated,
            names=options.names,
            precision=precision,
            subset=subset,
            trusted=allowed and model.card.trust_remote_code,
        )

    ask(
        options,
        query_set,
        plan_one,
        check=partial(check_ranking, allow_remote_code=allowed),
        show=_print_ranked,
    )


def opened(options: AskOptions, open_set: Callable[[Path], AnySet]) -> AnySet:
    """Return the set that is asked, once the folder of the results can be one."""
    if options.out.exists() and not options.out.is_dir():
        raise UserError(f"{options.out}: a file; name a folder for the results with --out")
    asked = open_set(options.folder)
    remember_set(options.folder, *asked.manifest.hashes)
    return asked


def ask(
    options: AskOptions,
    query_set: QuerySet | QuestionSet,
    plan_one: Callable[..., ProbePlan | None],
    *,
    check: Callable[[ProbePlan], list[str]],
    show: Callable[[Any, Path], None],
) -> None:
    """Plan, check and carry out a probe of each model, all of them before the first begins."""
    from kebench.probe.run import drop_parts, find_finished, run_probe, run_probes

    out, allowed = options.out, options.allow_remote_code
    device = choose_device(options.device, options.precision)
    use_own_gpu(device.name)
    precision: Precision = "bf16" if device.precision == "bf16" else "fp32"
    refusals = Refusals()
    resolved = refusals.of_each(options.models, partial(resolve, allow_remote_code=allowed))
    plan_shared = partial(
        plan_one,
        precision=precision,
        subset=subset_of(query_set, queries=options.queries, seed=options.seed),
    )
    planned = refusals.of_each(resolved, plan_shared, name=lambda model: model.card.name)
    plans = [plan for plan in planned if plan]
    missing = [plan for plan in plans if not find_finished(plan, out)]
    remarks = refusals.of_each(missing, check, name=lambda plan: plan.card.name)
    refusals.raise_all()
    say(f"device {device.name}, {device.precision} ({device.reason})")
    for remark in chain.from_iterable(remarks):
        say(remark)
    run_one = partial(run_probe, device=device, allow_remote_code=allowed, batch_tokens=options.batch_tokens)
    others: AbstractContextManager[None] = nullcontext()
    if options.workers > 1 and missing:
        say(f"{options.workers} processes share the work (--workers)")
        work = partial(run_probes, missing, out, run_one)
        others = beside(options.workers, work, uses_gpus=device.name != "cpu")
    with others:
        for plan in plans:
            asked = f"all {len(query_set):,} queries"
            if plan.subset.queries:
                asked = f"{plan.subset.queries:,} of {len(query_set):,} queries (seed {plan.subset.seed})"
            say(f"{plan.card.name}: {asked} in {query_set.folder}")
            say(plan.settings.described)
            record = find_finished(plan, out)
            if plan not in missing:
                say(f"nothing to do: {plan.out(out)} holds this probe")
            if record:
                drop_parts(plan, out)
            show(record or run_one(plan, out), plan.out(out))


def _check_masked_lm(plan: ProbePlan, *, allow_remote_code: bool) -> list[str]:
    """Return what is out of the common in a model; UserError if it cannot be probed."""
    from kebench.model.masked_lm import check_masked_lm

    card = plan.card
    trusted = card.trust_remote_code and allow_remote_code
    remarks = check_masked_lm(plan.folder, family=card.family, casing=card.casing, trust_remote_code=trusted)
    return [f"{card.name}: WARNING: {remark}" for remark in remarks]


def _print_record(record: ProbeRecord, folder: Path) -> None:
    """Print the scores of one probe, what became of its queries, and where it is."""
    rows: GridRows = []
    for name, by_us, as_released in (
        ("all", record.scores.fixed.overall, record.scores.released.overall),
        ("type 1", record.scores.fixed.type_1, record.scores.released.type_1),
        ("type 2", record.scores.fixed.type_2, record.scores.released.type_2),
    ):
        ranked = by_us.by_mean
        figures = (as_released.hit, by_us.hit, ranked.acc_1, ranked.acc_5, ranked.mrr)
        rows.append((name, by_us.queries, *(Cell(figure.macro_percent, ".2f") for figure in figures)))
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


def _print_ranked(record: RankRecord, folder: Path) -> None:
    """Print the figures of one ranked probe, what became of its queries, and where it is."""
    for board in ranked_boards([record], "all"):
        print_sheets([ranked_sheet(board)], "terminal")
    counts, left_out = record.counts, record.settings.left_out
    few = f"; of {counts.few_facts:,} fewer than {left_out} facts are left out" if counts.few_facts else ""
    said = (
        f"{counts.asked:,} of {counts.queries:,} queries ranked; {counts.unranked:,} have no place in a "
        f"pool, {counts.without_shots:,} are of relations with too few facts for shots{few}. "
        f"{counts.scored:,} names scored; {counts.straddling:,} share a token with what stands beside them, "
        f"{counts.unknown:,} have one that the vocabulary lacks, and so no score."
    )
    if lacking := [score for score in SCORES if score not in record.figures]:
        said += f" No relation has figures by {', '.join(lacking)}"
        said += f": column needs {MIN_COLUMN_QUERIES} subjects in a relation." if "column" in lacking else "."
    click.echo(textwrap.fill(said, 80))
    click.echo(f"scores and record: {folder}")
