"""Measures the import of a knowledge base: against a plain reader, over size, and open-kb (README.md).

Every measurement is a process of its own, one after another, so that a peak of memory is one import's. Times
are what a user waits for, the start of Python included.
"""

import argparse
import gzip
import json
import logging
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from kebench.runtime import peak_memory_mib

RESULTS = Path(__file__).parent / "results"
PACKAGES = ("duckdb", "pyarrow")
SHARES = [0.025, 0.1, 0.3, 1.0]

_log = logging.getLogger("benchmarks.kb")


def work(kind: str, source: str, out: str) -> dict[str, Any]:
    """Do one thing in this process and return what it took."""
    made = WORK[kind](Path(source), Path(out))
    return {"peak_mib": peak_memory_mib("cpu"), "cpu_seconds": time.process_time(), **made}


def import_ours(source: Path, out: Path) -> dict[str, Any]:
    """Import a release as `kebench kb import` does."""
    from kebench.umls.filters import PRESETS
    from kebench.umls.importing import import_release
    from kebench.umls.rrf import find_release

    return _sizes(import_release(find_release(source), out, filters=PRESETS["fixed"]))


def import_plainly(source: Path, out: Path) -> dict[str, Any]:
    """Read a release into the dictionaries of the released code."""
    from released_reader import ReleasedReader

    reader = ReleasedReader(source)
    return {"concepts": len(reader.names), "relations": len(reader.relations)}


def import_leanly(source: Path, out: Path) -> dict[str, Any]:
    """Read a release into the same dictionaries, written with less to do."""
    from lean_reader import LeanReader

    reader = LeanReader(source)
    return {"concepts": len(reader.names), "relations": len(reader.relations)}


def make_open_kb(source: Path, out: Path) -> dict[str, Any]:
    """Make open-kb of the wheels in a folder, fetching those that are missing."""
    from kebench.umls.filters import PRESETS
    from kebench.umls.open.importing import import_open_kb
    from kebench.umls.open.sources import fetch_wheels

    fetch_wheels(source)
    return _sizes(import_open_kb(source, out, filters=PRESETS["fixed"]))


def unpack_only(source: Path, out: Path) -> dict[str, Any]:
    """Read and unpack the files of a release and do nothing with them."""
    unpacked = 0
    for path in sorted(source.glob("*.RRF*")):
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            while chunk := file.read(1 << 20):
                unpacked += len(chunk)
    return {"bytes": unpacked}


WORK = {
    "ours": import_ours,
    "plain": import_plainly,
    "lean": import_leanly,
    "open-kb": make_open_kb,
    "unpack": unpack_only,
}


def _sizes(manifest: Any) -> dict[str, Any]:
    counts, tables = manifest.counts, manifest.tables
    return {
        "concepts": counts["concepts"]["kept"],
        "names": counts["names"]["read"],
        "relations": counts["relations"]["read"],
        "bytes_read": sum(file.bytes for file in manifest.inputs),
        "bytes_written": sum(table.bytes for table in tables.values()),
    }


def run(kind: str, source: Path) -> dict[str, Any]:
    """Run one measurement in a process of its own."""
    _log.info("%s: %s", kind, source)
    with tempfile.TemporaryDirectory(
        prefix="kebench-kb-", dir=source.parent if kind == "ours" else None
    ) as out:
        command = [sys.executable, __file__, "work", kind, str(source), str(Path(out) / "kb")]
        started = time.monotonic()
        finished = subprocess.run(command, capture_output=True, text=True, check=False)
        seconds = time.monotonic() - started
    if finished.returncode:
        sys.exit(f"a measurement failed: {command}\n{finished.stderr}")
    return {"seconds": seconds, **json.loads(finished.stdout.splitlines()[-1])}


def compare(options: argparse.Namespace) -> dict[str, Any]:
    """Measure ours, the plain reader and the floor in turn; each one's fastest round counts."""
    with tempfile.TemporaryDirectory(prefix="kebench-release-") as folder:
        source = Path(folder) / "release"
        shutil.copytree(options.data / "kb" / "open-umls", source)
        kinds = ("ours", "plain", "lean", "unpack")
        rounds = [{kind: run(kind, source) for kind in kinds} for _ in range(options.rounds)]
    best = {kind: min((one[kind] for one in rounds), key=lambda found: found["seconds"]) for kind in kinds}
    for kind in kinds:
        best[kind]["peak_mib"] = max(one[kind]["peak_mib"] for one in rounds)
    return {"best": best, "rounds": [{kind: one[kind]["seconds"] for kind in kinds} for one in rounds]}


def scale(options: argparse.Namespace) -> dict[str, Any]:
    """Import made-up releases of growing size."""
    from release import write_release

    points = []
    for share in options.shares:
        with tempfile.TemporaryDirectory(prefix="kebench-release-", dir=options.folder) as folder:
            release = Path(folder) / "release"
            write_release(release, share=share)
            points.append({"share": share, **run("ours", release)})
    return {"points": points}


def open_kb(options: argparse.Namespace) -> dict[str, Any]:
    """Make open-kb, the download of its wheels included where they are not in the cache."""
    from kebench.umls.open.sources import wheels_folder

    return run("open-kb", wheels_folder())


PARTS = {"compare": compare, "scale": scale, "open-kb": open_kb}


def main() -> None:
    """Measure, write and print; a target that is missed is reported, never an error."""
    if sys.argv[1:2] == ["work"]:
        print(json.dumps(work(*sys.argv[2:])))
        return
    from kb_page import markdown, plot

    from kebench.runtime import device_description, software, utc_now
    from kebench.tasks.card import data_folder

    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(message)s")
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("part", choices=[*PARTS, "all"])
    parser.add_argument("--data", type=Path, default=data_folder(), help="a folder with kb/open-umls")
    parser.add_argument("--rounds", type=int, default=3, help="compare: measurements of each")
    parser.add_argument("--shares", type=float, nargs="+", default=SHARES, help="of 2020AA's size")
    parser.add_argument(
        "--folder", type=Path, help="scale: where releases are made; 12 GB for the whole size"
    )
    options = parser.parse_args()
    wanted = list(PARTS) if options.part == "all" else [options.part]
    path = RESULTS / "kb.json"
    results = json.loads(path.read_text()) if path.exists() else {}
    made = {"finished_utc": utc_now(), "device": device_description("cpu"), "software": software(PACKAGES)}
    for part in wanted:
        results[part] = made | PARTS[part](options)
        path.write_text(json.dumps(results, indent=1) + "\n")
    (RESULTS / "kb.md").write_text(markdown(results))
    if "scale" in results:
        plot(results["scale"]["points"], RESULTS / "kb-scale.svg")
    print(markdown(results))


if __name__ == "__main__":
    main()
