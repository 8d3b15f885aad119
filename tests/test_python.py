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


def test_a_wrong_setting_is_one_line_as_on_the_command_line() -> None:
    """Python raises what the command line prints."""
    with pytest.raises(StudyError, match="margin"):
        autointerp.compare([readme.REFERENCE], margin=-1.0)
    with pytest.raises(StudyError, match="--data is needed"):
        autointerp.score(model="m", dictionaries={"sae": "d"})


def test_embedded_names_open_everywhere() -> None:
    """`embedded/...` is a name of the loaders, not of one verb."""
    loaded = autointerp.load_dictionary("embedded/dictionaries/sae/layers.2.mlp/seed0")
    assert (loaded.n_latents, loaded.architecture) == (2048, "sae")


def test_every_public_name_is_documented() -> None:
    """`help(autointerp.x)` says something for each; the package is typed."""
    assert all(getattr(autointerp, name).__doc__ for name in autointerp.__all__)
    assert (Path(autointerp.__file__).parent / "py.typed").exists()
