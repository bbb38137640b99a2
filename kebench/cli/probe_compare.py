"""`kebench probe compare`: two probes of one set, query by query."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np

from kebench.cli.found import LOCAL, say
from kebench.cli.options import added_by, argument, option, takes
from kebench.cli.tables import format_option, print_sheets
from kebench.errors import UserError, did_you_mean
from kebench.probe import stored
from kebench.probe.earned import Earned, earned_of
from kebench.probe.record import (
    PROBE_RECORD,
    AnyProbe,
    ChoiceRecord,
    GenerateRecord,
    ProbeRecord,
    RankRecord,
    read_probe_record,
)
from kebench.report.probe_paired import paired_fields, paired_sheet, verdict
from kebench.report.probe_ranked import headline
from kebench.report.probes import asked_names
from kebench.scoring import generated
from kebench.scoring.name_scores import SCORES
from kebench.scoring.ranked import METRICS
from kebench.stats.paired import PairedComparison, compare_probes

# The first that both probes have is compared; of ranked ones what `headline` says.
HEADLINES: dict[type[Any], tuple[str, ...]] = {
    ChoiceRecord: ("letter", "char"),
    GenerateRecord: ("beam",),
}
# What may be compared, where it is not one figure alone: the first unless another is asked for.
METRICS_OF: dict[type[Any], tuple[str, ...]] = {RankRecord: tuple(METRICS), GenerateRecord: generated.METRICS}


@dataclass(frozen=True, kw_only=True)
class CompareOptions:
    """The options of `kebench probe compare`."""

    a: str = argument(metavar="A")
    b: str = argument(metavar="B")
    results: tuple[Path, ...] = option(
        "--results", help="Folder of records; may be repeated.  [default: results/local]"
    )
    set_name: str | None = option("--set", help="Only probes of the set of this name.")
    score: str | None = option(
        type=click.Choice([*SCORES, "letter"]),
        help="Default: of ranked probes column, else pmi, else sum; of multiple choice letter, else char.",
    )
    metric: str | None = option(
        type=click.Choice(list(dict.fromkeys([*METRICS, *generated.METRICS]))),
        help="What is compared; default: acc_1 of ranked probes, hit_1 of written answers.",
    )
    points: float | None = option(
        type=click.FloatRange(0, 100, min_open=True),
        help="Also say how often a true difference of so many points would be seen.",
    )
    seed: int = option(default=0, type=click.IntRange(0), help="Of permutations and intervals.")
    form: str = added_by(format_option)


@click.command("compare")
@takes(CompareOptions)
def compare(options: CompareOptions) -> None:
    """Compare what two models know, query by query, with a test, intervals and the power of the comparison.

    A and B are models with a probe of the same set under --results, or folders of probes. Of ranked probes
    acc@1 is compared, of multiple choice the accuracy, of written answers whether the first is right, of
    filled blanks whether any is.
    """
    folders = options.results or (LOCAL,)
    of_a, of_b = (_probes_of(name, folders, options.set_name) for name in (options.a, options.b))
    pairs = [(one, other) for one in of_a for other in of_b if _asked(one.record) == _asked(other.record)]
    if not pairs:
        raise UserError(
            f"{options.a} and {options.b}: no probes of the same queries of one set, asked in one kind of "
            "way and ranked among the same candidates (--leave-out, --draws and --seed decide which answers "
            "are left out); 'kebench probe scores' lists what there is"
        )
    pair = max(pairs, key=lambda pair: [probe.record.provenance.started_utc for probe in pair])
    if len(pairs) > 1:
        say(f"{pair[0].folder} and {pair[1].folder}: the newest of {len(pairs)} pairs")
    records = [probe.record for probe in pair]
    score, metric, figure = options.score, options.metric or "", "hit"
    known = METRICS_OF.get(type(records[0]), ())
    if metric and metric not in known:
        choose = f"choose one of {', '.join(known)}" if known else "leave it out"
        raise UserError(f"--metric {metric} is not of these probes; {choose}")
    metric = metric or next(iter(known), "")
    if not isinstance(records[0], ProbeRecord):
        if score is None and isinstance(records[0], RankRecord):
            score = headline(records)
        elif score is None:
            held = set.intersection(*(set(record.figures) for record in records))
            score = next((one for one in HEADLINES[type(records[0])] if one in held), None)
        if score is None:
            raise UserError(
                f"{options.a} and {options.b}: one was asked by letter, the other by text; ask both by text"
            )
        if isinstance(records[0], ChoiceRecord):
            metric, figure = "acc", f"accuracy by {score}"
        elif isinstance(records[0], GenerateRecord):
            figure = generated.metric_name(metric, beam=records[0].settings.beam)
        else:
            figure = f"{METRICS[metric]} by {score}"
    elif score is not None:
        raise UserError(
            "--score is of ranked probes and multiple choice, and these fill blanks; leave it out"
        )
    one, other = (earned_of(probe, score or "", metric) for probe in pair)
    shared = sorted(one.keys() & other.keys())

    def compared(value: Callable[[Earned], float]) -> PairedComparison:
        return compare_probes(
            np.array([value(one[query]) for query in shared]),
            np.array([value(other[query]) for query in shared]),
            [one[query].relation for query in shared],
            [one[query].subject for query in shared],
            seed=options.seed,
        )

    try:
        comparison = compared(lambda earned: earned.value)
    except ValueError as error:
        raise UserError(f"{options.a} and {options.b}: {error}") from None
    shown = [record.model for record in records]
    if shown[0] == shown[1] and not isinstance(records[0], ProbeRecord):
        shown = [asked_names(records)[record.identity] for record in records]
    if shown[0] == shown[1]:
        shown = [options.a, options.b]
    names = dict(zip("ab", shown, strict=True))
    captions = [f"{records[0].set} [{records[0].set_hash[:8]}], {len(shared):,} queries of both"]
    captions += [
        f"{name}: {record.settings.described}" for name, record in zip(names.values(), records, strict=True)
    ]
    fields: dict[str, Any] = {
        "schema": 1,
        **paired_fields(comparison, **names, figure=figure, stated_points=options.points),
    }
    # A model may be better by what needs no subject, or no question: so the same of what is above that.
    if any(earned.baseline == earned.baseline for earned in one.values()):
        over = compared(lambda earned: earned.value - earned.baseline)
        above = "no question" if isinstance(records[0], ChoiceRecord) else "other subjects"
        captions = [verdict(over, **names, figure=f"{figure} over {above}"), *captions]
        fields["over_baseline"] = paired_fields(over, **names, figure=f"{figure} over {above}")
    sheet = paired_sheet(
        comparison, **names, figure=figure, captions=tuple(captions), stated_points=options.points
    )
    print_sheets([sheet], options.form, content=lambda: fields)


def _probes_of(named: str, folders: Sequence[Path], set_name: str | None) -> list[stored.StoredProbe[Any]]:
    """Return the probes of a model, or the one in a folder. Raises UserError if there is none."""
    if (Path(named) / PROBE_RECORD).is_file():
        return [stored.StoredProbe(read_probe_record(Path(named) / PROBE_RECORD), Path(named))]
    found = stored.find_any_probes(folders)
    models = {probe.record.model for probe in found}
    if named not in models:
        raise UserError(
            f"no probe of model '{named}'{did_you_mean(named, models)} make one with 'kebench probe rank' or "
            "'kebench probe run', or name its folder"
        )
    of_model = [probe for probe in found if probe.record.model == named]
    return stored.probes_on(of_model, set_name) if set_name else of_model


def _asked(record: AnyProbe) -> tuple[object, ...]:
    """Return what two probes must share to be compared query by query."""
    way: object = ""
    if isinstance(record, ChoiceRecord):
        way = record.settings.split
    elif isinstance(record, GenerateRecord):
        way = record.settings.worded
    elif isinstance(record, RankRecord):
        way = record.settings.left_out, record.settings.draws, record.settings.seed
    return type(record), record.set_hash, record.subset, way
