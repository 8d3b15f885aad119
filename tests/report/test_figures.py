"""The data behind the figures, worked out another way; their files: vector, embedded fonts, always the same bytes."""

import io
import re
import shutil
import subprocess
from pathlib import Path
from urllib.parse import quote
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest

from autointerp import plugins
from autointerp.errors import StudyError
from autointerp.report import escaping, writers
from autointerp.report.drawing import members, page_figures, picture, write_figures
from autointerp.report.figures.base import STYLES
from autointerp.report.run import ReportRun
from autointerp.report.tables import Number, Table
from tests.helpers.runs import RunSpec, write_run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> ReportRun:
    return ReportRun(write_run(tmp_path_factory.mktemp("runs") / "figures", RunSpec(n_sampled=10, prompts=False)))


@pytest.fixture(scope="module")
def drawn(run: ReportRun, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict]:
    out = tmp_path_factory.mktemp("figs")
    return out, write_figures(run, out, formats=("pdf", "svg"))


def test_all_ten_figures_exist_and_only_the_gate_lacks_data(drawn: tuple[Path, dict]) -> None:
    """A plain run has data for every figure but the gate's, which says what it needs."""
    out, found = drawn
    assert len(plugins.names("report.figures")) == 10
    assert set(found["skipped"]) == {"gate"}
    assert "gate.parquet" in found["skipped"]["gate"]
    for name in set(plugins.names("report.figures")) - {"gate"}:
        assert {path.suffix for path in out.glob(f"{name}.*")} == {".pdf", ".svg", ".txt", ".csv"}
        assert len((out / f"{name}.txt").read_text()) > 80


def test_means_of_the_score_figure_are_weighted_means_of_its_dots(run: ReportRun) -> None:
    table = members(["scores"])["scores"].data(run)
    for row in table[table["part"] == "mean"].to_dict("records"):
        dots = table[(table["part"] == "latent") & (table["arm"] == row["arm"]) & (table["scorer"] == row["scorer"])]
        weights = 1 / dots["inclusion_probability"]
        assert row["value"] == pytest.approx((dots["value"] * weights).sum() / weights.sum())
        assert row["low"] < row["value"] < row["high"]


def test_recall_by_decile_is_the_share_of_yes_among_its_positives(run: ReportRun) -> None:
    """One decile has one positive per latent here, so the mean over latents is the share of answered ones said yes."""
    table = members(["deciles"])["deciles"].data(run)
    judged = run.judgements
    judged = judged[(judged["control"] == "none") & (judged["answer"] != "unanswered") & (judged["kind"] == "positive")]
    for row in table[table["curve"] == "recall"].to_dict("records"):
        mine = judged[(judged["dictionary"] == row["arm"]) & (judged["scorer"] == row["scorer"])]
        mine = mine[mine["stratum"] == int(row["bin"]) - 1]
        assert row["value"] == pytest.approx((mine["answer"] == "yes").mean())


def test_calibration_counts_every_judgement_with_a_probability_once(run: ReportRun) -> None:
    table = members(["calibration"])["calibration"].data(run)
    known = run.judgements["probability"].notna() & (run.judgements["control"] == "none")
    assert table["n_items"].sum() == known.sum()
    bins = table["bin"].astype(int)
    assert ((bins / 10 <= table["x"]) & (table["x"] <= (bins + 1) / 10)).all()
    one = run.judgements[
        known & (run.judgements["scorer"] == "detection") & (run.judgements["dictionary"] == "sae_k16")
    ]
    brier = float(np.square(one["probability"] - one["truth"]).mean())
    mine = table[(table["scorer"] == "detection") & (table["arm"] == "sae_k16")]
    assert mine["brier"].iloc[0] == pytest.approx(brier)


def test_ladder_loses_nothing_uncounted(run: ReportRun) -> None:
    """On every rung: latents here = latents before - latents lost, down from all of the dictionary's."""
    table = members(["ladder"])["ladder"].data(run)
    for name, rows in table.groupby("arm"):
        assert rows["n"].iloc[0] == (run.latents["dictionary"] == name).sum()
        assert (rows["n"].to_numpy()[1:] == rows["n"].to_numpy()[:-1] - rows["lost"].to_numpy()[1:]).all()
        assert (rows["n"].diff().dropna() <= 0).all()


def test_gate_figure_has_a_panel_per_endpoint_and_a_path_per_dictionary(tmp_path: Path) -> None:
    path = write_run(tmp_path / "gated", RunSpec(n_sampled=3, n_planted=2, prompts=False))
    names = list(ReportRun(path).dictionaries["dictionary"])
    looks = pd.DataFrame({
        "look": [1, 2], "n": [50, 100], "info_frac": [0.5, 1.0], "z": [1.2, 2.4], "z_upper": [2.2, 2.1],
        "z_lower": [-0.3, 2.1], "llm_calls": [100, 200], "llm_calls_saved": [0, 40], "decision": ["", "PASS"],
    })  # fmt: skip
    each = [looks.assign(dictionary=name, endpoint=what) for name in names for what in ("detection", "fuzzing")]
    pd.concat(each).to_parquet(path / "gate.parquet")
    gate = members(["gate"])["gate"]
    table = gate.data(ReportRun(path))
    assert len(names) > 1
    assert len(table) == 4 * len(names)
    assert f"{names[-1]}, fuzzing: PASS at look 2, 40 calls saved" in gate.caption(table)
    assert picture(gate, table, STYLES["paper"], "pdf").startswith(b"%PDF")
    run = ReportRun(path)
    shown = next(figure for figure in page_figures(run) if figure["name"] == "gate")
    assert len(shown["panels"]) == 2
    for panel in shown["panels"]:
        assert all(f"{name}</text>" in panel for name in [*names, "boundaries"])


