"""`kebench errors --probe`: where a model goes wrong on a set of cloze queries."""

from pathlib import Path
from typing import TYPE_CHECKING

from kebench.cli.found import say
from kebench.errors import UserError, did_you_mean

if TYPE_CHECKING:
    from kebench.grid import Sheet
    from kebench.probe.query_set import QuerySet
    from kebench.probe.stored import StoredProbe


def probe_errors(folders: tuple[Path, ...], model: str, set_name: str, *, k: int) -> "Sheet":
    """Return what goes wrong in the newest probe of a model on a set. set_name: its name, or its folder."""
    from kebench.probe.outcomes import known_concepts, outcomes
    from kebench.probe.query_set import QuerySet, find_set
    from kebench.probe.stored import asked_queries, read_predictions, read_tokenizer, rules_differ
    from kebench.report.probe_errors import probe_errors_sheet
    from kebench.report.probes import caption

    named = QuerySet.open(set_name) if Path(set_name).is_dir() else None
    record, folder = _newest(folders, model, set_name, named)
    query_set = named or find_set(record.set_hash, name=record.set, option="--probe")
    queries = query_set.table()
    tokenizer, predictions = read_tokenizer(folder), read_predictions(folder)
    known = known_concepts(queries, tokenizer)
    if older := rules_differ(record):
        say(older)
    asked = asked_queries(queries, record.subset)
    found = list(outcomes(asked, predictions, tokenizer, known=known, k=k))
    hit = record.scores.fixed.overall.hit.micro_percent
    return probe_errors_sheet(
        f"{model} on {record.set}: {len(found):,} queries"
        + ("" if hit is None else f", {hit:.1f}% answered"),
        caption(record),
        found,
        k=k,
        max_masks=record.decoder.max_masks,
        has_types=any(known.values()),
    )


def _newest(
    folders: tuple[Path, ...], model: str, set_name: str, query_set: "QuerySet | None"
) -> "StoredProbe":
    """Return the newest probe of a model on a set. Raises UserError if there is none."""
    from kebench.probe.stored import find_probes, newest_probe, probes_on

    on_set = probes_on(find_probes(folders), query_set or set_name)
    models = {probe.record.model for probe in on_set}
    fitting = [probe for probe in on_set if probe.record.model == model]
    if not fitting:
        listed = ", ".join(sorted(models))
        raise UserError(
            f"no probe of model '{model}' on {set_name}{did_you_mean(model, models)} there are {listed}"
        )
    newest = newest_probe(fitting)
    if len(fitting) > 1:
        say(f"{newest.folder}: the newest of {len(fitting)}, of {newest.record.provenance.started_utc}")
    return newest
