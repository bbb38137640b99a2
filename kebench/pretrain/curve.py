"""A learning curve: what each step did, a JSON line a step (docs/FORMATS.md). Read without torch."""

import json
from pathlib import Path
from typing import Any

CURVES = "curves.jsonl"
LOSSES = ("mlm", "detection", "linking")
HELD_OUT = {  # scores on held-out text, and what they are called
    "perplexity": "perplexity",
    "mlm_accuracy_percent": "masked pieces, %",
    "mention_f1_percent": "mentions, F1",
    "linking_accuracy_percent": "links, accuracy@1, %",
}
Row = dict[str, Any]


def curve_text(rows: list[Row]) -> str:
    """Return the rows of a curve as JSON lines."""
    return "".join(f"{json.dumps(row)}\n" for row in rows)


def read_curve(path: Path) -> list[Row]:
    """Read the rows of a curve."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
