"""The page of benchmarks/probe.py: verdicts, tables, and what the full set would take on paper."""

from typing import Any

from tables import table, verdict

FULL_SET = 143_771  # queries; KeBioLM, Table 5
# Peak of dense matrix products in FLOP/s as the makers state it, and the share of it that we count on.
# kebench has no fp16, and a V100 no bf16: there it computes in fp32.
CARDS = {"one V100, fp32": (15.7e12, 0.30), "one H100, bf16": (989e12, 0.30)}
SHARE_WANTED = 0.5  # of the measured peak, for case b


def markdown(results: dict[str, Any]) -> str:
    """Write the results as tables, with the verdict on every target first."""
    cases = results["cases"]
    parts = [
        "# The probe, measured",
        "Written by benchmarks/probe.py; README.md says what is compared.",
        "\n".join(line for name, case in cases.items() for line in verdicts(name, case)),
        speed_table(cases),
        work_table(cases),
        on_paper(cases),
        "Queries are drawn with a fixed seed; beam 5, 1 to 10 masks; fp32.",
        "\n".join(f"- ({name}) {about(case)}" for name, case in cases.items()),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def about(case: dict[str, Any]) -> str:
    """Say of which set, where and when a case was measured."""
    queries, machine = case["set"], case["machine"]
    return (
        f"{queries['name']}, {queries['queries']:,} queries in all; {machine['device']}; "
        f"commit {machine['commit']}; {case['started_utc']}"
    )


def verdicts(name: str, case: dict[str, Any]) -> list[str]:
    """Return the lines of one case."""
    ratio, same = speedup(case), case["same_answers"]
    lines = [
        verdict(ratio >= case["wanted"], f"({name}) {ratio:.1f} times as fast; wanted {case['wanted']:g}"),
        verdict(same == case["queries"], f"({name}) the same answers to {same} of {case['queries']} queries"),
    ]
    if name == "b":
        share = share_of_peak(case, "ours")
        lines.append(
            verdict(share >= SHARE_WANTED, f"(b) {share:.0%} of the matrix peak; wanted {SHARE_WANTED:.0%}")
        )
    return lines


def speedup(case: dict[str, Any]) -> float:
    """How many times as fast as the released algorithm."""
    return float(case["released"]["seconds"] / case["ours"]["seconds"])


def share_of_peak(case: dict[str, Any], side: str) -> float:
    """The operations done a second, as a share of the machine's fastest matrix product."""
    return float(case[side]["flops"] / case[side]["seconds"] / case["peak_flops_per_second"])


SIDES = {"ours": "ours, released mode", "fixed": "ours, fixed mode", "released": "the released algorithm"}


def speed_table(cases: dict[str, Any]) -> str:
    """Seconds, states and speed of each side of each case."""
    rows = [
        [
            f"({name}) {case['model']}",
            SIDES[side],
            f"{case['queries']}",
            f"{case[side]['seconds']:.2f}",
            f"{case[side]['seconds'] / case['queries'] * 1000:,.0f}",
            f"{case['released']['seconds'] / case[side]['seconds']:.1f}x",
        ]
        for name, case in cases.items()
        for side in SIDES
    ]
    return table(["model", "side", "queries", "s", "ms a query", "speed"], rows)


def used_over_needed(case: dict[str, Any], side: str) -> str:
    """The operations of a side over those needed; a dash for a case measured before these were counted."""
    return f"{case[side]['flops'] / case['needed']['flops']:.2f}" if "needed" in case else "-"


def work_table(cases: dict[str, Any]) -> str:
    """Operations of each side, against those that are needed, and against the machine."""
    rows = [
        [
            f"({name}) {case['model']}",
            SIDES[side],
            f"{case[side]['states'] / case['queries']:.0f}",
            f"{case[side]['flops'] / case['queries'] / 1e9:,.1f}",
            used_over_needed(case, side),
            f"{share_of_peak(case, side):.0%}",
        ]
        for name, case in cases.items()
        for side in ("ours", "released")
    ]
    header = ["model", "side", "states a query", "GFLOP a query", "used / needed", "of the peak"]
    peaks = ", ".join(f"({name}) {case['peak_flops_per_second'] / 1e9:.0f}" for name, case in cases.items())
    return (
        table(header, rows)
        + "\n\nNeeded: every distinct text with open blanks that the released algorithm comes to, forwarded "
        "once; the head, and the last layer behind its attention, at the open blanks only; counted from "
        "the released algorithm's own states; a dash where it was not yet. "
        "Operations: 2 a weight and word piece, 4TTD a layer for attention, the head; layer norms, soft-max "
        "and the choice of the best tokens are not counted. "
        f"Peak: the fastest fp32 product of square matrices, {peaks} GFLOP/s."
    )


def on_paper(cases: dict[str, Any]) -> str:
    """The full set on one card, by the operations of case b."""
    if "b" not in cases:
        return ""
    case = cases["b"]
    lines = ["## The full set on one card, on paper"]
    for side in ("ours", "released"):
        a_query = case[side]["flops"] / case["queries"]
        whole = a_query * FULL_SET
        times = ", ".join(
            f"{whole / (peak * share) / 3600:.2f} h on {card} ({peak / 1e12:g} TFLOP/s x {share:.0%})"
            for card, (peak, share) in CARDS.items()
        )
        lines.append(
            f"{SIDES[side]}: {a_query / 1e9:.0f} GFLOP a query x {FULL_SET:,} = {whole / 1e15:.1f} PFLOP: "
            f"{times}."
        )
    lines.append(
        "Not measured: the share of the peak is assumed, and the released algorithm is far from it. "
        "A V100 has no bf16, so kebench computes in fp32 there."
    )
    return "\n\n".join(lines)
