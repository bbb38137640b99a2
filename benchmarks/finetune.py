"""Measures kebench's fine-tuning against Hugging Face's Trainer: speed, memory, and scores (README.md).

Every training runs in a process of its own, one after another, in interleaved rounds, so that each
peak of memory is one variant's and a slow minute of the machine meets all. fp32 on the CPU.
"""

import argparse
import itertools
import json
import logging
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

from floor import Sizes, optimizer_bytes, sizes_of, training_flops
from tables import markdown
from training import EPOCHS_TIMED, GROUPED, OURS, PADDED, PLAIN, VARIANTS, Spec, work

from kebench.runtime import software, utc_now
from kebench.tasks.card import data_folder

RESULTS = Path(__file__).parent / "results"
DECIMALS = 3
TASK = "ncbi-disease"

_log = logging.getLogger("benchmarks.finetune")


def run(spec: Spec) -> dict[str, Any]:
    """Run one process and return what it measured."""
    _log.info("%s: %s, %d rows, seed %d", spec.kind, spec.variant, spec.rows, spec.seed)
    command = [sys.executable, __file__, "work", json.dumps(spec._asdict())]
    finished = subprocess.run(command, capture_output=True, text=True, check=False)
    if finished.returncode:
        sys.exit(f"a training process failed: {command}\n{finished.stderr}")
    measured: dict[str, Any] = json.loads(finished.stdout.splitlines()[-1])
    return measured


def compare_speed(options: argparse.Namespace) -> dict[str, Any]:
    """Time every variant in interleaved rounds, and after each round the machine at their mean step."""
    # Texts of hundreds of word pieces padded to 512 would show little but the time it takes.
    variants = VARIANTS if options.task == TASK else (OURS, PLAIN, GROUPED)
    runs: dict[str, list[dict[str, Any]]] = {variant: [] for variant in variants}
    machines = []
    for seed in range(options.rounds):
        for variant in variants:
            rows = options.padded_rows if variant == PADDED else options.rows
            runs[variant].append(run(spec_of(options, "train", variant, rows, EPOCHS_TIMED, seed=seed)))
        pieces = round(runs[OURS][0]["pieces"] / runs[OURS][0]["steps"])
        machines.append(run(spec_of(options, "floor", options.clock, pieces, 0, seed=seed)))
    return with_rates({"options": stated(options), "machine": fastest(machines), "runs": runs})


