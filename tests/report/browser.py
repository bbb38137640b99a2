"""A real headless Chromium for pages, where there is one with its driver."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

DRIVER, BROWSER = shutil.which("chromedriver"), shutil.which("chromium")


@contextmanager
def opened_browser(url: str, *, script: str = "") -> Iterator[Any]:
    """Yield a browser that shows a page, with its log and its requests kept; skips where there is none.

    script: what runs in each document before its own scripts.
    """
    if not (DRIVER and BROWSER):
        pytest.skip("no Chromium with its driver here")
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = BROWSER
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    try:
        driver.set_window_size(1280, 1000)
        driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": script})
        driver.get(url)
        yield driver
    finally:
        driver.quit()


def wait_for(driver: Any, holds: Callable[[], object]) -> None:
    """Wait until something holds; fails after minutes, since a busy machine is slow."""
    from selenium.webdriver.support.ui import WebDriverWait

    WebDriverWait(driver, 300, poll_frequency=0.1).until(lambda _: holds())


@contextmanager
def printed(driver: Any) -> Iterator[None]:
    """Show the page as paper would, for a while."""
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    yield
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})


def accessibility_faults(driver: Any) -> list[str]:
    """Return what axe finds against WCAG 2 and its best practices: rule, and the first place."""
    from axe_core_python.selenium import Axe

    return [f"{one['id']}: {one['nodes'][0]['target']}" for one in Axe().run(driver)["violations"]]
