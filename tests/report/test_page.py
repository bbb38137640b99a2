"""`kebench page`: what the file holds, that it loads and runs nothing else, and that a browser shows it."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kebench.cli import main
from kebench.probe.record import (
    ChoiceRecord,
    ChoiceSettings,
    GenerateRecord,
    GenerateSettings,
    ProbeSubset,
    RankRecord,
    write_probe_record,
)
from kebench.report.figures import _tile
from kebench.report.page import Material, build_page
from kebench.report.table import build_leaderboard
from kebench.scoring.generated import earned, generated_figures
from kebench.shipped import shipped
from kebench.tasks.card import all_task_cards
from tests.probe.small_probes import RANKING
from tests.probe.test_scores_command import small_record, write_probe
from tests.report.browser import accessibility_faults, opened_browser, printed, wait_for
from tests.report.sample_records import sample_record, write_sample
from tests.report.test_probe_choice import figures as choice_figures
from tests.report.test_probe_ranked import figures as ranked_figures
from tests.report.test_strata import written as strata_file
from tests.scoring.test_generated import relation

pytest.importorskip("altair")
RECORDED = shipped("results/recorded")


def write_page(out: Path, *folders: Path, overlap: Path | None = None) -> str:
    named = [option for folder in folders for option in ("--results", str(folder))]
    more = ["--overlap", str(overlap)] if overlap else []
    main(["page", *named, *more, "--out", str(out)])
    return (out / "index.html").read_text(encoding="utf-8")


def test_a_page_of_probes_alone_has_no_empty_sections(tmp_path: Path) -> None:
    write_probe(tmp_path / "probes", small_record())
    text = write_page(tmp_path / "site", tmp_path / "probes")
    assert re.findall(r'<h2 id="[a-z]+">([^<]*)</h2>', text) == ["What models know"]
    assert "from 0 runs and 1 probe" in text


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("page")
    write_probe(folder / "probes", small_record())
    write_page(folder / "site", RECORDED, folder / "probes", overlap=strata_file(folder))
    return folder / "site"


@pytest.fixture(scope="module")
def text(site: Path) -> str:
    return (site / "index.html").read_text(encoding="utf-8")


def test_the_same_records_make_the_same_bytes(text: str, site: Path, tmp_path: Path) -> None:
    again = write_page(tmp_path, RECORDED, site.parent / "probes", overlap=site.parent / "overlap.json")
    assert again == text


def test_it_is_one_file_of_a_reasonable_size_that_names_no_other(text: str, site: Path) -> None:
    assert [path.name for path in site.iterdir()] == ["index.html"]
    assert len(text.encode()) < 3_000_000
    without_scripts = re.sub(r"<script>.*?</script>", "", text, flags=re.DOTALL)
    assert not re.search(r"(src|href)=\"(?!#)", without_scripts)
    assert "url(" not in without_scripts


def test_the_policy_allows_exactly_the_scripts_and_styles_of_the_file(text: str) -> None:
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', text)
    assert policy
    assert "default-src 'none'" in policy.group(1)
    assert "unsafe" not in policy.group(1)
    assert policy.group(1).count("sha256-") == 3  # the style, the library, the script
    assert " style=" not in text.split("<script", 1)[0]


def test_known_and_unknown_names_stand_on_the_page(text: str) -> None:
    assert '<th scope="row">ncbi-disease</th><td>6,881</td><td>5,203</td><td>75.6</td>' in text
    assert '<th scope="row">known</th><td>700</td><td>80.0±0.5</td><td>70.0</td>' in text


def test_probes_have_groups_of_columns_an_interval_and_published_rows_of_their_own(text: str) -> None:
    table = re.search(r"<table class=\"sortable\"><thead><tr class=\"groups\">.*?</table>", text, re.DOTALL)
    assert table
    groups = re.findall(r'colspan="(\d)"[^>]*>([^<]*)', table.group())
    assert groups == [("3", "hit, released"), ("4", "hit, fixed"), ("3", "ranked, all")]
    measured, published = re.findall(r"<tbody.*?</tbody>", table.group(), re.DOTALL)
    assert re.search(r"<td>\d+\.\d\d to \d+\.\d\d</td>", measured)
    assert "<td>SciBERT †</td><td>13.92</td>" in published
    assert {row.count("<td>") for row in re.findall(r"<tr.*?</tr>", measured + published)} == {11}


def asked_record(form: type[Any], settings: Any, figures: dict[str, Any], **fields: Any) -> Any:
    """A record of a ranked probe, or of multiple choice."""
    counts = form.model_fields["counts"].annotation
    made = {"model": "bert-tiny", "set": "asked", "set_hash": "2" * 64, **fields}
    return form(
        schema=2, identity=f"{made['model']}{form.__name__}".encode().hex()[:40], model_hash="1" * 64,
        protocol_version=1, settings=settings, precision="fp32", subset=ProbeSubset(), sharing="",
        counts=counts(**dict.fromkeys(counts.model_fields, 72)), figures=figures,
        provenance=small_record().provenance, **made,
    )  # fmt: skip


def test_other_probes_stand_beside_filled_ones(tmp_path: Path) -> None:
    ranking = RANKING.model_copy(update={"family": "masked", "pll": "original"})
    choosing = ChoiceSettings(
        family="masked", start="", pll="original", split="test", shots=0, seed=0, by=("text",), permuted=False
    )
    writing = GenerateSettings(
        family="causal", start="", shots=4, seed=0, beam=2, max_new_tokens=8, constrained=False
    )
    of_rank, of_choice = ranked_figures(1.5), choice_figures(0, knows=0.5)
    of_words = generated_figures([relation()], [earned(relation(), beam=2)], np.random.default_rng(0))
    for record in (
        asked_record(RankRecord, ranking, {"sum": ranked_figures(0.1), "column": of_rank}),
        asked_record(RankRecord, ranking, {"sum": of_rank}, model="<b>minilm", set_hash="3" * 64),
        asked_record(ChoiceRecord, choosing, {"char": of_choice}, set="mmlu", majority=("B",)),
        asked_record(GenerateRecord, writing, {"beam": of_words}, model="writer"),
    ):
        folder = tmp_path / "probes" / record.identity
        folder.mkdir(parents=True)
        write_probe_record(folder, record)
    text = write_page(tmp_path, RECORDED, tmp_path / "probes")
    assert "What models know</a>" in text
    shown = text[text.index('<h2 id="probes">') : text.index('<h2 id="curves">')]
    other, ranked, chosen, written = re.split("<h3>", shown)[1:]
    assert ranked.startswith("asked [22222222], 72 queries ranked")
    assert other.startswith("asked [33333333]")
    assert chosen.startswith("mmlu [22222222], 72 questions of split test")
    assert written.startswith("asked [22222222], 72 queries asked for words; answers of any words, beam 2")
    acc_1, hit = of_rank.acc_1, of_words.hit_beam
    without = of_choice.without_question.percent
    ranks = acc_1.own.percent, acc_1.own.facts_low_percent, acc_1.other_subjects.percent
    chooses = of_choice.own.percent, of_choice.own.low_percent, without
    writes = hit.own.percent, hit.own.facts_low_percent, hit.other_subjects.percent
    for part, tables, (own, low, baseline), label in (
        (ranked, ((0, 1, 2), (1, 2)), ranks, "bert-tiny, original, column"),
        (chosen, ((0, 1, 3), (0, 2)), chooses, "bert-tiny, original, char"),
        (written, ((1, 1, 3), (1, 2)), writes, "writer, 4 shots"),  # the first table is of hit@1
    ):
        (figures, own_at, baseline_at), (intervals, interval_at) = tables
        bodies = re.findall(r"<tbody>(.*?)</tbody>", part, re.DOTALL)
        rows = [re.findall(r"<t[hd][^>]*>([^<]*)<", body) for body in bodies]
        cells = rows[figures]
        assert (cells[0], cells[own_at], cells[baseline_at]) == (label, f"{own:.1f}", f"{baseline:.1f}")
        assert rows[intervals][interval_at].startswith("–" if low is None else f"{low:.1f} to ")
        assert part.count("<svg") == 1
        (svg,) = re.findall(r"<svg.*?</svg>", part, re.DOTALL)
        assert {cells[0]} == set(re.findall(r">((?:bert-tiny|writer)[^<]*)</text>", svg))
        assert "<script" not in svg
    assert "may_treat/tail" in ranked
    assert "professional_medicine" in chosen
    assert "may_treat/tail" in written
    assert shown.count("what the scores of other subjects&#39; queries earn") == 1
    assert "&lt;b&gt;minilm, original, sum" in other
    assert "<b>minilm" not in text
    assert f"column {of_rank.acc_1.over_other_subjects.percent:.2f}; 72 queries" in text
    assert "from 42 runs and 4 probes" in text


@pytest.mark.parametrize("share", [-1.0, -0.5, 0.0, 0.5, 1.0])
def test_what_stands_on_a_tile_can_be_read(share: float) -> None:
    tile = _tile(share)
    inks = {ink: _contrast(ink, tile["tile"]) for ink in ("#000000", "#ffffff")}
    assert tile["ink"] == max(inks, key=lambda ink: inks[ink])
    assert inks[tile["ink"]] >= 4.5  # WCAG 2.2, 1.4.3


def _contrast(one: str, other: str) -> float:
    light = []
    for colour in (one, other):
        red, green, blue = (int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5))
        linear = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in (red, green, blue)]
        light.append(0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2] + 0.05)
    return max(light) / min(light)


def test_what_a_number_opens_and_what_not_is_said(text: str) -> None:
    assert "Every measured score of a task opens its runs and settings." in text
    assert "Every number" not in text


def test_names_cannot_break_out(tmp_path: Path) -> None:
    name = "<img src=x onerror=alert(1)>&_%"
    write_sample(tmp_path / "results", [sample_record(name, "gad", seed=seed) for seed in (0, 1)])
    text = write_page(tmp_path / "site", tmp_path / "results")
    assert "<img" not in text
    assert "&lt;img src=x onerror=alert(1)&gt;&amp;_%" in text


def test_every_number_of_the_leaderboard_stands_on_the_page(
    text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    cells = re.findall(r'<td data-order="[^"]*"[^>]*>(?:<button[^>]*>)?([\d.]+)', text)
    main(["leaderboard", "--results", str(RECORDED), "--format", "json", "--no-published"])
    tables = json.loads(capsys.readouterr().out)["tables"]
    numbers = [f"{number['mean_percent']:.1f}" for table in tables for number in table["numbers"]]
    assert numbers
    assert set(numbers) <= set(cells)


@pytest.fixture(scope="module")
def browser(site: Path) -> Iterator[Any]:
    with opened_browser(f"file://{site}/index.html") as driver:
        yield driver


def models(browser: Any, table: int = 0) -> list[str]:
    rows = "document.querySelectorAll('table.board')[arguments[0]].tBodies[0].rows"
    found: list[str] = browser.execute_script(f"return [...{rows}].map(row => row.dataset.model)", table)
    return found


@pytest.mark.slow
def test_headings_sort_by_mouse_and_by_keyboard(browser: Any) -> None:
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys

    heading = browser.find_elements(By.CSS_SELECTOR, "table.board th")[1]
    heading.click()
    wait_for(browser, lambda: heading.get_attribute("aria-sort") == "descending")
    falling = [one for one in models(browser) if one in ("minilm", "bert-tiny", "bert-mini")]
    assert falling == ["minilm", "bert-tiny", "bert-mini"]
    heading.find_element(By.CSS_SELECTOR, "[tabindex]").send_keys(Keys.ENTER)
    wait_for(browser, lambda: heading.get_attribute("aria-sort") == "ascending")
    assert [one for one in models(browser) if one in falling] == falling[::-1]


@pytest.mark.slow
def test_filters_leave_what_they_name(browser: Any) -> None:
    from selenium.webdriver.common.by import By
    from selenium.webdriver.support.ui import Select

    search = browser.find_element(By.ID, "by-search")
    search.send_keys("MINI")
    wait_for(browser, lambda: sorted(models(browser)) == ["bert-mini", "minilm"])
    search.clear()
    search.send_keys(" ")
    Select(browser.find_element(By.ID, "by-published")).select_by_visible_text("measured")
    wait_for(browser, lambda: sorted(models(browser)) == ["bert-mini", "bert-tiny", "minilm"])
    Select(browser.find_element(By.ID, "by-published")).select_by_visible_text("all")
    Select(browser.find_element(By.ID, "by-kind")).select_by_visible_text("relation")
    blocks = "document.querySelectorAll('div.block:not([hidden])')"
    shown = browser.execute_script(f"return [...{blocks}].map(one => one.dataset.kind)")
    assert set(shown) == {"relation"}
    Select(browser.find_element(By.ID, "by-kind")).select_by_visible_text("all")
    wait_for(browser, lambda: len(models(browser)) > 10)


@pytest.mark.slow
def test_a_cell_opens_its_seeds_comparisons_and_records(browser: Any) -> None:
    from selenium.webdriver.common.by import By

    cell = browser.find_element(By.CSS_SELECTOR, 'button.cell[aria-label^="minilm on GAD"]')
    browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", cell)
    cell.click()
    content = browser.find_element(By.ID, "cell-content")
    assert "minilm on GAD" in content.text
    assert browser.switch_to.active_element.text == "minilm on GAD"
    assert len(content.find_elements(By.CSS_SELECTOR, "svg")) == 1
    settings = dict(
        zip(
            *([one.text for one in content.find_elements(By.TAG_NAME, name)] for name in ("dt", "dd")),
            strict=True,
        )
    )
    assert {"epochs", "batch", "patience", "train rows", "precision"} <= set(settings)
    assert settings["learning rate"] == "0.0002"
    runs, others = content.find_elements(By.CSS_SELECTOR, "table")
    assert len(runs.find_elements(By.CSS_SELECTOR, "tbody tr")) == 3
    assert "bert-tiny" in others.text
    assert "3 and 3" in others.text
    browser.find_element(By.ID, "close").click()
    assert not browser.find_element(By.ID, "cell").is_displayed()


@pytest.mark.slow
def test_dark_and_light_can_be_chosen(browser: Any) -> None:
    from selenium.webdriver.common.by import By

    colour = "return getComputedStyle(document.body).backgroundColor"
    before = browser.execute_script(colour)
    browser.find_element(By.ID, "theme").click()
    assert browser.execute_script(colour) != before
    browser.find_element(By.ID, "theme").click()
    assert browser.execute_script(colour) == before


@pytest.mark.slow
def test_a_narrow_screen_is_not_overflown(browser: Any) -> None:
    browser.set_window_size(360, 740)
    widths = "return [document.documentElement.scrollWidth, innerWidth]"
    wait_for(browser, lambda: browser.execute_script(widths)[1] < 1000)
    width, inner = browser.execute_script(widths)
    assert width <= inner
    browser.set_window_size(1280, 1000)


@pytest.mark.slow
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing_that_a_screen_reader_would_stumble_over(browser: Any, theme: str) -> None:
    browser.execute_script("document.documentElement.dataset.theme = arguments[0]", theme)
    assert accessibility_faults(browser) == []
    browser.execute_script("document.querySelector('button.cell').click()")
    assert accessibility_faults(browser) == []
    browser.execute_script("document.getElementById('close').click()")
    browser.execute_script("delete document.documentElement.dataset.theme")


@pytest.mark.slow
def test_paper_shows_what_is_folded_and_no_controls(browser: Any) -> None:
    with printed(browser):
        shown = "return getComputedStyle(arguments[0]).display"
        assert browser.execute_script(shown, browser.find_element("css selector", "form.filters")) == "none"
        folded = browser.find_element("css selector", "details .figure svg")
        assert browser.execute_script("return arguments[0].getBoundingClientRect().height", folded) > 100
        browser.execute_script("document.documentElement.dataset.theme = 'dark'")
        colour = "return getComputedStyle(document.body).color"
        assert browser.execute_script(colour) == "rgb(0, 0, 0)"
        browser.execute_script("delete document.documentElement.dataset.theme")


@pytest.mark.slow
def test_nothing_is_complained_of_and_no_request_leaves_the_page(browser: Any, site: Path) -> None:
    assert browser.get_log("browser") == []
    messages = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    urls = {
        one["params"]["request"]["url"] for one in messages if one["method"] == "Network.requestWillBeSent"
    }
    assert urls == {f"file://{site}/index.html"}


@pytest.mark.slow
def test_scores_below_zero_are_sorted_as_numbers_and_missing_ones_come_last(tmp_path: Path) -> None:
    from selenium.webdriver.common.by import By

    scores = {"minilm": -7.0, "bert-tiny": 6.0, "bert-mini": -70.0}
    records = [
        sample_record(model, "ddi", seed=seed, test=mean + seed)
        for model, mean in scores.items()
        for seed in range(3)
    ]
    records += [sample_record(model, "chemprot", test=1.0) for model in (*scores, "other")]
    board = build_leaderboard(records, cards=all_task_cards())
    page = tmp_path / "index.html"
    page.write_text(build_page(Material(board, [], {}, all_task_cards())))
    with opened_browser(f"file://{page}") as browser:
        heading = browser.find_elements(By.CSS_SELECTOR, "table.board th")[2]
        assert heading.text.startswith("DDI")
        heading.click()
        wait_for(browser, lambda: heading.get_attribute("aria-sort") == "descending")
        assert models(browser) == ["bert-tiny", "minilm", "bert-mini", "other"]
        plots = browser.execute_script(
            "return [...document.querySelectorAll('template')].map(one => one.innerHTML)"
        )
        assert any("−70" in plot or "-70" in plot for plot in plots)
