"""Headless Chromium for tests of the page: what both files of browser tests share."""

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")
needs_browser = pytest.mark.skipif(
    not (CHROMIUM and DRIVER), reason="no chromium with chromedriver: apt-get install chromium chromium-driver"
)


@contextmanager
def chromium() -> Iterator[Any]:
    """One headless Chromium; each test opens its page anew."""
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed (the `test` extra has it)")
    options = webdriver.ChromeOptions()
    flags = ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--window-size=1300,900")
    for flag in flags:
        options.add_argument(flag)
    options.binary_location = CHROMIUM
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    driver.set_script_timeout(120)  # CI machines are shared
    yield driver
    driver.quit()


def visit(browser: Any, file: Path, fragment: str = "") -> Any:
    browser.get("about:blank")
    browser.get(f"{file.as_uri()}{fragment}")
    until(lambda: browser.execute_script("return document.documentElement.dataset.ready === 'true'"))
    return browser


def until(holds: Callable[[], object], seconds: float = 90) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "the page did not get there"
        time.sleep(0.05)


def js(browser: Any, code: str, *arguments: object) -> Any:
    return browser.execute_script(code, *arguments)


def listed(browser: Any) -> list[str]:
    return js(browser, "return [...document.querySelectorAll('#list .open')].map((node) => node.textContent)")


def enter(browser: Any, field: str, value: str) -> None:
    code = (
        "const node = document.getElementById(arguments[0]); node.value = arguments[1];"
        "for (const kind of ['input', 'change']) node.dispatchEvent(new Event(kind, {bubbles: true}));"
    )
    js(browser, code, field, value)


def open_first(browser: Any) -> str:
    name = listed(browser)[0]
    js(browser, "document.querySelector('#list .open').click()")
    until(lambda: js(browser, "return document.querySelector('#detail h3')?.textContent") == name)
    return name
