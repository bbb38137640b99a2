"""Charts by what is handed to Vega-Lite: ticks, styles and labels, with one model, two and twenty."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kebench.chart_styles import PALETTE, integer_ticks, model_styles
from kebench.pretrain.curve import draw
from kebench.report import figures
from kebench.report.figures import spread
from kebench.report.page import Material, build_page
from kebench.report.strata import StratumScore
from kebench.report.table import build_leaderboard
from kebench.scoring.calibration import Bin
from kebench.stats.ranks import rank_models
from kebench.tasks.card import all_task_cards
from tests.report.sample_records import sample_record

altair = pytest.importorskip("altair")
Spec = dict[str, Any]


@pytest.fixture
def specs(monkeypatch: pytest.MonkeyPatch) -> list[Spec]:
    """Collect what is handed to Vega-Lite, and draw nothing."""
    collected: list[Spec] = []

    def collect(chart: Any) -> str:
        collected.append(chart.to_dict())
        return ""

    monkeypatch.setattr(figures, "_svg", collect)
    return collected


def encodings(spec: Spec) -> Iterator[Spec]:
    """Yield the encoding of a chart and of its layers."""
    if "encoding" in spec:
        yield spec["encoding"]
    for layer in spec.get("layer", ()):
        yield from encodings(layer)


def styles_in(spec: Spec, channel: str) -> dict[str, Any]:
    """Return each model's colour, shape or dash, which every layer of a chart must give alike."""
    found: dict[str, Any] = {}
    for encoding in encodings(spec):
        if encoding.get(channel, {}).get("field") == "model":
            scale = encoding[channel]["scale"]
            for model, style in zip(scale["domain"], scale["range"], strict=True):
                assert found.setdefault(model, style) == style
    return found


def rows_with(spec: Spec, field: str) -> list[Spec]:
    """Return the values behind a chart that have a field."""
    found: list[list[Spec]] = [rows for rows in spec["datasets"].values() if field in rows[0]]
    return found[0]


def x_of(spec: Spec) -> Spec:
    return next(one["x"] for one in encodings(spec) if one.get("x", {}).get("field") == "epoch")


def curves(num_models: int, num_epochs: int) -> dict[str, list[float]]:
    return {
        f"model-{model:02}": [50.0 + model + epoch / num_epochs for epoch in range(num_epochs)]
        for model in range(num_models)
    }


@pytest.mark.parametrize(
    ("epochs", "ticks"),
    [
        (1, [1]),
        (2, [1, 2]),
        (3, [1, 2, 3]),
        (10, list(range(1, 11))),
        (15, [1, 2, 4, 6, 8, 10, 12, 14]),
        (60, [1, 10, 20, 30, 40, 50, 60]),
    ],
)
def test_epochs_have_whole_ticks_each_once(epochs: int, ticks: list[int], specs: list[Spec]) -> None:
    figures.learning_curves(curves(2, epochs), model_styles(curves(2, epochs)), "F1")
    x = x_of(specs[0])
    assert x["axis"]["values"] == ticks
    low, high = x["scale"]["domain"]
    assert low < 1 <= epochs < high  # the first and the last point do not lie on the frame


@given(st.integers(1, 10**6), st.integers(2, 20))
def test_ticks_are_whole_numbers_within_the_axis_and_not_many(last: int, most: int) -> None:
    ticks = integer_ticks(last, most=most)
    assert ticks[0] == 1
    assert ticks == sorted(set(ticks))
    assert ticks[-1] <= last
    assert len(ticks) <= most + 1


def test_one_epoch_is_a_point_with_room_around_it(specs: list[Spec]) -> None:
    figures.learning_curves({"minilm": [61.25]}, model_styles(["minilm"]), "F1")
    assert x_of(specs[0])["scale"]["domain"] == [0.5, 1.5]
    marks = {layer["mark"]["type"] for layer in specs[0]["layer"]}
    assert "point" in marks
    (y,) = {tuple(one["y"]["scale"]["domain"]) for one in encodings(specs[0]) if "scale" in one.get("y", {})}
    assert y == (60.25, 62.25)


