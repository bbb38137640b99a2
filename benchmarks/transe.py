"""Measures kebench's TransE against PyKEEN's: quality, speed, memory, filtered ranking (README.md).

Every measurement runs in a process of its own, one after another, in interleaved rounds, so that each
peak of memory is one variant's and a slow minute of the machine meets all. float32 on the CPU.
"""

import argparse
import itertools
import json
import logging
import subprocess
import sys
from pathlib import Path
from typing import Any

from finetune import rounded
from transe_page import markdown
from transe_work import DENSE, LAZY, OURS, PYKEEN, work

from kebench.runtime import software, utc_now
from kebench.tasks.card import data_folder
from kebench.transe.recipe import read_recipe

RESULTS = Path(__file__).parent / "results"
DATA = data_folder() / "kb" / "umls-semnet"
PACKAGES = ("torch", "numpy", "pykeen")

# Hyper-parameters at which TransE does well on the 135-entity graph (by its valid.txt), for all variants.
SMALL_GRAPH = {"margin": 0.5, "learning_rate": 0.003, "batch_size": 256, "epochs": 200}
# A made-up graph of which a batch holds 1 entity in 30, so that nearly all rows miss nearly all steps.
SPARSE_GRAPH = {"num_entities": 10_000, "num_relations": 20, "num_triples": 60_000}
SPARSE_SETTINGS = {"margin": 0.5, "batch_size": 128, "epochs": 8}
# The size of the paper's graph: 477,000 entities (KeBioLM, sec. 4.1); relations and triples as in a release.
LARGE_GRAPH = {"num_entities": 477_000, "num_relations": 900, "num_triples": 4_000_000}

_log = logging.getLogger("benchmarks.transe")


def run(kind: str, variant: str, **spec: Any) -> dict[str, Any]:
    """Run one process and return what it measured."""
    _log.info("%s: %s, seed %d", kind, variant, spec["settings"]["seed"])
    command = [sys.executable, __file__, "work", json.dumps({"kind": kind, "variant": variant, **spec})]
    finished = subprocess.run(command, capture_output=True, text=True, check=False)
    if finished.returncode:
        sys.exit(f"a process failed: {command}\n{finished.stderr}")
    measured: dict[str, Any] = json.loads(finished.stdout.splitlines()[-1])
    return measured


def settings(**changes: Any) -> dict[str, Any]:
    """Return the recipe's settings with some replaced."""
    return read_recipe("transe", **changes).model_dump()


def compare_quality(options: argparse.Namespace) -> dict[str, Any]:
    """Train all variants with every seed on the small graph, and our optimisers on the sparse one."""
    small: dict[str, list[dict[str, Any]]] = {variant: [] for variant in (OURS, DENSE, LAZY, PYKEEN)}
    for seed, variant in itertools.product(range(options.seeds), small):
        chosen = settings(**SMALL_GRAPH, seed=seed)
        small[variant].append(run("quality", variant, settings=chosen, data=str(options.data)))
    sparse: dict[str, list[dict[str, Any]]] = {variant: [] for variant in (OURS, DENSE, LAZY)}
    for seed, variant in itertools.product(range(options.seeds), sparse):
        chosen = settings(**SPARSE_SETTINGS, seed=seed)
        sparse[variant].append(run("sparse_quality", variant, settings=chosen, **SPARSE_GRAPH))
    graphs = {"small": small, "sparse": sparse}
    return {
        "small": settings(**SMALL_GRAPH),
        "sparse": SPARSE_GRAPH | settings(**SPARSE_SETTINGS),
        "runs": graphs,
    }


def compare_speed(options: argparse.Namespace) -> dict[str, Any]:
    """Time training of both in interleaved rounds: an epoch of ours, some steps of PyKEEN."""
    chosen = settings(epochs=1)
    counts = {"warm_up_steps": 20, "peer_warm_up_steps": 3, "peer_steps": options.peer_steps}
    runs = interleaved("speed", options.rounds, settings=chosen, **counts, **LARGE_GRAPH)
    floors = [run("floor", OURS, settings=chosen, **LARGE_GRAPH) for _ in range(options.rounds)]
    return {"settings": chosen, "graph": LARGE_GRAPH, "floor": fastest(floors), "runs": runs}


