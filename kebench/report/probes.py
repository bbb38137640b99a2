"""Tables of probes: one a protocol, with the columns of the paper's Table 6, and published rows below.

hit@(B x L) is what the paper calls Recall@5. Cells are macro averages over relations, in percent.
"""

import textwrap
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from kebench.probe.record import PROBE_PROTOCOL_VERSION, Bucket, Decoder, ProbeRecord, ReleasedBucket
from kebench.report.latex_signs import escape_latex
from kebench.report.published import PrintedRow, PublishedTable, mark_rows
from kebench.report.render import PUBLISHED_TITLE
from kebench.report.words import DASH
from kebench.report.write_markdown import escape_markdown

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
_PRINTED = ("type-1", "type-2", "overall")  # the columns of Table 6, which are by the released rule
_WIDTH = 80


class ProbeRow(NamedTuple):
    """A row of a table: label and percentages, None where there is none."""

    label: str
    percents: tuple[float | None, ...]


class ProbeTable(NamedTuple):
    """Probes of one set in one way. published: rows as printed, each with its mark in the label."""

    caption: str
    rows: tuple[ProbeRow, ...]
    published: tuple[ProbeRow, ...]
    notes: tuple[str, ...]


def build_probe_tables(
    records: Iterable[ProbeRecord], published: Sequence[PublishedTable] = ()
) -> list[ProbeTable]:
    """Return a table for each set and way of probing, the largest set first; published rows under the first.

    Rows: the best overall hit of the fixed rule first.
    """
    alike: dict[str, list[ProbeRecord]] = defaultdict(list)
    for record in sorted(records, key=_largest_set_first):
        alike[caption(record)].append(record)
    printed = mark_rows(published)
    tables: list[ProbeTable] = []
    for heading, group in alike.items():
        rows = sorted(_rows(group), key=lambda row: (-(row.percents[5] or 0), row.label))
        below = tuple(_printed_row(one) for one in printed) if not tables else ()
        tables.append(ProbeTable(heading, tuple(rows), below, _notes(printed if below else [])))
    return tables


def _largest_set_first(record: ProbeRecord) -> tuple[int, str, str]:
    return (-record.counts.queries, record.set, caption(record))


def caption(record: ProbeRecord) -> str:
    """Say all that two probes must share to stand in one table."""
    asked, is_whole = record.counts.queries, record.subset.queries is None
    queries = f"{asked:,} queries" if is_whole else f"{asked:,} queries drawn with seed {record.subset.seed}"
    is_current = record.protocol_version == PROBE_PROTOCOL_VERSION
    older = "" if is_current else f", protocol {record.protocol_version} of probes"
    return (
        f"{record.set} [{record.set_hash[:8]}], {queries}; {record.mode}, "
        f"{describe_decoder(record.decoder)}, {record.precision}{older}"
    )


def describe_decoder(decoder: Decoder) -> str:
    """Say how masks were filled, in a few words."""
    parts = [decoder.method, f"beam {decoder.beam}", f"1 to {decoder.max_masks} masks"]
    rules = {
        "one a slot": decoder.slots,
        "duplicates kept": decoder.duplicates,
        "ties as they come": decoder.exact,
        "special tokens allowed": decoder.special_tokens,
        f"{decoder.refine} rounds of refinement": decoder.refine > 0,
    }
    return ", ".join([*parts, *(words for words, holds in rules.items() if holds)])


def _rows(records: Sequence[ProbeRecord]) -> Iterator[ProbeRow]:
    labels = row_labels(records)
    for record in {record.identity: record for record in records}.values():
        yield ProbeRow(labels[record.identity], _percents(record))


def row_labels(records: Iterable[ProbeRecord]) -> dict[str, str]:
    """Name each probe, by identity, by its model; weights that share a name get their hash."""
    records = list(records)
    hashes: dict[str, set[str]] = defaultdict(set)
    for record in records:
        hashes[record.model].add(record.model_hash)
    return {
        record.identity: record.model
        + (f" [{record.model_hash[:8]}]" if len(hashes[record.model]) > 1 else "")
        for record in records
    }


def _percents(record: ProbeRecord) -> tuple[float | None, ...]:
    released, fixed = record.scores.released, record.scores.fixed
    ranked = fixed.overall.by_mean
    return (
        *(_hit(getattr(released, bucket)) for bucket in BUCKETS),
        *(_hit(getattr(fixed, bucket)) for bucket in BUCKETS),
        *(getattr(ranked, metric).macro_percent for metric in METRICS),
    )


def _hit(bucket: Bucket | ReleasedBucket) -> float | None:
    return bucket.hit.macro_percent


def _printed_row(printed: PrintedRow) -> ProbeRow:
    scores = (printed.row.scores.get(column) for column in _PRINTED)
    return ProbeRow(f"{printed.row.label} {printed.mark}", (*scores, *[None] * (len(HEADINGS) - 3)))


def _notes(printed: Sequence[PrintedRow]) -> tuple[str, ...]:
    sources = {one.mark: f"{one.mark} {one.table.source}: {one.table.protocol}." for one in printed}
    lead = ["Published: as printed; of another query set unless yours is the paper's."] if printed else []
    return (
        "Macro averages over relations, in percent. hit: any answer of any length is right, "
        "the paper's Recall@5.",
        "released: by the released code's strings; fixed: by normal forms. Ranked: by mean log probability.",
        *lead,
        *sources.values(),
    )