def test_a_model_looks_alike_in_every_chart_of_a_page(specs: list[Spec]) -> None:
    # on GAD a is best, on DDI it is last, and on ChemProt b was not run
    scores = {
        "gad": {"a": 80.0, "b": 70.0, "c": 60.0},
        "ddi": {"a": 50.0, "b": 60.0, "c": 70.0},
        "chemprot": {"a": 50.0, "c": 60.0},
    }
    records = [
        sample_record(model, task, seed=seed, dev=score, test=score + seed)
        for task, by_model in scores.items()
        for model, score in by_model.items()
        for seed in (0, 1)
    ]
    cards = all_task_cards()
    build_page(Material(build_leaderboard(records, cards=cards), [], {}, cards))
    styles = model_styles("abc")
    colours = [styles_in(spec, "color") for spec in specs if styles_in(spec, "color")]
    assert len(colours) == 6  # seeds and curves of three tasks
    assert all(found[model] == styles[model].colour for found in colours for model in found)
    assert {len(found) for found in colours} == {2, 3}


def test_a_look_is_the_name_s_and_not_the_order_s() -> None:
    assert model_styles(["b", "a"]) == model_styles(["a", "b", "a"])
    assert model_styles(["a"])["a"].colour == PALETTE[0]


def test_twenty_models_are_told_apart_by_colour_with_shape_and_with_dash() -> None:
    styles = list(model_styles(curves(36, 1)).values())
    assert len({(style.colour, style.shape) for style in styles}) == 36
    assert len({(style.colour, style.dash) for style in styles}) == 36


def test_few_models_have_a_legend_and_many_a_name_beside_each_line(specs: list[Spec]) -> None:
    for number in (2, 20):
        figures.learning_curves(curves(number, 60), model_styles(curves(number, 60)), "F1")
    few, many = specs
    assert not any("text" in one for one in encodings(few))
    named = [one for one in encodings(many) if one.get("text", {}).get("field") == "model"]
    assert len(named) == 1
    assert all(one["color"]["legend"] is None for one in encodings(many) if "field" in one.get("color", {}))
    ends = rows_with(many, "at")
    assert {one["model"] for one in ends} == set(curves(20, 60))
    # names are a line of text apart; 20 of them make the chart higher
    places = sorted(one["at"] for one in ends)
    domain = next(one["y"]["scale"]["domain"] for one in encodings(many) if "scale" in one.get("y", {}))
    per_line = figures._LINE * (domain[1] - domain[0]) / many["height"]
    assert min(b - a for a, b in itertools.pairwise(places)) >= per_line * 0.999
    assert many["height"] == 20 * figures._LINE


def test_a_curve_of_sixty_epochs_has_few_points_and_its_ends(specs: list[Spec]) -> None:
    figures.learning_curves(curves(1, 60), model_styles(curves(1, 60)), "F1")
    values = rows_with(specs[0], "is_marked")
    marked = [one["epoch"] for one in values if one["is_marked"]]
    assert marked == [1, 5, 10, 15, 20, 25, 30, 35, 40, 45, 50, 55, 60]
    assert len(values) == 60


@given(st.lists(st.floats(0, 100), min_size=1, max_size=20))
def test_labels_that_have_room_are_apart_in_order_and_within_the_chart(wanted: list[float]) -> None:
    named = {f"m{number:02}": value for number, value in enumerate(wanted)}
    places = spread(named, 4.0, 0.0, 100.0)
    order = sorted(named, key=lambda name: (named[name], name))
    found = [places[name] for name in order]
    assert all(after - before >= 4.0 - 1e-9 for before, after in itertools.pairwise(found))
    assert min(found) >= -1e-9
    assert max(found) <= 100.0 + 1e-9


