"""The page of results of benchmarks/ranked.py: verdicts, speed and memory, tokens and the floor."""

from typing import Any

from tables import table, verdict

LARGEST_DIFFERENCE = 1e-3  # nats, of a sum
OURS, PLAIN = "ours", "plain batches of 32"
BY_TOKENS = "d"


def markdown(results: dict[str, Any]) -> str:
    """Write the results as tables, with the verdict on every target first."""
    cases = results["cases"]
    parts = [
        "# Ranking names by causal models, measured",
        "Written by benchmarks/ranked.py; README.md says what is compared.",
        "\n".join(line for name, case in cases.items() for line in verdicts(name, case)),
        speed(cases),
        counts(cases),
        conditions(cases),
    ]
    return "\n\n".join(parts) + "\n"


def verdicts(name: str, case: dict[str, Any]) -> list[str]:
    """Return one line for each target of a case: reached or not, and the numbers."""
    variants, lines = case["variants"], []
    ours = variants[OURS]
    for variant, wanted in case["wanted"].items():
        if name == BY_TOKENS:
            ratio = case["counts"]["plain_tokens"] / case["counts"]["tokens"]
            text = f"({name}) {ratio:.1f} times fewer tokens than texts one by one; wanted {wanted:g}"
        else:
            ratio = variants[variant]["cpu_seconds"] / ours["cpu_seconds"]
            text = f"({name}) {ratio:.1f} times as fast as {variant}; wanted {wanted:g}"
        lines.append(verdict(ratio >= wanted, text))
    largest = max(one["largest_difference"] for one in variants.values())
    lines.append(
        verdict(largest <= LARGEST_DIFFERENCE, f"({name}) sums differ by {largest:.1g} nats at most")
    )
    peaks = [one["peak_mib"] for variant, one in variants.items() if variant.startswith("lm-pub-quiz")]
    if peaks:
        text = f"({name}) peak {ours['peak_mib']:.0f} MiB; wanted at most {min(peaks):.0f}"
        lines.append(verdict(ours["peak_mib"] <= min(peaks), text))
    return lines


def speed(cases: dict[str, Any]) -> str:
    """The table of seconds and memory."""
    rows = [
        [
            f"({name}) {case['title']}",
            variant,
            str(one["queries"]),
            f"{one['cpu_seconds']:.2f}",
            f"{one['wall_seconds']:.2f}",
            f"{one['cpu_seconds'] / case['variants'][OURS]['cpu_seconds']:.1f}",
            f"{one['peak_mib']:.0f}",
            f"{one['largest_difference']:.0e}" if variant != OURS else "",
        ]
        for name, case in cases.items()
        for variant, one in case["variants"].items()
    ]
    header = ["case", "side", "queries", "CPU s a query", "wall s", "x ours", "peak MiB", "difference"]
    return (
        table(header, rows)
        + "\n\nOne thread, fp32; loading and the first query, with which ours checks how it may share "
        "work, are not timed. Seconds are those of the fastest round; the machine is used by others too, so "
        "CPU seconds count. Peak: resident while asking, weights included. Difference: the largest of a sum, "
        "in nats."
    )


def counts(cases: dict[str, Any]) -> str:
    """The table of tokens and operations."""
    rows = []
    for name, case in cases.items():
        one, seconds = case["counts"], case["variants"][OURS]["cpu_seconds"]
        floor = one["needed_flops"] / one["peak_flops_per_second"]
        rows.append(
            [
                f"({name})",
                f"{one['plain_tokens']:.0f}",
                f"{one['tokens']:.0f}",
                f"{one['needed_tokens']:.0f}",
                f"{one['plain_tokens'] / one['tokens']:.1f}",
                f"{one['plain_tokens'] / one['needed_tokens']:.1f}",
                f"{one['heads']:.0f}",
                f"{one['needed_flops'] / 1e9:.0f}",
                "" if name == BY_TOKENS else f"{floor:.2f}",
                "" if name == BY_TOKENS else f"{seconds / floor:.2f}",
            ]
        )
    header = [
        "case", "tokens one by one", "forwarded", "needed", "fewer", "at best", "heads needed",
        "GFLOP needed", "floor s", "x floor",
    ]  # fmt: skip
    peaks = ", ".join(
        f"({name}) {case['counts']['peak_flops_per_second'] / 1e9:.0f}" for name, case in cases.items()
    )
    return (
        table(header, rows)
        + "\n\nA query, last tokens left out. Needed: every distinct beginning of the texts of a "
        "relation once, and the head at those behind which a token is asked for. Operations: 2 a weight and "
        "token, 4 a number of the state for each token seen in each layer, the head; norms and the soft-max "
        f"are not counted. Floor: those at the fastest fp32 product of square matrices, {peaks} GFLOP/s."
    )


def conditions(cases: dict[str, Any]) -> str:
    """Where and when each case was measured."""
    return "\n".join(
        f"- ({name}) {case['model']}, names: {case['names']}; {case['machine']['device']}; "
        f"torch {case['machine']['packages']['torch']}, "
        f"transformers {case['machine']['packages']['transformers']}; commit {case['machine']['commit']}; "
        f"{case['started_utc']}"
        for name, case in cases.items()
    )
