"""`autointerp view`: the index tells finished, running and stopped runs apart; nothing else of a run is served."""

import fcntl
import json
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from autointerp.errors import RunDirectoryError
from autointerp.report import page, view
from autointerp.report.run import ReportRun
from tests.helpers.runs import RunSpec, write_run


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run with its report, a run under way, one that stopped, a damaged one, and a folder without a run."""
    folder = tmp_path_factory.mktemp("results")
    page.write_report(ReportRun(write_run(folder / "group" / "done", RunSpec(n_latents=20, n_sampled=4, name="<b>x"))))
    for name in view.STAGES[:-1]:
        stage(folder / "group" / "done", name)
    for name in ("running", "stopped"):
        (folder / name / "stages").mkdir(parents=True)
        (folder / name / "manifest.json").write_text(json.dumps({"name": name, "created": "2026-01-01T00:00:00"}))
        (folder / name / ".lock").touch()
        stage(folder / name, "qualify")
        stage(folder / name, "collect")
    (folder / "damaged").mkdir()
    (folder / "damaged" / "manifest.json").write_text("{")
    (folder / "other").mkdir()
    (folder / "secret.txt").write_text("secret")
    return folder


def stage(run: Path, name: str) -> None:
    manifest = json.loads((run / "manifest.json").read_text())
    (run / "stages").mkdir(exist_ok=True)
    (run / "stages" / f"{name}.json").write_text(json.dumps({"run": manifest.get("run"), "outputs": {}}))


@pytest.fixture
def address(results: Path) -> Iterator[str]:
    with view.server(results, 0) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def get(url: str, **headers: str) -> str:
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=30) as reply:
        return reply.read().decode()


def status(url: str, **headers: str) -> int:
    with pytest.raises(urllib.error.HTTPError) as error:
        get(url, **headers)
    error.value.close()
    return error.value.code


def test_the_index_tells_what_each_run_does(results: Path) -> None:
    with (results / "running" / ".lock").open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        found = {one.place: one for one in view.entries(results)}
    assert set(found) == {"group/done", "running", "stopped", "damaged"}
    assert found["group/done"].state == "finished"
    assert found["group/done"].page == "group/done/report.html"
    assert (found["running"].state, found["running"].stage, found["running"].done) == ("running", "reconstruct", 2)
    assert found["stopped"].state == "stopped"
    assert "manifest.json" in found["damaged"].result
    assert {one.place: one.state for one in view.entries(results)}["running"] == "stopped"


def test_pages_are_served_and_nothing_else(address: str) -> None:
    index = get(address)
    assert "&lt;b&gt;x" in index
    assert "<b>x" not in index
    assert "group/done/report.html" in index
    assert get(f"{address}/group/done/report.html").startswith("<!doctype html>")
    for name in ("secret.txt", "../secret.txt", "%2e%2e/%2e%2e/etc/passwd", "group/done/judgements.parquet", "other"):
        assert status(f"{address}/{name}") == 404
    assert status(address, Host="evil.example:80") == 403


def test_a_missing_folder_or_taken_port_is_one_line(results: Path, tmp_path: Path) -> None:
    with pytest.raises(RunDirectoryError, match="no such folder"):
        view.server(tmp_path / "absent", 0)
    with view.server(results, 0) as server, pytest.raises(RunDirectoryError, match="--port"):
        view.server(results, server.server_address[1])
