"""Probes for programs: a row a figure, or a group of a breakdown; nothing is rounded, None is missing."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from kebench.probe.record import Bucket, Figure, Group, ProbeRecord
from kebench.report.probes import BREAKDOWNS
from kebench.report.published import PublishedTable

PROBE_EXPORT_SCHEMA = 1
SHARED = ("set", "set_hash", "mode", "precision", "model", "model_hash", "identity")
GROUP_FIELDS = (*SHARED, "by", "group", *Group.model_fields)
# The fields of a figure, in the order of the CSV's columns.
PROBE_FIELDS = (
    "origin",  # measured or published
    "set",
    "set_hash",
    "protocol_version",
    "mode",
    "decoder",
    "precision",
    "model",
    "model_hash",
    "identity",
    "rule",  # released or fixed
    "bucket",  # overall, type_1 or type_2
    "metric",  # hit, acc_1, acc_5 or mrr
    "ranking",  # by_sum or by_mean; empty for hit
    "queries",
    "relations",
    *Figure.model_fields,
    "source",
)


def probe_rows(
    records: Iterable[ProbeRecord], published: Sequence[PublishedTable]
) -> Iterator[dict[str, Any]]:
    """Yield every figure, measured and published."""
    for record in records:
        shared = record.model_dump(include={*PROBE_FIELDS[1 : PROBE_FIELDS.index("rule")]})
        for figure in _measured(record):
            yield _complete({"origin": "measured", **shared, **figure})
    for table in published:
        for row in table.rows:
            for column, percent in row.scores.items():
                yield _complete(
                    {
                        "origin": "published",
                        "model": row.model,
                        "rule": "released",
                        "bucket": column.replace("-", "_"),
                        "metric": "hit",
                        "macro_percent": percent,
                        "source": f"{table.source}; {row.source}",
                    }
                )


def flat(figure: dict[str, Any]) -> dict[str, Any]:
    """Return a figure for CSV: the decoder as one text."""
    decoder = " ".join(f"{name}={value}" for name, value in (figure["decoder"] or {}).items())
    return {**figure, "decoder": decoder}


def group_rows(records: Iterable[ProbeRecord], by: str) -> Iterator[dict[str, Any]]:
    """Yield every group of the breakdowns of some probes. by: a key of BREAKDOWNS."""
    for record in records:
        shared = record.model_dump(include=set(SHARED))
        for name, group in getattr(record.scores.fixed, BREAKDOWNS[by]).items():
            yield {**shared, "by": by, "group": name, **group.model_dump()}


def _complete(figure: dict[str, Any]) -> dict[str, Any]:
    return {field: figure.get(field) for field in PROBE_FIELDS}


def _measured(record: ProbeRecord) -> Iterator[dict[str, Any]]:
    for rule in ("released", "fixed"):
        scores = getattr(record.scores, rule)
        for name in ("overall", "type_1", "type_2"):
            bucket = getattr(scores, name)
            shared = {
                "rule": rule,
                "bucket": name,
                "queries": bucket.queries,
                "relations": bucket.relations,
            }
            yield {**shared, "metric": "hit", **bucket.hit.model_dump()}
            if isinstance(bucket, Bucket):
                for ranking in ("by_sum", "by_mean"):
                    for metric, figure in getattr(bucket, ranking):
                        yield {**shared, "metric": metric, "ranking": ranking, **figure.model_dump()}
