"""The page in a real browser: what it shows and does, that it never errs, asks for nothing, and is not fooled."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from autointerp.report import page
from autointerp.report.run import ReportRun
from tests.helpers.browsing import chromium, enter, js, listed, needs_browser, open_first, until, visit
from tests.helpers.runs import RunSpec, write_run

webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed (the `test` extra has it)")
pytestmark = needs_browser
SPEC = RunSpec(n_latents=120, n_sampled=45, name="hostile </script><script>window.pwned=1</script>")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> ReportRun:
    return ReportRun(write_run(tmp_path_factory.mktemp("runs") / "browser", SPEC))


@pytest.fixture(scope="module")
def file(run: ReportRun) -> Path:
    return page.write_report(run)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """One headless Chromium for all tests of this file; each opens the page anew."""
    with chromium() as driver:
        yield driver


@pytest.fixture
def opened(browser: Any, file: Path) -> Any:
    return visit(browser, file)


def requests(browser: Any) -> list[str]:
    events = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    return [event["params"]["request"]["url"] for event in events if event["method"] == "Network.requestWillBeSent"]


def test_nothing_errs_and_no_request_leaves_the_file(browser: Any, file: Path) -> None:
    """All figures drawn, a latent and all its folds opened, both themes: no console line, no request."""
    for log in ("browser", "performance"):
        browser.get_log(log)
    visit(browser, file)
    assert js(browser, "return document.querySelectorAll('[data-figure] svg').length") > 10
    open_first(browser)
    js(browser, "document.querySelectorAll('#detail details').forEach((node) => { node.open = true; })")
    js(browser, "document.getElementById('theme').click()")
    time.sleep(0.5)
    assert [entry["message"] for entry in browser.get_log("browser")] == []
    assert [url for url in requests(browser) if not url.startswith(("file:", "data:", "about:", "blob:"))] == []


def test_hostile_text_is_shown_and_never_run(opened: Any) -> None:
    """All latents opened in turn: no script of the corpus ran, no element of the corpus was made."""
    enter(opened, "search", "pwned")
    names = listed(opened)
    assert names, "the synthetic run has explanations with scripts in them"
    for at in range(len(names)):
        js(opened, "document.querySelectorAll('#list .open')[arguments[0]].click()", at)
        until(lambda at=at: js(opened, "return document.querySelector('#detail h3')?.textContent") == names[at])
        js(opened, "document.querySelectorAll('#detail details').forEach((node) => { node.open = true; })")
    assert js(opened, "return window.pwned ?? null") is None
    for made in ("#detail img", "#detail script", "#list img", "#list script"):
        assert js(opened, "return document.querySelectorAll(arguments[0]).length", made) == 0
    assert "window.pwned" in js(opened, "return document.querySelector('#detail').textContent")
    assert "</script>" in js(opened, "return document.querySelector('h1').textContent")


def test_search_and_filters_agree_with_the_tables(opened: Any, run: ReportRun) -> None:
    """What the page lists under a filter is what the run's tables say."""
    sampled = run.latents[run.latents["sampled"]]
    enter(opened, "dictionary", "1")
    wanted = run.dictionaries["dictionary"].iloc[1]
    assert set(listed(opened)) == {f"{wanted}/{i}" for i in sampled.loc[sampled["dictionary"] == wanted, "latent"]}
    enter(opened, "dictionary", "")
    enter(opened, "measure", "detection")
    enter(opened, "score-min", "0.8")
    scores = run.own_scores[run.own_scores["scorer"] == "detection"]
    high = scores[scores["score"] >= 0.8]
    assert set(listed(opened)) == {f"{d}/{i}" for d, i in zip(high["dictionary"], high["latent"], strict=True)}
    js(opened, "document.querySelector('#filters button[type=reset]').click()")
    until(lambda: len(listed(opened)) == min(100, len(sampled)))
    enter(opened, "trivial", "yes")
    trivial = sampled[sampled["token_share"] >= 0.9]
    assert set(listed(opened)) == {f"{d}/{i}" for d, i in zip(trivial["dictionary"], trivial["latent"], strict=True)}


def test_sorting_by_a_heading_orders_its_column_both_ways(opened: Any) -> None:
    code = "return [...document.querySelectorAll('#list tbody tr')].map((row) => row.children[2].textContent)"
    sorted_by = "return document.querySelector('#list [data-key=detection]').closest('th').getAttribute('aria-sort')"
    ways = []
    for _ in range(2):
        js(opened, "document.querySelector('#list thead [data-key=detection]').click()")
        ways.append(js(opened, sorted_by))
        numbers = [float(cell) for cell in js(opened, code) if cell != "–"]
        assert len(set(numbers)) > 1
        assert numbers == sorted(numbers, reverse=ways[-1] == "descending")
    assert ways == ["descending", "ascending"]