def render_probes_terminal(tables: Sequence[ProbeTable]) -> str:
    """Return the tables as plain text, 80 columns wide where the models' names are short."""
    notes = (line for note in _all_notes(tables) for line in textwrap.wrap(note, _WIDTH))
    return "\n".join(["\n".join(_text_lines(table)) + "\n" for table in tables] + ["\n".join(notes) + "\n"])


def _all_notes(tables: Sequence[ProbeTable]) -> list[str]:
    """Return the notes of all tables, each once."""
    return list(dict.fromkeys(note for table in tables for note in table.notes))


def _text_lines(table: ProbeTable) -> Iterator[str]:
    lines = [("model", HEADINGS), *((row.label, _cells(row)) for row in (*table.rows, *table.published))]
    widths = [
        max(len(text) for text in column) for column in zip(*(cells for _, cells in lines), strict=True)
    ]
    label = max(len(PUBLISHED_TITLE), *(len(name) for name, _ in lines))
    heading, *rows = (_text_line(name, cells, label, widths) for name, cells in lines)
    yield from textwrap.wrap(table.caption, _WIDTH)
    yield ""
    yield _text_groups(label, widths)
    yield heading
    yield DASH * len(heading)
    yield from rows[: len(table.rows)]
    if table.published:
        yield PUBLISHED_TITLE
        yield from rows[len(table.rows) :]


def _text_groups(label: int, widths: Sequence[int]) -> str:
    groups, start = [], 0
    for name, headings in GROUPS:
        within = widths[start : start + len(headings)]
        groups.append(f"  {name:^{sum(within) + len(within) - 1}}")
        start += len(headings)
    return (" " * label + "".join(groups)).rstrip()


def _text_line(label: str, cells: Sequence[str], wide: int, widths: Sequence[int]) -> str:
    """Set the cells to the right, a wider gap before each group."""
    starts = {sum(len(headings) for _, headings in GROUPS[:place]) for place in range(len(GROUPS))}
    pairs = enumerate(zip(cells, widths, strict=True))
    spaced = (f"{' ' * (2 if place in starts else 1)}{text:>{width}}" for place, (text, width) in pairs)
    return f"{label:{wide}}{''.join(spaced)}"


def _cells(row: ProbeRow) -> tuple[str, ...]:
    """Write percentages; what is missing is a dash."""
    return tuple(DASH if percent is None else f"{percent:.2f}" for percent in row.percents)


def render_probes_markdown(tables: Sequence[ProbeTable]) -> str:
    """Return the tables as Markdown."""
    blocks = ["\n".join(_markdown_lines(table)) for table in tables]
    notes = "\n".join(f"- {escape_markdown(note)}" for note in _all_notes(tables))
    return "\n\n".join([*blocks, notes]) + "\n"


def _markdown_lines(table: ProbeTable) -> Iterator[str]:
    headings = (f"{name}: {heading}" for name, headings in GROUPS for heading in headings)
    yield f"**{escape_markdown(table.caption)}**\n"
    yield f"| model | {' | '.join(headings)} |"
    yield f"| --- |{' ---: |' * len(HEADINGS)}"
    published = [ProbeRow(PUBLISHED_TITLE, ())] if table.published else []
    for row in (*table.rows, *published, *table.published):
        cells = _cells(row) or ("",) * len(HEADINGS)
        yield f"| {escape_markdown(row.label)} | {' | '.join(cells)} |"


def render_probes_latex(tables: Sequence[ProbeTable]) -> str:
    """Return one LaTeX table environment for each table; it needs booktabs."""
    return (
        "% needs \\usepackage{booktabs}\n"
        + "\n\n".join("\n".join(_latex_lines(table)) for table in tables)
        + "\n"
    )


def _latex_lines(table: ProbeTable) -> Iterator[str]:
    yield "\\begin{table}\n\\centering\n\\footnotesize\n\\setlength{\\tabcolsep}{2.5pt}"
    yield f"\\caption{{{escape_latex(table.caption)}.}}"
    yield f"\\begin{{tabular}}{{@{{}}l{'r' * len(HEADINGS)}@{{}}}}\n\\toprule"
    over = (f"\\multicolumn{{{len(headings)}}}{{c}}{{{escape_latex(name)}}}" for name, headings in GROUPS)
    yield f" & {' & '.join(over)} \\\\"
    yield f"model & {' & '.join(map(escape_latex, HEADINGS))} \\\\\n\\midrule"
    yield from map(_latex_row, table.rows)
    if table.published:
        yield "\\midrule"
        yield from map(_latex_row, table.published)
    yield "\\bottomrule\n\\end{tabular}\n\\par\\medskip\\raggedright"
    yield from (f"{escape_latex(note)}\\par" for note in table.notes)
    yield "\\end{table}"


def _latex_row(row: ProbeRow) -> str:
    return " & ".join(escape_latex(text) for text in (row.label, *_cells(row))) + " \\\\"
