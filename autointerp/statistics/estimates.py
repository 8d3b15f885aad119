"""One dictionary's numbers: four populations side by side, and what explains them, each with an interval."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
import pandas as pd

from autointerp.errors import TableError
from autointerp.statistics.base import POPULATIONS, Estimate, Population, chance_of
from autointerp.statistics.clusters import document_variance
from autointerp.statistics.composition import is_trivial
from autointerp.statistics.effects import between_latents
from autointerp.statistics.intervals import Mean, mean, weighted_mean_bca
from autointerp.statistics.populations import (
    Arm,
    Bins,
    arm_of,
    frequency_bins,
    population_mean,
    population_weights,
    usable,
)

# A frequency-weighted mean that rests on fewer effective latents than this is not to be relied on.
FEW_EFFECTIVE = 50
# Means of eligible latents given beside the score.
BESIDES = ("recall", "specificity", "score_hard", "auroc", "skill")


def estimate(
    scores: pd.DataFrame,
    latents: pd.DataFrame | None = None,
    *,
    population: Population = "eligible",
    ci: Literal["auto", "t", "bca"] = "auto",
    cluster: Sequence[str] = ("latent",),
    judgements: pd.DataFrame | None = None,
    level: float = 0.95,
    column: str = "score",
    bins: Bins | None = None,
    n_resamples: int = 2000,
    seed: int = 0,
) -> Estimate:
    """Estimate one dictionary's mean score under one scorer.

    Args:
        scores: `latent_scores` of one dictionary, one scorer, one control.
        latents: latents of all compared dictionaries; `standardised` without `bins` needs them.
        population: over which latents the mean is (see `population_mean`).
        ci: `t`, or `bca` bootstrap over latents; `auto` takes BCa for the frequency-weighted mean, a ratio, else t.
        cluster: `("latent",)`, or `("latent", "document")` for two-way errors, which need `judgements`: contexts judged
            for many latents make their scores err together.
        judgements: rows of the same dictionary, scorer and control.
        level: confidence level.
        column: which column of the scores is averaged.
        bins: firing-rate bins of the `standardised` population.
        n_resamples: bootstrap draws.
        seed: of the bootstrap.

    Raises:
        TableError: several dictionaries or scorers at once, or no latent with a score.
    """
    if scores[["dictionary", "scorer", "control"]].drop_duplicates().shape[0] != 1:
        raise TableError(
            "estimate: scores must be of one dictionary, one scorer and one control; filter or use summarise"
        )
    if population == "standardised" and bins is None:
        if latents is None:
            raise TableError(
                "estimate: population 'standardised' needs the latents tables that its bins are pooled over"
            )
        bins = frequency_bins([part for _, part in latents.groupby("dictionary", sort=False, observed=True)])
    arm = arm_of(scores)
    inner = population_mean(arm, population, bins=bins, column=column, level=level)
    extra = 0.0
    if "document" in cluster:
        if judgements is None:
            raise TableError("estimate: clustering by document needs the judgements that the scores come from")
        rows = usable(scores, column)
        extra = document_variance(judgements, rows, population_weights(rows, population, bins))
    return finish(
        inner,
        arm.known(column),
        population,
        column=column,
        ci=ci,
        extra=extra,
        level=level,
        n_resamples=n_resamples,
        seed=seed,
    )


def finish(
    inner: Mean, arm: Arm, population: Population, *, column: str = "score", ci: str = "auto",
    extra: float = 0.0, level: float = 0.95, n_resamples: int = 2000, seed: int = 0,
) -> Estimate:  # fmt: skip
    """Turn a mean over the latents of an arm into an estimate; `extra` is the variance that shared documents add."""
    wide = replace(inner, se=float(np.sqrt(inner.se**2 + extra)))
    low, high = wide.interval(level)
    method = "t over latents" if extra == 0 else "t over latents and documents"
    values = arm[column]
    varies = len(values) > 1 and float(np.ptp(values)) > 0
    if population == "freq" and ci != "t" and varies and extra == 0:
        weights = population_weights(arm, population)
        low, high = weighted_mean_bca(values, weights, level=level, n_resamples=n_resamples, seed=seed)
        method = "BCa over latents"
    if not varies:
        method = "exact bound (scores do not vary)" if len(values) > 1 else "none (one latent)"
    return Estimate(
        value=inner.value, low=low, high=high, level=level, se=wide.se, df=inner.df, n_latents=inner.n,
        n_eff=inner.n_eff, n_unanswered=int(arm["n_unanswered"].sum()), method=method, seed=seed,
    )  # fmt: skip


def estimate_rows(
    scores: pd.DataFrame, *, bins: Bins, extras: Mapping[Population, float], level: float, n_resamples: int, seed: int,
    trivial_share: float, threshold: float,
) -> list[dict[str, object]]:  # fmt: skip
    """Make the estimates table's rows of one dictionary and scorer (control none).

    Raises:
        TableError: no latent has a score.
    """
    rows = []
    facts, arm = _facts(scores), arm_of(scores)
    scored = arm.known()
    if not len(scored):
        raise TableError("every judgement is unanswered")
    for population in POPULATIONS:
        inner = population_mean(arm, population, bins=bins, level=level)
        found = finish(
            inner, scored, population, extra=extras.get(population, 0.0), level=level,
            n_resamples=n_resamples, seed=seed, ci="bca" if population == "freq" else "t",
        )  # fmt: skip
        bounds = [population_mean(arm, population, bins=bins, column=f"score_{side}").value for side in ("low", "high")]
        note = "few effective latents" if population == "freq" and found.n_eff < FEW_EFFECTIVE else ""
        rows.append(_row(facts, population, "score", found, bounds, note))
    for name, part, column in _besides(arm, trivial_share, threshold):
        kept = part.known(column)
        if len(kept):
            inner = population_mean(kept, "eligible", column=column, level=level)
            found = finish(inner, kept, "eligible", column=column, ci="t", level=level)
            rows.append(_row(facts, "eligible", name, found, [found.value, found.value], ""))
    tau = between_latents(scored["score"], scored["noise_variance"])
    found = yield_of(scored, threshold, level)
    rows.append(_row(facts, "iti", "yield", found, [found.value, found.value], f"score >= {threshold:g}"))
    return [{**row, "tau": tau} for row in rows]


def _besides(arm: Arm, trivial_share: float, threshold: float) -> list[tuple[str, Arm, str]]:
    """List the further means of eligible latents: name, latents, column."""
    scored = arm.known()
    trivial = is_trivial(scored, trivial_share)
    flags = {"trivial": trivial.astype(float), "reaches": (scored["score"] >= threshold).astype(float)}
    flagged = replace(scored, columns={**scored.columns, **flags})
    return [
        *((column, arm, column) for column in BESIDES if column in arm.columns),
        ("trivial_share", flagged, "trivial"),
        ("score_trivial", scored.where(trivial), "score"),
        ("score_nontrivial", scored.where(~trivial), "score"),
        ("share_above_threshold", flagged, "reaches"),
    ]


def yield_of(scored: Arm, threshold: float, level: float) -> Estimate:
    """Estimate the share of ALL latents of a dictionary that score at least the threshold; unjudgeable ones do not."""
    reach = (scored["score"] >= threshold).astype(float)
    inner = mean(reach, 1 / scored["inclusion_probability"], level=level)
    share = scored.share
    scaled = replace(inner, value=share * inner.value, se=share * inner.se)
    reaching = replace(scored, columns={**scored.columns, "reach": reach})
    return finish(scaled, reaching, "iti", column="reach", ci="t", level=level)


def _facts(scores: pd.DataFrame) -> dict[str, object]:
    """Say what all estimates of one dictionary and scorer have in common."""
    first = scores.iloc[0]
    items, unanswered = int(scores["n_items"].sum()), int(scores["n_unanswered"].sum())
    return {
        **{name: first[name] for name in ("dictionary", "architecture", "site", "scorer")},
        "n_unanswered": unanswered, "missing_share": unanswered / items if items else 0.0, "chance": chance_of(scores),
        **{name: int(first[name]) for name in ("n_total", "n_alive", "n_eligible", "n_sampled")},
        "n_explained": int(scores["explained"].sum()), "n_scored": int(scores["score"].notna().sum()),
    }  # fmt: skip


def _row(
    facts: Mapping[str, object], population: str, statistic: str, found: Estimate, bounds: Sequence[float], note: str
) -> dict[str, object]:
    """Write one row of the estimates table."""
    return {
        **facts, "population": population, "statistic": statistic,
        "value": found.value, "low": found.low, "high": found.high, "level": found.level, "se": found.se,
        "df": found.df, "n_latents": found.n_latents, "n_eff": found.n_eff, "missing_low": bounds[0],
        "missing_high": bounds[1], "method": found.method, "seed": found.seed, "note": note,
    }  # fmt: skip