def test_a_latent_shows_its_explanation_scores_and_shaded_tokens(opened: Any, run: ReportRun) -> None:
    name = open_first(opened)
    view = run.latent(name)
    text = js(opened, "return document.querySelector('#detail').textContent")
    own = view.scores[(view.scores["control"] == "none") & (view.scores["scorer"] == "detection")]
    assert f"{own['score'].iloc[0]:.3f}" in text
    assert js(opened, "return document.querySelectorAll('#detail .tok.peak').length") > 0
    shown = js(opened, "return document.querySelectorAll('#detail .tok').length")
    assert shown >= len(view.examples["pieces"].iloc[0])
    assert js(opened, "return document.querySelectorAll('#detail .bars rect').length") > 3
    answers = js(
        opened,
        "const folds = [...document.querySelectorAll('#detail > details')];"
        "const fold = folds.find((node) => node.textContent.startsWith('The judge')); fold.open = true;"
        "return new Promise((done) => setTimeout(() => done(fold.querySelectorAll('.window').length), 200))",
    )
    assert answers == int((view.judgements["control"] == "none").sum())


def test_keys_move_search_and_return(opened: Any) -> None:
    """`/` searches, `j` and `k` move, `d` turns the theme, Escape goes back; typing in a field is only typing."""
    keys = webdriver.common.keys.Keys if hasattr(webdriver.common, "keys") else None
    assert keys is not None
    body = opened.find_element("css selector", "body")
    names = listed(opened)
    body.send_keys("j")
    until(lambda: js(opened, "return document.querySelector('#detail h3')?.textContent") == names[0])
    body.send_keys("j")
    until(lambda: js(opened, "return document.querySelector('#detail h3')?.textContent") == names[1])
    body.send_keys("k")
    until(lambda: js(opened, "return document.querySelector('#detail h3')?.textContent") == names[0])
    theme = js(opened, "return document.documentElement.dataset.theme")
    body.send_keys("d")
    assert js(opened, "return document.documentElement.dataset.theme") != theme
    body.send_keys("d")
    body.send_keys("/")
    assert js(opened, "return document.activeElement.id") == "search"
    opened.switch_to.active_element.send_keys("jd")
    assert js(opened, "return document.getElementById('search').value") == "jd"
    opened.switch_to.active_element.send_keys(keys.ESCAPE)
    assert js(opened, "return document.activeElement.id") != "search"


def test_dark_mode_follows_the_system_until_it_is_chosen(browser: Any, file: Path) -> None:
    def prefer(value: str) -> None:
        feature = {"features": [{"name": "prefers-color-scheme", "value": value}]}
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", feature)

    prefer("dark")
    visit(browser, file)
    js(browser, "localStorage.clear()")
    visit(browser, file)
    dark = js(browser, "return getComputedStyle(document.body).backgroundColor")
    prefer("light")
    visit(browser, file)
    light = js(browser, "return getComputedStyle(document.body).backgroundColor")
    assert dark != light
    js(browser, "document.getElementById('theme').click()")
    assert js(browser, "return getComputedStyle(document.body).backgroundColor") == dark
    visit(browser, file)
    assert js(browser, "return getComputedStyle(document.body).backgroundColor") == dark, "the choice is kept"
    js(browser, "localStorage.clear()")
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


def test_phone_width_has_no_sideways_scroll_and_a_way_back(browser: Any, file: Path) -> None:
    size = {"width": 390, "height": 844, "deviceScaleFactor": 2, "mobile": True}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    try:
        visit(browser, file)
        open_first(browser)
        assert js(browser, "return document.documentElement.scrollWidth <= innerWidth")
        assert js(browser, "return getComputedStyle(document.querySelector('.list')).display") == "none"
        js(browser, "document.querySelector('#detail .back').click()")
        assert js(browser, "return getComputedStyle(document.querySelector('.list')).display") != "none"
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_an_address_opens_its_latent(browser: Any, file: Path, run: ReportRun) -> None:
    row = run.latents[run.latents["sampled"]].iloc[-1]
    name = f"{row['dictionary']}/{row['latent']}"
    visit(browser, file, f"#latent={name.replace('/', '%2F')}")
    until(lambda: js(browser, "return document.querySelector('#detail h3')?.textContent") == name)


def test_an_address_of_no_latent_is_said(browser: Any, file: Path) -> None:
    visit(browser, file, "#latent=sae_k16%2F99999")
    text = js(browser, "return document.querySelector('#detail').textContent")
    assert "no latent sae_k16/99999" in text


