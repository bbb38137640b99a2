"""`kebench table paper-7`: which probes, and which of their queries, are shown."""

from pathlib import Path
from typing import TYPE_CHECKING

from kebench.cli.found import say
from kebench.errors import UserError, did_you_mean

if TYPE_CHECKING:
    from kebench.grid import Sheet
    from kebench.probe.query_set import QuerySet
    from kebench.probe.stored import StoredProbe

LOOKED_AT = 2000  # queries that are judged of each model to find hits; ours


def example_sheets(
    folders: tuple[Path, ...], set_folder: Path | None, models: list[str], *, count: int, is_hits: bool
) -> "list[Sheet]":
    """Return a sheet of examples for each set and way of probing. Raises UserError if there is no probe."""
    from kebench.probe.query_set import QuerySet, find_set
    from kebench.report.probes import caption

    named = QuerySet.open(set_folder) if set_folder else None
    probes = _chosen(folders, models, named)
    sheets = []
    for heading in dict.fromkeys(caption(probe.record) for probe in probes):
        group = [probe for probe in probes if caption(probe.record) == heading]
        record = group[0].record
        query_set = named or find_set(record.set_hash, name=record.set)
        sheets.append(_sheet(heading, group, query_set, count=count, is_hits=is_hits))
    return sheets


def _chosen(
    folders: tuple[Path, ...], models: list[str], query_set: "QuerySet | None"
) -> "list[StoredProbe]":
    from kebench.probe.stored import REMEDY, find_probes, probes_on

    found = find_probes(folders)
    known = {probe.record.model for probe in found}
    for model in models:
        if model not in known:
            listed = ", ".join(sorted(known))
            raise UserError(f"no probe of model '{model}'{did_you_mean(model, known)} there are {listed}")
    if query_set:
        found = probes_on(found, query_set)
    kept = [probe for probe in found if not models or probe.record.model in models]
    if not kept:
        raise UserError(f"no probe of {', '.join(models)} on that set; {REMEDY}")
    return sorted(
        kept, key=lambda probe: (models.index(probe.record.model) if models else 0, probe.record.model)
    )


def _sheet(
    heading: str, probes: "list[StoredProbe]", query_set: "QuerySet", *, count: int, is_hits: bool
) -> "Sheet":
    from kebench.probe.examples import examples
    from kebench.probe.stored import (
        decoded_queries,
        even_places,
        evenly,
        read_predictions,
        read_tokenizer,
    )
    from kebench.report.paper_examples import examples_sheet, no_examples_sheet
    from kebench.report.probes import row_labels

    queries = query_set.table()
    for probe in probes:
        queries = decoded_queries(queries, probe.folder)
    decoded = len(queries)
    judged = evenly(queries, LOOKED_AT if is_hits else count)
    labels = row_labels(probe.record for probe in probes)
    found = {}
    for probe in probes:
        predictions = read_predictions(probe.folder, of=judged)
        answered = examples(judged, predictions, read_tokenizer(probe.folder))
        found[labels[probe.record.identity]] = answered
    notes = [f"Queries: taken evenly from the {decoded:,} that all of these probes decoded."]
    if is_hits:
        if len(judged) < decoded:
            say(f"looked for hits among {len(judged):,} of {decoded:,} queries, evenly taken")
        mode = probes[0].record.mode
        hit = [
            place for place in range(len(judged)) if any(one[place].is_hit(mode) for one in found.values())
        ]
        shown = [hit[place] for place in even_places(len(hit), count)]
        found = {label: [several[place] for place in shown] for label, several in found.items()}
        notes = [
            f"Queries: such as some model answers, by the {mode} rule and at any place of its beam; "
            f"{len(hit):,} of {len(judged):,} looked at, of {decoded:,} that all of these probes decoded."
        ]
        if not hit:
            return no_examples_sheet(heading, num_queries=len(judged), mode=mode)
    return examples_sheet(heading, found, notes=notes)
