"""The page of a run as text: self-contained, escaped, the same bytes every time. `test_browser` drives it."""

import re
from pathlib import Path

import pytest

from autointerp.report.page import LIMIT_BYTES, write_report
from autointerp.report.run import ReportRun
from tests.helpers.runs import HOSTILE, RunSpec, write_run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> ReportRun:
    return ReportRun(write_run(tmp_path_factory.mktemp("runs") / "small", RunSpec(n_sampled=6, name="<b>a & b</b>")))


def test_page_is_one_file_that_asks_for_nothing(run: ReportRun) -> None:
    """No address, image, style sheet or script outside the file; every script is named by its hash in the policy."""
    text = write_report(run).read_text(encoding="utf-8")
    outside = re.findall(r"""(?:src|href)\s*=\s*["'](?!#|data:,)[^"']*""", text)
    assert outside == []
    assert "connect-src &#39;none&#39;" in text
    assert len(text.encode()) < LIMIT_BYTES
    assert not (run.path / "report_data").exists()


def test_hostile_text_never_stands_in_the_markup(run: ReportRun) -> None:
    """Corpus text is in compressed data only, and the study's own name is escaped."""
    text = write_report(run).read_text(encoding="utf-8")
    assert not [one for one in HOSTILE if "pwned" in one and one in text]
    assert "<b>a & b</b>" not in text
    assert "&lt;b&gt;a &amp; b&lt;/b&gt;" in text


def test_same_run_gives_the_same_bytes(run: ReportRun, tmp_path: Path) -> None:
    pages = [write_report(ReportRun(run.path), tmp_path / f"{i}.html").read_bytes() for i in range(2)]
    assert pages[0] == pages[1]
