"""The terminal and the notebook: 80 columns, no colour when asked, nothing of the corpus that drives the terminal."""

import io
import json
from pathlib import Path

import pandas as pd
import pytest
from rich.console import Console

import autointerp
from autointerp.__main__ import main
from autointerp.errors import TableError
from autointerp.report._payload import LEVELS, _Parts
from autointerp.report.escaping import visible
from autointerp.report.latent import latent_page
from autointerp.report.listing import latents_table, rows_of
from autointerp.report.run import ReportRun
from autointerp.run import tables
from tests.helpers.runs import HOSTILE, RunSpec, write_run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> ReportRun:
    return ReportRun(write_run(tmp_path_factory.mktemp("runs") / "shown", RunSpec(n_sampled=14)))


def printed(what: object, *, colour: bool) -> str:
    file = io.StringIO()
    Console(file=file, width=80, force_terminal=colour, no_color=not colour, highlight=False).print(what)
    return file.getvalue()


def test_tables_and_latents_fit_80_columns_without_escapes(run: ReportRun) -> None:
    rows = rows_of(run)
    for what in (
        latents_table(rows, run.scorers),
        *(latent_page(run.latent(f"{d}/{i}")) for d, i in zip(rows["dictionary"], rows["latent"], strict=True)),
    ):
        text = printed(what, colour=False)
        assert max(map(len, text.splitlines())) <= 80
        assert "\x1b" not in text


def with_logits(folder: Path, reason: str) -> ReportRun:
    """A run in which one dictionary's latents have logits and histograms, the others a reason why not."""
    path = write_run(folder, RunSpec(n_sampled=2))
    found = ReportRun(path)
    names = list(found.dictionaries["dictionary"])
    key = found.latents.loc[found.latents["sampled"] & (found.latents["dictionary"] == names[0]), tables.KEY].iloc[0]
    sides = [("top", 1, "<b>", 0.25), ("top", 0, "\x1b[31m", 0.5), ("bottom", 0, "cat", -0.125)]
    rows = [{**key, "side": side, "rank": rank, "token": token, "value": v} for side, rank, token, v in sides]
    found.files.write("logits", pd.DataFrame(rows), tables.LOGITS)
    bins = [{**key, "low": 2.0 * n, "high": 2.0 * n + 2, "n_tokens": many} for n, many in enumerate((1000, 0, 1))]
    found.files.write("histograms", pd.DataFrame(bins), tables.HISTOGRAMS)
    counts: dict[str, object] = {"without_logits": dict.fromkeys(names[1:], reason)}
    found.files.finish("describe", "f", seconds=0.0, counts=counts)
    return ReportRun(path)


def test_a_latent_shows_its_activations_and_tokens_or_why_it_has_none(tmp_path: Path) -> None:
    """Bars are logarithms, an empty bin is a gap; tokens come by rank; a dictionary without them says the reason."""
    run = with_logits(tmp_path / "run", "its site is not added to the residual stream")
    first, rows = run.logits.iloc[0], rows_of(run)
    others = [row for _, row in rows[rows["dictionary"] != first["dictionary"]].iterrows()]
    text = printed(latent_page(run.latent(first["dictionary"], first["latent"])), colour=False)
    # log(1 + 1000) is the highest of 8 bars; log 2 / log 1001 = .10 of it is the lowest.
    assert "1,001 activations, 0 to 6 (log counts)\n█ ▁\n" in text
    assert "promotes '␛[31m' +0.50, '<b>' +0.25\nsuppresses 'cat' -0.12" in text
    assert "no logits" not in text
    assert others
    for row in others:
        text = printed(latent_page(run.latent(row["dictionary"], row["latent"])), colour=False)
        assert "no logits: its site is not added to the residual stream\n" in text
        detail, _ = _Parts(run, {}).detail((row["dictionary"], row["site"], row["latent"]), LEVELS[0])
        assert (detail["logits"], detail["without_logits"]) == (None, "its site is not added to the residual stream")


def test_control_characters_of_the_corpus_never_reach_the_terminal() -> None:
    for text in HOSTILE:
        assert not [char for char in visible(text) if ord(char) < 32 or 0x7F <= ord(char) < 0xA0]
    assert visible("\u202eabc") == "⇄abc"


def test_filters_and_sorting_select_what_they_say(run: ReportRun) -> None:
    rows = rows_of(run, "firing_rate_token:up", ["score_detection>0.7", "dictionary!=sae_k16"])
    assert len(rows)
    assert (rows["score_detection"] > 0.7).all()
    assert "sae_k16" not in set(rows["dictionary"])
    assert rows["firing_rate_token"].is_monotonic_increasing
    for wrong in ("nonsense", "colour>1", "score>high"):
        with pytest.raises(TableError):
            rows_of(run, conditions=[wrong])


def test_notebook_view_escapes_the_corpus(run: ReportRun) -> None:
    """The example of the README: open, look, compare."""
    opened = autointerp.open_run(run.path)
    rows = rows_of(opened)
    hostile = rows[rows["explanation"].fillna("").str.contains("<")]
    for row in hostile.to_dict("records"):
        html = opened.latent(row["dictionary"], row["latent"])._repr_html_()
        assert "<script>window" not in html
        assert "<img src=x" not in html
    compared = opened.compare("sae_k16", "transcoder_k16")
    assert {"diff", "ci95_lo", "verdict"} <= set(compared.columns)


def test_json_of_the_verbs_is_json(run: ReportRun, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["latents", str(run.path), "--json", "--limit", "3"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(lines) == 3
    name = f"{lines[0]['dictionary']}/{lines[0]['latent']}"
    assert main(["show", str(run.path), name, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["name"] == name
    assert found["judgements"]


def test_wrong_names_are_told_with_the_right_ones(run: ReportRun, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", str(run.path), "sae/1"]) == 2
    assert "transcoder_k16" in capsys.readouterr().err
    assert main(["show", str(run.path), "sae_k16/999999"]) == 2
    assert "0 to 59" in capsys.readouterr().err
    assert main(["show", str(run.path), "nothing"]) == 2
    assert main(["report", str(Path("no") / "such" / "run")]) == 2
