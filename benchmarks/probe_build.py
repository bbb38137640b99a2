"""Measures `kebench probe build` at a tenth and at the whole of UMLS 2020AA's size (README.md).

Every measurement is a process of its own, one after another, so that a peak of memory is one build's. Times
are what a user waits for, the start of Python included; the import of the knowledge base is not part of them.
"""

import argparse
import json
import logging
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from kebench.runtime import peak_memory_mib

RESULTS = Path(__file__).parent / "results"
PACKAGES = ("duckdb", "pyarrow")
SHARES = [0.1, 1.0]
RECIPE = "umls-2020aa"
WANTED_SECONDS, WANTED_MIB = 90, 4096  # at the whole size
LEAD = "Written by benchmarks/probe_build.py; README.md says what is measured."

_log = logging.getLogger("benchmarks.probe_build")


def work(kb: str, out: str, index: str) -> dict[str, Any]:
    """Build one set in this process and return what it took and how large it is."""
    from kebench.probe.build import build_set, plan_set
    from kebench.probe.recipe import read_probe_recipe
    from kebench.umls.knowledge_base import KnowledgeBase

    plan = plan_set(KnowledgeBase.open(kb), read_probe_recipe(RECIPE), index=Path(index) if index else None)
    counts = build_set(plan, Path(out)).counts
    taken = {"peak_mib": peak_memory_mib("cpu"), "cpu_seconds": time.process_time()}
    return taken | {name: counts[name] for name in ("triples", "queries_before_cap", "queries", "answers")}


def run(kb: Path, out: Path, *, index: Path | None = None) -> dict[str, Any]:
    """Build one set in a process of its own."""
    _log.info("building of %s%s", kb, " by its index" if index else "")
    command = [sys.executable, __file__, "work", str(kb), str(out), str(index or "")]
    started = time.monotonic()
    finished = subprocess.run(command, capture_output=True, text=True, check=False)
    seconds = time.monotonic() - started
    if finished.returncode:
        sys.exit(f"a measurement failed: {command}\n{finished.stderr}")
    return {"seconds": seconds, **json.loads(finished.stdout.splitlines()[-1])}


def measure(kb: Path, scratch: Path, *, rounds: int) -> dict[str, Any]:
    """Build a set, and build it of its identifiers; the fastest round counts, and the highest peak."""
    from kebench.probe.index import export_ids
    from kebench.probe.query_set import QuerySet
    from kebench.umls.knowledge_base import KnowledgeBase

    found: dict[str, Any] = {}
    read = KnowledgeBase.open(kb).manifest.counts
    with tempfile.TemporaryDirectory(prefix="kebench-sets-", dir=scratch) as folder:
        for number in range(rounds):
            first, index = Path(folder) / f"set{number}", Path(folder) / f"ids{number}.csv"
            chosen = run(kb, first)
            export_ids(QuerySet.open(first), index)
            indexed = run(kb, Path(folder) / f"again{number}", index=index)
            assert QuerySet.open(Path(folder) / f"again{number}").path.read_bytes() == (
                QuerySet.open(first).path.read_bytes()
            ), "an index gave another set"
            for kind, taken in (("chosen", chosen), ("indexed", indexed)):
                best = found.setdefault(kind, taken)
                peak = max(best["peak_mib"], taken["peak_mib"])
                found[kind] = min(best, taken, key=lambda one: one["seconds"]) | {"peak_mib": peak}
    return {"names": read["names"]["read"], "relation_rows": read["relations"]["read"], **found}


def of_made_up_releases(options: argparse.Namespace) -> list[dict[str, Any]]:
    """Make and import releases of each share, then measure."""
    from release import write_release

    from kebench.umls.filters import PRESETS
    from kebench.umls.importing import import_release
    from kebench.umls.rrf import find_release

    points = []
    for share in options.shares:
        with tempfile.TemporaryDirectory(prefix="kebench-release-", dir=options.folder) as folder:
            write_release(Path(folder) / "release", share=share)
            import_release(
                find_release(Path(folder) / "release"), Path(folder) / "kb", filters=PRESETS["fixed"]
            )
            points.append(measure(Path(folder) / "kb", Path(folder), rounds=options.rounds))
    return points


def markdown(results: dict[str, Any]) -> str:
    """Return the page: verdicts first, then the table."""
    points = results["points"]
    largest = points[-1]["chosen"]
    rows = [
        f"| {p['relation_rows']:,} | {kind} | {of['triples']:,} | {_or_dash(of['queries_before_cap'])} | "
        f"{of['queries']:,} | {of['seconds']:.1f} | {of['cpu_seconds']:.1f} | {of['peak_mib']:,.0f} |"
        for p in points
        for kind, of in (("chosen", p["chosen"]), ("by identifiers", p["indexed"]))
    ]
    head = "| relation rows | | triples | queries before the cap | queries | s | CPU s | peak MiB |"
    lines = [
        verdict(largest["seconds"] <= WANTED_SECONDS, f"{largest['seconds']:.1f} s; wanted {WANTED_SECONDS}"),
        verdict(
            largest["peak_mib"] <= WANTED_MIB, f"in {largest['peak_mib']:,.0f} MiB; wanted {WANTED_MIB:,}"
        ),
    ]
    if len(points) > 1:
        size = points[-1]["relation_rows"] / points[0]["relation_rows"]
        cost = largest["seconds"] / points[0]["chosen"]["seconds"]
        lines.append(verdict(cost <= size, f"{size:.1f} times the size in {cost:.1f} times the time"))
    table = "\n".join([head, "|---:|---|---:|---:|---:|---:|---:|---:|", *rows])
    machine = f"{results['device']}; {results['software']['packages']}; {results['finished_utc']}."
    return "\n\n".join(["# Cloze sets, measured", LEAD, "\n".join(lines), table, machine]) + "\n"


def _or_dash(number: int | None) -> str:
    return "-" if number is None else f"{number:,}"


def verdict(is_reached: bool, numbers: str) -> str:
    """Say it."""
    return f"- **{'reached' if is_reached else 'NOT reached'}**: {numbers}"


def main() -> None:
    """Measure, write and print; a target that is missed is reported, never an error."""
    if sys.argv[1:2] == ["work"]:
        print(json.dumps(work(*sys.argv[2:])))
        return
    from kebench.runtime import device_description, software, utc_now

    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(message)s")
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shares", type=float, nargs="+", default=SHARES, help="of 2020AA's size")
    parser.add_argument(
        "--kb", type=Path, nargs="+", help="of these knowledge bases instead, the largest last"
    )
    parser.add_argument("--rounds", type=int, default=2, help="measurements of each")
    parser.add_argument("--folder", type=Path, help="where releases and sets are made; 15 GB for the whole")
    options = parser.parse_args()
    if options.kb:
        points = [measure(kb, options.folder or kb.parent, rounds=options.rounds) for kb in options.kb]
    else:
        points = of_made_up_releases(options)
    results = {
        "finished_utc": utc_now(),
        "device": device_description("cpu"),
        "software": software(PACKAGES),
        "points": points,
    }
    (RESULTS / "probe-build.json").write_text(json.dumps(results, indent=1) + "\n")
    (RESULTS / "probe-build.md").write_text(markdown(results))
    print(markdown(results))


if __name__ == "__main__":
    main()