def test_filters_are_in_the_address_and_come_back_from_it(browser: Any, file: Path, run: ReportRun) -> None:
    """A filtered, sorted list with an open latent is the same list in another window."""
    visit(browser, file)
    name = run.dictionaries["dictionary"].iloc[1]
    enter(browser, "dictionary", "1")
    enter(browser, "search", "a")
    enter(browser, "sort", "rate up")
    opened = open_first(browser)
    before, fragment = listed(browser), js(browser, "return location.hash")
    assert f"dictionary={name}" in fragment
    visit(browser, file, fragment)
    assert listed(browser) == before
    until(lambda: js(browser, "return document.querySelector('#detail h3')?.textContent") == opened)


def test_a_dot_of_a_figure_opens_its_latent_and_keeps_the_filters(browser: Any, file: Path) -> None:
    visit(browser, file)
    enter(browser, "dictionary", "0")
    code = (
        "const dot = document.querySelector('[data-figure=scores] svg a');"
        "dot.querySelector('use, path').dispatchEvent(new MouseEvent('click', {bubbles: true, cancelable: true}));"
        "return decodeURIComponent(dot.getAttribute('href').slice(8))"
    )
    name = js(browser, code)
    until(lambda: js(browser, "return document.querySelector('#detail h3')?.textContent") == name)
    assert js(browser, "return document.getElementById('dictionary').value") == "0"


def test_two_latents_stand_side_by_side(browser: Any, file: Path) -> None:
    visit(browser, file)
    first = open_first(browser)
    js(browser, "document.querySelector('#detail .pin').click()")
    until(lambda: js(browser, "return document.querySelector('#pinned h3')?.textContent") == first)
    js(browser, "document.querySelectorAll('#list .open')[1].click()")
    until(lambda: js(browser, "return document.querySelector('#detail h3').textContent") != first)
    fragment = js(browser, "return location.hash")
    visit(browser, file, fragment)
    until(lambda: js(browser, "return document.querySelector('#pinned h3')?.textContent") == first)
    js(browser, "document.querySelector('.unpin').click()")
    assert js(browser, "return document.getElementById('pinned').hidden")


def test_terms_explain_themselves_under_the_pointer(browser: Any, file: Path) -> None:
    visit(browser, file)
    for code in (
        "[...document.querySelectorAll('th')].find((node) => node.textContent === 'FVU')",
        "document.querySelector('[data-figure=scores] svg a use')",
    ):
        js(browser, f"({code}).dispatchEvent(new PointerEvent('pointerover', {{bubbles: true}}))")
        assert not js(browser, "return document.getElementById('tip').hidden")
        assert len(js(browser, "return document.getElementById('tip').textContent")) > 8


@pytest.mark.parametrize("width", [1280, 390])
def test_the_table_of_a_latent_is_not_cut(browser: Any, file: Path, width: int) -> None:
    size = {"width": width, "height": 844, "deviceScaleFactor": 1, "mobile": width < 900}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    try:
        visit(browser, file)
        open_first(browser)
        table = "const table = document.querySelector('#detail table');"
        wide, room = js(browser, f"{table} return [table.scrollWidth, table.parentNode.clientWidth]")
        assert wide <= room
        assert js(browser, "return document.documentElement.scrollWidth <= innerWidth")
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_long_lists_of_clauses_are_folded(browser: Any, tmp_path: Path) -> None:
    path = write_run(tmp_path / "clauses", RunSpec(n_latents=40, n_sampled=3, prompts=False, hostile=False))
    table = pd.read_parquet(path / "explanations.parquet")
    text = "; ".join(f"the word w{i}" for i in range(12))
    table.assign(text=text, status="ok").to_parquet(path / "explanations.parquet", index=False)
    visit(browser, page.write_report(path))
    open_first(browser)
    shown = js(browser, "return document.querySelector('#detail .explanation').textContent")
    assert "w3" in shown
    assert "w4" not in shown
    assert "8 more clauses" in js(browser, "return document.querySelector('#detail').textContent")


def test_a_run_too_large_for_one_file_pages_its_latents(
    browser: Any, run: ReportRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beyond the limit the details lie in a folder beside the page, and load from there when a latent is opened."""
    monkeypatch.setattr(page, "LIMIT_BYTES", 900_000)
    file = page.write_report(run, tmp_path / "paged.html")
    assert len(list((tmp_path / page.FOLDER).iterdir())) > 1
    browser.get_log("browser")
    visit(browser, file)
    open_first(browser)
    assert js(browser, "return document.querySelectorAll('#detail .tok').length") > 0
    assert [entry["message"] for entry in browser.get_log("browser")] == []
