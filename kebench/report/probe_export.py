"""Probes for programs: JSON, and CSV with one line a figure. Nothing is rounded; what is missing is empty."""

import csv
import io
import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from kebench.probe.record import Bucket, Figure, ProbeRecord
from kebench.report.published import PublishedTable

PROBE_EXPORT_SCHEMA = 1
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


def render_probes_json(records: Iterable[ProbeRecord], published: Sequence[PublishedTable]) -> str:
    """Return every figure as one JSON object."""
    content = {"schema": PROBE_EXPORT_SCHEMA, "figures": list(_figures(records, published))}
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


def render_probes_csv(records: Iterable[ProbeRecord], published: Sequence[PublishedTable]) -> str:
    """Return one line a figure, measured and published."""
    out = io.StringIO()
    writer = csv.DictWriter(out, PROBE_FIELDS, lineterminator="\n")
    writer.writeheader()
    for figure in _figures(records, published):
        decoder = " ".join(f"{name}={value}" for name, value in (figure["decoder"] or {}).items())
        writer.writerow({**figure, "decoder": decoder})
    return out.getvalue()


def _figures(records: Iterable[ProbeRecord], published: Sequence[PublishedTable]) -> Iterator[dict[str, Any]]:
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
