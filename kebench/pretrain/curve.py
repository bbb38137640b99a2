"""A learning curve: what each step did, a JSON line a step (docs/FORMATS.md). Read without torch."""

import json
from pathlib import Path
from typing import Any

from kebench.bounded import parse_json, read_within

CURVES = "curves.jsonl"
LOSSES = ("mlm", "detection", "linking")
HELD_OUT = {  # scores on held-out text, and what they are called
    "perplexity": "perplexity",
    "mlm_accuracy_percent": "masked pieces, %",
    "mention_f1_percent": "mentions, F1",
    "linking_accuracy_percent": "links, accuracy@1, %",
}
ALWAYS = ("step", "loss", *LOSSES, "tokens_per_second")  # in every row
Row = dict[str, Any]


def curve_text(rows: list[Row]) -> str:
    """Return the rows of a curve as JSON lines."""
    return "".join(f"{json.dumps(row)}\n" for row in rows)


def read_curve(path: Path) -> list[Row]:
    """Read the rows of a curve. Raises ValueError if one is none."""
    rows = [parse_json(line) for line in read_within(path).decode("utf-8").splitlines()]
    for number, row in enumerate(rows, 1):
        if not isinstance(row, dict):
            raise ValueError(f"line {number}: no step")
        if missing := [name for name in ALWAYS if name not in row]:
            raise ValueError(f"line {number}: a step without '{missing[0]}'")
        if wrong := [name for name in (*ALWAYS, *HELD_OUT) if type(row.get(name, 0)) not in (int, float)]:
            raise ValueError(f"line {number}: {wrong[0]} is no number")
    return rows
