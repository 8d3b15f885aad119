"""One source of numbers: what any output of a finished run shows is a value of one of its stored tables."""

import base64
import gzip
import io
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

import autointerp
from autointerp.__main__ import main
from autointerp.cli import _summary
from autointerp.report import _payload, findings, tables, writers
from autointerp.report.drawing import members
from autointerp.report.exports import export
from autointerp.report.page import write_report
from autointerp.report.run import ReportRun
from autointerp.run import report_tables
from autointerp.run.reading import RunTables, read_runs
from autointerp.run.store import Run, write_json
from autointerp.statistics.curves import curves
from autointerp.statistics.summary import summarise
from autointerp.statistics.variance import with_shrunk
from tests.helpers.runs import RunSpec, write_run
from tests.helpers.simulate import Arm, simulate
from tests.helpers.simulate import write_run as simulate_run

STORED = (
    "estimates",
    "comparisons",
    "controls",
    "reconstruction",
    "reconstruction_comparisons",
    "scores",
    "curves",
    "prevalence",
    "prevalence_comparisons",
    "reliability",
)
DECIMAL = re.compile(r"(?<![\w.])[+\-\N{MINUS SIGN}]?\d+\.\d+(?![\w.]|\.\d)")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> ReportRun:
    """A run directory whose estimates were written by the stage that writes them, then read back."""
    spec = RunSpec(n_sampled=8, n_latents=60, prompts=False, hostile=False)
    path = write_run(tmp_path_factory.mktemp("runs") / "finished", spec)
    opened, files = ReportRun(path), Run(path)
    known = RunTables(
        judgements=opened.judgements,
        latents=opened.table("latents"),
        dictionaries=opened.table("dictionaries"),
        reconstruction=opened.reconstruction,
    )
    found = summarise(known)
    for name in (
        "estimates",
        "comparisons",
        "controls",
        "reconstruction_comparisons",
        "prevalence",
        "prevalence_comparisons",
        "reliability",
    ):
        files.write(name, getattr(found, name))
    files.write("scores", with_shrunk(found.scores), report_tables.SCORES)
    points = curves(opened.judgements, found.scores, opened.latents, found.estimates, opened.reconstruction)
    files.write("curves", points, report_tables.CURVES)
    write_json(path / "summary.json", found.summary)
    return ReportRun(path)


@pytest.fixture(scope="module")
def pool(run: ReportRun) -> np.ndarray:
    """Every number of the stored tables and of summary.json, sorted."""
    frames = [pd.read_parquet(run.path / f"{name}.parquet") for name in STORED]
    frames.append(run.latents[["firing_rate_token"]])
    values = [frame.select_dtypes("number").to_numpy(float, na_value=np.nan).ravel() for frame in frames]
    text = re.findall(r"-?\d+(?:\.\d+)?(?:e-?\d+)?", (run.path / "summary.json").read_text())
    return np.unique(np.concatenate([*values, np.array(text, float)]))


def is_stored(value: float, digits: int, pool: np.ndarray) -> bool:
    """Whether some stored number reads as this one at so many digits."""
    tolerance = 0.5 * 10.0**-digits + 1e-12
    at = np.searchsorted(pool, value)
    return any(abs(pool[i] - value) <= tolerance for i in (at - 1, at) if 0 <= i < len(pool))


def strangers(text: str, pool: np.ndarray) -> list[str]:
    """Decimal numbers of a text that are in no stored table."""
    found = [match.replace("\N{MINUS SIGN}", "-") for match in DECIMAL.findall(text)]
    return [one for one in found if not is_stored(float(one), len(one.partition(".")[2]), pool)]


def printed(what: object) -> str:
    file = io.StringIO()
    Console(file=file, width=200, highlight=False).print(what)
    return file.getvalue()


def test_a_number_from_nowhere_is_noticed(pool: np.ndarray) -> None:
    """The search itself can fail: a value between two stored ones is a stranger."""
    between = (pool[:-1] + pool[1:])[np.diff(pool) > 1e-3] / 2
    assert strangers(f"{between[0]:.9f}", pool) == [f"{between[0]:.9f}"]
    assert strangers("mean 0.50 in 3 of 4", np.array([0.5])) == []


def test_every_table_of_every_writer_shows_stored_numbers(run: ReportRun, pool: np.ndarray) -> None:
    found = findings.findings_of(run)
    shown = [*tables.all_tables(found), tables.scores(found), tables.comparisons(found), *tables.beyond(found)]
    assert len([table for table in shown if table]) >= 8
    for table in shown:
        # Titles state limits and confidence levels, which are settings.
        cells = tables.Table(name=table.name, title="", columns=["" for _ in table.columns], rows=table.rows)
        for write in (writers.markdown, writers.latex, writers.html, writers.csv):
            assert not strangers(re.sub(r"\$|\\footnotesize", "", str(write(cells))), pool), (table.name, write)
        assert not strangers(printed(writers.terminal(cells)), pool), table.name


