"""Breakdowns of probes: scores by relation, by semantic type or by length of the answer, in every format.

By the fixed rule, means over the queries of a group; Acc@1, Acc@5 and MRR rank by mean log probability.
"""

import csv
import io
import json
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from kebench.probe.record import Group, ProbeRecord
from kebench.report.latex_signs import escape_latex
from kebench.report.probes import caption
from kebench.report.write_markdown import escape_markdown

# What --by takes: the field of the record's fixed scores.
BREAKDOWNS = {
    "relation": "by_relation",
    "semantic-type": "by_semantic_type",
    "answer-length": "by_answer_length",
}
SHARED = ("set", "set_hash", "mode", "precision", "model", "model_hash", "identity")
GROUP_FIELDS = (*SHARED, "by", "group", *Group.model_fields)
HEADINGS = ("queries", "hit", "Acc@1", "Acc@5", "MRR")

_WIDTH = 80


def render_groups(records: Sequence[ProbeRecord], by: str, form: str) -> str:
    """Return the breakdowns of some probes as table, markdown, latex, csv or json."""
    if form == "json":
        return (
            json.dumps({"schema": 1, "groups": list(_rows(records, by))}, indent=1, ensure_ascii=False) + "\n"
        )
    if form == "csv":
        return _csv(_rows(records, by))
    lines = {"table": _text, "markdown": _markdown, "latex": _latex}[form]
    blocks = ("\n".join(lines(record, by)) for record in records)
    return "\n\n".join(blocks) + "\n"


def _rows(records: Iterable[ProbeRecord], by: str) -> Iterator[dict[str, Any]]:
    for record in records:
        shared = record.model_dump(include=set(SHARED))
        for name, group in _groups(record, by):
            yield {**shared, "by": by, "group": name, **group.model_dump()}


def _groups(record: ProbeRecord, by: str) -> list[tuple[str, Group]]:
    found: dict[str, Group] = getattr(record.scores.fixed, BREAKDOWNS[by])
    return list(found.items())


def _csv(rows: Iterable[dict[str, Any]]) -> str:
    out = io.StringIO()
    writer = csv.DictWriter(out, GROUP_FIELDS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


def _cells(group: Group) -> tuple[str, ...]:
    percents = (group.hit_percent, group.acc_1_percent, group.acc_5_percent, group.mrr_percent)
    return (f"{group.queries:,}", *(f"{percent:.2f}" for percent in percents))


def _text(record: ProbeRecord, by: str) -> Iterator[str]:
    """Yield a table of 80 columns; longer names are broken."""
    rows = [(name, _cells(group)) for name, group in _groups(record, by)]
    room = _WIDTH - 9 * len(HEADINGS)
    wide = min(room, max((len(name) for name, _ in ((by, ()), *rows)), default=0))
    yield from textwrap.wrap(f"{record.model}: {caption(record)}", _WIDTH)
    for name, cells in ((by, HEADINGS), *rows):
        first, *rest = textwrap.wrap(name, wide)
        yield f"{first:{wide}}" + "".join(f"  {cell:>7}" for cell in cells)
        yield from (f"  {part}" for part in rest)


def _markdown(record: ProbeRecord, by: str) -> Iterator[str]:
    yield f"**{escape_markdown(f'{record.model}: {caption(record)}')}**\n"
    yield f"| {by} | {' | '.join(HEADINGS)} |"
    yield f"| --- |{' ---: |' * len(HEADINGS)}"
    for name, group in _groups(record, by):
        yield f"| {escape_markdown(name)} | {' | '.join(_cells(group))} |"


def _latex(record: ProbeRecord, by: str) -> Iterator[str]:
    yield f"% {record.model}: {caption(record)}; needs \\usepackage{{booktabs}}"
    yield f"\\begin{{tabular}}{{@{{}}l{'r' * len(HEADINGS)}@{{}}}}\n\\toprule"
    yield f"{by} & {' & '.join(map(escape_latex, HEADINGS))} \\\\\n\\midrule"
    for name, group in _groups(record, by):
        yield " & ".join((escape_latex(name), *_cells(group))) + " \\\\"
    yield "\\bottomrule\n\\end{tabular}"
