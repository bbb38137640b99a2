"""Measures linking of text against scispaCy's own component, and the dictionary's growth (README.md).

`linking`: the linking stage on the same mentions, the same index and the same settings, in one process.
`dictionary`: text a second with 1,000 to 1,000,000 names. `documents`: whole annotations, models included.
"""

import argparse
import json
import logging
import os
import random
import shutil
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from annotate_page import markdown
from scispacy_peer import scispacy_s_linker

from kebench.corpus.annotate import annotate
from kebench.corpus.dictionary import Dictionary, NamedConcept, names_of
from kebench.corpus.linking import read_settings
from kebench.corpus.mentions import Detector
from kebench.corpus.name_index import NameIndex, build_index
from kebench.corpus.passage import Passage
from kebench.corpus.plan import plan_annotation
from kebench.corpus.readers import read_passages
from kebench.corpus.scispacy_linker import StringLinker
from kebench.runtime import device_description, software, utc_now
from kebench.umls.knowledge_base import KnowledgeBase

RESULTS = Path(__file__).parent / "results"
PACKAGES = ("ahocorasick-rs", "nmslib-metabrainz", "numpy", "scispacy", "scipy", "spacy", "sparse-dot-topn")
SIZES = (1_000, 10_000, 100_000, 1_000_000)  # names

_log = logging.getLogger("benchmarks.annotate")


def read_texts(path: Path, count: int | None) -> list[str]:
    """Return texts of a file, drawn with a fixed seed if not all are wanted."""
    from collections import Counter

    read = read_passages(path, "jsonl", on_error="stop", faults=Counter())
    texts = [one.text for one in read if isinstance(one, Passage)]
    return texts if count is None else random.Random(0).sample(texts, count)


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    """Return the seconds of some work, and what it returned."""
    started = time.perf_counter()
    found = work()
    return time.perf_counter() - started, found


def linking(kb: Path, texts: list[str], *, rounds: int) -> dict[str, Any]:
    """Link the noun phrases of some texts with scispaCy's component and with ours, in turns."""
    knowledge_base = KnowledgeBase.open(kb)
    index = NameIndex.open(knowledge_base)
    chosen = {
        search: read_settings("scispacy", preset="scispacy", search=search, mentions="noun_chunks")
        for search in ("approximate", "exact")
    }
    documents = detected(texts)
    strings = [one.text for document in documents for one in document.ents]
    peer = scispacy_s_linker(index, chosen["approximate"])
    for search in chosen:  # maps arrays into memory, as loading the peer's does
        StringLinker(index, chosen[search]).link(["gout"])

    def theirs() -> list[list[tuple[str, float]]]:
        return [one._.kb_ents for document in documents for one in peer(document).ents]

    seconds: dict[str, float] = {}
    links: dict[str, Any] = {}
    for number in range(rounds):
        sides: dict[str, Callable[[], Any]] = {"scispaCy's component": theirs}
        for search in chosen:
            sides[f"ours, {search}"] = lambda search=search: StringLinker(index, chosen[search]).link(strings)
        for side, work in sides.items():
            _log.info("linking, round %d of %d: %s", number + 1, rounds, side)
            took, links[side] = timed(work)
            seconds[side] = min(took, seconds.get(side, took))
    most = chosen["approximate"].max_entities or 1
    both = zip(links["scispaCy's component"], links["ours, approximate"], strict=True)
    same = sum(alike(theirs, ours, most=most) for theirs, ours in both)
    return {
        "names": index.manifest.names, "graph": index.manifest.graph, "documents": len(texts),
        "mentions": len(strings), "distinct": len({one.lower() for one in strings}), "seconds": seconds,
        "same": same, "recall": recall(links["ours, exact"], links["ours, approximate"]),
        "settings": chosen["exact"].model_dump(exclude_none=True),
    }  # fmt: skip


def detected(texts: list[str]) -> list[Any]:
    """Return spaCy documents whose entities are noun phrases, made before anything is timed."""
    import spacy

    nlp = spacy.blank("en")
    documents = list(nlp.pipe(texts))
    found = Detector("noun_chunks", model=None, abbreviations=False).detect(texts)
    for document, mentions in zip(documents, found, strict=True):
        spans = [document.char_span(one.char_start, one.char_end, label="X") for one in mentions]
        document.ents = [span for span in spans if span is not None]
    return documents


def alike(theirs: Sequence[tuple[str, float]], ours: Sequence[tuple[str, float]], *, most: int) -> bool:
    """Say whether two sides link a mention alike: the same scores of the same concepts.

    most: concepts of a mention. Of so many those that share the last score count for nothing: which of such
    were cut off is chance.
    """
    if [round(score, 4) for _, score in theirs] != [round(score, 4) for _, score in ours]:
        return False
    last = round(theirs[-1][1], 4) if len(theirs) == most else 0
    clear = [
        {(cui, round(score, 4)) for cui, score in side if round(score, 4) > last} for side in (theirs, ours)
    ]
    return clear[0] == clear[1]