def strata(num_models: int) -> list[StratumScore]:
    return [
        StratumScore(
            task="ncbi-disease", model=f"model-{model:02}", mentions=kind, gold=9, mean=60.0 + model + place,
            deviation=None, seeds=1,
        )
        for model in range(num_models) for place, kind in enumerate(("known", "unknown"))
    ]  # fmt: skip


@pytest.mark.parametrize(("number", "line"), [(1, "mentions"), (2, "mentions"), (20, "model")])
def test_kinds_of_mentions_keep_models_apart_and_their_colours(
    number: int, line: str, specs: list[Spec]
) -> None:
    styles = model_styles(one.model for one in strata(20))
    figures.strata_dots(strata(number), styles)
    assert specs[0]["encoding"]["y"]["field"] == line
    colours = styles_in(specs[0], "color")
    assert colours == {one.model: styles[one.model].colour for one in strata(number)}


def test_ranks_have_the_colours_of_the_models(specs: list[Spec]) -> None:
    styles = model_styles("abc")
    ranking = rank_models([[3.0, 2.0, 1.0]] * 5)
    figures.critical_difference("abc", ranking, styles)
    assert styles_in(specs[0], "color") == {model: styles[model].colour for model in "abc"}
    assert styles_in(specs[0], "shape") == {model: styles[model].shape for model in "abc"}


def test_a_reliability_plot_of_one_bin_shows_it(specs: list[Spec]) -> None:
    figures.reliability_plot([Bin(place=13, number=9, confidence=0.9, accuracy=0.8)])
    assert "circle" in {layer["mark"]["type"] for layer in specs[0]["layer"]}


def drawn(
    curves_: Mapping[str, Sequence[Mapping[str, float]]], out: Path, monkeypatch: pytest.MonkeyPatch
) -> Spec:
    """Return what `draw` hands to Vega-Lite."""
    saved: list[Spec] = []
    monkeypatch.setattr(altair.FacetChart, "save", lambda chart, *_, **__: saved.append(chart.to_dict()))
    draw({name: [dict(row) for row in rows] for name, rows in curves_.items()}, out / "c.html")
    return saved[0]


@pytest.mark.parametrize(("steps", "ticks"), [(1, [1]), (3, [1, 2, 3]), (600, [1, 200, 400, 600])])
def test_pretrainings_have_whole_ticks_and_the_looks_of_the_page(
    steps: int, ticks: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    losses = {"mlm": 1.0, "detection": 1.0, "linking": 1.0, "learning_rate": 0.1, "grad_norm": 1.0}
    rows = [
        {"step": step, "loss": 3.0, **losses, "tokens": 5, "tokens_per_second": 9.0}
        for step in range(1, steps + 1)
    ]
    rows[-1]["perplexity"] = 37.5
    spec = drawn({f"m{number:02}": rows for number in range(20)}, tmp_path, monkeypatch)
    styles = model_styles(f"m{number:02}" for number in range(20))
    assert styles_in(spec["spec"], "color") == {model: style.colour for model, style in styles.items()}
    assert styles_in(spec["spec"], "strokeDash") == {
        model: list(style.dash) for model, style in styles.items()
    }
    x = next(one["x"] for one in encodings(spec["spec"]) if one.get("x", {}).get("field") == "step")
    assert (x["axis"]["values"], x["axis"]["format"]) == (ticks, ",d")
    held_out = [one for one in rows_with(spec, "what") if one["what"] == "held out: perplexity"]
    assert len(held_out) == 20
    assert all(one["is_marked"] for one in held_out)  # a single one would be a line without length


def test_an_epoch_without_a_score_has_no_point(specs: list[Spec]) -> None:
    figures.learning_curves({"a": [None, -20.0, 10.0, None]}, model_styles(["a"]), "r")
    rows = rows_with(specs[0], "epoch")
    assert [(row["epoch"], row["dev"]) for row in rows] == [(2, -20.0), (3, 10.0)]
