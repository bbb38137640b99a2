"""Carries out an annotation: file by file, shard by shard, each kept when it is done, then corpus.json.

One process reads, one or several link and write shards. A file is leased while it is read, so that commands
on several machines that share the folder share its files. Stopped at any moment, the same command goes on: it
reads again what it had read, and links only what is not there.
"""

import atexit
import json
import os
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow

from kebench.corpus.dictionary import DictionaryLinker
from kebench.corpus.exclude import HeldOutFilter
from kebench.corpus.finish import EARLIER, HELD_OUT, finish
from kebench.corpus.gold import GoldLinker
from kebench.corpus.linked import MANIFEST, SCHEMA, SHARDS, CorpusManifest, LinkedCorpus, is_whole_shard
from kebench.corpus.linking import Linker
from kebench.corpus.passage import Passage, Removed
from kebench.corpus.plan import PLAN, AnnotationPlan, claimed, describe_plan, differences, read_if_whole
from kebench.corpus.readers import read_passages
from kebench.corpus.readers.stream import bytes_read
from kebench.errors import UserError
from kebench.files import sweep_temporaries, write_atomically, write_parquet_atomically
from kebench.leases import share, share_one
from kebench.processes import executor
from kebench.progress import progress

_AHEAD = 2  # shards that wait for each process

Submit = Callable[[Path, list[Passage]], Future[dict[str, Any]]]


def _linker_of(plan: AnnotationPlan) -> Linker:
    if plan.settings.linker == "dictionary":
        return DictionaryLinker(plan.knowledge_base)
    if plan.settings.linker == "gold":
        return GoldLinker(plan.knowledge_base, id_map=plan.files.id_map)
    # SciPy and scikit-learn, seconds of imports, are of use to this linker alone.
    from kebench.corpus.scispacy_linker import ScispacyLinker

    return ScispacyLinker(plan.knowledge_base, plan.settings, plan.files.definitions)


def annotate(plan: AnnotationPlan, out: Path, *, processes: int = 1) -> CorpusManifest:
    """Link what is not linked yet, and write corpus.json. Raises UserError as the readers do.

    Also raises UserError if `out` holds, or is becoming, another corpus.
    """
    started = time.monotonic()
    manifest = find_corpus(plan, out)
    if manifest is None:
        with claimed(plan, out):
            sweep_temporaries(out)
            # The shards of all files that this process can lease; it waits for those of others.
            places = range(len(plan.inputs))
            left = [place for place in places if not is_done(out, place)]
            total = sum(plan.inputs[place].bytes for place in left)
            with (
                _submitting(plan, processes) as submit,
                progress("annotating", total=total, unit="bytes") as advance,
            ):
                share(
                    left,
                    lambda place: done_path(out, place).with_suffix(".running"),
                    is_done=lambda place: is_done(out, place),
                    work=lambda place: _annotate_file(plan, out, place, submit, advance, _AHEAD * processes),
                )

            def end() -> None:
                done = [read for place in places if (read := read_done(out, place))]
                about = next((one["about"] for one in done if one["about"]), None) or _linker_of(plan).about()
                finish(plan, out, done, about=about, seconds=time.monotonic() - started)

            share_one(out / "corpus.running", is_done=(out / MANIFEST).exists, work=end)
        manifest = find_corpus(plan, out)
        assert manifest is not None, "a corpus that was shared is finished"
    # A kill may have left leases; of a finished corpus nobody holds one.
    for path in (*(out / SHARDS).glob("*.running"), *out.glob("*.running")):
        path.unlink(missing_ok=True)
    return manifest


def find_corpus(plan: AnnotationPlan, out: Path) -> CorpusManifest | None:
    """Return the manifest of `out` if it is this very corpus, finished. Raises UserError if it is another."""
    if not (out / MANIFEST).exists():
        return None
    manifest = LinkedCorpus.open(out).manifest
    if manifest.content_hash != plan.content_hash:
        begun = read_if_whole(out / PLAN)
        is_its_plan = begun.get("content_hash") == manifest.content_hash
        what = f" ({differences(begun, describe_plan(plan))})" if is_its_plan else ""
        raise UserError(f"{out}: holds another corpus{what}; choose another --out, or remove it")
    return manifest


def done_path(out: Path, place: int) -> Path:
    """Return the file that says what was read in an input, and that all its shards are there."""
    return out / SHARDS / f"{place:05}.json"


def read_done(out: Path, place: int) -> dict[str, Any]:
    """Return what was read in an input; nothing if it is not there, or was damaged."""
    read = read_if_whole(done_path(out, place))
    return read if "noted" in read else {}


def is_done(out: Path, place: int) -> bool:
    """Say whether an input was read to its end, and all its shards are there and whole."""
    read = read_done(out, place)
    return bool(read) and all(
        is_whole_shard(_shard_path(out, place, number)) for number in range(read["shards"])
    )


