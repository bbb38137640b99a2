"""Query sets and predictions written in sight, for tests of scores, records and commands."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers

from kebench.files import sha256_of
from kebench.probe import query_set
from kebench.probe.record import (
    PROBE_PROTOCOL_VERSION,
    Decoder,
    FillSettings,
    ProbeCounts,
    ProbeRecord,
    ProbeScores,
    ProbeSubset,
    RankSettings,
    probe_counts,
    probe_identity,
)
from kebench.records import Provenance

ANSWER = pa.struct(
    [
        ("cui", pa.string()),
        ("name", pa.string()),
        ("names", pa.list_(pa.string())),
        ("semantic_types", pa.list_(pa.string())),
    ]
)
QUERIES = pa.schema(
    [
        ("query_id", pa.int32()),
        ("text", pa.string()),
        ("relation", pa.string()),
        ("direction", pa.string()),
        ("given", pa.list_(pa.string())),
        ("luis", pa.list_(pa.string())),
        ("answers", pa.list_(ANSWER)),
        ("is_type_1", pa.bool_()),
        ("is_type_1_released", pa.bool_()),
    ]
)
PREDICTIONS = pa.schema(
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
PIECES = (
    "[PAD]",
    "[UNK]",
    "[MASK]",
    "asthma",
    "head",
    "##ache",
    "5",
    "'",
    "-",
    "nucleotidase",
    "severe",
    "drug",
)
PIECES += ("|", "(", ")", "disorder", "cold", "iron", "ii", "iii", "1", "2", "12", ",", "sjogren", "sjögren")


def word_pieces() -> Tokenizer:
    """A tokenizer of a few pieces, lower-casing."""
    tokenizer = Tokenizer(models.WordPiece({piece: i for i, piece in enumerate(PIECES)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece(prefix="##")
    tokenizer.add_special_tokens(list(PIECES[:3]))
    return tokenizer


def answer(cui: str, *names: str, types: Sequence[str] = ()) -> dict[str, Any]:
    return {
        "cui": cui,
        "name": names[0] if names else "",
        "names": list(names),
        "semantic_types": list(types),
    }


def query_table(*queries: tuple[str, Sequence[Mapping[str, Any]], bool, bool]) -> pa.Table:
    """queries: relation, answers, whether of type 1, and whether by the released rule."""
    rows = [
        {
            "query_id": place,
            "text": f"thing {place} {relation.replace('_', ' ')} [MASK].",
            "relation": relation,
            "direction": "tail",
            "given": ["C1"],
            "luis": ["L1"],
            "answers": list(answers),
            "is_type_1": is_type_1,
            "is_type_1_released": is_type_1_released,
        }
        for place, (relation, answers, is_type_1, is_type_1_released) in enumerate(queries)
    ]
    return pa.Table.from_pylist(rows, schema=QUERIES)


def write_set(folder: Path, queries: pa.Table, *, content_hash: str = "2" * 64) -> Path:
    """Write queries and a manifest of a set that was imported; return the folder."""
    folder.mkdir()
    pq.write_table(queries, folder / query_set.QUERIES)
    manifest = query_set.QuerySetManifest(
        schema=1, name="umls", set_version=2, mode="fixed", content_hash=content_hash,
        knowledge_base=None, recipe=None, counts={"queries": len(queries)},
        by_relation={}, facts_stored=None, reverse_share=None, sharing="",
        missing={}, queries_sha256=sha256_of(folder / query_set.QUERIES), provenance={},
    )  # fmt: skip
    (folder / query_set.MANIFEST).write_text(manifest.model_dump_json(by_alias=True))
    return folder


def prediction_table(rows: Iterable[tuple[int, str, float]]) -> pa.Table:
    """rows: query, pieces with blanks between, and their sum; better ones of a query and length first."""
    made: list[dict[str, Any]] = []
    ranks: dict[tuple[int, int], int] = {}
    for query, pieces, score in rows:
        tokens = [PIECES.index(piece) for piece in pieces.split()]
        place = ranks[query, len(tokens)] = ranks.get((query, len(tokens)), -1) + 1
        made.append(
            {
                "query_id": query,
                "num_masks": len(tokens),
                "rank": place,
                "tokens": tokens,
                "order": list(range(len(tokens))),
                "token_log_probs": [score / len(tokens)] * len(tokens),
                "sum_log_prob": score,
            }
        )
    return pa.Table.from_pylist(made, schema=PREDICTIONS)


def probe_record(scores: ProbeScores, *, model: str = "bert-tiny", **changes: Any) -> ProbeRecord:
    """A record with these scores."""
    decoder = Decoder(
        method="confidence", beam=5, max_masks=2, max_tokens=512, refine=0,
        slots=True, duplicates=False, exact=False, special_tokens=False,
    )  # fmt: skip
    made: dict[str, Any] = {
        "model_hash": "1" * 64, "set_hash": "2" * 64, "mode": "fixed", "decoder": decoder,
        "precision": "fp32", "subset": ProbeSubset(), **changes,
    }  # fmt: skip
    provenance = Provenance(
        kebench_version="0.1.0", commit="abc", packages={}, device="cpu", num_processes=1,
        started_utc="2026-11-25T00:00:00Z", seconds=1.0, peak_mib=1.0,
    )  # fmt: skip
    settings = FillSettings(mode=made["mode"], decoder=made["decoder"])
    hashed = {name: made[name] for name in ("model_hash", "set_hash", "precision", "subset")}
    identity = probe_identity(settings=settings, **hashed)
    num_queries = scores.fixed.overall.queries
    counts = probe_counts(scores, ProbeCounts(queries=num_queries, decoded=num_queries), max_masks=2)
    return ProbeRecord(
        identity=identity, model=model, set="umls", protocol_version=PROBE_PROTOCOL_VERSION,
        counts=counts, scores=scores,
        provenance=provenance, **made,
    )  # fmt: skip


RANKING = RankSettings(
    family="causal",
    start="",
    pll=None,
    shots=0,
    draws=1,
    seed=0,
    left_out=0,
    wordings=1,
    negated=False,
    names=1,
)