def test_same_run_draws_the_same_bytes(run: ReportRun) -> None:
    module = members(["scores"])["scores"]
    table = module.data(run)
    for form in ("pdf", "svg", "png"):
        assert picture(module, table, STYLES["paper"], form) == picture(module, table, STYLES["paper"], form)


@pytest.mark.skipif(
    shutil.which("pdffonts") is None, reason="pdffonts is not installed (apt-get install poppler-utils)"
)
def test_every_font_of_every_pdf_is_embedded(drawn: tuple[Path, dict]) -> None:
    for path in drawn[0].glob("*.pdf"):
        rows = subprocess.run(["pdffonts", str(path)], capture_output=True, text=True, check=True).stdout.splitlines()[
            2:
        ]
        assert rows, f"{path.name} names no font"
        # The columns behind the name and the type: encoding, embedded, subset, unicode, object.
        assert all(row.split()[-5] == "yes" for row in rows), rows


def test_fonts_of_pdfs_are_truetype_programs_in_the_file(drawn: tuple[Path, dict]) -> None:
    """Without any tool: a font file stream stands in the PDF, and no outline-only Type 3 font."""
    for path in drawn[0].glob("*.pdf"):
        content = path.read_bytes()
        assert b"/FontFile2" in content
        assert b"/Type3" not in content


def test_paper_figures_have_the_width_of_a_column_or_a_page(run: ReportRun) -> None:
    for name in ("pareto", "layers"):
        module = members([name])[name]
        text = picture(module, module.data(run), STYLES["paper"], "svg").decode()
        width = re.search(r'width="([\d.]+)pt"', text)
        assert width is not None
        assert float(width[1]) / 72 == pytest.approx(STYLES["paper"].width(module.SIZE), abs=0.01)


def test_page_figures_are_parts_of_a_page_that_follow_its_theme(run: ReportRun) -> None:
    """Each panel is well-formed XML without style sheets, ids that clash, or colours that a dark page would hide."""
    for figure in page_figures(run):
        assert len(figure["panels"]) >= 1
        for panel in figure["panels"]:
            root = ElementTree.fromstring(panel.replace("<svg ", '<svg xmlns:xlink="http://www.w3.org/1999/xlink" ', 1))
            assert root.get("viewBox")
            assert "<style" not in panel
            assert not re.search(r"#(000000|ffffff|22262c)", panel)
            assert len(re.findall(r"<text", panel)) > 3


def test_dots_of_the_page_link_to_their_latents(run: ReportRun) -> None:
    """Every judged latent is a link in the panel of each scorer, with its name and score under the pointer."""
    scores = next(figure for figure in page_figures(run) if figure["name"] == "scores")
    for scorer, panel in zip(run.scorers, scores["panels"], strict=True):
        found = dict(re.findall(r'href="#latent=([^"]*)" data-tip="([^"]*)"', panel))
        own = run.own_scores[(run.own_scores["scorer"] == scorer) & run.own_scores["score"].notna()]
        wanted = {
            quote(name := f"{d}/{i}", safe=""): f"{name}: {score:.3f}"
            for d, i, score in zip(own["dictionary"], own["latent"], own["score"], strict=True)
        }
        assert found == wanted


def test_names_of_a_foreign_run_are_text_in_every_picture(tmp_path: Path) -> None:
    """A dictionary's name with markup, mathematics and control characters is drawn, and is neither."""
    name = "<script>x</script> $\\frac{$ \x1b[31m"
    path = write_run(tmp_path / "foreign", RunSpec(n_sampled=3, n_planted=2, prompts=False))
    for table in path.glob("*.parquet"):
        frame = pd.read_parquet(table)
        if "dictionary" in frame:
            frame.assign(dictionary=frame["dictionary"].replace({"sae_k16": name})).to_parquet(table, index=False)
    run = ReportRun(path)
    for figure in page_figures(run):
        for panel in figure["panels"]:
            assert "<script" not in panel
            assert "\x1b" not in panel
    write_figures(run, tmp_path / "figs", formats=("svg",))
    for file in (tmp_path / "figs").glob("*.svg"):
        assert "<script" not in file.read_text(encoding="utf-8")


def test_latex_prints_hostile_names_and_runs_none_of_them() -> None:
    rows = [[r"\input{x} 50% & #1_$^~", Number(value=0.5, low=0.4, high=0.6)]]
    text = writers.latex(Table(name="t", title="a\n\\end{b}", columns=["a", "b"], rows=rows, notes=["100 %"]))
    assert r"\input" not in text
    assert r"\end{b}" not in text
    assert text.count(r"\toprule") == text.count(r"\bottomrule") == 1
    assert r"50\% \& \#1\_\$" in text
    assert r"100 \%" in text


def test_csv_cells_are_never_formulas(tmp_path: Path) -> None:
    frame = pd.DataFrame({"=a": ["=1+1", "@x", "-2", "+3", "plain"], "b": [-1.5, 2, 3, 4, 5]})
    read = pd.read_csv(io.StringIO(escaping.csv(frame)))
    assert read["b"].tolist() == frame["b"].tolist()
    assert not [cell for cell in [*read.columns, *read.iloc[:, 0]] if str(cell)[0] in "=+-@"]


def test_unknown_formats_styles_and_figures_are_refused(run: ReportRun, tmp_path: Path) -> None:
    for wrong in ({"formats": ("gif",)}, {"style": "poster"}, {"names": ["violin"]}):
        with pytest.raises(StudyError, match="unknown"):
            write_figures(run, tmp_path, **wrong)  # pyright: ignore[reportArgumentType]
