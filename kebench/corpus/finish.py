"""The end of an annotation: what a later file replaces or takes back goes, and corpus.json is written."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import duckdb
import pyarrow
import pyarrow.compute
import pyarrow.parquet

from kebench.corpus.linked import (
    MANIFEST,
    SHARDS,
    CorpusCounts,
    CorpusInput,
    CorpusManifest,
    Exclusion,
    Shard,
    read_shard,
    refuse_damaged,
)
from kebench.corpus.plan import AnnotationPlan
from kebench.files import sha256_of, write_atomically, write_parquet_atomically
from kebench.runtime import installed, software, utc_now
from kebench.umls.database import connect

EARLIER = "earlier version"
HELD_OUT = "held out by "  # id or text
PACKAGES = (
    "ahocorasick-rs", "bioc", "duckdb", "nmslib-metabrainz", "numpy", "pyarrow", "scikit-learn", "scipy",
    "scispacy", "spacy", "sparse-dot-topn",
)  # fmt: skip
# Where versions of documents stand, or are taken back.
_PLACES = pyarrow.schema(
    [("document_id", pyarrow.string()), ("shard", pyarrow.string()), ("version", pyarrow.int64())]
)


def finish(
    plan: AnnotationPlan, out: Path, done: Sequence[dict[str, Any]], *, about: dict[str, Any], seconds: float
) -> None:
    """Drop what is not to stay, count the rest, write corpus.json. Killed anywhere, it can be done again.

    done: what was read in each input, in order. about: what the linker says of itself. Raises UserError at a
    shard that is damaged.
    """
    paths = sorted((out / SHARDS).glob("*.parquet"))
    try:
        if paths:
            drop_earlier_versions(paths, done)
        counts, shards = count_shards(paths)
    except duckdb.Error:
        refuse_damaged(paths)
        raise
    left_out: Counter[str] = Counter()
    for one in done:
        left_out.update(one["left_out"])
    left_out[EARLIER] += sum(one["documents"] for one in done) - counts.documents
    base, tests = plan.knowledge_base, plan.tests
    manifest = CorpusManifest(
        schema=1,
        content_hash=plan.content_hash,
        knowledge_base={"release": base.manifest.release, "content_hash": base.content_hash},
        settings=plan.settings,
        about=plan.model | about,
        on_error=plan.on_error,
        retracted=plan.retracted,
        exclusion=Exclusion(
            tests=tests.tests,
            files=tests.files,
            ids=len(tests.ids),
            sentences=len(tests.texts),
            by_id=left_out[f"{HELD_OUT}id"],
            by_text=left_out[f"{HELD_OUT}text"],
        ),
        inputs=tuple(
            CorpusInput(
                name=source.path.name,
                bytes=source.bytes,
                sha256=source.sha256,
                format=source.format,
                read={"faults": sum(one["faults"].values()), **dict(sorted(one["noted"].items()))},
            )
            for source, one in zip(plan.inputs, done, strict=True)
        ),
        left_out={reason: count for reason, count in sorted(left_out.items()) if count},
        counts=counts,
        shards=shards,
        provenance={**software(installed(PACKAGES)), "made_utc": utc_now(), "seconds": round(seconds, 1)},
    )
    write_atomically(out / MANIFEST, manifest.model_dump_json(by_alias=True, indent=1) + "\n", point="corpus")


def drop_earlier_versions(paths: Sequence[Path], done: Sequence[dict[str, Any]]) -> None:
    """Take the documents out of their shards that stand again, or are taken back, in a later shard.

    Of several versions the highest counts, wherever it stands.
    """
    with connect() as connection:
        for name in ("removed", "versions"):
            stated = [dict(zip(_PLACES.names, row, strict=True)) for one in done for row in one[name]]
            connection.register(name, pyarrow.Table.from_pylist(stated, schema=_PLACES))
        rows = connection.execute(
            """WITH documents AS (
                SELECT DISTINCT document_id, parse_filename(filename) AS shard
                FROM read_parquet($paths, filename = true)
            ), stated AS (
                SELECT document_id, shard, max(version) AS version FROM versions GROUP BY ALL
            ), places AS (
                SELECT document_id, shard, printf('%09d-%s', coalesce(version, 1), shard) AS place
                FROM documents LEFT JOIN stated USING (document_id, shard)
            ), last AS (
                SELECT document_id, max(place) AS place FROM (
                    SELECT document_id, place FROM places
                    UNION ALL SELECT document_id, printf('%09d-%s', version, shard) FROM removed
                ) GROUP BY document_id
            )
            SELECT places.shard, list(document_id ORDER BY document_id)
            FROM places JOIN last USING (document_id) WHERE places.place < last.place
            GROUP BY ALL ORDER BY ALL""",
            {"paths": [str(path) for path in paths]},
        ).fetchall()
    by_name = {path.name: path for path in paths}
    for shard, gone in rows:
        table = read_shard(by_name[shard])
        stays = pyarrow.compute.invert(pyarrow.compute.is_in(table["document_id"], pyarrow.array(gone)))
        write_parquet_atomically(by_name[shard], table.filter(stays), point="shard")


def count_shards(paths: Sequence[Path]) -> tuple[CorpusCounts, tuple[Shard, ...]]:
    """Count what shards hold, all together and each."""
    if not paths:
        return CorpusCounts(**dict.fromkeys(CorpusCounts.model_fields, 0)), ()
    query = """SELECT count(DISTINCT document_id) AS documents, count(*) AS passages,
        coalesce(sum(length(text))::BIGINT, 0) AS characters, coalesce(sum(detected)::BIGINT, 0) AS detected,
        coalesce(sum(len(list_distinct([(m.char_start, m.char_end) FOR m IN mentions])))::BIGINT, 0)
            AS mentions,
        coalesce(sum(len(mentions))::BIGINT, 0) AS links,
        (SELECT count(DISTINCT cui) FROM (SELECT unnest(mentions).cui AS cui FROM read_parquet($paths)))
            AS cuis
        FROM read_parquet($paths)"""
    with connect() as connection:
        found = connection.sql(query, params={"paths": [str(path) for path in paths]}).to_arrow_table()
    (counts,) = found.to_pylist()
    shards = []
    for path in paths:
        document_ids = pyarrow.parquet.read_table(path, columns=["document_id"])["document_id"]
        shards.append(
            Shard(
                name=path.name,
                documents=pyarrow.compute.count_distinct(document_ids).as_py(),
                passages=len(document_ids),
                bytes=path.stat().st_size,
                sha256=sha256_of(path),
            )
        )
    return CorpusCounts(**counts), tuple(shards)