def fastest(machines: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the best that the machine showed: a floor must not rise because others were busy."""
    best = {name: max(m[name] for m in machines) for name in ("flops_per_second", "bytes_per_second")}
    return machines[0] | best


def spec_of(
    options: argparse.Namespace, kind: str, variant: str, rows: int, epochs: int, *, seed: int
) -> Spec:
    """Fill in what every process of a comparison shares."""
    return Spec(
        kind,
        variant,
        options.task,
        options.model,
        str(options.data),
        rows,
        epochs,
        seed,
        options.learning_rate,
    )


def stated(options: argparse.Namespace) -> dict[str, Any]:
    """Return the options that belong into results; where the data lies does not."""
    return {name: value for name, value in vars(options).items() if name not in ("data", "command")}


def with_rates(speed: dict[str, Any]) -> dict[str, Any]:
    """Add every variant's rates to the measurements they follow from."""
    sizes, clock = sizes_of(speed["options"]["model"]), speed["options"]["clock"]
    rates = {
        variant: rates_of(runs, speed["machine"], sizes, clock) for variant, runs in speed["runs"].items()
    }
    return speed | {"rates": rates}


def rates_of(
    runs: list[dict[str, Any]], machine: dict[str, Any], sizes: Sizes, clock: str
) -> dict[str, float]:
    """Return a variant's rates in its fastest round (noise only ever adds time), and its highest peak."""
    best = min(runs, key=lambda measured: measured[clock] / measured["sentences"])
    seconds = best[clock]
    flops = training_flops(sizes, pieces=best["pieces"], squared_lengths=best["squared_lengths"])
    optimizer_seconds = best["steps"] * optimizer_bytes(sizes) / machine["bytes_per_second"]
    floor_seconds = flops / machine["flops_per_second"] + optimizer_seconds
    return {
        "sentences_per_second": best["sentences"] / seconds,
        "padding_percent": 100 * (1 - best["pieces"] / best["positions"]),
        "flops_utilisation_percent": 100 * flops / machine["flops_per_second"] / seconds,
        "times_the_floor": seconds / floor_seconds,
        "peak_mib": max(measured["peak_mib"] for measured in runs),
    }


def compare_scores(options: argparse.Namespace) -> dict[str, Any]:
    """Train ours and the plain Trainer with every seed, in turn, and compare their test scores."""
    runs: dict[str, list[dict[str, Any]]] = {OURS: [], PLAIN: []}
    for seed, variant in itertools.product(range(options.seeds), runs):
        runs[variant].append(
            run(spec_of(options, "score", variant, options.score_rows, options.epochs, seed=seed))
        )
    scores = {variant: [measured["score_percent"] for measured in runs[variant]] for variant in runs}
    return {
        "options": stated(options),
        "score_percent": scores,
        "difference": difference_of(scores),
        "runs": runs,
    }


def difference_of(scores: dict[str, list[float]]) -> dict[str, float]:
    """Return ours minus the Trainer's mean, and Welch's 95% interval (two-sided, unequal variances)."""
    from scipy.stats import ttest_ind

    interval = ttest_ind(scores[OURS], scores[PLAIN], equal_var=False).confidence_interval(0.95)
    mean = statistics.mean(scores[OURS]) - statistics.mean(scores[PLAIN])
    return {"mean": mean, "low": float(interval.low), "high": float(interval.high)}


def write_results(new: dict[str, Any], started: dict[str, Any], *, task: str) -> None:
    """Put new results in place of older ones of the same kind, and print the page.

    started: `software()` before the first run. Every process imports kebench anew, so results of a checkout
        that changed meanwhile carry a note.
    """
    ended = software()
    note = f"The checkout changed meanwhile: {started['commit']} at the start, {ended['commit']} at the end."
    name = "finetune" if task == TASK else f"finetune-{task}"
    path = RESULTS / f"{name}.json"
    RESULTS.mkdir(exist_ok=True)
    results = json.loads(path.read_text()) if path.exists() else {}
    made = {"finished_utc": utc_now(), "software": started, "note": note if started != ended else ""}
    results |= {kind: made | found for kind, found in new.items()}
    results = rounded(results)
    path.write_text(json.dumps(results, indent=1) + "\n")
    (RESULTS / f"{name}.md").write_text(markdown(results))
    print(markdown(results))


def rounded(value: Any) -> Any:
    """Round every number that has a fraction, so that a results file reads well."""
    if isinstance(value, dict):
        return {key: rounded(of) for key, of in value.items()}
    if isinstance(value, list):
        return [rounded(of) for of in value]
    return round(value, DECIMALS) if isinstance(value, float) and abs(value) > 1 else value


def parse(arguments: list[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("command", choices=["speed", "scores", "all"])
    parser.add_argument("--data", type=Path, default=data_folder(), help="where the tasks' folders are")
    parser.add_argument("--task", default=TASK, help="of any kind but relations")
    parser.add_argument("--model", default="minilm")
    parser.add_argument("--learning-rate", type=float, default=2e-4)
    parser.add_argument(
        "--clock", choices=["wall", "cpu"], default="wall", help="cpu: one thread, shared machine"
    )
    parser.add_argument("--rows", type=int, default=1000, help="speed: training sentences")
    parser.add_argument("--padded-rows", type=int, default=64, help="speed: the same for the padded variant")
    parser.add_argument("--rounds", type=int, default=2, help="speed: runs of each variant")
    parser.add_argument("--score-rows", type=int, default=500, help="scores: training sentences")
    parser.add_argument("--epochs", type=int, default=2, help="scores: epochs")
    parser.add_argument("--seeds", type=int, default=5, help="scores: seeds 0, 1, 2 ...")
    return parser.parse_args(arguments)


def main() -> None:
    """Measure, write and print; a target that is missed is reported, never an error."""
    if sys.argv[1:2] == ["work"]:
        print(json.dumps(work(Spec(**json.loads(sys.argv[2])))))
        return
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(message)s")
    options = parse(sys.argv[1:])
    comparisons = {"speed": compare_speed, "scores": compare_scores}
    wanted = list(comparisons) if options.command == "all" else [options.command]
    started = software()
    write_results({kind: comparisons[kind](options) for kind in wanted}, started, task=options.task)


if __name__ == "__main__":
    main()
