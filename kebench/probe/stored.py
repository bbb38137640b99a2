"""Saved probes: where they are, and what stands beside a record: predictions, tokenizer, queries asked.

Nothing here, and nothing that scores, knows how the answers were found.
"""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from tokenizers import Tokenizer

from kebench.bounded import MOST_TOKENIZER_BYTES, refuse_larger
from kebench.errors import UserError, did_you_mean
from kebench.probe.query_set import QuerySet
from kebench.probe.questions import QuestionSet
from kebench.probe.record import (
    PREDICTIONS,
    TOKENIZER,
    AnyProbe,
    ChoiceRecord,
    GenerateRecord,
    ProbeRecord,
    ProbeSubset,
    RankRecord,
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


AnyRecord = TypeVar("AnyRecord", ProbeRecord, RankRecord, ChoiceRecord, GenerateRecord)


class StoredProbe(NamedTuple, Generic[AnyRecord]):
    """A finished probe and its folder."""

    record: AnyRecord
    folder: Path


def find_probes(folders: Sequence[Path], form: type[AnyRecord]) -> list[StoredProbe[AnyRecord]]:
    """Return the probes of a form of record under some folders; UserError as by `find_any_probes`."""
    any_form = find_any_probes(folders, may_lack=True)
    found = [probe for probe in any_form if isinstance(probe.record, form)]
    if not found:
        raise UserError(_none_in(folders, "probes that fill blanks" if any_form else "probes"))
    return found


def find_any_probes(
    folders: Sequence[Path],
    *,
    left_out: Callable[[UserError], object] | None = None,
    may_lack: bool = False,
) -> list[StoredProbe[Any]]:
    """Return the probes of any prober under some folders, each once under the name of its model.

    Raises UserError for a folder that is not there, for a record that cannot be read, and if there is no
    probe at all, unless it may_lack any; `left_out`, if given, is told of the record instead, and no probe
    will do then.
    """
    found: dict[tuple[str, str], StoredProbe[Any]] = {}
    for folder in folders:
        if not folder.is_dir():
            raise UserError(f"{folder}: no such folder of probes; {REMEDY}")
        for path in probe_record_paths(folder):
            try:
                record = read_probe_record(path)
            except UserError as error:
                if left_out is None:
                    raise
                left_out(error)
            else:
                found.setdefault((record.model, record.identity), StoredProbe(record, path.parent))
    if not found and left_out is None and not may_lack:
        raise UserError(_none_in(folders))
    return list(found.values())


def _none_in(folders: Sequence[Path], kind: str = "probes") -> str:
    return f"{', '.join(map(str, folders))}: no {kind}; {REMEDY}, or name their folder with --results"


def unfinished_probes(folder: Path) -> list[Path]:
    """Return the folders under this one in which a probe will be that has been begun."""
    return [parts.with_suffix("") for parts in sorted(folder.rglob("*.parts"))]


def probes_on(
    probes: Iterable[StoredProbe[AnyRecord]], asked: QuerySet | QuestionSet | str
) -> list[StoredProbe[AnyRecord]]:
    """Return the probes on a set, or on those of a name. Raises UserError if there is none."""
    probes = list(probes)
    if isinstance(asked, str):
        fitting = [probe for probe in probes if probe.record.set == asked]
        sets = {probe.record.set for probe in probes}
        listed = ", ".join(sorted(sets))
        missing = f"no probe of the set '{asked}'{did_you_mean(asked, sets)} there are {listed}"
    else:
        hashes = asked.manifest.hashes
        fitting = [probe for probe in probes if probe.record.set_hash in hashes]
        missing = f"no probe of the set in {asked.folder}; {REMEDY}"
    if not fitting:
        raise UserError(missing)
    return fitting


def newest_probe(probes: Iterable[StoredProbe[AnyRecord]]) -> StoredProbe[AnyRecord]:
    """Return the probe that was begun last."""
    return max(probes, key=lambda probe: probe.record.provenance.started_utc)


def check_set(query_set: QuerySet | QuestionSet, record: AnyProbe) -> None:
    """Raise UserError if a probe is of another set."""
    if record.set_hash not in query_set.manifest.hashes:
        raise UserError(
            f"{query_set.folder}: set {query_set.manifest.content_hash[:8]}, but the predictions are of "
            f"{record.set} {record.set_hash[:8]}; name that set's folder"
        )


def rules_differ(record: AnyProbe) -> str:
    """Say that a record's figures were made by other rules than today's; "" if they were not."""
    made, today = record.protocol_version, record.settings.protocol_version
    if made == today:
        return ""
    return (
        f"judged by today's rules (protocol {today} of probes); the record's figures are by protocol {made}"
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


def read_predictions(
    folder: Path,
    *,
    columns: Sequence[str] | None = None,
    of: pa.Table | None = None,
    schema: pa.Schema = SCHEMA,
) -> pa.Table:
    """Return a probe's predictions, or some columns of them. Raises UserError if they cannot be read.

    of: only those of these queries. schema: that of the probe's kind.
    """
    filters = None if of is None else [("query_id", "in", of["query_id"].to_pylist())]
    return read_beside(folder / PREDICTIONS, schema, columns=columns, filters=filters)


def read_beside(
    path: Path, schema: pa.Schema, *, columns: Sequence[str] | None = None, filters: Any = None
) -> pa.Table:
    """Return a table of a schema that stands beside a record. Raises UserError if it cannot be read."""
    try:
        found = pq.read_table(path, columns=columns and list(columns), filters=filters)
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; {WHOLE}") from None
    except (pa.ArrowException, OSError) as error:
        raise UserError(f"{path}: damaged ({error}); {WHOLE}") from None
    for field in schema:
        if field.name in (columns or schema.names) and field not in found.schema:
            raise UserError(f"{path}: damaged (no column {field.name} of {field.type}); {WHOLE}")
    return found


def decoded_queries(queries: pa.Table, folder: Path) -> pa.Table:
    """Return the queries of which a probe holds predictions."""
    decoded = read_predictions(folder, columns=["query_id"])["query_id"].unique()
    return queries.filter(pc.is_in(queries["query_id"], decoded))


def asked_queries(queries: pa.Table, subset: ProbeSubset) -> pa.Table:
    """Return the queries that a probe asks, decoded or not: all, or the first by a hash of seed and id."""
    if subset.queries is None:
        return queries

    def draw(query_id: int) -> str:
        return hashlib.sha256(f"{subset.seed}:{query_id}".encode()).hexdigest()

    chosen = sorted(queries["query_id"].to_pylist(), key=draw)[: subset.queries]
    return queries.filter(pc.is_in(queries["query_id"], pa.array(chosen, queries["query_id"].type)))


def evenly(queries: pa.Table, count: int) -> pa.Table:
    """Return at most `count` of the queries, evenly spaced."""
    return queries.take(pa.array(even_places(len(queries), count), pa.int64()))


def even_places(total: int, count: int) -> list[int]:
    """Return at most `count` places of `total`, evenly spaced."""
    return [place * total // count for place in range(count)] if count < total else list(range(total))
