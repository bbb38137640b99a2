"""Tables of probes: one a protocol, with the columns of the paper's Table 6, and published rows below.

hit@(B x L) is what the paper calls Recall@5. Cells are macro averages over relations, in percent.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

from kebench.grid import Cell, Grid, Sheet
from kebench.probe.record import (
    PROBE_PROTOCOL_VERSION,
    AnyProbe,
    ChoiceRecord,
    GenerateRecord,
    ProbeRecord,
    RankRecord,
)
from kebench.report.published import PublishedTable, mark_rows

PROBE_SUITE = "umls-probe"
# The groups of columns, and what stands over each column.
BUCKETS = {"type_1": "type 1", "type_2": "type 2", "overall": "all"}
METRICS = {"acc_1": "Acc@1", "acc_5": "Acc@5", "mrr": "MRR"}
GROUPS = (
    ("hit, released", tuple(BUCKETS.values())),
    ("hit, fixed", tuple(BUCKETS.values())),
    ("ranked, all", tuple(METRICS.values())),
)
HEADINGS = tuple(heading for _, headings in GROUPS for heading in headings)
_BEST = 2 * len(BUCKETS) - 1  # where a row has the hits of the fixed rule on all queries
# What --by takes: the field of the record's fixed scores.
BREAKDOWNS = {
    "relation": "by_relation",
    "semantic-type": "by_semantic_type",
    "answer-length": "by_answer_length",
}
_NOTES = (
    "Macro averages over relations, in percent. hit: any answer of any length is right, "
    "the paper's Recall@5.",
    "released: by the released code's strings; fixed: by normal forms. Ranked: by mean log probability.",
)
_PRINTED = ("type-1", "type-2", "overall")  # the columns of Table 6, which are by the released rule


def probe_sheets(
    records: Iterable[ProbeRecord], published: Sequence[PublishedTable] = ()
) -> list[tuple[Sheet, list[ProbeRecord]]]:
    """Return a sheet for each set and way of probing, with its probes, the largest set first.

    Rows: the best overall hit of the fixed rule first; published ones stand below those of the first sheet. A
    note that two sheets share is said under the first.
    """
    alike: dict[str, dict[str, ProbeRecord]] = defaultdict(dict)  # by identity: each probe once
    for record in sorted(records, key=lambda one: (-one.counts.queries, one.set, caption(one))):
        alike[caption(record)][record.identity] = record
    sheets: list[tuple[Sheet, list[ProbeRecord]]] = []
    for heading, by_identity in alike.items():
        group = sorted(by_identity.values(), key=lambda one: one.model)
        labels, rows = row_labels(group), list[tuple[str, list[float | None]]]()
        for record in group:
            released, fixed = record.scores.released, record.scores.fixed
            hits = [getattr(rule, one).hit.macro_percent for rule in (released, fixed) for one in BUCKETS]
            ranked = [getattr(fixed.overall.by_mean, metric).macro_percent for metric in METRICS]
            rows.append((labels[record.identity], [*hits, *ranked]))
        rows.sort(key=lambda row: (-(row[1][_BEST] or 0), row[0]))
        below = [] if sheets else mark_rows(published)
        nothing = [None] * (len(HEADINGS) - len(_PRINTED))
        printed = [
            (f"{one.row.label} {one.mark}", [*map(one.row.scores.get, _PRINTED), *nothing]) for one in below
        ]
        grid = Grid(
            ("model", *HEADINGS),
            [(label, *(Cell(one, ".2f") for one in percents)) for label, percents in (*rows, *printed)],
            groups=tuple((name, len(headings)) for name, headings in GROUPS),
            published=len(rows) if below else None,
        )
        sources = {one.mark: f"{one.mark} {one.table.source}: {one.table.protocol}." for one in below}
        lead = ["Published: as printed; of another query set unless yours is the paper's."] if below else []
        notes = () if sheets else (*_NOTES, *lead, *sources.values())
        sheets.append((Sheet(heading, (), (grid,), notes), group))
    return sheets


def groups_sheets(records: Iterable[ProbeRecord], by: str) -> list[Sheet]:
    """Return a breakdown of each probe's scores by the fixed rule, a row a group. by: a key of BREAKDOWNS."""
    sheets = []
    for record in records:
        rows = [
            (
                of,
                group.queries,
                *(Cell(getattr(group, f"{name}_percent"), ".2f") for name in ("hit", *METRICS)),
            )
            for of, group in getattr(record.scores.fixed, BREAKDOWNS[by]).items()
        ]
        grid = Grid((by, "queries", "hit", *METRICS.values()), rows)
        sheets.append(Sheet(f"{record.model}: {caption(record)}", (), (grid,)))
    return sheets


def caption(record: ProbeRecord) -> str:
    """Say all that two probes must share to stand in one table."""
    asked, is_whole = record.counts.queries, record.subset.queries is None
    queries = f"{asked:,} queries" if is_whole else f"{asked:,} queries drawn with seed {record.subset.seed}"
    is_current = record.protocol_version == PROBE_PROTOCOL_VERSION
    older = "" if is_current else f", protocol {record.protocol_version} of probes"
    decoder = record.decoder
    rules = {
        "one a slot": decoder.slots,
        "duplicates kept": decoder.duplicates,
        "ties as they come": decoder.exact,
        "special tokens allowed": decoder.special_tokens,
        f"{decoder.refine} rounds of refinement": decoder.refine > 0,
    }
    decoded = [decoder.method, f"beam {decoder.beam}", f"1 to {decoder.max_masks} masks"]
    decoded += [words for words, holds in rules.items() if holds]
    return (
        f"{record.set} [{record.set_hash[:8]}], {queries}; {record.mode}, "
        f"{', '.join(decoded)}, {record.precision}{older}"
    )


def row_labels(records: Iterable[AnyProbe]) -> dict[str, str]:
    """Name each probe, by identity, by its model; weights that share a name get their hash."""
    records = list(records)
    num_weights = Counter(model for model, _ in {(one.model, one.model_hash) for one in records})
    return {
        one.identity: f"{one.model} [{one.model_hash[:8]}]" if num_weights[one.model] > 1 else one.model
        for one in records
    }


def asked_names(records: Sequence[RankRecord | ChoiceRecord | GenerateRecord]) -> dict[str, str]:
    """Name each probe of one table, by identity: its model and how it was asked ("smollm2, 4 shots").

    Probes that would share a name are told apart by the seed of their shots and by what begins their texts.
    """
    labels = row_labels(records)
    names = {one.identity: ", ".join([labels[one.identity], *one.settings.told_apart]) for one in records}
    for words, told_by in (("seed", "seed"), ("texts begin with", "start")):
        found: dict[str, dict[str, str]] = defaultdict(dict)  # name -> identity -> setting
        for one in records:
            found[names[one.identity]][one.identity] = f"{getattr(one.settings, told_by)}"
        for same in found.values():
            if len(set(same.values())) > 1:
                for identity, setting in same.items():
                    names[identity] += f", {words} {setting or 'nothing'}"
    return names