def _annotate_file(
    plan: AnnotationPlan, out: Path, place: int, submit: Submit, advance: Callable[[float], None], ahead: int
) -> None:
    """Make the shards of one file, of which at most `ahead` wait, and say what was read in it."""
    source, tests = plan.inputs[place], HeldOutFilter(plan.tests)
    read: dict[str, Any] = {
        "documents": 0, "shards": 0, "faults": Counter(), "left_out": Counter(), "noted": Counter(),
        "removed": [], "versions": [], "about": None,
    }  # fmt: skip
    waiting: deque[Future[dict[str, Any]]] = deque()
    position = 0

    def wait(most: int) -> None:
        while len(waiting) > most:
            read["about"] = waiting.popleft().result()

    for documents in _blocks(plan, out, place, read):
        # Documents of a test are counted and go.
        kept: list[Passage] = []
        for passages in documents:
            if reason := next(filter(None, map(tests.reason, passages)), None):
                read["left_out"][f"{HELD_OUT}{reason}"] += 1
            else:
                read["documents"] += 1
                kept += passages
        path = _shard_path(out, place, read["shards"])
        read["shards"] += 1
        if not is_whole_shard(path):
            waiting.append(submit(path, kept))
        wait(ahead)
        now = bytes_read(source.path)
        advance(now - position)
        position = now
    wait(0)
    advance(source.bytes - position)
    write_atomically(done_path(out, place), json.dumps(read, indent=1) + "\n", point="corpus")


def _blocks(
    plan: AnnotationPlan, out: Path, place: int, read: dict[str, Any]
) -> Iterator[list[list[Passage]]]:
    """Yield the passages of a file in blocks of whole documents, no document twice in one: a shard each.

    Counts in `read` what is left out. A document that is taken back is noted with the shard at that place:
    its versions in the shards before are to go. A version above 1 is noted with its shard too.
    """
    source, left_out = plan.inputs[place], read["left_out"]
    documents: dict[str, list[Passage]] = {}
    newest: dict[str, int] = {}  # of documents with a version above 1, which are few
    last = None
    for one in read_passages(
        source.path, source.format, on_error=plan.on_error, faults=read["faults"], retracted=plan.retracted
    ):
        read["noted"].update(one.notes)
        is_older = one.version < newest.get(one.document_id, 1)
        if one.version > 1 and not is_older:
            newest[one.document_id] = one.version
        if isinstance(one, Removed):
            left_out[one.why] += 1
            if not is_older:
                shard = _shard_path(out, place, read["shards"]).name
                read["removed"].append([one.document_id, shard, one.version])
                left_out[EARLIER] += documents.pop(one.document_id, None) is not None
            continue
        if is_older:
            left_out[EARLIER] += 1
            continue
        if one.number == 0 or one.document_id != last:
            last = one.document_id
            if len(documents) == plan.shard_documents:
                yield list(documents.values())
                documents = {}
            left_out[EARLIER] += documents.pop(last, None) is not None
            documents[last] = []
            if one.version > 1:
                shard = _shard_path(out, place, read["shards"]).name
                read["versions"].append([last, shard, one.version])
        documents[last].append(one)
    if documents:
        yield list(documents.values())


def _shard_path(out: Path, place: int, number: int) -> Path:
    return out / SHARDS / f"{place:05}-{number:05}.parquet"


_linker: Linker | None = None  # of this process
_plan: AnnotationPlan | None = None


def _begin(plan: AnnotationPlan, *, of_pool: bool) -> None:
    """Tell a process what it will link; the linker is made when the first shard comes."""
    global _linker, _plan
    _linker, _plan = None, plan
    if of_pool:  # leave at once at the end: scispaCy's libraries report at length what they leave
        atexit.register(os._exit, 0)


def _link(path: Path, passages: list[Passage]) -> dict[str, Any]:
    """Link passages and write their shard; return what the linker says of itself."""
    global _linker
    assert _plan is not None, "a process links before it was told what"
    if _linker is None:
        _linker = _linker_of(_plan)
    rows = [
        {
            "document_id": passage.document_id,
            "passage": passage.number,
            "text": passage.text,
            "detected": linked.detected,
            "mentions": [mention._asdict() for mention in linked.mentions],
        }
        for passage, linked in zip(passages, _linker.link(passages), strict=True)
    ]
    write_parquet_atomically(path, pyarrow.Table.from_pylist(rows, schema=SCHEMA), point="shard")
    return _linker.about()


@contextmanager
def _submitting(plan: AnnotationPlan, processes: int) -> Iterator[Submit]:
    """Yield what takes passages and the path of their shard: this process, or a pool of others."""
    if processes == 1:

        def at_once(path: Path, passages: list[Passage]) -> Future[dict[str, Any]]:
            future: Future[dict[str, Any]] = Future()
            future.set_result(_link(path, passages))
            return future

        _begin(plan, of_pool=False)
        yield at_once
        return
    with executor(processes, partial(_begin, plan, of_pool=True)) as pool:
        try:
            yield lambda path, passages: pool.submit(_link, path, passages)
        except BrokenProcessPool:
            raise UserError(
                "a process that links was killed, perhaps for want of memory; take fewer --processes and run "
                "the same command again"
            ) from None
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