def recall(exact: list[Any], approximate: list[Any]) -> dict[str, Any]:
    """Say how many mentions and links of exact search approximate search finds too."""
    linked = [(set(a), set(b)) for a, b in zip(exact, approximate, strict=True) if a]
    both = sum(len({cui for cui, _ in a} & {cui for cui, _ in b}) for a, b in linked)
    return {
        "linked": len(linked),
        "linked_approximately": sum(bool(b) for _, b in linked),
        "links": sum(len(a) for a, _ in linked),
        "links_approximately": both,
    }


def dictionary(kb: Path, texts: list[str], *, rounds: int) -> list[dict[str, Any]]:
    """Find names in texts, with ever more of them, drawn with a fixed seed; one thread."""
    names = list(names_of(KnowledgeBase.open(kb)))
    random.Random(0).shuffle(names)
    megabytes = sum(len(text.encode()) for text in texts) / 1e6
    found = []
    for size in SIZES:
        took, made = timed(lambda size=size: Dictionary(map(NamedConcept._make, names[:size])))
        _log.info("dictionary of %d names: made in %.1f s", size, took)
        seconds = []
        for _ in range(rounds):
            spent, matches = timed(lambda made=made: sum(len(made.find(text)) for text in texts))
            seconds.append(spent)
        found.append({
            "names": min(size, len(names)), "kept": made.counts["names"], "build_seconds": took,
            "megabytes": megabytes, "seconds": min(seconds), "matches": matches,
        })  # fmt: skip
    return found


def documents(kb: Path, path: Path, count: int) -> list[dict[str, Any]]:
    """Annotate some documents with each linker, in one process."""
    knowledge_base = KnowledgeBase.open(kb)
    found = []
    with tempfile.TemporaryDirectory(prefix="kebench-annotate-") as folder:
        source = Path(folder) / "a.jsonl"
        lines = [json.dumps({"id": n, "text": text}) for n, text in enumerate(read_texts(path, count))]
        source.write_text("\n".join(lines))
        cases = {
            "dictionary": {"linker": "dictionary"},
            "scispacy, noun phrases, exact": {"linker": "scispacy", "mentions": "noun_chunks"},
            "scispacy, names as mentions, exact": {"linker": "scispacy", "mentions": "dictionary"},
        }
        for name, settings in cases.items():
            _log.info("annotating %d documents: %s", count, name)
            for size in (1, count):  # one document: what loading takes
                part = Path(folder) / f"{size}.jsonl"
                part.write_text("\n".join(lines[:size]))
                plan = plan_annotation([part], knowledge_base, **settings)
                out = Path(folder) / "out"
                took, made = timed(lambda plan=plan, out=out: annotate(plan, out))
                shutil.rmtree(out)
                if size == 1:
                    loading = took
            counts = made.counts
            found.append({"linker": name, "documents": count, "seconds": took, "loading_seconds": loading,
                          "mentions": counts.mentions, "characters": counts.characters})  # fmt: skip
    return found


def main() -> None:
    """Measure the parts that are named and write the page."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("parts", nargs="+", choices=["linking", "dictionary", "documents", "all"])
    parser.add_argument("--kb", type=Path, required=True, help="a knowledge base: open-umls, imported")
    parser.add_argument(
        "--graph-kb", type=Path, help="one whose index has a graph, for linking; default: --kb"
    )
    parser.add_argument("--texts", type=Path, required=True, help="abstracts as JSON lines")
    parser.add_argument("--documents", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    warnings.simplefilter("ignore")
    path = RESULTS / "annotate.json"
    results: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    parts = {"linking", "dictionary", "documents"} if "all" in options.parts else set(options.parts)
    made = {"machine": device_description("cpu"), "threads": os.cpu_count(), "when": utc_now(),
            **software(PACKAGES)}  # fmt: skip
    build_index(KnowledgeBase.open(options.kb))
    if "linking" in parts:
        kb = options.graph_kb or options.kb
        build_index(KnowledgeBase.open(kb), approximate=True)
        found = linking(kb, read_texts(options.texts, options.documents), rounds=options.rounds)
        results["linking"] = found | {"made": made}
    if "dictionary" in parts:
        sizes = dictionary(options.kb, read_texts(options.texts, None), rounds=options.rounds)
        results["dictionary"] = {"sizes": sizes, "made": made}
    if "documents" in parts:
        results["documents"] = {
            "cases": documents(options.kb, options.texts, options.documents),
            "made": made,
        }
    path.write_text(json.dumps(results, indent=1) + "\n")
    page = markdown(results)
    (RESULTS / "annotate.md").write_text(page)
    sys.stdout.write(page)


if __name__ == "__main__":
    main()
