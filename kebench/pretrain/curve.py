"""Learning curves, averaged or drawn: what each step did, a JSON line a step (docs/FORMATS.md). No torch."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kebench.bounded import parse_json, read_within
from kebench.chart_styles import integer_ticks, model_styles
from kebench.errors import UserError

CURVES = "curves.jsonl"
LOSSES = ("mlm", "detection", "linking")
HELD_OUT = {  # scores on held-out text, and what they are called
    "perplexity": "perplexity",
    "mlm_accuracy_percent": "masked pieces, %",
    "mention_f1_percent": "mentions, F1",
    "linking_accuracy_percent": "links, accuracy@1, %",
}
ALWAYS = ("step", "loss", *LOSSES, "tokens_per_second")  # in every row
CHART_FORMATS = (".html", ".svg", ".png")
_MARKS = 12  # of points on a curve; ours
_SMOOTHED = 60  # points of a training curve; more are averaged; ours

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


def read_curves(folder: Path) -> list[Row]:
    """Read the curve of a pretrained checkpoint, or of a kept state. Raises UserError if there is none."""
    try:
        rows = read_curve(folder / CURVES)
        if not rows:
            raise ValueError("no step in it")
        return rows
    except OSError as error:
        raise UserError(
            f"{folder / CURVES}: cannot be read ({error.strerror}); name a folder made by 'kebench pretrain'"
        ) from None
    except ValueError as error:
        raise UserError(f"{folder / CURVES}: damaged ({error}); copy the folder again") from None


def averaged(rows: Sequence[Row], most: int) -> list[Row]:
    """Return at most so many rows, each the mean of a stretch of steps, with its last held-out scores."""
    size = -(-len(rows) // most)
    found = []
    for start in range(0, len(rows), size):
        part = rows[start : start + size]
        row: Row = {"step": part[-1]["step"]}
        for name in ALWAYS[1:]:
            row[name] = sum(one[name] for one in part) / len(part)
        for one in part:
            row |= {name: one[name] for name in HELD_OUT if name in one}
        found.append(row)
    return found


def absent_losses(rows: Sequence[Row]) -> set[str]:
    """Return the losses that a curve does not have: `continued` detects and links nothing."""
    return {name for name in LOSSES if not any(row[name] for row in rows)}


def draw(curves: dict[str, list[Row]], out: Path) -> None:
    """Draw curves, by name, side by side for each loss and score. Raises UserError without altair."""
    if out.suffix not in CHART_FORMATS:
        raise UserError(f"{out}: expected a name that ends with {', '.join(CHART_FORMATS)}")
    try:
        import altair
        import vl_convert  # noqa: F401  (what altair writes files with)
    except ImportError:
        raise UserError("charts need altair and vl-convert; pip install 'kebench[charts]'") from None
    titles = {"loss": "loss", "mlm": "masked language modelling", "detection": "entity detection"}
    titles |= {"linking": "entity linking"} | {name: f"held out: {said}" for name, said in HELD_OUT.items()}
    points = []
    for model, rows in curves.items():
        smoothed, absent = averaged(rows, _SMOOTHED), absent_losses(rows)
        for name, title in titles.items():
            shown_rows = [row for row in (rows if name in HELD_OUT else smoothed) if name in row]
            every = -(-len(shown_rows) // _MARKS)  # more points would hide the lines
            points += [
                {"model": model, "step": row["step"], "what": title, "value": row[name]}
                | {"is_marked": number % every == 0}
                for number, row in enumerate(shown_rows)
                if name not in absent
            ]
    shown = [title for title in titles.values() if any(point["what"] == title for point in points)]
    styles, models = model_styles(curves), list(curves)

    def by_model(part: str) -> dict[str, Any]:
        """Return how models are told apart; with one title and one domain the legends are one."""
        ways = [getattr(styles[model], part) for model in models]
        return {"title": None, "scale": {"domain": models, "range": ways}}

    ticks = integer_ticks(max(int(rows[-1]["step"]) for rows in curves.values()), most=5)
    base = altair.Chart({"values": points}).encode(
        x=altair.X("step:Q", axis=altair.Axis(values=ticks, format=",d", labelFlush=False)),
        # three digits also of a single point, whose only label would be rounded to a whole number
        y=altair.Y("value:Q", title=None, scale=altair.Scale(zero=False), axis=altair.Axis(format=".3~r")),
        color=altair.Color("model:N", **by_model("colour")),
    )
    lines = base.mark_line().encode(strokeDash=altair.StrokeDash("model:N", **by_model("dash")))
    marks = base.transform_filter("datum.is_marked").mark_point(size=12)
    marks = marks.encode(shape=altair.Shape("model:N", **by_model("shape")))
    chart = (lines + marks).properties(width=240, height=150)
    facets = chart.facet(altair.Facet("what:N", title=None, sort=shown), columns=4)
    options: dict[str, Any] = {"inline": True} if out.suffix == ".html" else {}
    out.parent.mkdir(parents=True, exist_ok=True)
    facets = facets.configure_legend(orient="bottom", columns=4, labelLimit=300)
    facets.resolve_scale(y="independent", x="shared").save(str(out), **options)
