"""The latent's pane in a real browser: near latents, wider context, what a reader takes along, and its width."""

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from autointerp.report import page
from autointerp.report.run import ReportRun
from autointerp.run import tables
from tests.helpers.browsing import chromium, enter, js, listed, needs_browser, open_first, until, visit
from tests.helpers.runs import RunSpec, write_run

pytestmark = needs_browser


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> ReportRun:
    """A run whose first sampled latent has neighbours, one of them not sampled, and text around its windows."""
    found = ReportRun(write_run(tmp_path_factory.mktemp("runs") / "pane", RunSpec(n_latents=30, n_sampled=6)))
    sampled = found.latents[found.latents["sampled"]]
    key = sampled[tables.KEY].iloc[0].to_dict()
    mine = (found.examples[list(key)] == pd.Series(key)).all(axis=1) & (found.examples["kind"] == "positive")
    windows = found.examples[mine]["window_id"]
    others = [*sampled.loc[sampled["dictionary"] == key["dictionary"], "latent"].iloc[1:3], 10**6]
    near = [{**key, "measure": "decoder", "rank": n, "other": o, "value": 0.9 - n / 10} for n, o in enumerate(others)]
    found.files.write("neighbours", pd.DataFrame(near), tables.NEIGHBOURS)
    around = [{**key, "window_id": w, "before": "text before ", "after": " text after"} for w in windows]
    found.files.write("contexts", pd.DataFrame(around), tables.CONTEXTS)
    return ReportRun(found.path)


@pytest.fixture(scope="module")
def file(run: ReportRun) -> Path:
    return page.write_report(run)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as driver:
        yield driver


@pytest.fixture
def opened(browser: Any, file: Path) -> Any:
    return visit(browser, file)


def test_near_latents_open_and_the_text_around_a_window_is_shown_on_demand(opened: Any, run: ReportRun) -> None:
    """A sampled neighbour is a button; one that was not sampled is its name alone."""
    near = run.neighbours
    name = f"{near['dictionary'].iloc[0]}/{near['latent'].iloc[0]}"
    visit(opened, run.path / "report.html", f"#latent={name}")
    until(lambda: js(opened, "return document.querySelector('#detail h3')?.textContent") == name)
    js(opened, "document.querySelectorAll('#detail details').forEach((node) => { node.open = true; })")
    assert "text before" not in js(opened, "return document.querySelector('#detail').textContent")
    js(opened, "document.querySelector('#detail .more-text').click()")
    assert "text before " in js(opened, "return document.querySelector('#detail .window').textContent")
    shown = js(opened, "return [...document.querySelectorAll('.near li')].map((node) => node.textContent)")
    assert len(shown) == len(near)
    assert len(js(opened, "return [...document.querySelectorAll('.near .open')]")) == len(near) - 1
    wanted = js(opened, "const node = document.querySelector('.near .open'); node.click(); return node.textContent")
    until(lambda: js(opened, "return document.querySelector('#detail h3')?.textContent") == wanted)


def test_the_listed_latents_are_saved_as_csv_and_cited_as_bibtex(opened: Any, run: ReportRun) -> None:
    """The CSV parses to the rows listed; the BibTeX entry has balanced braces and names the judge."""
    enter(opened, "dictionary", "0")
    catch = (
        "URL.createObjectURL = (blob) => { blob.text().then((text) => { window.saved = text; }); return 'data:,'; };"
    )
    js(opened, f"window.saved = null; {catch} document.getElementById('csv').click()")
    until(lambda: js(opened, "return window.saved"))
    table = pd.read_csv(io.StringIO(js(opened, "return window.saved")))
    assert table["latent"].tolist() == listed(opened)
    assert set(run.scorers) <= set(table.columns)
    open_first(opened)
    js(
        opened,
        "document.execCommand = () => { window.copied = document.querySelector('textarea').value; };"
        "const clipboard = {writeText: async (text) => { window.copied = text; }};"
        "Object.defineProperty(navigator, 'clipboard', {value: clipboard});"
        "document.querySelector('#detail .copy').click()",
    )
    until(lambda: js(opened, "return window.copied"))
    entry = js(opened, "return window.copied")
    assert entry.count("{") == entry.count("}")
    assert "Judged by" in entry


@pytest.mark.parametrize("width", [1280, 390])
def test_no_table_of_a_latent_or_of_the_list_is_cut(browser: Any, file: Path, width: int) -> None:
    """Nothing in the list or the pane is wider than its box, and the page itself does not scroll sideways."""
    metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    try:
        visit(browser, file)
        boxes = "return [...document.querySelectorAll(arguments[0])].map((node) => node.scrollWidth - node.clientWidth)"
        assert max(js(browser, boxes, "#list-pane")) <= 1
        open_first(browser)
        assert max(js(browser, boxes, "#detail, #detail .scroll")) <= 1
        assert js(browser, "return document.documentElement.scrollWidth") <= width
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
