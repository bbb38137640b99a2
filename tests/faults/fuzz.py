"""Gives every command damaged files: one line and exit code 2, or a result; no traceback, no hang.

A quiet run of the pipeline makes the files, small and real; `damage` spoils one at a time; a command that
reads it runs in this process. Where a hash covers a file, a result must be that of the undamaged one.

    python -m tests.faults.fuzz [INPUTS] [SEED] [TARGET ...]
"""

import contextlib
import faulthandler
import io
import math
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from tests.faults.damage import damaged
from tests.faults.inputs import write_inputs
from tests.faults.pipeline import prepare, run_all
from tests.grids import Place

INPUTS = 10_000
SECONDS_AN_INPUT = 20  # of this process's own time; a machine that is busy with others may take longer
MOST_SECONDS_AN_INPUT = 600  # for one that waits for ever
MADE = "made-of-damage"  # --out of every command here


class Target(NamedTuple):
    """A command, and the files (a pattern each) that are damaged before it runs.

    is_covered: a hash covers these files, so that what was changed is told, or changed nothing that is read.
    share: of the inputs, beside the other targets' 1; less where a command takes a second.
    """

    command: str
    files: tuple[str, ...]
    is_covered: bool = False
    share: float = 1.0


OUT = f"--out {MADE}"
TARGETS: dict[str, Target] = {
    "rrf": Target(f"kb import release {OUT}", ("release/*.RRF",)),
    "rrf.gz": Target(f"kb import release-gz {OUT}", ("release-gz/*.gz",)),
    "obo": Target(f"kb import --obo small.obo {OUT}", ("small.obo",)),
    "obo-json": Target(f"kb import --obo small-obo.json {OUT}", ("small-obo.json",)),
    "terms": Target(f"kb import --terms terms.tsv --triples triples.tsv {OUT}", ("terms.tsv", "triples.tsv")),
    "kb.json": Target("kb stats kb", ("kb/kb.json",)),
    "kb": Target(f"kb export kb --rrf {MADE}", ("kb/*.parquet",), is_covered=True),
    "kb-embed": Target(f"embed kb --recipe transe-mini --epochs 1 --dimension 4 {OUT}", ("kb/kb.json",)),
    "index": Target(
        f"annotate texts-few.jsonl --kb kb --linker scispacy --mentions dictionary {OUT}",
        ("kb/index/*",),
        share=0.2,
    ),
    "graph": Target(f"embed graph --recipe transe-mini --epochs 1 --dimension 4 {OUT}", ("graph/*.txt",)),
    "jsonl": Target(f"annotate texts-few.jsonl --kb kb {OUT}", ("texts-few.jsonl",)),
    "jsonl-skip": Target(
        f"annotate texts-few.jsonl --kb kb --on-error skip --linker gold {OUT}", ("texts-few.jsonl",)
    ),
    "pubmed": Target(f"annotate pubmed.xml --kb kb {OUT}", ("pubmed.xml",)),
    "pubmed.gz": Target(f"annotate pubmed.xml.gz --kb kb --on-error skip {OUT}", ("pubmed.xml.gz",)),
    "pubtator": Target(f"annotate pubtator.txt --kb kb --linker gold {OUT}", ("pubtator.txt",)),
    "bioc": Target(f"annotate bioc.xml --kb kb --linker gold {OUT}", ("bioc.xml",)),
    "bioc-json": Target(f"annotate bioc.json --kb kb --linker gold {OUT}", ("bioc.json",)),
    "id-map": Target(f"annotate pubtator.txt --kb kb --linker gold --id-map ids.tsv {OUT}", ("ids.tsv",)),
    "exclude": Target(f"annotate texts-few.jsonl --kb kb --exclude exclude.txt {OUT}", ("exclude.txt",)),
    "gold": Target("corpus score corpus --gold texts-few.jsonl --kb kb", ("texts-few.jsonl",)),
    "corpus.json": Target("corpus stats corpus", ("corpus/corpus.json",)),
    "shards": Target("corpus show corpus --n 200", ("corpus/shards/*.parquet",), is_covered=True),
    "data": Target("data check tasks-data --tasks mine", ("tasks-data/*/*.tsv",)),
    "task": Target("task show mine", ("tasks/mine.toml",)),
    "model": Target("model show mine", ("baselines/mine.toml",)),
    "add": Target(f"model add {MADE} --from bert", ("bert/*",)),
    "recipe": Target("recipe show small.toml", ("small.toml",)),
    "transe": Target(f"embed graph --recipe transe.toml --epochs 1 {OUT}", ("transe.toml",)),
    "probing": Target(f"probe build kb --recipe probing.toml {OUT}", ("probing.toml",)),
    "records": Target("leaderboard --results out --format csv", ("out/mini-*/*/*.json",)),
    "records-sql": Target("records --results out --format csv", ("out/mini-*/*/*.json",)),
    "predictions": Target(
        "errors --model checkpoint --task mini-gad --results out", ("out/mini-gad/*/*.predictions.json.gz",)
    ),
    "predictions-ner": Target(
        "errors --model checkpoint --task mini-ncbi-disease --results out --data cache/world/tasks",
        ("out/mini-ncbi-disease/*/*.predictions.json.gz",),
    ),
    "probe-records": Target("probe scores out --by relation --format csv", ("out/probe/*/*/*/probe.json",)),
    "probe-merge": Target(f"merge out {OUT}", ("out/probe/*/*/*/*", "out/mini-*/*/*")),
    "probe-show": Target(
        "probe show --set set --model checkpoint --results out", ("out/probe/*/*/*/predictions.parquet",)
    ),
    "page": Target(f"page --results out {OUT}", ("out/mini-*/*/*", "out/probe/*/*/*/*"), share=0.2),
    "overlap": Target(f"page --results out --overlap overlap.json {OUT}", ("overlap.json",), share=0.2),
    "set.json": Target("probe stats set --by relation", ("set/set.json",)),
    "set": Target(f"probe export set --ids {MADE}", ("set/queries.parquet",), is_covered=True),
    "ids": Target(f"probe build kb --index ids.csv {OUT}", ("ids.csv",)),
    "queries": Target(f"probe import queries.csv {OUT}", ("queries.csv",)),
    "biolama": Target(
        f"probe import biolama.jsonl --prompts prompts.jsonl {OUT}", ("biolama.jsonl", "prompts.jsonl")
    ),
    "curves": Target("curves checkpoint", ("checkpoint/pretraining.json", "checkpoint/curves.jsonl")),
    "checkpoint": Target(
        f"pretrain small.toml --corpus corpus --entities vectors --backbone bert --steps 1 {OUT}",
        ("vectors/*", "corpus/corpus.json", "bert/*"),
        share=0.5,
    ),
    "convert": Target(f"model convert checkpoint --to released {OUT}", ("checkpoint/*",)),
    "profile": Target(
        "reproduce --profile reproduction.toml --out reproduction --plan", ("reproduction.toml",)
    ),
    "stamps": Target(
        "reproduce --profile reproduction.toml --out reproduction --plan", ("reproduction/steps/*.json",)
    ),
    "run": Target(f"run --model bert --tasks mini-gad --seeds 1 --plan {OUT}", ("bert/*",)),
}


