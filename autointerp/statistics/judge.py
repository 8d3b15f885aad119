"""What an imperfect judge does to scores, and how far that can be taken back."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from autointerp.errors import TableError
from autointerp.statistics.base import Estimate
from autointerp.statistics.controls import informedness
from autointerp.statistics.intervals import Mean, mean, t_quantile
from autointerp.statistics.populations import usable


@dataclass(frozen=True, slots=True, kw_only=True)
class Corrected:
    """A number divided by the judge's accuracy, with an interval that carries the accuracy's uncertainty."""

    value: float
    low: float
    high: float
    df: float


def accuracies(scores: pd.DataFrame, level: float = 0.95) -> Mapping[str, Mean]:
    """Map each scorer to the judge's sensitivity + specificity - 1 on planted latents, where it is clear of 0.

    Args:
        scores: `latent_scores(..., control=None)`.
        level: of the accuracy's interval, which must lie above 0; else nothing can be divided by it.
    """
    known = usable(scores[scores["control"] == "planted"])
    found = {
        str(scorer): mean(informedness(part), bounded=False)
        for scorer, part in known.groupby("scorer", sort=False, observed=True)
    }
    return {name: one for name, one in found.items() if one.n > 1 and one.interval(level, -1.0, 1.0)[0] > 0}


def correct(value: float, se: float, df: float, accuracy: Mean, level: float = 0.95) -> Corrected | None:
    """Divide a number by the judge's accuracy; None where the accuracy is not clear of 0.

    Source:
        Rogan and Gladen, Estimating prevalence from the results of a screening test (1978); interval of a ratio by
        Fieller (1954), with Satterthwaite's degrees of freedom.
    """
    ratio = value / accuracy.value if accuracy.value > 0 else np.inf
    parts = np.array([se**2, (ratio * accuracy.se) ** 2])
    degrees = float(parts.sum() ** 2 / (parts**2 / [df, accuracy.df]).sum()) if parts.sum() > 0 else df
    t = t_quantile((1 + level) / 2, degrees)
    g = (t * accuracy.se / accuracy.value) ** 2 if accuracy.value > 0 else np.inf
    if g >= 1:
        return None
    half = t / accuracy.value * np.sqrt((1 - g) * se**2 + (ratio * accuracy.se) ** 2)
    low, high = ((ratio + sign * half) / (1 - g) for sign in (-1, 1))
    return Corrected(value=float(ratio), low=float(low), high=float(high), df=degrees)


def judge_correct(scores: pd.DataFrame, planted: pd.DataFrame, *, level: float = 0.95) -> Estimate:
    """Estimate the informedness J = 2 score - 1 that a faultless judge would have given: J* = J / A.

    A is the judge's own sensitivity + specificity - 1 on latents whose true explanation is known. Right only if the
    judge errs alike on all latents; one that is better on token-like latents biases comparisons.

    Args:
        scores: `latent_scores` of one dictionary and scorer, control none.
        planted: `latent_scores` of the planted latents by the same scorer.
        level: confidence level.

    Raises:
        TableError: either has no scores, or A is not clearly above 0 on the planted latents.

    Source:
        Rogan and Gladen, Estimating prevalence from the results of a screening test (1978).
    """
    rows, known = usable(scores), usable(planted)
    if rows.empty or known.empty:
        raise TableError("judge_correct: needs scores of latents and of planted latents; one of them is empty")
    informed = informedness(rows)
    observed = mean(informed, 1 / rows["inclusion_probability"].to_numpy(float), bounded=False)
    accuracy = accuracies(known.assign(scorer="all", control="planted"), level).get("all")
    found = None if accuracy is None else correct(observed.value, observed.se, observed.df, accuracy, level)
    if found is None:
        value = float(informedness(known).mean())
        raise TableError(
            f"judge_correct: accuracy on planted latents is {value:.3f}, not clearly above 0; nothing to correct by"
        )
    return Estimate(
        value=found.value,
        low=found.low,
        high=found.high,
        level=level,
        se=(found.high - found.low) / 2 / t_quantile((1 + level) / 2, found.df),
        df=found.df,
        n_latents=observed.n,
        n_eff=observed.n_eff,
        n_unanswered=int(rows["n_unanswered"].sum()),
        method="Rogan-Gladen, Fieller",
    )
