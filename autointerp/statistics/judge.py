"""What an imperfect judge does to scores, and how far that can be taken back."""

import numpy as np
import pandas as pd
from scipy import stats

from autointerp.errors import TableError
from autointerp.statistics.base import Estimate
from autointerp.statistics.controls import informedness
from autointerp.statistics.intervals import mean
from autointerp.statistics.populations import usable


def judge_correct(scores: pd.DataFrame, planted: pd.DataFrame, *, level: float = 0.95) -> Estimate:
    """Estimate the informedness J = 2 score - 1 that a faultless judge would have given: J* = J / A.

    A is the judge's own sensitivity + specificity - 1 on latents whose true explanation is known. Right only if the
    judge errs alike on all latents; one that is better on token-like latents biases comparisons.

    Args:
        scores: `latent_scores` of one dictionary and scorer, control none.
        planted: `latent_scores` of the planted latents by the same scorer.
        level: confidence level (delta method).

    Raises:
        TableError: either has no scores, or the judge knows nothing of planted latents (A <= 0).

    Source:
        Rogan and Gladen, Estimating prevalence from the results of a screening test (1978).
    """
    rows, known = usable(scores), usable(planted)
    if rows.empty or known.empty:
        raise TableError("judge_correct: needs scores of latents and of planted latents; one of them is empty")
    informed = informedness(rows)
    observed = mean(informed, 1 / rows["inclusion_probability"].to_numpy(float), bounded=False)
    accuracy = mean(informedness(known), bounded=False)
    if accuracy.value <= 0:
        raise TableError(f"judge_correct: accuracy on planted latents is {accuracy.value:.3f}; nothing to correct by")
    value = observed.value / accuracy.value
    parts = np.array([observed.se, value * accuracy.se]) / accuracy.value
    se = float(np.hypot(*parts))
    df = float(se**4 / (parts**4 / [observed.df, accuracy.df]).sum()) if se > 0 else observed.df
    half = float(stats.t.ppf((1 + level) / 2, df)) * se
    return Estimate(
        value=value, low=value - half, high=value + half, level=level, se=se, df=float(df), n_latents=observed.n,
        n_eff=observed.n_eff, n_unanswered=int(rows["n_unanswered"].sum()), method="Rogan-Gladen, delta method", seed=0,
    )  # fmt: skip
