"""False alarms are weighted to the real distribution: strata of hard negatives by their share of all silence."""

import numpy as np
import pandas as pd
import pytest

from autointerp.examples import contrast
from autointerp.examples.base import Firing
from autointerp.prompts import Prompts
from autointerp.records import Example, Explanation, LatentExamples, LatentId
from autointerp.run.record_rows import judgement_row
from autointerp.scorers import detection
from autointerp.statistics._answers import read
from autointerp.statistics.prevalence import silent_error
from tests.helpers.planted import corpus, latents, put

POOL = contrast.pool(corpus(), held_out=True, size=400, seed=0)
SILENT = Firing(positions=np.array([], dtype=np.int64), values=np.array([]))
NEAR = [np.isin(POOL, part).astype(float) for part in (POOL[:40], POOL[30:80])]
# The judge calls active all windows of the first stratum, half of the second one's own, and one in twenty of the rest.
FALSE = {*POOL[:40].tolist(), *POOL[40:80:2].tolist(), *POOL[80::20].tolist()}


@pytest.fixture(autouse=True)
def strata_of_any_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """Strata as large as nearness makes them."""
    monkeypatch.setattr(contrast, "NEAR_SHARE", 0.2)


def rows(index: int, *, n_hard: int) -> pd.DataFrame:
    latent = LatentId("a", "s", index)
    drawn = contrast.negatives(corpus(), SILENT, POOL, latent=latent, n=20, seed=0, n_hard=n_hard, near=NEAR)
    positives: tuple[Example, ...] = latents(1)[0].held_out
    examples = LatentExamples(latent=latent, explain=(), explain_contrast=(), held_out=positives, contrast=drawn)
    told = Explanation(explanation_id="e", latent=latent, text="t", explainer="t", prompt_hash="", raw="")
    scorer = detection.build(detection.Config(n_per_question=50), Prompts())
    asked = scorer.questions(examples, told, "none", np.random.default_rng(0))
    judged = put(scorer, asked, lambda q: str([int(i.truth or i.window in FALSE) for i in q.items]))
    return pd.DataFrame([judgement_row(one) for one in judged])


@pytest.mark.parametrize("n_hard", [0, 5])
def test_the_error_on_silence_is_unbiased(n_hard: int) -> None:
    """Over 60 draws the mean is the share of ALL silent windows called active, within four standard errors."""
    found = silent_error(read(pd.concat([rows(i, n_hard=n_hard) for i in range(60)])))
    truth = len(FALSE) / len(POOL)
    error = found["false_rate"].std() / np.sqrt(len(found))
    assert len(found) == 60
    assert abs(found["false_rate"].mean() - truth) < 4 * error
    assert (found["recall"] == 1).all()


def test_hard_negatives_make_the_error_more_certain() -> None:
    """The strata in which errors gather are seen for sure: the spread over draws shrinks by a third at least."""
    spread = [silent_error(read(pd.concat([rows(i, n_hard=n) for i in range(40)])))["false_rate"].std() for n in (0, 5)]
    assert spread[1] < 2 / 3 * spread[0]
