"""The page of benchmarks/pretrain.py: verdicts, tables, and the paper's pretraining on paper."""

from typing import Any

from tables import table, verdict

CASES: dict[str, dict[str, int]] = {
    "a": {"layers": 2, "context": 1, "hidden": 128, "heads": 4, "pieces": 3_000, "entities": 560},
    "b": {"layers": 6, "context": 4, "hidden": 384, "heads": 12, "pieces": 30_522, "entities": 50_000},
    "c": {"layers": 6, "context": 4, "hidden": 384, "heads": 12, "pieces": 30_522, "entities": 477_000},
}
PAPER = {"layers": 12, "context": 8, "hidden": 768, "heads": 12, "pieces": 30_522, "entities": 477_000}
SPEED_WANTED = {"b": 1.4, "c": 1.1}
SIDES = {
    "released": "the released step",
    "released, sdpa": "the same with PyTorch's fused attention",
    "ours": "ours",
}
MEMORY_WANTED = 0.25  # of the released step's, case c
TOKENS = 8 * 512
ENTITY_SIZE = 100
# The paper's run (section 4.1): 3.5M documents, 2 epochs; a document taken as a sequence of 512.
SEQUENCES, MASKED, MENTIONS = 7_000_000, 0.15 * 512, 50
# Peak of dense products in FLOP/s as the makers state it, and the share of it that we count on.
CARDS = {"8 V100s, fp32": (8 * 15.7e12, 0.30), "8 H100s, bf16": (8 * 989e12, 0.30)}


def step_flops(case: dict[str, int], *, sequences: float, masked: float, mentions: float) -> float:
    """Count the operations that a step needs: 6 a weight and token in layers, head and linking.

    masked, mentions: of all sequences. Attention: 12 T T D a layer and sequence. The head sees masked places
    only; linking is a product with all entities, forward once and backward twice.
    """
    hidden, tokens = case["hidden"], sequences * 512
    layers = case["layers"] * (72 * hidden**2 * tokens + 12 * 512 * hidden * tokens)
    head = 6 * masked * (hidden * case["pieces"] + hidden**2)
    linking = 6 * mentions * (case["entities"] * ENTITY_SIZE + 2 * hidden * ENTITY_SIZE)
    return float(layers + head + linking)


def markdown(results: dict[str, Any]) -> str:
    """Write the results as tables, with the verdict on every target first."""
    cases = results["cases"]
    parts = [
        "# Pretraining, measured",
        "Written by benchmarks/pretrain.py; README.md says what is compared.",
        "\n".join(line for name, case in cases.items() for line in verdicts(name, case)),
        speed_table(cases),
        "MiB beyond: the peak of a step, without weights, gradients and optimiser, all of them in memory.",
        on_paper(),
        "\n".join(
            f"- ({name}) {case['machine']['device']}; commit {case['machine']['commit']}; {case['when']}"
            for name, case in cases.items()
        ),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def verdicts(name: str, case: dict[str, Any]) -> list[str]:
    """Return the lines of one case."""
    lines = []
    if name in SPEED_WANTED:
        wanted = SPEED_WANTED[name]
        for side in ("released", "released, sdpa"):
            ratio = case["seconds"][side] / case["seconds"]["ours"]
            said = f"({name}) {ratio:.2f} times the tokens/s of {SIDES[side]}; wanted {wanted:g}"
            lines.append(verdict(ratio >= wanted, said))
    apart = max(
        abs(one - other) / abs(other)
        for one, other in zip(case["losses"]["ours"], case["losses"]["released"], strict=True)
    )
    lines.append(verdict(apart < 1e-4, f"({name}) the same losses, within {apart:.1e}; wanted 1e-4"))
    if name == "c":
        for side in ("released", "released, sdpa"):
            share = case["peak_mib"]["ours"] / case["peak_mib"][side]
            said = f"(c) {share:.2f} of the memory of {SIDES[side]}; wanted {MEMORY_WANTED:g}"
            lines.append(verdict(share <= MEMORY_WANTED, said))
    return lines


def speed_table(cases: dict[str, Any]) -> str:
    """Seconds, tokens a second, memory and the share of the machine's peak, of each side."""
    rows = []
    for name, case in cases.items():
        shape = CASES[name]
        needed = step_flops(shape, sequences=8, masked=case["masked"], mentions=case["mentions"])
        for side, said in SIDES.items():
            seconds = case["seconds"][side]
            rows.append(
                [
                    f"({name}) {shape['layers']} x {shape['hidden']}, {shape['entities']:,} entities",
                    said,
                    f"{seconds:.2f}",
                    f"{TOKENS / seconds:,.0f}",
                    f"{case['peak_mib'][side]:,.0f}",
                    f"{needed / seconds / case['peak_flops_per_second']:.0%}",
                ]
            )
    header = ["case", "side", "s a step", "tokens/s", "MiB beyond", "needed FLOPs of peak"]
    return table(header, rows)


def on_paper() -> str:
    """Say how long the paper's pretraining would take."""
    flops = step_flops(PAPER, sequences=SEQUENCES, masked=SEQUENCES * MASKED, mentions=SEQUENCES * MENTIONS)
    lines = [
        "On paper: 3.5M documents, each a sequence of 512 with 50 mentions, 2 epochs, 12 layers of 768, "
        f"477,000 entities: {flops:.2e} operations."
    ]
    for name, (peak, share) in CARDS.items():
        days = flops / (peak * share) / 86_400
        lines.append(f"{name}, at {share:.0%} of {peak:.3g} FLOP/s: {days:.2f} days.")
    lines.append("The share is assumed, not measured; reading, and exchange between cards, are not counted.")
    return " ".join(lines)
