"""Charts of a results page: drawn by Vega-Lite while it is made, so it holds SVG and runs no chart code.

Texts and lines take the page's own colour, so that one drawing serves light and dark. The same numbers give
the same bytes.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from kebench.errors import UserError
from kebench.report.strata import StratumScore
from kebench.report.table import Cell
from kebench.scoring.calibration import Bin
from kebench.stats.ranks import Ranking

# What stands for the page's colour of text in a drawing, until `_svg` replaces it; no palette has it.
_INK = "#010203"
_GRID = "#80808040"
# Okabe and Ito's palette, told apart by the colour-blind; yellow is left out, which white swallows.
PALETTE = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
_NEUTRAL = "#e4e4e4"  # a tile on which as many tasks were won as lost
_SHAPES = ("circle", "square", "triangle-up", "diamond", "cross", "triangle-down")


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


def dot_plot(cells: Mapping[str, Cell]) -> str:
    """Return the seeds of models on one task: a dot each, a bar at the mean."""
    altair = require_charts()
    points = [
        {"model": label, "seed": seed, "F1": round(percent, 3)}
        for label, cell in cells.items()
        for seed, percent in sorted(cell.test_percent_by_seed.items())
    ]
    means = [{"model": label, "mean": round(cell.score.mean, 3)} for label, cell in cells.items()]
    order = list(cells)
    y = altair.Y("model:N", sort=order, title=None, axis=altair.Axis(labelLimit=200))
    dots = altair.Chart({"values": points}).mark_circle(size=40, opacity=0.6, color=PALETTE[0])
    dots = dots.encode(x=altair.X("F1:Q", title="F1, %", scale=altair.Scale(zero=False)), y=y)
    bars = altair.Chart({"values": means}).mark_tick(thickness=2, color=PALETTE[1], size=16)
    bars = bars.encode(x="mean:Q", y=y)
    return _svg((dots + bars).properties(width=420, height=altair.Step(22)))


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
    return {"tile": "#" + "".join(f"{one:02x}" for one in mixed), "ink": _readable_on(mixed)}


def _channels(colour: str) -> list[int]:
    return [int(colour[place : place + 2], 16) for place in (1, 3, 5)]


def _readable_on(channels: Sequence[int]) -> str:
    """Return black or white, whichever contrasts more with a colour (WCAG 2.2, relative luminance)."""
    shares = [one / 255 for one in channels]
    linear = [one / 12.92 if one <= 0.04045 else ((one + 0.055) / 1.055) ** 2.4 for one in shares]
    luminance = sum(weight * one for weight, one in zip((0.2126, 0.7152, 0.0722), linear, strict=True))
    return "#000000" if (luminance + 0.05) ** 2 > 1.05 * 0.05 else "#ffffff"


def critical_difference(labels: Sequence[str], ranking: Ranking) -> str:
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
    groups = altair.Chart({"values": bars}).mark_rule(strokeWidth=4, color=PALETTE[1], opacity=0.7)
    groups = groups.encode(x=altair.X("from:Q", title="mean rank (1 is best)", scale=scale), x2="to:Q", y=y)
    return _svg(
        (groups + base.mark_point(filled=True, size=60, color=PALETTE[0]) + texts).properties(
            width=520, height=24 * len(labels) + 20
        )
    )


def learning_curves(curves: Mapping[str, Sequence[float]]) -> str:
    """Return the mean dev score of models after each epoch."""
    altair = require_charts()
    values = [
        {"model": label, "epoch": epoch, "dev": round(percent, 3)}
        for label, percents in curves.items()
        for epoch, percent in enumerate(percents, start=1)
    ]
    epochs = max((len(percents) for percents in curves.values()), default=1)
    base = altair.Chart({"values": values}).encode(
        x=altair.X(
            "epoch:Q",
            axis=altair.Axis(tickMinStep=1, format="d"),
            scale=altair.Scale(domain=[1, max(2, epochs)]),
        ),
        y=altair.Y("dev:Q", title="dev F1, %", scale=altair.Scale(zero=False)),
        color=_colours(list(curves)),
    )
    points = base.mark_point(size=30).encode(shape=_shapes(list(curves)))
    return _svg((base.mark_line() + points).properties(width=380, height=220))


def _colours(models: Sequence[str]) -> Any:
    return require_charts().Color("model:N", title=None, scale={"domain": list(models)})


def _shapes(models: Sequence[str]) -> Any:
    """Return shapes beside colours; their legends are one only if both name the models themselves."""
    scale = {"domain": list(models), "range": list(_SHAPES)}
    return require_charts().Shape("model:N", title=None, scale=scale)


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


def strata_dots(scores: Sequence[StratumScore]) -> str:
    """Return F1 of models on each kind of mention of one task."""
    altair = require_charts()
    values = [{"model": one.model, "mentions": one.mentions, "F1": round(one.mean, 3)} for one in scores]
    models = list(dict.fromkeys(one.model for one in scores))
    kinds = list(dict.fromkeys(one.mentions for one in scores))
    base = altair.Chart({"values": values}).encode(
        x=altair.X("F1:Q", title="F1, %", scale=altair.Scale(zero=False)),
        y=altair.Y("mentions:N", sort=kinds, title=None, axis=altair.Axis(labelLimit=200, grid=True)),
        color=_colours(models),
        shape=_shapes(models),
    )
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
