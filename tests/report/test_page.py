"""The page of a run as text: self-contained, escaped, the same bytes every time. `test_browser` drives it."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from autointerp.report.drawing import write_figures
from autointerp.report.markdown import block_of
from autointerp.report.page import LIMIT_BYTES, write_report
from autointerp.report.run import ReportRun
from tests.helpers.runs import HOSTILE, RunSpec, write_run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> ReportRun:
    return ReportRun(write_run(tmp_path_factory.mktemp("runs") / "small", RunSpec(n_sampled=6, name="<b>a & b</b>")))


def table_of(text: str, title: str) -> str:
    """The first table of the page whose heading starts with this title."""
    return text.split(f"<h3>{title}")[1].split("</table>")[0]


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


def test_an_invalid_run_says_so_wherever_its_numbers_stand(tmp_path: Path) -> None:
    """A run with too many unanswered judgements: the page's head, scores, figures and latents, captions and tables."""
    spec = RunSpec(n_sampled=4, n_latents=30, architectures=("sae", "transcoder"), unanswered=0.2, prompts=False)
    run = ReportRun(write_run(tmp_path / "lost", spec))
    assert run.summary["controls"]["verdict"] == "INVALID"
    text = write_report(run).read_text(encoding="utf-8")
    assert '<body class="INVALID">' in text
    assert "INVALID: a control failed" in re.findall(r"<h1>.*?</h1>", text, flags=re.DOTALL)[0]
    assert len(re.findall('class="invalid-note">INVALID: a control of this run failed', text)) == 4
    found = write_figures(run, tmp_path / "figs", formats=())
    for file in map(Path, found["written"]):
        if file.suffix == ".txt" or file.name in {"table_scores.tex", "table_comparisons.tex"}:
            assert "INVALID: a control of this run failed" in file.read_text(encoding="utf-8"), file.name


def test_an_invalid_scorer_is_named_wherever_the_run_is_called_invalid(tmp_path: Path) -> None:
    """Shuffled explanations give the truth away in fuzzing alone: detection's verdicts stand, everywhere."""
    spec = RunSpec(n_sampled=8, n_latents=30, architectures=("sae", "transcoder"), unanswered=0.0, prompts=False)
    path = write_run(tmp_path / "half", spec)
    table = pd.read_parquet(path / "judgements.parquet")
    leaks = (table["scorer"] == "fuzzing") & (table["control"] == "shuffled")
    table.loc[leaks, "answer"] = np.where(table.loc[leaks, "truth"], "yes", "no")
    table.to_parquet(path / "judgements.parquet", index=False)
    run = ReportRun(path)
    assert run.summary["controls"]["scorers"]["fuzzing"] == "INVALID"
    assert run.summary["controls"]["scorers"]["detection"] != "INVALID"
    words = "INVALID for fuzzing: a control of fuzzing failed; numbers of fuzzing are not results"
    text = write_report(run).read_text(encoding="utf-8")
    assert "INVALID for fuzzing, " in re.findall(r"<h1>.*?</h1>", text, flags=re.DOTALL)[0]
    assert len(re.findall(f'class="invalid-note">{words}', text)) == 4
    cells = re.findall(r"<td[^>]*>(detection|fuzzing)(.*?)</td>", table_of(text, "Scores"))
    assert {(scorer, "INVALID" in rest) for scorer, rest in cells} == {("detection", False), ("fuzzing", True)}
    rows = re.findall(r"<td[^>]*>(detection|fuzzing)</td>.*?badge (\w+)", table_of(text, "Comparisons"))
    assert {(scorer, verdict == "invalid") for scorer, verdict in rows} == {("detection", False), ("fuzzing", True)}
    found = write_figures(run, tmp_path / "figs", formats=())
    for file in map(Path, found["written"]):
        if file.suffix == ".txt" or file.name in {"table_scores.tex", "table_comparisons.tex"}:
            assert words in file.read_text(encoding="utf-8"), file.name
    assert "fuzzing (INVALID)" in block_of(run)
    assert "detection (INVALID)" not in block_of(run)
