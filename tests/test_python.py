"""The Python face: each function gives what the command line gives."""

from pathlib import Path

import pytest

import autointerp
from autointerp.errors import StudyError
from tests.helpers import readme


def test_compare_gives_the_tables_of_the_run() -> None:
    """The committed reference run, recomputed: the same estimates and verdicts as it holds."""
    run = autointerp.open_run(readme.REFERENCE)
    summary = autointerp.compare([readme.REFERENCE])
    assert list(summary.comparisons["verdict"]) == list(run.comparisons["verdict"])
    assert summary.estimates["value"].to_numpy() == pytest.approx(run.estimates["value"].to_numpy(), nan_ok=True)


def test_a_run_shows_itself_in_a_notebook_with_short_tables() -> None:
    """Headline, verdicts and the baseline warning; curated tables hold values of the full ones in ten columns."""
    run = autointerp.open_run(readme.REFERENCE)
    shown = run._repr_html_()
    assert "transcoder - sae" in shown
    assert "Baseline: explained and judged by `pattern`" in shown
    brief = run.brief
    for table in (brief.scores, brief.comparisons, brief.latents, brief.reconstruction):
        assert 0 < len(table.columns) <= 10
        assert len(table)
    full = run.estimates[run.estimates["statistic"] == "score"]
    assert brief.scores["score"].tolist() == full["value"].tolist()
    best = brief.latents.iloc[0]
    view = run.latent(best["dictionary"], int(best["latent"]))
    assert view.explanation == best["explanation"]
    assert best["score"] == brief.latents["score"].max()


def test_a_wrong_setting_is_one_line_as_on_the_command_line() -> None:
    """Python raises what the command line prints."""
    with pytest.raises(StudyError, match="margin"):
        autointerp.compare([readme.REFERENCE], margin=-1.0)
    with pytest.raises(StudyError, match="explainer is needed"):
        autointerp.score(model="m", dictionaries={"sae": "d"})


def test_embedded_names_open_everywhere() -> None:
    """`embedded/...` is a name of the loaders, not of one verb."""
    loaded = autointerp.load_dictionary("embedded/dictionaries/sae/layers.2.mlp/seed0")
    assert (loaded.n_latents, loaded.architecture) == (2048, "sae")


def test_every_public_name_is_documented() -> None:
    """`help(autointerp.x)` says something for each; the package is typed."""
    assert all(getattr(autointerp, name).__doc__ for name in autointerp.__all__)
    assert (Path(autointerp.__file__).parent / "py.typed").exists()