def compare_ranking(options: argparse.Namespace) -> dict[str, Any]:
    """Time filtered ranking of both in interleaved rounds, PyKEEN with each of some batch sizes."""
    chosen = settings(epochs=1)
    counts = {"ranked": options.ranked, "peer_ranked": options.peer_ranked}
    runs: dict[str, list[dict[str, Any]]] = {OURS: []}
    for _, batch in itertools.product(range(options.rounds), options.peer_batches):
        spec = {"settings": chosen, "peer_batch": batch, **counts, **LARGE_GRAPH}
        runs.setdefault(f"{PYKEEN}, batch {batch}", []).append(run("ranking", PYKEEN, **spec))
        runs[OURS].append(run("ranking", OURS, **spec))
    floors = [run("floor", OURS, settings=chosen, **LARGE_GRAPH) for _ in range(options.rounds)]
    return {"settings": chosen, "graph": LARGE_GRAPH, "floor": fastest(floors), "runs": runs}


def interleaved(kind: str, rounds: int, **spec: Any) -> dict[str, list[dict[str, Any]]]:
    """Run ours and PyKEEN in turn."""
    runs: dict[str, list[dict[str, Any]]] = {OURS: [], PYKEEN: []}
    for _, variant in itertools.product(range(rounds), runs):
        runs[variant].append(run(kind, variant, **spec))
    return runs


def fastest(floors: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the best that the machine showed: a floor must not rise because others were busy."""
    best = {name: max(floor[name] for floor in floors) for name in ("bytes_per_second", "flops_per_second")}
    return floors[0] | best


def write_results(new: dict[str, Any], started: dict[str, Any]) -> None:
    """Put new results in place of older ones of the same kind, and print the page."""
    ended = software(PACKAGES)
    note = f"The checkout changed meanwhile: {started['commit']} at the start, {ended['commit']} at the end."
    path = RESULTS / "transe.json"
    RESULTS.mkdir(exist_ok=True)
    results = json.loads(path.read_text()) if path.exists() else {}
    made = {"finished_utc": utc_now(), "software": started, "note": note if started != ended else ""}
    results |= {kind: made | found for kind, found in new.items()}
    path.write_text(json.dumps(rounded(results), indent=1) + "\n")
    (RESULTS / "transe.md").write_text(markdown(results))
    print(markdown(results))


def parse(arguments: list[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("command", choices=["quality", "speed", "ranking", "all", "page"])
    parser.add_argument("--data", type=Path, default=DATA, help="quality: train.txt, valid.txt and test.txt")
    parser.add_argument("--seeds", type=int, default=5, help="quality: seeds 0, 1, 2 ...")
    parser.add_argument("--rounds", type=int, default=2, help="speed, ranking: runs of each variant")
    parser.add_argument("--peer-steps", type=int, default=20, help="speed: timed steps of PyKEEN")
    parser.add_argument("--ranked", type=int, default=2048, help="ranking: triples, for ours")
    parser.add_argument("--peer-ranked", type=int, default=16, help="ranking: triples, for PyKEEN")
    parser.add_argument(
        "--peer-batches", type=int, nargs="+", default=[1, 8], help="ranking: batch sizes of PyKEEN"
    )
    return parser.parse_args(arguments)


def main() -> None:
    """Measure, write and print; a target that is missed is reported, never an error."""
    if sys.argv[1:2] == ["work"]:
        print(json.dumps(work(json.loads(sys.argv[2]))))
        return
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(message)s")
    options = parse(sys.argv[1:])
    comparisons = {"quality": compare_quality, "speed": compare_speed, "ranking": compare_ranking}
    wanted = {"all": list(comparisons), "page": []}.get(options.command, [options.command])
    started = software(PACKAGES)
    write_results({kind: comparisons[kind](options) for kind in wanted}, started)


if __name__ == "__main__":
    main()
