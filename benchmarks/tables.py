"""The page of results: verdicts, then tables, then the conditions they were measured under."""

import statistics
from typing import Any

from training import GROUPED, OURS, PADDED, PLAIN

from kebench.scoring.metrics import METRICS
from kebench.tasks.card import read_task_card

# (variant measured against, how many times its speed is to be reached)
# By whether a task's texts are sentences, of which most is padding at 512, or run to hundreds of word pieces.
SENTENCE_TARGETS = ((PADDED, 10.0), (PLAIN, 1.5), (GROUPED, 1.0))
TEXT_TARGETS = ((PLAIN, 1.3),)
LARGEST_DIFFERENCE = 1.0  # points of the score


def verdicts(results: dict[str, Any]) -> list[str]:
    """Return one line for each target: reached or not, and the numbers."""
    lines = speed_verdicts(results["speed"]["rates"]) if "speed" in results else []
    return lines + (score_verdicts(results["scores"]["difference"]) if "scores" in results else [])


def speed_verdicts(rates: dict[str, dict[str, float]]) -> list[str]:
    """Judge speed and memory."""
    lines = []
    for variant, wanted in SENTENCE_TARGETS if PADDED in rates else TEXT_TARGETS:
        ratio = rates[OURS]["sentences_per_second"] / rates[variant]["sentences_per_second"]
        lines.append(verdict(ratio >= wanted, f"{ratio:.2f}x the speed of {variant}; wanted {wanted:g}x"))
    ours, theirs = rates[OURS]["peak_mib"], rates[PLAIN]["peak_mib"]
    return [
        *lines,
        verdict(ours <= theirs, f"peak {ours:.0f} MiB; wanted at most the Trainer's {theirs:.0f}"),
    ]


def score_verdicts(difference: dict[str, float]) -> list[str]:
    """Judge the difference of scores."""
    mean, low, high = difference["mean"], difference["low"], difference["high"]
    return [
        verdict(
            low <= 0 <= high,
            f"95% interval of the difference in scores {low:+.2f} to {high:+.2f}; wanted 0 in it",
        ),
        verdict(
            abs(mean) <= LARGEST_DIFFERENCE,
            f"difference in scores {mean:+.2f}; wanted at most {LARGEST_DIFFERENCE} either way",
        ),
    ]


def verdict(is_reached: bool, numbers: str) -> str:
    """Say it."""
    return f"- **{'reached' if is_reached else 'NOT reached'}**: {numbers}"


def markdown(results: dict[str, Any]) -> str:
    """Write the results as tables, with the verdict on every target first."""
    parts = ["# Fine-tuning, measured", "Written by benchmarks/finetune.py; README.md says what is compared."]
    parts.append("\n".join(verdicts(results)))
    if "speed" in results:
        parts += speed_section(results["speed"])
    if "scores" in results:
        parts += score_section(results["scores"])
    return "\n\n".join(part for part in parts if part) + "\n"


def speed_section(speed: dict[str, Any]) -> list[str]:
    """The table of rates, and the conditions they were measured under."""
    rates, options, machine = speed["rates"], speed["options"], speed["machine"]
    header = ["variant", "sentences/s", "ours is", "padding %", "FLOPs used %", "x floor", "peak MiB"]
    ours = rates[OURS]["sentences_per_second"]
    rows = [[variant, *rate_cells(rate, ours)] for variant, rate in rates.items()]
    padded = f" ({options['padded_rows']} where padded to 512)" if PADDED in rates else ""
    return [
        "## Speed and memory",
        table(header, rows),
        f"{options['task']}, {options['model']}, batches of 16, {options['rows']} training examples{padded}, "
        f"fp32, {machine['device']}. Each variant ran "
        f"{options['rounds']} times, in turn; the fastest counts, by {options['clock']} seconds of its "
        "second epoch. The peak is the whole process's, the highest of its runs.",
        f"The floor: what is not padding at {machine['flops_per_second'] / 1e9:.1f} GFLOP/s, measured in "
        f"fp32 products of {machine['matrix_pieces']} word pieces (a step's mean) at the model's own sizes, "
        f"plus AdamW's 28 bytes a parameter and step at {machine['bytes_per_second'] / 1e9:.1f} GB/s.",
        speed["note"],
        "### Every run",
        table(["variant", "round", "sentences", "wall s", "CPU s", "peak MiB"], run_rows(speed["runs"])),
    ]


def rate_cells(rate: dict[str, float], ours: float) -> list[str]:
    """One variant's cells of the speed table."""
    return [
        f"{rate['sentences_per_second']:.2f}",
        f"{ours / rate['sentences_per_second']:.2f}x",
        f"{rate['padding_percent']:.1f}",
        f"{rate['flops_utilisation_percent']:.1f}",
        f"{rate['times_the_floor']:.2f}",
        f"{rate['peak_mib']:.0f}",
    ]


def run_rows(runs: dict[str, list[dict[str, Any]]]) -> list[list[str]]:
    """One row for each timed process."""
    return [
        [
            variant,
            str(place + 1),
            f"{r['sentences']}",
            f"{r['wall']:.2f}",
            f"{r['cpu']:.2f}",
            f"{r['peak_mib']:.0f}",
        ]
        for variant, measured in runs.items()
        for place, r in enumerate(measured)
    ]


def score_section(scores: dict[str, Any]) -> list[str]:
    """The table of scores by seed."""
    options, percents = scores["options"], scores["score_percent"]
    metric = METRICS[read_task_card(options["task"]).metric]
    seeds = [f"seed {seed}" for seed in range(options["seeds"])]
    rows = [
        [name, f"{statistics.mean(of):.2f}", f"{statistics.stdev(of):.2f}", *(f"{one:.2f}" for one in of)]
        for name, of in percents.items()
    ]
    return [
        "## Scores",
        table(["variant", "mean score", "SD", *seeds], rows),
        f"{metric.words} on the whole test set of {options['task']} after {options['epochs']} epochs on "
        f"{options['score_rows']} training examples, {options['model']}, rate {options['learning_rate']:g}, "
        f"n = {options['seeds']} seeds each. The difference is ours minus the Trainer's, its interval "
        "Welch's, two-sided.",
        scores["note"],
    ]


def table(header: list[str], rows: list[list[str]]) -> str:
    """Return a Markdown table, the first column to the left and numbers to the right."""
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