class Outcome(NamedTuple):
    """What became of one input: refused, a result, or a fault of ours with its words."""

    kind: str
    words: str = ""


class HangError(BaseException):
    """An input took too long."""


def make_place(folder: Path) -> Place:
    """Run the pipeline once, and write the inputs that it has not."""
    place = prepare(folder)
    run_all(place)
    write_inputs(place)
    return place


@contextlib.contextmanager
def at_place(place: Place) -> Iterator[None]:
    """Work in a place, with its cache, as its commands do."""
    before, cache = Path.cwd(), os.environ.get("KEBENCH_CACHE")
    os.chdir(place.folder)
    os.environ["KEBENCH_CACHE"] = str(place.cache)
    try:
        yield
    finally:
        os.chdir(before)
        if cache is None:
            del os.environ["KEBENCH_CACHE"]
        else:
            os.environ["KEBENCH_CACHE"] = cache


def run_command(command: str) -> tuple[int, str, str]:
    """Run a command in this process; return exit code, stdout, stderr. Whatever else it raises comes out."""
    from kebench.cli import main

    shutil.rmtree(MADE, ignore_errors=True)
    for left in (Path(MADE), Path("baselines") / f"{MADE}.toml"):
        left.unlink(missing_ok=True)
    said, complained = io.StringIO(), io.StringIO()
    code = 0
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(complained):
        try:
            main(command.split())
        except SystemExit as stop:
            code = int(stop.code or 0)
    return code, said.getvalue(), complained.getvalue()


