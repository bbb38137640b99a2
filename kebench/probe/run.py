"""Carries out a probe: parts of the queries one after another, each kept when it is done, then scores.

A part is leased while it is decoded, so that any number of processes, on one machine or on several that share
the folder, work on one probe: start the same command again, or under `accelerate launch`. What is decided for
a query does not depend on its part or batch. Stopped at any moment, the same command goes on.
"""

import logging
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy
import pyarrow
import pyarrow.parquet
from tokenizers import Tokenizer

from kebench.errors import UserError
from kebench.files import atomic_folder, sweep_temporaries_of, write_parquet_atomically
from kebench.leases import share, share_one
from kebench.model.checkpoint import load_tokenizer
from kebench.model.layout import read_config
from kebench.model.masked_lm import MaskedLM
from kebench.model.optimizer import halving
from kebench.probe.answers import answer_queries, outcome
from kebench.probe.plan import ProbePlan
from kebench.probe.record import (
    PREDICTIONS,
    PROBE_PROTOCOL_VERSION,
    PROBE_RECORD,
    TOKENIZER,
    ProbeRecord,
    probe_counts,
    read_probe_record,
    write_probe_record,
)
from kebench.probe.scores import score_probe
from kebench.probe.states import BATCH_TOKENS
from kebench.probe.stored import SCHEMA, asked_queries
from kebench.progress import progress
from kebench.records import Provenance
from kebench.runtime import Begun, Device, begin, device_description

PART_QUERIES = {"cpu": 16, "cuda": 4096}  # ours: about a minute of work
BOOTSTRAP_SEED = 0

_log = logging.getLogger(__name__)


def find_finished(plan: ProbePlan, out: Path) -> ProbeRecord | None:
    """Return the record of a probe if it has been made. Raises UserError if what it is of is gone."""
    folder = plan.out(out)
    if not (folder / PROBE_RECORD).is_file():
        if folder.exists():
            raise UserError(f"{folder}: holds no {PROBE_RECORD}; remove the folder and run again")
        return None
    for name in (PREDICTIONS, TOKENIZER):
        if not (folder / name).is_file():
            raise UserError(
                f"{folder / name}: missing beside {PROBE_RECORD}; remove the folder and run again"
            )
    return read_probe_record(folder / PROBE_RECORD)


def run_probe(
    plan: ProbePlan,
    out: Path,
    *,
    device: Device,
    allow_remote_code: bool = False,
    batch_tokens: int | None = None,
) -> ProbeRecord:
    """Decode every query that is not decoded yet, score all, and write predictions and record.

    Raises UserError for a checkpoint without a trained head or without a mask token.
    """
    begun = begin(device.name)
    queries = asked_queries(plan.query_set.table(), plan.subset)
    # Predictions of a part are kept beside the folder that all will be in.
    size = PART_QUERIES[device.name.partition(":")[0]]
    if read_config(plan.folder).get("fidelity") == "released":  # its answers depend on the batch: one part
        size = max(1, len(queries))
    folder = plan.out(out).with_suffix(".parts") / f"{size}-queries"
    starts = range(0, len(queries), size)
    parts = {folder / f"part-{at // size:05}.parquet": queries.slice(at, size) for at in starts}
    card, trusted = plan.card, plan.card.trust_remote_code and allow_remote_code
    tokenizer = load_tokenizer(
        plan.folder, family=card.family, casing=card.casing, split_words=False, trust_remote_code=trusted
    )
    if tokenizer.mask_token_id is None:
        raise UserError(f"{plan.folder}: its tokenizer has no mask token; it is no masked language model")

    _decode(plan, out, parts, tokenizer, device=device.name, trusted=trusted, batch_tokens=batch_tokens)
    # One process scores the parts.
    share_one(
        plan.out(out).with_suffix(".running"),
        is_done=lambda: find_finished(plan, out) is not None,
        work=lambda: _finish(plan, plan.out(out), list(parts), queries, tokenizer, begun),
    )
    record = find_finished(plan, out)
    assert record is not None, "a probe that was shared is finished"
    drop_parts(plan, out)
    return record


def run_probes(plans: Sequence[ProbePlan], out: Path, run_one: Callable[[ProbePlan, Path], object]) -> None:
    """Run those of some probes that are not made, each by `run_one`; the same in several processes."""
    for plan in plans:
        if find_finished(plan, out) is None:
            run_one(plan, out)


