"""Judges without an explanation that compare the marks of a prompt's contexts: by fuzzing's prompts none gains.

Every marked word of a planted rule is the same, in every window, which no wrong marks can match wholly; trained latents
are less uniform. So the bounds are wide on rules, and those of the issue on trained latents.
"""

from pathlib import Path

import numpy as np
import pytest

from autointerp.experiment import pipeline
from autointerp.experiment.study import validate_study
from autointerp.prompts import Prompts
from autointerp.records import Explanation
from autointerp.run import record_rows
from autointerp.scorers import fuzzing
from autointerp.seeds import generator
from tests.benchmarks import shortcuts
from tests.helpers.company import COMPANY, of_latent
from tests.helpers.planted import latents
from tests.helpers.shared import SHARED, STORIES, needs_shared

ANY = "any marked word is marked in another item"
WORDS = (
    ANY,
    "share of its marked words that others mark",
    "number of items that mark the same",
    "first three letters marked by others",
    "last three letters marked by others",
)


def test_planted_rules_give_little_away() -> None:
    """AUROC of each judge over rules; with wrong marks exactly where right ones were, dealt at random, the first had
    .79 on these."""
    scorer = fuzzing.build(fuzzing.Config(), Prompts())
    found = []
    for one in latents():
        told = Explanation(explanation_id="e", latent=one.latent, text="x", explainer="t", prompt_hash="", raw="")
        asked = scorer.questions(one, told, "none", generator(0, "questions", "fuzzing", one.latent))
        found.append(of_latent(asked, COMPANY))
    mean = {name: float(np.mean([one[name] for one in found])) for name in COMPANY}
    assert abs(mean[ANY] - 0.5) < 0.08, mean
    assert all(abs(value - 0.5) < 0.2 for value in mean.values()), mean


@pytest.mark.slow
@needs_shared
def test_trained_latents_give_nothing_away(tmp_path: Path) -> None:
    """Three trained dictionaries: judges that compare marked words are within .01 of chance, all others within .025
    (standard errors of the means are .003 and .008)."""
    names = {"sae": "sae_k16", "transcoder": "transcoder_k16", "skip": "skip_transcoder_k16"}
    study = {
        "name": "company",
        "subject": {"model": str(STORIES)},
        "corpus": {"use": "text", "path": str(SHARED / "text" / "tinystories.txt")},
        "windows": {"n_tokens": 250_000, "context_length": 256},
        "dictionaries": [
            {"name": name, "source": str(STORIES / "dictionaries" / folder / "layers.2.mlp")}
            for name, folder in names.items()
        ],
        "sampling": {"n_latents": 40},
        "explainer_llm": "pattern",
        "judge_llm": "pattern",
    }
    run = pipeline.score(validate_study(study, source="test"), tmp_path / "run", until="select")
    found = shortcuts.scored([one for one in record_rows.read_examples(run) if not one.latent.planted])
    mean = {name: float(found[name].mean()) for name in COMPANY}
    assert all(abs(mean[name] - 0.5) < 0.01 for name in WORDS), mean
    assert all(abs(value - 0.5) < 0.025 for value in mean.values()), mean
