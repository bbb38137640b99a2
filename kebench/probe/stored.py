"""What stands beside a probe's record, read: its predictions, its tokenizer, and the queries it is of."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from tokenizers import Tokenizer

from kebench.bounded import MOST_TOKENIZER_BYTES, refuse_larger
from kebench.errors import UserError
from kebench.probe.plan import chosen_ids
from kebench.probe.query_set import QuerySet
from kebench.probe.record import (
    PREDICTIONS,
    PROBE_PROTOCOL_VERSION,
    TOKENIZER,
    ProbeRecord,
    probe_record_paths,
    read_probe_record,
)

SCHEMA = pa.schema(
    [
        ("query_id", pa.int32()),
        ("num_masks", pa.int8()),
        ("rank", pa.int8()),
        ("tokens", pa.list_(pa.int32())),
        ("order", pa.list_(pa.int8())),
        ("token_log_probs", pa.list_(pa.float32())),
        ("sum_log_prob", pa.float32()),
    ]
)

WHOLE = "copy the probe's whole folder, or run it again"
REMEDY = "make some with 'kebench probe run'"


class StoredProbe(NamedTuple):
    """A finished probe and its folder."""

    record: ProbeRecord
    folder: Path


def find_probes(folders: Iterable[Path]) -> list[StoredProbe]:
    """Return the probes under some folders, each once. Raises UserError for a folder that is not there."""
    found: dict[str, StoredProbe] = {}
    for folder in folders:
        if not folder.is_dir():
            raise UserError(f"{folder}: no such folder of probes; {REMEDY}")
        for path in probe_record_paths(folder):
            record = read_probe_record(path)
            found.setdefault(record.identity, StoredProbe(record, path.parent))
    return list(found.values())


def check_set(query_set: QuerySet, record: ProbeRecord) -> None:
    """Raise UserError if a probe is of another set."""
    found = query_set.manifest.content_hash
    if found != record.set_hash:
        raise UserError(
            f"{query_set.folder}: set {found[:8]}, but the predictions are of {record.set} "
            f"{record.set_hash[:8]}; name that set's folder"
        )


def rules_differ(record: ProbeRecord) -> str:
    """Say that a record's figures were made by other rules than today's; "" if they were not."""
    made = record.protocol_version
    if made == PROBE_PROTOCOL_VERSION:
        return ""
    return (
        f"judged by today's rules (protocol {PROBE_PROTOCOL_VERSION} of probes); the record's figures are by "
        f"protocol {made}"
    )


def read_tokenizer(folder: Path) -> Tokenizer:
    """Return the tokenizer of a probe's model. Raises UserError if it is missing or damaged."""
    path = folder / TOKENIZER
    if not path.is_file():
        raise UserError(f"{path}: no such file; {WHOLE}")
    refuse_larger(path, MOST_TOKENIZER_BYTES)
    try:
        return Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises no narrower kind
        raise UserError(f"{path}: no tokenizer ({error}); {WHOLE}") from None


def read_predictions(folder: Path, **options: Any) -> pa.Table:
    """Return a probe's predictions. options: of Parquet's reader. Raises UserError if they cannot be read."""
    path = folder / PREDICTIONS
    try:
        found = pq.read_table(path, **options)
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; {WHOLE}") from None
    except (pa.ArrowException, OSError) as error:
        raise UserError(f"{path}: damaged ({error}); {WHOLE}") from None
    for field in SCHEMA:
        if field.name in options.get("columns", SCHEMA.names) and field not in found.schema:
            raise UserError(f"{path}: damaged (no column {field.name} of {field.type}); {WHOLE}")
    return found


def decoded_queries(queries: pa.Table, folder: Path) -> pa.Table:
    """Return the queries of which a probe holds predictions."""
    decoded = read_predictions(folder, columns=["query_id"])["query_id"].unique()
    return queries.filter(pc.is_in(queries["query_id"], decoded))


def asked_queries(queries: pa.Table, record: ProbeRecord) -> pa.Table:
    """Return the queries of a set that a probe asked, decoded or not: its sample is drawn again."""
    chosen = pa.array(chosen_ids(queries["query_id"].to_pylist(), record.subset), queries["query_id"].type)
    return queries.filter(pc.is_in(queries["query_id"], chosen))


def evenly(queries: pa.Table, count: int) -> pa.Table:
    """Return at most `count` of the queries, evenly spaced."""
    return queries.take(even_places(len(queries), count))


def even_places(total: int, count: int) -> list[int]:
    """Return at most `count` places of `total`, evenly spaced."""
    return [place * total // count for place in range(count)] if count < total else list(range(total))
