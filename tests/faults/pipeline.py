"""The whole of kebench in small: from a knowledge base to a page, as commands that can be killed.

Each stage's command can be given again at any moment, and each stage's result can be compared.
"""

import hashlib
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow.parquet

from kebench.mini.abstracts import make_abstracts
from kebench.mini.world import load_world
from kebench.probe.record import PREDICTIONS, probe_record_paths
from kebench.reproduce.contents import steady
from tests.grids import Place, finish, scores
from tests.tiny_checkpoints import write_tiny_bert

MINIATURE = "embedded:mini"
NUM_DOCUMENTS = 90
RECIPE = """extends = "kebiolm-mini"
label = "small"
max_tokens = 64
batch_size = 8
entity_size = 8
candidates = 5
steps = 6
held_out_share = 0.1
held_out_sequences = 8
evaluate_every = 3
checkpoint_every = 2
"""


class Stage(NamedTuple):
    """A command, what it makes in its place, how that is compared, and the writes that it passes."""

    command: str
    makes: str
    result: Callable[[Path], Any]
    writes: tuple[str, ...]
    refuses_what_is_there: bool = False

    def is_made(self, place: Place) -> bool:
        """Whether what it makes is there."""
        return (place.folder / self.makes).exists()


def files(folder: Path) -> dict[str, Any]:
    """Return what is in a folder, by path: the hash of a file, a manifest without what varies."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if path.is_file() and ".tmp" not in name and not path.name.endswith(".running"):
            found[name] = _content(path)
    return found


def knowledge_base(folder: Path) -> dict[str, Any]:
    """Return what an import makes, without the index that a later stage adds."""
    return {name: one for name, one in files(folder).items() if not name.startswith("index/")}


def _content(path: Path) -> Any:
    if path.suffix == ".json":
        return steady(json.loads(path.read_text()))
    if path.suffix == ".jsonl":
        return [steady(json.loads(line)) for line in path.read_text().splitlines()]
    return hashlib.sha256(path.read_bytes()).hexdigest()


def page(folder: Path) -> str:
    """Return a page less its whole numbers, among which are the seconds of runs, and less the commit."""
    return re.sub(r"\"(\d+|[0-9a-f]{12})\"", "", (folder / "index.html").read_text())


def probes(out: Path) -> list[Any]:
    """Return every probe under a folder: its record without its provenance, its predictions."""
    return [
        [steady(json.loads(path.read_text())), _answers(path.with_name(PREDICTIONS))]
        for path in probe_record_paths(out)
    ]


def _answers(path: Path) -> list[Any]:
    """Return the answers of a probe; log probabilities move by 1e-6 with the batch that a query was in."""
    columns = ["query_id", "num_masks", "rank", "tokens"]
    return list(pyarrow.parquet.read_table(path, columns=columns).to_pylist())


STAGES: dict[str, Stage] = {
    "kb": Stage(f"kb import {MINIATURE} --out kb", "kb", knowledge_base, ("kb",)),
    "index": Stage("kb index kb", "kb/index", files, ("index",)),
    "rrf": Stage("kb export kb --rrf rrf", "rrf", files, ("rrf",), refuses_what_is_there=True),
    "embed": Stage(
        "embed kb --recipe transe-mini --epochs 4 --dimension 8 --out vectors",
        "vectors",
        files,
        ("embedding-state", "embeddings"),
    ),
    "annotate": Stage(
        "annotate texts.jsonl --kb kb --linker gold --shard-documents 30 --out corpus",
        "corpus",
        files,
        ("corpus", "shard"),
    ),
    "pretrain": Stage(
        "pretrain small.toml --corpus corpus --entities vectors --backbone bert --out checkpoint",
        "checkpoint",
        files,
        ("sequences", "pretraining-state", "pretrained"),
    ),
    "probe-build": Stage("probe build kb --recipe mini --out set", "set", files, ("query-set",)),
    "probe-export": Stage("probe export set --ids ids.csv", "ids.csv", _content, ("query-set",)),
    "probe-run": Stage(
        "probe run --model checkpoint --set set --beam 2 --max-masks 3 --queries 60 --device cpu --out out",
        "out/probe",
        lambda folder: probes(folder.parent),
        ("probe-part", "probe"),
    ),
    "run": Stage(
        "run --model checkpoint --tasks mini-ncbi-disease,mini-gad --seeds 2 --budget smoke --out out",
        "out",
        scores,
        ("lease", "features", "predictions", "record"),
    ),
    "merge": Stage(
        "merge out --out merged",
        "merged",
        lambda folder: [scores(folder), probes(folder)],
        ("predictions", "record", "merged"),
    ),
    "page": Stage("page --results merged --out site", "site", page, ("page",)),
    "errors": Stage(
        "errors --model checkpoint --task mini-gad --results merged --out errors.html",
        "errors.html",
        _content,
        ("page",),
    ),
    "add": Stage(
        "model add mine --from bert",
        "baselines/mine.toml",
        lambda card: [line for line in card.read_text().splitlines() if not line.startswith("source")],
        ("card",),
        refuses_what_is_there=True,
    ),
}


def prepare(folder: Path) -> Place:
    """Write into a new folder what the pipeline begins with: texts, a tiny BERT, a recipe."""
    folder.mkdir(parents=True, exist_ok=True)
    abstracts = list(make_abstracts(load_world(), seed=0, forbidden=(), rounds=1))[:NUM_DOCUMENTS]
    (folder / "texts.jsonl").write_text("\n".join(json.dumps(one.as_json()) for one in abstracts))
    (folder / "small.toml").write_text(RECIPE)
    write_tiny_bert(folder / "bert")
    return Place(folder)


def run_all(place: Place, *, upto: str = "") -> None:
    """Run the stages in order; upto: only those before this one."""
    for name, stage in STAGES.items():
        if name == upto:
            return
        assert finish(place, stage.command.split()) == 0, f"{name}: {place.log[-3000:]}"


def results(place: Place) -> dict[str, Any]:
    """Return what every stage made, to be compared."""
    return {name: stage.result(place.folder / stage.makes) for name, stage in STAGES.items()}


def copy_place(place: Place, folder: Path) -> Place:
    """Copy a place with all that it holds, its cache too."""
    shutil.copytree(place.folder, folder, symlinks=True)
    return Place(folder)
