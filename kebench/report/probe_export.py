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
        of_probe = record.model_dump(include={*PROBE_FIELDS[1 : PROBE_FIELDS.index("rule")]})
        for rule in ("released", "fixed"):
            for name in ("overall", "type_1", "type_2"):
                bucket = getattr(getattr(record.scores, rule), name)
                figures: list[tuple[str, str | None, Figure]] = [("hit", None, bucket.hit)]
                if isinstance(bucket, Bucket):
                    for by in ("by_sum", "by_mean"):
                        figures += [(metric, by, one) for metric, one in getattr(bucket, by)]
                for metric, ranking, figure in figures:
                    yield dict.fromkeys(PROBE_FIELDS) | {
                        "origin": "measured",
                        **of_probe,
                        "rule": rule,
                        "bucket": name,
                        "metric": metric,
                        "ranking": ranking,
                        "queries": bucket.queries,
                        "relations": bucket.relations,
                        **figure.model_dump(),
                    }
    for table in published:
        for row in table.rows:
            for column, percent in row.scores.items():
                yield dict.fromkeys(PROBE_FIELDS) | {
                    "origin": "published",
                    "model": row.model,
                    "rule": "released",
                    "bucket": column.replace("-", "_"),
                    "metric": "hit",
                    "macro_percent": percent,
                    "source": f"{table.source}; {row.source}",
                }


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
