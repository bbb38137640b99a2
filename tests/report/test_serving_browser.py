"""A served page in a real browser: it loads itself again, and leaves the reader what was chosen."""

from collections.abc import Iterator
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from kebench.cli.page import material
from kebench.report.serving import Progress, Site, server_of
from kebench.shipped import shipped
from tests.report.browser import opened_browser, wait_for

pytest.importorskip("altair")
pytestmark = pytest.mark.slow
SECONDS = 3600
# Long timers end when a test says so: `elapse` ends them all, and returns how many were set anew meanwhile.
CLOCK = """
const [set, clear, due] = [setTimeout, clearTimeout, new Map()];
let last = 0;
window.setTimeout = (call, ms, ...more) => {
  if (ms < 60000) return set(call, ms, ...more);
  due.set(--last, call);
  return last;
};
window.clearTimeout = (id) => due.delete(id) || clear(id);
window.elapse = () => {
  const calls = [...due.values()];
  due.clear();
  calls.forEach((call) => call());
  return due.size;
};
"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    from kebench.report.page import build_page

    folder: Path = tmp_path_factory.mktemp("served")
    for task in ("gad", "ddi"):
        (folder / task).symlink_to(shipped("results/recorded") / task)
    shown = material((folder,), title="live")

    def build(progress: Progress) -> str:
        return build_page(shown, refresh_seconds=SECONDS, running=["gad/minilm/seed3"])

    server = server_of(Site([folder], build), host="127.0.0.1", port=0)
    Thread(target=server.serve_forever, daemon=True).start()
    with opened_browser(f"http://127.0.0.1:{server.server_address[1]}/", script=CLOCK) as driver:
        yield driver
    server.shutdown()
    server.server_close()


def mark(browser: Any) -> None:
    """Leave something on the page that loading it again takes away."""
    browser.execute_script("window.isOld = true")


def is_new(browser: Any) -> bool:
    ready = "document.readyState === 'complete' && !window.isOld && Boolean(window.DataTable)"
    return bool(browser.execute_script(f"return {ready}"))


def labels(browser: Any) -> list[str]:
    rows = "document.querySelector('table.board').tBodies[0].rows"
    found: list[str] = browser.execute_script(f"return [...{rows}].map(row => row.dataset.model)")
    return found


def test_loading_again_keeps_filters_order_folds_theme_place_and_focus(browser: Any) -> None:
    from selenium.webdriver.common.by import By
    from selenium.webdriver.support.ui import Select

    Select(browser.find_element(By.ID, "by-published")).select_by_visible_text("measured")
    heading = browser.find_elements(By.CSS_SELECTOR, "table.board th")[1]
    heading.click()
    heading.click()
    browser.find_element(By.CSS_SELECTOR, "#curves ~ details summary").click()
    browser.find_element(By.ID, "theme").click()
    browser.find_element(By.ID, "by-search").send_keys("b")
    browser.execute_script("scrollTo(0, 120)")
    rows, theme = labels(browser), browser.execute_script("return document.documentElement.dataset.theme")
    assert theme
    assert rows
    assert all("b" in label.lower() for label in rows)
    mark(browser)
    browser.execute_script("elapse()")
    wait_for(browser, lambda: is_new(browser))
    assert labels(browser) == rows
    heading = browser.find_elements(By.CSS_SELECTOR, "table.board th")[1]
    assert heading.get_attribute("aria-sort") == "ascending"
    assert browser.find_element(By.ID, "by-search").get_attribute("value") == "b"
    assert browser.find_element(By.CSS_SELECTOR, "#curves ~ details").get_attribute("open")
    assert browser.execute_script("return document.documentElement.dataset.theme") == theme
    assert browser.switch_to.active_element.get_attribute("id") == "by-search"
    assert browser.execute_script("return scrollY") == 120


def test_it_is_not_loaded_again_while_a_number_is_open(browser: Any) -> None:
    from selenium.webdriver.common.by import By

    cell = browser.find_element(By.CSS_SELECTOR, "button.cell")
    mark(browser)
    browser.execute_script("arguments[0].click()", cell)
    assert browser.execute_script("return elapse()") == 1, "it asks again later"
    assert not is_new(browser)
    assert browser.find_element(By.ID, "cell").is_displayed()
    browser.find_element(By.ID, "close").click()
    browser.execute_script("elapse()")
    wait_for(browser, lambda: is_new(browser))


def test_a_browser_complains_of_nothing(browser: Any) -> None:
    assert [line for line in browser.get_log("browser") if "favicon" not in line["message"]] == []
