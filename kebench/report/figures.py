"""Charts of a results page: drawn by Vega-Lite while it is made, so it holds SVG and runs no chart code.

Texts and lines take the page's own colour, so that one drawing serves light and dark. The same numbers give
the same bytes.
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

from kebench.chart_styles import PALETTE, SHAPES, ModelStyle, integer_ticks
from kebench.errors import UserError
from kebench.report.strata import StratumScore
from kebench.report.table import Cell
from kebench.scoring.calibration import Bin
from kebench.stats.ranks import Ranking

# What stands for the page's colour of text in a drawing, until `_svg` replaces it; no palette has it.
_INK = "#010203"
_GRID = "#80808040"
_NEUTRAL = "#e4e4e4"  # a tile on which as many tasks were won as lost
_MARKS = 12  # of points on a curve; on one of more epochs some have none, or they would hide the lines; ours
_MOST_IN_LEGEND = 6  # models, as many as colours; more are named beside their lines
_LINE = 14  # height of a line of text
_TICKS = {"tickCount": 6, "labelFlush": False}  # so few that the labels at the ends run into no other
ModelStyles = Mapping[str, ModelStyle]


def require_charts() -> Any:
    """Return altair. Raises UserError if what draws is not installed."""
    try:
        import altair
        import vl_convert  # noqa: F401  (what altair draws with)
    except ImportError:
        raise UserError(
            "the page needs altair, vl-convert and itables; pip install 'kebench[charts]'"
        ) from None
    return altair


def _svg(chart: Any) -> str:
    import vl_convert

    texts = {"labelColor": _INK, "titleColor": _INK}
    drawn = chart.configure(background="transparent", font="sans-serif")
    drawn = drawn.configure_axis(**texts, domainColor=_INK, tickColor=_INK, gridColor=_GRID)
    drawn = drawn.configure_legend(**texts, orient="bottom", columns=4, labelLimit=220)
    drawn = drawn.configure_view(strokeWidth=0).configure_range(category=list(PALETTE))
    return str(vl_convert.vegalite_to_svg(drawn.to_dict())).replace(_INK, "currentColor")


def dot_plot(cells: Mapping[str, Cell], styles: ModelStyles, title: str) -> str:
    """Return the seeds of models on one task: a dot each in the model's colour, a bar at the mean.

    title: of the score.
    """
    altair = require_charts()
    points: list[dict[str, Any]] = [
        {"model": label, "seed": seed, "score": round(percent, 3)}
        for label, cell in cells.items()
        for seed, percent in sorted(cell.test_percent_by_seed.items())
    ]
    means = [{"model": label, "mean": round(cell.score.mean, 3)} for label, cell in cells.items()]
    scale = _percent_scale(point["score"] for point in points)
    x = altair.X("score:Q", title=f"{title}, %", scale=scale, axis=altair.Axis(**_TICKS))
    y = altair.Y("model:N", sort=list(cells), title=None, axis=altair.Axis(labelLimit=200))
    colour = _by_model(cells, styles, "color", has_legend=False)
    dots = altair.Chart({"values": points}).mark_circle(size=40, opacity=0.8).encode(x=x, y=y, **colour)
    bars = altair.Chart({"values": means}).mark_tick(thickness=2, color=_INK, size=16)
    return _svg((dots + bars.encode(x="mean:Q", y=y)).properties(width=420, height=altair.Step(22)))


def _percent_scale(percents: Iterable[float]) -> Any:
    """Return a scale that shows the differences of percentages, with room around them and a single one."""
    found = list(percents)
    room = 0.04 * (max(found) - min(found)) or 1
    return require_charts().Scale(zero=False, nice=False, domain=[min(found) - room, max(found) + room])


def heat_map(labels: Sequence[str], wins: Mapping[tuple[str, str], tuple[int, int]]) -> str:
    """Return models by models: coloured by the tasks won significantly less those lost, both printed.

    Tiles are opaque, so that what is printed on them can be read on a light and on a dark page.
    """
    altair = require_charts()
    most = max((abs(won - lost) for won, lost in wins.values()), default=1) or 1
    values = [
        {"row": row, "column": column, "text": f"{won}:{lost}", **_tile((won - lost) / most)}
        for (row, column), (won, lost) in wins.items()
    ]
    axis = altair.Axis(labelAngle=-40, labelLimit=160)
    x = altair.X("column:N", sort=list(labels), title="against", axis=axis)
    y = altair.Y("row:N", sort=list(labels), title=None, axis=altair.Axis(labelLimit=160))
    base = altair.Chart({"values": values}).encode(x=x, y=y)
    size, step = (9, 34) if len(labels) > 12 else (11, 44)
    tiles = base.mark_rect().encode(color=altair.Color("tile:N", scale=None, legend=None))
    ink = altair.Color("ink:N", scale=None, legend=None)
    texts = base.mark_text(fontSize=size).encode(text="text:N", color=ink)
    return _svg((tiles + texts).properties(width=altair.Step(step), height=altair.Step(24)))


def _tile(share: float) -> dict[str, str]:
    """Return the colours of a tile and of its text. share: from -1, all lost, over 0 to 1, all won."""
    full = PALETTE[0] if share > 0 else PALETTE[1]
    pairs = zip(*(bytes.fromhex(colour[1:]) for colour in (_NEUTRAL, full)), strict=True)
    mixed = [round(one + abs(share) * (other - one)) for one, other in pairs]
    # black or white, whichever contrasts more with the colour (WCAG 2.2, relative luminance)
    shares = [one / 255 for one in mixed]
    linear = [one / 12.92 if one <= 0.04045 else ((one + 0.055) / 1.055) ** 2.4 for one in shares]
    luminance = sum(weight * one for weight, one in zip((0.2126, 0.7152, 0.0722), linear, strict=True))
    ink = "#000000" if (luminance + 0.05) ** 2 > 1.05 * 0.05 else "#ffffff"
    return {"tile": f"#{bytes(mixed).hex()}", "ink": ink}


def critical_difference(labels: Sequence[str], ranking: Ranking, styles: ModelStyles) -> str:
    """Return mean ranks on a line; a bar joins models that do not differ (Demšar 2006, figure 1)."""
    altair = require_charts()
    ranks = [round(rank, 3) for rank in ranking.mean_ranks]
    order = sorted(range(len(labels)), key=lambda place: ranking.mean_ranks[place])
    points = [
        {"model": labels[place], "rank": ranks[place], "line": line} for line, place in enumerate(order)
    ]
    bars = [
        {
            "from": min(ranks[place] for place in group),
            "to": max(ranks[place] for place in group),
            "line": max(map(order.index, group)) + 0.4,
        }
        for group in ranking.groups
    ]
    scale = altair.Scale(domain=[1, max(2, len(labels))], nice=False)
    x = altair.X("rank:Q", title="mean rank (1 is best)", scale=scale)
    y = altair.Y("line:Q", axis=None, scale=altair.Scale(reverse=True, domain=[-0.5, len(labels)]))
    base = altair.Chart({"values": points}).encode(x=x, y=y)
    texts = base.mark_text(align="left", dx=8, color=_INK).encode(text="model:N")
    groups = altair.Chart({"values": bars}).mark_rule(strokeWidth=4, color=_INK, opacity=0.5)
    groups = groups.encode(x=altair.X("from:Q", title="mean rank (1 is best)", scale=scale), x2="to:Q", y=y)
    by_model = _by_model(labels, styles, "color", "shape", has_legend=False)
    signs = base.mark_point(filled=True, size=60).encode(**by_model)
    return _svg((groups + signs + texts).properties(width=520, height=24 * len(labels) + 20))


def learning_curves(curves: Mapping[str, Sequence[float | None]], styles: ModelStyles, score: str) -> str:
    """Return the mean dev score of models after each epoch; many are named beside their lines.

    score: what it is called. None: an epoch after which it was undefined, which has no point.
    """
    altair = require_charts()
    models, is_crowded = list(curves), len(curves) > _MOST_IN_LEGEND
    epochs = max(map(len, curves.values()))
    every = -(-epochs // _MARKS)
    values: list[dict[str, Any]] = [
        {
            "model": label,
            "epoch": epoch,
            "dev": round(percent, 3),
            "is_marked": epoch in (1, len(percents)) or epoch % every == 0,
        }
        for label, percents in curves.items()
        for epoch, percent in enumerate(percents, start=1)
        if percent is not None
    ]
    room = 0.5 if epochs == 1 else 0.02 * (epochs - 1)
    width, height = 420, max(220, _LINE * len(models) if is_crowded else 0)
    scale = _percent_scale(one["dev"] for one in values)
    x = altair.X(
        "epoch:Q",
        axis=altair.Axis(values=integer_ticks(epochs), format="d", labelFlush=False),
        scale=altair.Scale(domain=[1 - room, epochs + room], nice=False),
    )
    y = altair.Y("dev:Q", title=f"dev {score}, %", scale=scale, axis=altair.Axis(tickCount=8))
    by_model = partial(_by_model, models, styles, has_legend=not is_crowded)
    base = altair.Chart({"values": values}).encode(x=x, y=y, **by_model("color"))
    points = base.transform_filter("datum.is_marked").mark_point(size=30).encode(**by_model("shape"))
    chart = base.mark_line().encode(**by_model("strokeDash")) + points
    if is_crowded:
        low, high = scale.domain
        ends = {one["model"]: one for one in values}  # the last of each
        wanted = {model: one["dev"] for model, one in ends.items()}
        heights = spread(wanted, _LINE * (high - low) / height, low, high)
        labels = altair.Chart({"values": [{**one, "at": heights[model]} for model, one in ends.items()]})
        at = altair.Y("at:Q", scale=scale)
        rules = labels.mark_rule(opacity=0.6)
        rules = rules.encode(
            x=x, x2=altair.value(width + 12), y=y, y2="at:Q", **by_model("color", "strokeDash")
        )
        signs = labels.mark_point(size=30)
        signs = signs.encode(x=altair.value(width + 18), y=at, **by_model("color", "shape"))
        texts = labels.mark_text(align="left", dx=26, color=_INK)
        chart = chart + rules + signs + texts.encode(x=altair.value(width), y=at, text="model:N")
    return _svg(chart.properties(width=width, height=height))


def spread(wanted: Mapping[str, float], gap: float, low: float, high: float) -> dict[str, float]:
    """Return places for labels, at least `gap` apart, in the order of those wanted and as near as may be.

    They lie between `low` and `high`, if these leave room for all.
    """
    places: dict[str, float] = {}
    least, most = low, high
    for name in sorted(wanted, key=lambda name: (wanted[name], name)):
        places[name] = max(wanted[name], least)
        least = places[name] + gap
    for name in reversed(places):
        places[name] = min(places[name], most)
        most = places[name] - gap
    return places


def _by_model(
    models: Iterable[str], styles: ModelStyles, *channels: str, has_legend: bool = True
) -> dict[str, Any]:
    """Return how models are told apart, by channel; legends become one, as they name the same models."""
    altair = require_charts()
    made = {
        "color": (altair.Color, "colour"),
        "shape": (altair.Shape, "shape"),
        "strokeDash": (altair.StrokeDash, "dash"),
    }
    names, legend = list(models), {} if has_legend else {"legend": None}
    encoded = {}
    for channel in channels:
        encoding, style = made[channel]
        scale = {"domain": names, "range": [getattr(styles[name], style) for name in names]}
        encoded[channel] = encoding("model:N", title=None, scale=scale, **legend)
    return encoded


def probe_bars(rows: Sequence[tuple[str, str, float]]) -> str:
    """Return hits of models by kind of query: (model, kind, percent)."""
    altair = require_charts()
    values = [{"model": model, "queries": kind, "hit": round(percent, 3)} for model, kind, percent in rows]
    models = list(dict.fromkeys(model for model, _, _ in rows))
    order = ["type 1", "type 2", "all"]
    chart = altair.Chart({"values": values}).mark_bar()
    chart = chart.encode(
        x=altair.X("hit:Q", title="hit, %, mean over relations"),
        y=altair.Y("model:N", sort=models, title=None, axis=altair.Axis(labelLimit=200)),
        yOffset=altair.YOffset("queries:N", sort=order),
        color=altair.Color("queries:N", sort=order, title=None),
    )
    return _svg(chart.properties(width=420, height=altair.Step(14)))


class IntervalDot(NamedTuple):
    """A row of a chart: a figure of a model with its interval, and a baseline; None for what is missing."""

    model: str
    label: str
    percent: float | None
    low_percent: float | None
    high_percent: float | None
    baseline_percent: float | None


def interval_dots(rows: Sequence[IntervalDot], styles: ModelStyles, title: str) -> str:
    """Return figures of models in their colours, each with its interval, and a bar at its baseline."""
    altair = require_charts()
    known = [row for row in rows if row.percent is not None]
    if not known:
        return ""
    values = [
        {name: round(one, 3) if isinstance(one, float) else one for name, one in row._asdict().items()}
        for row in known
    ]
    percents = (one for row in known for one in row[2:] if isinstance(one, float))
    scale, axis = _percent_scale(percents), altair.Axis(labelLimit=280, grid=True)
    x = altair.X("percent:Q", title=f"{title}, %", scale=scale, axis=altair.Axis(**_TICKS))
    y = altair.Y("label:N", sort=[row.label for row in known], title=None, axis=axis)
    models = list(dict.fromkeys(row.model for row in known))
    base = altair.Chart({"values": values}).encode(
        y=y, **_by_model(models, styles, "color", has_legend=False)
    )
    lines = base.transform_filter("datum.low_percent !== null && datum.high_percent !== null")
    lines = lines.mark_rule(strokeWidth=2).encode(
        x=altair.X("low_percent:Q", scale=scale), x2="high_percent:Q"
    )
    bars = altair.Chart({"values": values}).transform_filter("datum.baseline_percent !== null")
    bars = bars.mark_tick(thickness=2, color=_INK, size=16).encode(x="baseline_percent:Q", y=y)
    shape = _by_model(models, styles, "shape", has_legend=False)
    points = base.mark_point(filled=True, size=70, opacity=1).encode(x=x, **shape)
    # The page's letters may be wider than those that the chart was measured with.
    padding = {"left": 5 + max(len(row.label) for row in known), "right": 5, "top": 5, "bottom": 5}
    return _svg((lines + bars + points).properties(width=420, height=altair.Step(24), padding=padding))


def strata_dots(scores: Sequence[StratumScore], styles: ModelStyles) -> str:
    """Return F1 of models on each kind of mention of one task; many models have a line each."""
    altair = require_charts()
    values: list[dict[str, Any]] = [
        {"model": one.model, "mentions": one.mentions, "score": round(one.mean, 3)} for one in scores
    ]
    models = list(dict.fromkeys(one.model for one in scores))
    kinds = list(dict.fromkeys(one.mentions for one in scores))
    is_crowded = len(models) > _MOST_IN_LEGEND
    scale, axis = _percent_scale(one["score"] for one in values), altair.Axis(labelLimit=200, grid=True)
    base = altair.Chart({"values": values}).encode(
        x=altair.X("score:Q", title="entity score, %", scale=scale, axis=altair.Axis(**_TICKS)),
        **_by_model(models, styles, "color", has_legend=not is_crowded),
    )
    if is_crowded:
        of_kinds = altair.Scale(domain=kinds, range=list(SHAPES[: len(kinds)]))
        base = base.encode(
            y=altair.Y("model:N", sort=models, title=None, axis=axis),
            shape=altair.Shape("mentions:N", title=None, scale=of_kinds),
        )
    else:
        y = altair.Y("mentions:N", sort=kinds, title=None, axis=axis)
        base = base.encode(y=y, **_by_model(models, styles, "shape"))
    return _svg(base.mark_point(size=50, strokeWidth=2).properties(width=420, height=altair.Step(24)))


def reliability_plot(bins: Sequence[Bin]) -> str:
    """Return how often a model is right against how sure it is; on the dashed line it is well calibrated."""
    altair = require_charts()
    values = [
        {"said": round(one.confidence, 4), "right": round(one.accuracy, 4), "number": one.number}
        for one in bins
    ]
    x = altair.X("said:Q", title="confidence", scale=altair.Scale(domain=[0, 1]))
    y = altair.Y("right:Q", title="share that is right", scale=altair.Scale(domain=[0, 1]))
    ideal = altair.Chart({"values": [{"said": end, "right": end} for end in (0, 1)]})
    size = altair.Size("number:Q", title="decisions", scale=altair.Scale(range=[20, 400]))
    base = altair.Chart({"values": values}).encode(x=x, y=y)
    line = ideal.mark_line(strokeDash=[4, 4], color=_INK, opacity=0.6).encode(x=x, y=y)
    dots = base.mark_circle(color=PALETTE[0], opacity=0.8).encode(size=size)
    return _svg((line + base.mark_line(color=PALETTE[0]) + dots).properties(width=300, height=300))