def drop_parts(plan: ProbePlan, out: Path) -> None:
    """Remove the parts and the lease of a finished probe, which a kill may have left."""
    final = plan.out(out)
    shutil.rmtree(final.with_suffix(".parts"), ignore_errors=True)
    final.with_suffix(".running").unlink(missing_ok=True)


def _decode(
    plan: ProbePlan,
    out: Path,
    parts: dict[Path, pyarrow.Table],
    tokenizer: Any,
    *,
    device: str,
    trusted: bool,
    batch_tokens: int | None,
) -> None:
    """Decode parts until none is left; wait for those that other processes have in hand.

    parts: the queries of each, by the file of its predictions. Another process may finish the whole probe,
    and remove its parts, while this one waits or takes a lease.
    """
    left = [path for path in parts if not _is_decoded(path)]
    if not left:
        return
    num_queries = sum(len(parts[path]) for path in left)
    _log.info("decoding %s queries in %d parts; a part that is done is kept", f"{num_queries:,}", len(left))
    if done := len(parts) - len(left):
        _log.info("%d of %d parts are decoded already", done, len(parts))
    model = MaskedLM.load(  # before any folder is made: a checkpoint that is refused leaves none behind
        plan.folder,
        family=plan.card.family,
        device=device,
        precision=plan.precision,
        trust_remote_code=trusted,
    )
    at_once = batch_tokens or BATCH_TOKENS[device.partition(":")[0]]

    def decode(path: Path) -> None:
        nonlocal at_once
        ids, texts = (parts[path][column].to_pylist() for column in ("query_id", "text"))
        table, at_once = halving(
            lambda tokens: answer_queries(ids, texts, model, tokenizer, plan.decoder, batch_tokens=tokens),
            at_once,
            may_halve=batch_tokens is None and not model.depends_on_batch,
        )
        write_parquet_atomically(path, table, point="probe-part")

    with progress("probing", total=num_queries, unit="queries") as advance:
        share(
            left,
            lambda path: path.with_suffix(".running"),
            is_done=lambda path: path.exists() or find_finished(plan, out) is not None,
            work=decode,
            after=lambda path: advance(len(parts[path])),
        )


def _is_decoded(path: Path) -> bool:
    """Tell whether a part is there; one that is not whole is removed."""
    try:
        pyarrow.parquet.read_metadata(path)
    except FileNotFoundError:
        return False
    except pyarrow.ArrowException:
        _log.warning("%s: damaged; it is decoded again", path)
        path.unlink(missing_ok=True)
        return False
    return True


def _finish(
    plan: ProbePlan, final: Path, parts: Sequence[Path], queries: pyarrow.Table, tokenizer: Any, begun: Begun
) -> None:
    """Score the parts and put predictions, tokenizer and record in their place."""
    sweep_temporaries_of(final)
    tables = [pyarrow.parquet.read_table(path) for path in parts]
    predictions = pyarrow.concat_tables([SCHEMA.empty_table(), *tables])
    spelling, max_masks = tokenizer.backend_tokenizer.to_str(), plan.decoder.max_masks
    scores = score_probe(
        queries,
        predictions,
        Tokenizer.from_str(spelling),
        max_masks=max_masks,
        generator=numpy.random.default_rng(BOOTSTRAP_SEED),
    )
    texts = dict(zip(queries["query_id"].to_pylist(), queries["text"].to_pylist(), strict=True))
    counted = outcome(predictions, texts, tokenizer, max_masks)
    record = ProbeRecord(
        schema=1,
        identity=plan.identity,
        model=plan.card.name,
        model_hash=plan.model_hash,
        set=plan.query_set.manifest.name,
        set_hash=plan.query_set.manifest.content_hash,
        protocol_version=PROBE_PROTOCOL_VERSION,
        mode=plan.mode,
        decoder=plan.decoder,
        precision=plan.precision,
        subset=plan.subset,
        counts=probe_counts(scores, counted, max_masks=max_masks),
        scores=scores,
        provenance=Provenance(**begun.provenance(), device=device_description(begun.device), num_processes=1),
    )
    with atomic_folder(final, point="probe") as folder:
        pyarrow.parquet.write_table(predictions, folder / PREDICTIONS, compression="zstd")
        (folder / TOKENIZER).write_text(spelling, encoding="utf-8")
        write_probe_record(folder, record)
