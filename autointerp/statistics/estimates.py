"""One dictionary's numbers: four populations side by side, and what explains them, each with an interval."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from autointerp.errors import TableError
from autointerp.statistics._answers import read
from autointerp.statistics.base import Estimate, Population
from autointerp.statistics.clusters import NO_DOCUMENTS, Documents, DocumentTerm, Side, widened
from autointerp.statistics.intervals import Mean
from autointerp.statistics.populations import (
    Arm,
    Bins,
    arm_of,
    frequency_bins,
    population_mean,
    population_weights,
    usable,
)


def estimate(
    scores: pd.DataFrame,
    latents: pd.DataFrame | None = None,
    *,
    population: Population = "eligible",
    cluster: Sequence[str] = ("latent",),
    judgements: pd.DataFrame | None = None,
    level: float = 0.95,
    column: str = "score",
    bins: Bins | None = None,
) -> Estimate:
    """Estimate one dictionary's mean score under one scorer.

    Args:
        scores: `latent_scores` of one dictionary, one scorer, one control.
        latents: latents of all compared dictionaries; `standardised` without `bins` needs them.
        population: over which latents the mean is (see `population_mean`).
        cluster: `("latent",)`, or `("latent", "document")` for two-way errors, which need `judgements`: contexts judged
            for many latents make their scores err together.
        judgements: rows of the same dictionary, scorer and control.
        level: confidence level.
        column: which column of the scores is averaged.
        bins: firing-rate bins of the `standardised` population.

    Raises:
        TableError: several dictionaries or scorers at once, or no latent with a score.
    """
    _check_one(scores)
    if population == "standardised" and bins is None:
        bins = _bins_from(latents)
    arm = arm_of(scores)
    inner = population_mean(arm, population, bins=bins, column=column, level=level)
    term = NO_DOCUMENTS
    if "document" in cluster:
        if judgements is None:
            raise TableError("estimate: clustering by document needs the judgements that the scores come from")
        rows, first = usable(scores, column), scores.iloc[0]
        same = np.logical_and.reduce(
            [judgements[name].astype(str) == str(first[name]) for name in ("dictionary", "scorer", "control")]
        )
        weights = population_weights(rows, population, bins)
        term = Documents(read(judgements[same])).term([Side(scores=rows, weights=weights)], column)
    return finish(inner, arm.known(column), column=column, term=term, level=level)


def _check_one(scores: pd.DataFrame) -> None:
    if scores[["dictionary", "scorer", "control"]].drop_duplicates().shape[0] != 1:
        raise TableError(
            "estimate: scores must be of one dictionary, one scorer and one control; filter or use summarise"
        )


def _bins_from(latents: pd.DataFrame | None) -> Bins:
    if latents is None:
        raise TableError("estimate: population 'standardised' needs the latents tables that its bins are pooled over")
    return frequency_bins([part for _, part in latents.groupby("dictionary", sort=False, observed=True)])


def finish(
    inner: Mean, arm: Arm, *, column: str = "score", term: DocumentTerm = NO_DOCUMENTS, level: float = 0.95
) -> Estimate:
    """Turn a mean over the latents of an arm into an estimate; `term` is what shared documents add to its variance."""
    se, df = widened(inner, term)
    low, high = replace(inner, se=se, df=df).interval(level, -1.0 if column == "skill" else 0.0)
    method = "t over latents" if term.n == 0 else "t over latents and documents"
    values = arm[column]
    if len(values) < 2 or float(np.ptp(values)) == 0:
        method = "exact bound (scores do not vary)" if len(values) > 1 else "none (one latent)"
    return Estimate(
        value=inner.value,
        low=low,
        high=high,
        level=level,
        se=se,
        df=df,
        n_latents=inner.n,
        n_eff=inner.n_eff,
        n_unanswered=int(arm["n_unanswered"].sum()),
        method=method,
    )
