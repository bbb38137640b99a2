"""What each query of a stored probe earns, from 0 to 1: what two probes are compared by."""

from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from kebench.errors import UserError
from kebench.probe.query_set import find_set
from kebench.probe.record import EARNED, ProbeRecord
from kebench.probe.scores import hits_of
from kebench.probe.stored import WHOLE, StoredProbe, asked_queries, read_predictions, read_tokenizer


class Earned(NamedTuple):
    """What a query earns, NaN if it has no figure. subject: what it is about."""

    value: float
    relation: str
    subject: str


def earned_of(probe: StoredProbe[Any], score: str, metric: str) -> dict[int, Earned]:
    """Return what each query of a probe earns, by its id.

    score, metric: of ranked probes; of filled blanks a query earns 1 where any answer is right, by the fixed
    rule. Raises UserError for a score that a probe has not, and for files that are missing or damaged.
    """
    record, folder = probe.record, probe.folder
    if isinstance(record, ProbeRecord):
        query_set = find_set(record.set_hash, name=record.set)
        queries = asked_queries(query_set.table(), record.subset)
        hits = hits_of(queries, read_predictions(folder, of=queries), read_tokenizer(folder))
        rows = zip(queries.select(["query_id", "relation", "given", "text"]).to_pylist(), hits, strict=True)
        return {
            row["query_id"]: Earned(float(hit), row["relation"], " ".join(row["given"]) or row["text"])
            for row, hit in rows
        }
    if score not in record.figures:
        raise UserError(f"{folder}: has no figures by '{score}'; choose one of {', '.join(record.figures)}")
    try:
        table = pq.read_table(folder / EARNED)
    except (OSError, pa.ArrowException) as error:
        raise UserError(f"{folder / EARNED}: cannot be read ({error}); {WHOLE}") from None
    rows_of = table.filter(pc.equal(table["score"], score))
    columns = (rows_of[name].to_pylist() for name in ("query_id", f"own_{metric}", "relation", "subject"))
    return {query_id: Earned(*of) for query_id, *of in zip(*columns, strict=True)}
