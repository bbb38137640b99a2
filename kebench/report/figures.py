"""Charts of a results page: drawn by Vega-Lite while it is made, so it holds SVG and runs no chart code.

Texts and lines take the page's own colour, so that one drawing serves light and dark. The same numbers give
the same bytes.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

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

    axis = {
        "labelColor": _INK,
        "titleColor": _INK,
        "domainColor": _INK,
        "tickColor": _INK,
        "gridColor": _GRID,
    }
    legend = {"labelColor": _INK, "titleColor": _INK}
    drawn = chart.configure(background="transparent", font="sans-serif").configure_axis(**axis)
    drawn = drawn.configure_legend(**legend, orient="bottom", columns=4, labelLimit=220)
    drawn = drawn.configure_view(strokeWidth=0).configure_range(category=list(PALETTE))
    svg = vl_convert.vegalite_to_svg(drawn.to_dict())
    return str(svg).replace(_INK, "currentColor")


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
    order = list(cells)
    y = altair.Y("model:N", sort=order, title=None, axis=altair.Axis(labelLimit=200))
    scale = _percent_scale(point["score"] for point in points)
    dots = altair.Chart({"values": points}).mark_circle(size=40, opacity=0.8)
    dots = dots.encode(
        x=altair.X("score:Q", title=f"{title}, %", scale=scale, axis=altair.Axis(**_TICKS)),
        y=y,
        color=_colours(order, styles, has_legend=False),
    )
    bars = altair.Chart({"values": means}).mark_tick(thickness=2, color=_INK, size=16)
    bars = bars.encode(x="mean:Q", y=y)
    return _svg((dots + bars).properties(width=420, height=altair.Step(22)))


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
    base = altair.Chart({"values": values}).encode(
        x=altair.X(
            "column:N", sort=list(labels), title="against", axis=altair.Axis(labelAngle=-40, labelLimit=160)
        ),
        y=altair.Y("row:N", sort=list(labels), title=None, axis=altair.Axis(labelLimit=160)),
    )
    tiles = base.mark_rect().encode(color=altair.Color("tile:N", scale=None, legend=None))
    size = 9 if len(labels) > 12 else 11
    texts = base.mark_text(fontSize=size).encode(
        text="text:N", color=altair.Color("ink:N", scale=None, legend=None)
    )
    step = 34 if len(labels) > 12 else 44
    return _svg((tiles + texts).properties(width=altair.Step(step), height=altair.Step(24)))


def _tile(share: float) -> dict[str, str]:
    """Return the colours of a tile and of its text. share: from -1, all lost, over 0 to 1, all won."""
    full = PALETTE[0] if share > 0 else PALETTE[1]
    pairs = zip(_channels(_NEUTRAL), _channels(full), strict=True)
    mixed = [round(one + abs(share) * (other - one)) for one, other in pairs]
    # black or white, whichever contrasts more with the colour (WCAG 2.2, relative luminance)
    shares = [one / 255 for one in mixed]
    linear = [one / 12.92 if one <= 0.04045 else ((one + 0.055) / 1.055) ** 2.4 for one in shares]
    luminance = sum(weight * one for weight, one in zip((0.2126, 0.7152, 0.0722), linear, strict=True))
    ink = "#000000" if (luminance + 0.05) ** 2 > 1.05 * 0.05 else "#ffffff"
    return {"tile": "#" + "".join(f"{one:02x}" for one in mixed), "ink": ink}


def _channels(colour: str) -> list[int]:
    return [int(colour[place : place + 2], 16) for place in (1, 3, 5)]


def critical_difference(labels: Sequence[str], ranking: Ranking, styles: ModelStyles) -> str:
    """Return mean ranks on a line; a bar joins models that do not differ (Demšar 2006, figure 1)."""
    altair = require_charts()
    order = sorted(range(len(labels)), key=lambda place: ranking.mean_ranks[place])
    points = [
        {"model": labels[place], "rank": round(ranking.mean_ranks[place], 3), "line": line}
        for line, place in enumerate(order)
    ]
    line_of = {place: line for line, place in enumerate(order)}
    bars = [
        {
            "from": round(min(ranking.mean_ranks[place] for place in group), 3),
            "to": round(max(ranking.mean_ranks[place] for place in group), 3),
            "line": max(line_of[place] for place in group) + 0.4,
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
    points_ = base.mark_point(filled=True, size=60).encode(
        color=_colours(labels, styles, has_legend=False), shape=_shapes(labels, styles, has_legend=False)
    )
    return _svg((groups + points_ + texts).properties(width=520, height=24 * len(labels) + 20))


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
    base = altair.Chart({"values": values}).encode(
        x=x, y=y, color=_colours(models, styles, has_legend=not is_crowded)
    )
    points = base.transform_filter("datum.is_marked").mark_point(size=30)
    points = points.encode(shape=_shapes(models, styles, has_legend=not is_crowded))
    lines = base.mark_line().encode(strokeDash=_dashes(models, styles, has_legend=not is_crowded))
    chart = lines + points
    if is_crowded:
        low, high = scale.domain
        ends = {one["model"]: (one["epoch"], one["dev"]) for one in values}  # the last of each
        heights = spread(
            {label: percent for label, (_, percent) in ends.items()}, _LINE * (high - low) / height, low, high
        )
        named = [
            {"model": label, "epoch": epoch, "dev": percent, "at": heights[label]}
            for label, (epoch, percent) in ends.items()
        ]
        labels = altair.Chart({"values": named})
        rules = labels.mark_rule(opacity=0.6).encode(
            x=x, x2=altair.value(width + 12), y=y, y2="at:Q",
            color=_colours(models, styles, has_legend=False),
            strokeDash=_dashes(models, styles, has_legend=False),
        )  # fmt: skip
        signs = labels.mark_point(size=30).encode(
            x=altair.value(width + 18), y=altair.Y("at:Q", scale=scale),
            color=_colours(models, styles, has_legend=False), shape=_shapes(models, styles, has_legend=False),
        )  # fmt: skip
        texts = labels.mark_text(align="left", dx=26, color=_INK).encode(
            x=altair.value(width), y=altair.Y("at:Q", scale=scale), text="model:N"
        )
        chart = chart + rules + signs + texts
    return _svg(chart.properties(width=width, height=height))


def spread(wanted: Mapping[str, float], gap: float, low: float, high: float) -> dict[str, float]:
    """Return places for labels, at least `gap` apart, in the order of those wanted and as near as may be.

    They lie between `low` and `high`, if these leave room for all.
    """
    order = sorted(wanted, key=lambda name: (wanted[name], name))
    places: list[float] = []
    for name in order:
        places.append(max(wanted[name], places[-1] + gap if places else low))
    for number in range(len(places) - 1, -1, -1):
        places[number] = min(places[number], high if number == len(places) - 1 else places[number + 1] - gap)
    return dict(zip(order, places, strict=True))


def _colours(models: Sequence[str], styles: ModelStyles, *, has_legend: bool = True) -> Any:
    colours = [styles[model].colour for model in models]
    return require_charts().Color("model:N", **_by_model(models, colours, has_legend))


def _shapes(models: Sequence[str], styles: ModelStyles, *, has_legend: bool = True) -> Any:
    shapes = [styles[model].shape for model in models]
    return require_charts().Shape("model:N", **_by_model(models, shapes, has_legend))


def _dashes(models: Sequence[str], styles: ModelStyles, *, has_legend: bool = True) -> Any:
    dashes = [list(styles[model].dash) for model in models]
    return require_charts().StrokeDash("model:N", **_by_model(models, dashes, has_legend))


def _by_model(models: Sequence[str], styles: Sequence[Any], has_legend: bool) -> dict[str, Any]:
    """Return how models are told apart; legends of several ways become one, as all name the same models."""
    scale = {"domain": list(models), "range": list(styles)}
    return {"title": None, "scale": scale} | ({} if has_legend else {"legend": None})


def probe_bars(rows: Sequence[tuple[str, str, float]]) -> str:
    """Return hits of models by kind of query: (model, kind, percent)."""
    altair = require_charts()
    values = [{"model": model, "queries": kind, "hit": round(percent, 3)} for model, kind, percent in rows]
    models = list(dict.fromkeys(model for model, _, _ in rows))
    chart = (
        altair.Chart({"values": values})
        .mark_bar()
        .encode(
            x=altair.X("hit:Q", title="hit, %, mean over relations"),
            y=altair.Y("model:N", sort=models, title=None, axis=altair.Axis(labelLimit=200)),
            yOffset=altair.YOffset("queries:N", sort=["type 1", "type 2", "all"]),
            color=altair.Color("queries:N", sort=["type 1", "type 2", "all"], title=None),
        )
    )
    return _svg(chart.properties(width=420, height=altair.Step(14)))


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
        color=_colours(models, styles, has_legend=not is_crowded),
    )
    if is_crowded:
        of_kinds = altair.Scale(domain=kinds, range=list(SHAPES[: len(kinds)]))
        base = base.encode(
            y=altair.Y("model:N", sort=models, title=None, axis=axis),
            shape=altair.Shape("mentions:N", title=None, scale=of_kinds),
        )
    else:
        y = altair.Y("mentions:N", sort=kinds, title=None, axis=axis)
        base = base.encode(y=y, shape=_shapes(models, styles))
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
