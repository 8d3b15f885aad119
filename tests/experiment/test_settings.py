"""Settings as data: suggestions, reserved names, short diffs."""

import subprocess
import sys
from pathlib import Path

import pytest

from autointerp.errors import StudyError
from autointerp.experiment.settings import changes
from autointerp.experiment.study import EMBEDDED, load_study
from autointerp.records import RESERVED

STUDY = EMBEDDED / "study.yaml"


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ("n_latents=3", "n_latents: unknown setting; did you mean sampling.n_latents?"),
        ("sampling.n_latent=3", "did you mean sampling.n_latents?"),
        ("windows.n_token=3", "did you mean windows.n_tokens?"),
    ],
)
def test_an_unknown_setting_names_the_whole_path_of_the_near_one(setting: str, says: str) -> None:
    """Where the last word is right and the section missing, the section is what the message gives."""
    with pytest.raises(StudyError, match="unknown setting") as error:
        load_study(STUDY, [setting])
    assert says in str(error.value)


@pytest.mark.parametrize("name", sorted(RESERVED))
def test_names_that_tables_use_as_keys_are_rejected(name: str) -> None:
    """A dictionary called `planted` or `all` would share rows with the planted latents or the totals."""
    with pytest.raises(StudyError, match=f"{name}' is reserved") as error:
        load_study(STUDY, [f"dictionaries.0.name={name}"])
    assert "\n" not in str(error.value)


def test_changes_are_short_and_name_the_dictionary(tmp_path: Path) -> None:
    """An added dictionary is one line, a changed setting `key: old -> new`, and equal studies have none."""
    old = load_study(STUDY).model_dump(mode="json")
    assert changes(old, old) == []
    new = {**old, "dictionaries": [*old["dictionaries"][1:], {**old["dictionaries"][1], "name": "b", "source": "path"}]}
    assert changes(old, new) == ["- dictionaries.sae", "+ dictionaries.b (path)"]
    assert changes(old, load_study(STUDY, ["seed=3"]).model_dump(mode="json")) == ["seed: 0 -> 3"]
    scorers = load_study(STUDY, ["scorers.0.n_per_question=5"]).model_dump(mode="json")
    assert changes(old, scorers) == ["scorers.detection.n_per_question: 20 -> 5"]


def test_a_study_is_read_without_loading_scipy_or_pandas() -> None:
    """Settings of the statistics are plain data: commands that only read a study start fast."""
    code = (
        "import sys, autointerp.experiment.study; print([m for m in ('scipy', 'pandas', 'torch') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
