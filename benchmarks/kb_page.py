"""The page of results of kb.py: verdicts first, then tables, and the plot of cost against size."""

import itertools
from pathlib import Path
from typing import Any

# What was to be reached.
OPEN_UMLS = {"seconds": 20, "peak_mib": 1024, "times_as_fast": 5, "share_of_memory": 1 / 3}
FULL_SIZE = {"seconds": 360, "peak_mib": 6 * 1024}
OPEN_KB_SECONDS = 180
LEAD = "Written by benchmarks/kb.py; README.md says what is compared."


def markdown(results: dict[str, Any]) -> str:
    """Return the page."""
    parts = [
        "# The import of a knowledge base, measured",
        LEAD,
    ]
    parts.append("\n".join(verdicts(results)))
    if "compare" in results:
        parts.append(comparison(results["compare"]))
    if "scale" in results:
        parts += [scaling(results["scale"]["points"]), "![cost against size](kb-scale.svg)"]
    if "open-kb" in results:
        found = results["open-kb"]
        parts.append(
            f"open-kb: {found['concepts']:,} concepts, {found['names']:,} names, "
            f"{found['relations']:,} relation rows, {found['seconds']:.1f} s, "
            f"peak {found['peak_mib']:,.0f} MiB."
        )
    machine = next(iter(results.values()))
    parts.append(f"{machine['device']}; {machine['software']['packages']}; {machine['finished_utc']}.")
    return "\n\n".join(parts) + "\n"


def verdicts(results: dict[str, Any]) -> list[str]:
    """Return one line for each target: reached or not, and the numbers."""
    lines = comparison_verdicts(results["compare"]["best"]) if "compare" in results else []
    if "scale" in results:
        lines += scale_verdicts(results["scale"]["points"])
    if "open-kb" in results:
        seconds = results["open-kb"]["seconds"]
        lines.append(verdict(seconds <= OPEN_KB_SECONDS, f"open-kb in {seconds:.1f} s; wanted 180"))
    return lines


def comparison_verdicts(best: dict[str, Any]) -> list[str]:
    """Judge speed and memory on open-umls."""
    ours, plain, lean = best["ours"], best["plain"], best["lean"]
    faster, share = plain["seconds"] / ours["seconds"], ours["peak_mib"] / plain["peak_mib"]
    is_fast = faster >= OPEN_UMLS["times_as_fast"]
    return [
        verdict(ours["seconds"] <= OPEN_UMLS["seconds"], f"open-umls in {ours['seconds']:.1f} s; wanted 20"),
        verdict(ours["peak_mib"] <= OPEN_UMLS["peak_mib"], f"in {ours['peak_mib']:,.0f} MiB; wanted 1,024"),
        verdict(is_fast, f"{faster:.2f} times as fast as the plain reader; wanted 5"),
        verdict(share <= OPEN_UMLS["share_of_memory"], f"{share:.2f} of its memory; wanted at most 0.33"),
        f"- no target: {lean['seconds'] / ours['seconds']:.2f} times as fast as the leaner one",
    ]


def scale_verdicts(points: list[dict[str, Any]]) -> list[str]:
    """Judge how the cost grows, and the whole size."""
    lines = []
    ends = [(points[0], points[-1])] if len(points) > 2 else []
    for smaller, larger in [*ends, *itertools.pairwise(points)]:
        size, cost = larger["share"] / smaller["share"], larger["seconds"] / smaller["seconds"]
        lines.append(verdict(cost <= size, f"{size:.1f} times the size in {cost:.1f} times the time"))
    whole = points[-1]
    if whole["share"] == 1:
        lines += [
            verdict(
                whole["seconds"] <= FULL_SIZE["seconds"],
                f"the whole size in {whole['seconds']:.0f} s; wanted 360",
            ),
            verdict(
                whole["peak_mib"] <= FULL_SIZE["peak_mib"], f"in {whole['peak_mib']:,.0f} MiB; wanted 6,144"
            ),
        ]
    return lines


def verdict(is_reached: bool, numbers: str) -> str:
    """Say it."""
    return f"- **{'reached' if is_reached else 'NOT reached'}**: {numbers}"


def comparison(found: dict[str, Any]) -> str:
    """Return the table of ours, the plain reader, and unpacking alone."""
    names = {
        "ours": "kebench kb import",
        "plain": "plain reader",
        "lean": "the same, leaner",
        "unpack": "unpacking alone, one core",
    }
    rows = [
        f"| {names[kind]} | {best['seconds']:.2f} | {best['cpu_seconds']:.2f} | {best['peak_mib']:,.0f} |"
        for kind, best in found["best"].items()
    ]
    times = found["best"]["ours"]["seconds"] / found["best"]["unpack"]["seconds"]
    floor = f"The import takes {times:.1f} times what reading and unpacking its files takes on one core."
    return "\n".join(["| open-umls | s | CPU s | peak MiB |", "|---|---:|---:|---:|", *rows]) + "\n\n" + floor


def scaling(points: list[dict[str, Any]]) -> str:
    """Return the table of sizes."""
    head = "| of 2020AA | names | relation rows | s | CPU s | peak MiB | GB read | GB written |"
    rows = [
        f"| {p['share']:g} | {p['names']:,} | {p['relations']:,} | {p['seconds']:.1f} | "
        f"{p['cpu_seconds']:.1f} | {p['peak_mib']:,.0f} | {p['bytes_read'] / 1e9:.2f} | "
        f"{p['bytes_written'] / 1e9:.2f} |"
        for p in points
    ]
    return "\n".join([head, "|---:|---:|---:|---:|---:|---:|---:|---:|", *rows])


def plot(points: list[dict[str, Any]], path: Path) -> None:
    """Draw seconds and memory against size, with the line of linear growth from the smallest."""
    import matplotlib.pyplot as plt

    plt.rcParams["svg.hashsalt"] = "kebench"  # the same picture, the same file
    figure, panels = plt.subplots(1, 2, figsize=(8, 3.2))
    millions = [point["names"] / 1e6 for point in points]
    for panel, (field, label) in zip(panels, (("seconds", "seconds"), ("peak_mib", "peak MiB")), strict=True):
        values = [point[field] for point in points]
        panel.loglog(millions, values, "o-", label="measured")
        panel.loglog(
            millions, [values[0] * m / millions[0] for m in millions], "--", color="gray", label="linear"
        )
        panel.set_xlabel("million names")
        panel.set_ylabel(label)
        panel.legend(frameon=False)
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})