def test_all_writers_show_the_same_words_in_the_same_cells(run: ReportRun) -> None:
    """What LaTeX prints in a cell is what the page, the README and the terminal print in it."""
    found = findings.findings_of(run)
    for table in tables.all_tables(found):
        cells = [[str(cell) for cell in row] for row in table.rows]
        text = re.sub(r"\\([_*`{}\[\]<>#|!])", r"\1", writers.markdown(table)).replace("\N{MINUS SIGN}", "-")
        page = re.sub(r"<[^>]*>", "", str(writers.html(table))).replace("\N{MINUS SIGN}", "-")
        for row in cells:
            for cell in row:
                plain = cell.replace("\N{MINUS SIGN}", "-").replace("<", "&lt;")
                assert cell == "-" or cell.replace("\N{MINUS SIGN}", "-") in text or f"{int(cell):,}" in text
                assert cell == "-" or plain in page or f"{int(cell):,}" in page


def test_what_score_prints_is_stored(run: ReportRun, pool: np.ndarray, capsys: pytest.CaptureFixture[str]) -> None:
    _summary.show(Run(run.path))
    lines = capsys.readouterr().out.replace("(0.5 is chance)", "").replace("0.5 is chance", "")
    limits = r"within 0\.\d+ of \.5|at least 0\.\d+"
    assert not strangers(re.sub(limits, "", lines), pool)
    assert all(f"{name} " in lines for name in run.dictionaries["dictionary"])


def test_the_pages_text_shows_stored_numbers(run: ReportRun, pool: np.ndarray) -> None:
    """Results, coverage and controls; figures are held by their data, latents by the index's scores."""
    text = write_report(run).read_text(encoding="utf-8")
    body = text.partition("<main>")[2].partition('<section id="figures"')[0]
    body = re.sub(r"<[^>]*>", " ", body)
    body = re.sub(r"\(0\.5 is chance\)|0\.5 is chance|chance \(0\.5\)|within 0\.\d+ of|at least 0\.\d+", " ", body)
    assert len(DECIMAL.findall(body)) > 100
    assert not strangers(body, pool)


def test_figures_draw_stored_numbers(run: ReportRun, pool: np.ndarray) -> None:
    """Every value and bound of every figure's data, to the last bit (shares of a ladder are counts over counts)."""
    for name, module in members().items():
        table = module.data(run)
        for column in set(table.columns) & {"value", "low", "high", "x", "x_low", "x_high", "ce_increase", "shrunk"}:
            values = table[column].dropna().to_numpy(float)
            assert np.isin(values, pool).all() or all(is_stored(value, 12, pool) for value in values), (name, column)


def test_captions_state_stored_numbers(run: ReportRun, pool: np.ndarray) -> None:
    for name, module in members().items():
        table = module.data(run)
        if len(table):
            words = re.sub(r"0\.5 is chance|must be 0\.5|within 0\.\d+ of", "", module.caption(table))
            assert not strangers(words, pool), name


def test_the_interval_of_the_score_figure_is_the_interval_of_the_table(run: ReportRun) -> None:
    drawn = members(["scores"])["scores"].data(run)
    drawn = drawn[drawn["part"] == "mean"].set_index(["dictionary", "scorer"])[["value", "low", "high"]]
    kept = run.estimates[(run.estimates["statistic"] == "score") & (run.estimates["population"] == "eligible")]
    kept = kept.set_index(["dictionary", "scorer"])[["value", "low", "high"]].loc[drawn.index]
    pd.testing.assert_frame_equal(drawn, kept)


def test_python_gives_the_rows_of_the_table(run: ReportRun) -> None:
    """README's example: adjusted p values, interval and verdict are those that every other output shows."""
    opened = autointerp.open_run(run.path)
    pairs = run.comparisons[run.comparisons["a"] != ""][["a", "b"]].drop_duplicates()
    for a, b in pairs.itertuples(index=False):
        rows = run.comparisons[(run.comparisons["a"] == a) & (run.comparisons["b"] == b)].reset_index(drop=True)
        pd.testing.assert_frame_equal(opened.compare(a, b), rows)


def test_a_pair_asked_the_other_way_round_changes_signs_and_nothing_else(run: ReportRun) -> None:
    a, b = run.comparisons.loc[run.comparisons["a"] != "", ["a", "b"]].iloc[0]
    there, back = run.compare(a, b), run.compare(b, a)
    assert (back["diff"] == -there["diff"]).all()
    assert (back["ci95_lo"] == -there["ci95_hi"]).all()
    assert (back["mean_a"] == there["mean_b"]).all()
    assert (back["diff"].round(9) == (back["mean_b"] - back["mean_a"]).round(9)).all()
    assert (back["p_diff_adj"] == there["p_diff_adj"]).all()
    assert back["contrast"].iloc[0] == f"{' - '.join(reversed(there['contrast'].iloc[0].split(' - ', 1)))}"