def made_content() -> Any:
    """Return what a command wrote, where that is text."""
    made = Path(MADE)
    paths = [made] if made.is_file() else sorted(made.rglob("*.RRF")) if made.is_dir() else []
    return [path.read_bytes() for path in paths]


def files_of(target: Target) -> list[Path]:
    """Return the files that a target damages."""
    found = [path for pattern in target.files for path in sorted(Path().glob(pattern)) if path.is_file()]
    assert found, target
    return found


def expected_of(target: Target) -> tuple[str, Any]:
    """Return what a target's command says and makes of undamaged files."""
    code, said, complained = run_command(target.command)
    assert code == 0, f"{target.command}: {complained}"
    return said, made_content()


def one_input(target: Target, draw: random.Random, expected: tuple[str, Any]) -> tuple[Path, bytes, Outcome]:
    """Damage one file, run the command, mend the file; return file, damaged content and outcome."""
    path = draw.choice(files_of(target))
    good = path.read_bytes()
    bad = damaged(good, draw, name=path.name)
    path.unlink()  # a hard link of it may lie in the cache
    path.write_bytes(bad)
    try:
        return path, bad, _outcome(target, expected)
    finally:
        path.write_bytes(good)


def _outcome(target: Target, expected: tuple[str, Any]) -> Outcome:
    def stop(*_: object) -> None:
        raise HangError

    faulthandler.dump_traceback_later(MOST_SECONDS_AN_INPUT, exit=True, file=sys.__stderr__)
    before = signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, SECONDS_AN_INPUT)
    try:
        code, said, complained = run_command(target.command)
    except HangError:
        return Outcome("HANG")
    except BaseException:
        return Outcome("TRACEBACK", traceback.format_exc())
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)
        faulthandler.cancel_dump_traceback_later()
    if "Traceback" in complained:
        return Outcome("TRACEBACK", complained)
    if any(sign in said + complained for sign in ("\x1b[2J", "\0")):
        return Outcome("ESCAPES", (said + complained)[-500:])
    if code == 0:
        same = not target.is_covered or (said, made_content()) == expected
        return Outcome("result") if same else Outcome("WRONG", "another result, and no word of it")
    last = complained.strip().splitlines()[-1:] or [""]
    if code == 1 and target.command.startswith(("merge", "data check")):
        return Outcome("result")
    if code != 2 or not last[0].startswith("kebench: "):
        return Outcome("NO LINE", f"exit code {code}: {complained[-500:]}")
    return Outcome("refused", last[0])


def fuzz(place: Place, names: list[str], num_inputs: int, seed: int, *, loud: bool = True) -> Counter[str]:
    """Give each target its share of the inputs; print what went wrong; return how often what came of it."""
    outcomes: Counter[str] = Counter()
    with at_place(place):
        shares = sum(TARGETS[name].share for name in names)
        for name in names:
            target, draw = TARGETS[name], random.Random(f"{seed} {name}")
            expected, started, of_target = expected_of(target), time.monotonic(), Counter[str]()
            shown: set[str] = set()
            for _ in range(math.ceil(num_inputs * target.share / shares)):
                path, bad, outcome = one_input(target, draw, expected)
                of_target[outcome.kind] += 1
                what = outcome.words.strip().splitlines()[-1:]
                if outcome.kind not in ("refused", "result") and str(what) not in shown:
                    shown.add(str(what))
                    kept = place.folder / "found" / f"{name}-{len(shown)}-{path.name}"
                    kept.parent.mkdir(exist_ok=True)
                    kept.write_bytes(bad)
                    print(f"\n{name}: {path}: {outcome.kind} ({kept})\n{outcome.words}", flush=True)
            outcomes += of_target
            if loud:
                print(f"{name:16} {dict(of_target)} in {time.monotonic() - started:.1f} s", flush=True)
    return outcomes


def main(num_inputs: int = INPUTS, seed: int = 0, *names: str) -> int:
    """Return 0 if every input ended in one line or in a result."""
    place = make_place(Path(tempfile.mkdtemp(prefix="kebench-fuzz-")) / "place")
    outcomes = fuzz(place, list(names or TARGETS), num_inputs, seed)
    print(f"{outcomes.total():,} inputs, seed {seed}: {dict(outcomes)}; in {place.folder}")
    return 0 if set(outcomes) <= {"refused", "result"} else 1


if __name__ == "__main__":
    sys.exit(main(*(int(one) for one in sys.argv[1:3]), *sys.argv[3:]))