def test_a_comparison_with_settings_of_its_own_has_no_verdict_word(run: ReportRun) -> None:
    a, b = run.comparisons.loc[run.comparisons["a"] != "", ["a", "b"]].iloc[0]
    found = run.compare(a, b, margin=0.05)
    assert set(found["verdict"]) == {"exploratory"}
    assert set(found["margin"]) == {0.05}


def test_exports_hand_on_stored_numbers(run: ReportRun, pool: np.ndarray, tmp_path: Path) -> None:
    for file in export(run, "saebench", tmp_path / "s").files:
        record = json.loads(Path(file).read_text(encoding="utf-8"))
        score = record["eval_result_metrics"]["autointerp"]["autointerp_score"]
        assert np.isin(score, pool)
        for latent in record["eval_result_unstructured"]["latents"]:
            assert latent["score"] is None or np.isin(latent["score"], pool)
    for file in export(run, "neuronpedia", tmp_path / "n").files:
        if file.endswith(".scores.jsonl"):
            values = [json.loads(line)["value"] for line in Path(file).read_text(encoding="utf-8").splitlines()]
            assert np.isin([value for value in values if value is not None], pool).all()
    export(run, "huggingface", tmp_path / "h")
    card = (tmp_path / "h" / "README.md").read_text(encoding="utf-8").partition("## Tables")[0]
    card = re.sub(r"\(0\.5 is chance\)|0\.5 is chance|autointerp [\d.]+", "", card)
    assert not strangers(card, pool)


def test_every_form_of_the_gate_shows_numbers_of_its_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Terminal, JSON, JUnit and step summary of a gate, against gate.parquet, in either sign (losses turn it)."""
    arms = [Arm(name="sae", mean=0.7), Arm(name="tc", architecture="transcoder")]
    base, new = (simulate_run(simulate(arms, seed=seed), tmp_path / str(seed)) for seed in (1, 2))
    forms = {name: tmp_path / name for name in ("--junit", "--summary")}
    main(["gate", str(new), "--baseline", str(base), *(str(one) for pair in forms.items() for one in pair)])
    texts = [capsys.readouterr().out, *(path.read_text(encoding="utf-8") for path in forms.values())]
    texts.append((new / "gate.json").read_text(encoding="utf-8"))
    # Besides its own table, what it says of the candidate's controls is in their table.
    stored = pd.read_parquet(new / "gate.parquet"), summarise(read_runs([new])).controls
    frames = [table.select_dtypes("number").to_numpy(float, na_value=np.nan) for table in stored]
    values = np.concatenate([frame.ravel() for frame in frames])
    kept = np.unique(np.concatenate([values, -values]))
    for text in texts:
        assert len(DECIMAL.findall(text)) >= 10
        assert not strangers(re.sub(r"<\?xml[^>]*>|within 0\.\d+ of \.5", "", text), kept)


def test_the_pages_latent_browser_holds_stored_numbers(run: ReportRun) -> None:
    """Scores, firing rates, answers' probabilities and activations of every latent that the page carries."""
    found = _payload.payload(run, 10**9)
    index = unpacked(found.index)["columns"]
    for at, scorer in enumerate(unpacked(found.index)["scorers"]):
        own = run.scores[(run.scores["scorer"] == scorer) & (run.scores["control"] == "none")]["score"]
        assert all(is_stored(value, 4, np.sort(own.dropna())) for value in index["scores"][at] if value is not None)
    rates = np.sort(run.latents["firing_rate_token"])
    assert all(np.isclose(rates, value, rtol=1e-4, atol=0).any() for value in index["rate"])
    details = [one for chunk in found.chunks for one in unpacked(chunk)]
    assert len(details) == len(index["i"])
    for name in ("score", "recall", "specificity"):
        stored = np.sort(run.scores[name].dropna().unique())
        shown = [row[name] for one in details for row in one["scores"] if row[name] is not None]
        assert shown
        assert all(np.isclose(stored, value, rtol=5.1e-3, atol=0).any() for value in shown)  # three digits


def unpacked(text: str) -> Any:
    return json.loads(gzip.decompress(base64.b64decode(text)))


def test_compare_prints_the_numbers_that_score_printed(run: ReportRun, capsys: pytest.CaptureFixture[str]) -> None:
    """Recomputed from the judgements, the table of scores and of comparisons is the stored run's, cell by cell."""
    main(["compare", str(run.path), "--out", str(run.path / "again")])
    out = capsys.readouterr().out
    found = findings.findings_of(run)
    for table in (tables.scores(found), tables.comparisons(found)):
        for row in table.rows:
            for cell in row:
                assert not isinstance(cell, tables.Number) or str(cell) in out, (table.name, row)


def test_dead_latents_have_one_number(run: ReportRun) -> None:
    """The share that is silent in the few documents of reconstruction is never called dead, and has no interval."""
    table = tables.reconstruction(findings.findings_of(run))
    assert not [name for name in table.columns if "dead" in name]
    if "silent in these documents" in table.columns:
        at = list(table.columns).index("silent in these documents")
        assert not [row[at] for row in table.rows if getattr(row[at], "interval", "")]
