"""Four means of one dictionary: over which latents, and how each one counts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from autointerp.errors import TableError
from autointerp.statistics.base import Population, chance_of
from autointerp.statistics.intervals import Floats, Mean, finite_mean, mean, quadratic_form


@dataclass(frozen=True, slots=True, kw_only=True)
class Bins:
    """Firing-rate bins with the weight of each in a standardised mean: `edges` [n - 1] of log rate, `shares` [n]."""

    edges: Floats
    shares: Floats

    def of(self, rates: Floats) -> np.ndarray:
        """Return the bin of each firing rate."""
        return np.searchsorted(self.edges, np.log(np.maximum(rates, 1e-12)), side="right")


def frequency_bins(latents: Sequence[pd.DataFrame], n_bins: int = 8) -> Bins:
    """Cut the pooled eligible latents of all compared dictionaries into bins of equal size by firing rate per token.

    Each dictionary counts equally in the pool, so that a wider one does not set the weights.
    """
    pools = [
        np.log(np.maximum(part.loc[part["eligible"], "firing_rate_token"].to_numpy(float), 1e-12)) for part in latents
    ]
    pools = [pool for pool in pools if len(pool)]
    if not pools:
        raise TableError("latents: none is eligible, so no firing-rate bins can be made; collect more tokens")
    rates = np.concatenate(pools)
    weights = np.concatenate([np.full(len(pool), 1 / len(pool)) for pool in pools])
    order = np.argsort(rates)
    cumulative = np.cumsum(weights[order]) / weights.sum()
    cuts = rates[order][np.searchsorted(cumulative, np.arange(1, n_bins) / n_bins - 1e-9)]
    edges = np.unique(cuts)
    counts = np.bincount(np.searchsorted(edges, rates, side="right"), weights, minlength=len(edges) + 1)
    return Bins(edges=edges, shares=counts / counts.sum())


# Columns of the scores that are read as numbers, where they are there.
NUMBERS = (
    "score score_low score_high recall specificity score_hard auroc skill noise_variance n_positive n_negative "
    "inclusion_probability firing_rate_token token_share n_items n_unanswered"
).split()


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """One dictionary's scores by one scorer as arrays over latents, read from their table once.

    `chance` is what guessing scores, `share` the share of the dictionary's latents that can be judged, estimated with
    variance `share_variance` (0 where it is a count).
    """

    columns: Mapping[str, Floats]
    chance: float
    share: float
    share_variance: float = 0.0

    def __getitem__(self, column: str) -> Floats:
        """Return a column, [latents]."""
        return self.columns[column]

    def __len__(self) -> int:
        """Count the latents."""
        return len(self.columns["score"])

    def where(self, kept: np.ndarray) -> "Arm":
        """Keep some latents."""
        return replace(self, columns={name: values[kept] for name, values in self.columns.items()})

    def known(self, column: str = "score") -> "Arm":
        """Keep the latents that have a value."""
        there = ~np.isnan(self[column])
        return self if there.all() else self.where(there)


def arm_of(scores: pd.DataFrame) -> Arm:
    """Read the numbers of one dictionary's scores by one scorer; none of no latent."""
    names = [name for name in NUMBERS if name in scores.columns]
    table = np.ascontiguousarray(scores[names].to_numpy(np.float64, na_value=np.nan).T)
    columns = dict(zip(names, table, strict=True))
    share, variance = 0.0, 0.0
    if len(scores) and "judgeable" in scores.columns:
        share, variance = float(scores["judgeable"].iloc[0]), float(scores["judgeable_variance"].iloc[0])
    elif len(scores):
        share = float(scores["n_eligible"].iloc[0]) / float(scores["n_total"].iloc[0])
    return Arm(columns=columns, chance=chance_of(scores), share=min(1.0, share), share_variance=variance)


def usable(scores: pd.DataFrame, column: str = "score") -> pd.DataFrame:
    """Keep the latents that have this score: an unanswered one has none (`missing` bounds what it could have been)."""
    known = ~np.isnan(scores[column].to_numpy(float))
    return scores if known.all() else scores[known]


def population_mean(
    scores: pd.DataFrame | Arm,
    population: Population,
    *,
    bins: Bins | None = None,
    column: str = "score",
    level: float = 0.95,
) -> Mean:
    """Average the scores of one dictionary and scorer over a population.

    * `eligible`: latents with enough activating contexts to be judged; what most papers report.
    * `standardised`: as if the dictionary had the pooled firing rates of all compared ones (`bins`).
    * `iti` (intent to interpret): every latent of the dictionary; one that cannot be judged counts as chance.
    * `freq`: weighted by firing rate: how interpretable is what fires, rather than what exists. Of this dictionary's
      latents: those that fire most are drawn for certain, and add no sampling error.

    Raises:
        TableError: no latent has a score.
    """
    arm = (scores if isinstance(scores, Arm) else arm_of(scores)).known(column)
    if not len(arm):
        raise TableError(f"scores: no latent has a {column}; nothing can be estimated for population {population!r}")
    values, design = arm[column], 1 / arm["inclusion_probability"]
    if population == "eligible":
        return mean(values, design, level=level)
    if population == "freq":
        weights = design * np.maximum(arm["firing_rate_token"], 1e-12)
        noise = arm["noise_variance"] if column == "score" else np.full(len(arm), np.nan)
        return finite_mean(values, weights, np.minimum(arm["inclusion_probability"], 1.0), noise, level=level)
    if population == "iti":
        return _scaled(mean(values, design, level=level), arm)
    if bins is None:
        raise ValueError(
            "population 'standardised' needs bins; make them with frequency_bins over all compared dictionaries"
        )
    return _standardised(values, design, bins.of(arm["firing_rate_token"]), bins, level)


def population_weights(scores: pd.DataFrame | Arm, population: Population, bins: Bins | None = None) -> Floats:
    """Weigh each scored latent as its population does; they sum to 1, for `iti` to the share that can be judged."""
    arm = scores if isinstance(scores, Arm) else arm_of(scores)
    design = 1 / arm["inclusion_probability"]
    if population == "freq":
        design = design * np.maximum(arm["firing_rate_token"], 1e-12)
    if population == "standardised" and bins is not None:
        return bin_weights(design, bins.of(arm["firing_rate_token"]), bins)
    share = arm.share if population == "iti" else 1.0
    return share * design / design.sum()


def _scaled(inner: Mean, arm: Arm) -> Mean:
    """Mix the judged latents with the share of latents that count as chance, which may itself be estimated."""
    value = arm.share * inner.value + (1 - arm.share) * arm.chance
    se = float(np.hypot(arm.share * inner.se, (inner.value - arm.chance) * np.sqrt(arm.share_variance)))
    return Mean(value=value, se=se, df=inner.df, n=inner.n, n_eff=inner.n_eff, sd=inner.sd)


def bin_weights(design: Floats, place: np.ndarray, bins: Bins) -> Floats:
    """Weigh latents so that each bin has its pooled share; bins without a latent hand theirs to the others."""
    inside = np.bincount(place, design, minlength=len(bins.shares))
    weights = np.divide(bins.shares, inside, out=np.zeros(len(inside)), where=inside > 0)[place] * design
    return weights / weights.sum()


def _corrections(weights: Floats, place: np.ndarray, n_in: np.ndarray) -> Floats:
    """Return, for each bin, what makes its spread unbiased: n / (n - 1) where its weights are equal."""
    out = np.ones(len(n_in))
    for one in np.flatnonzero(n_in > 1):
        part = weights[place == one]
        expected, traced, _ = quadratic_form(part / part.sum())
        out[one] = expected / traced
    return out


def _standardised(values: Floats, design: Floats, place: np.ndarray, bins: Bins, level: float) -> Mean:
    """Average within bins, then over bins; the standard error comes from the spread inside bins."""
    weights = bin_weights(design, place, bins)
    plain = mean(values, weights, level=level)
    n_in = np.bincount(place, minlength=len(bins.shares))
    centre = np.divide(
        np.bincount(place, weights * values, minlength=len(n_in)),
        np.bincount(place, weights, minlength=len(n_in)),
        out=np.zeros(len(n_in)),
        where=n_in > 0,
    )
    inside = values - centre[place]
    residual_df = int((n_in[n_in > 0] - 1).sum())
    if residual_df < 1 or not inside.any():
        return plain
    # A bin with one latent shows no spread of its own: it gets the pooled one.
    pooled = float((inside**2).sum() / residual_df)
    lone = n_in[place] == 1
    grown = np.where(lone, pooled, inside**2 * _corrections(weights, place, n_in)[place])
    se = float(np.sqrt((weights**2 * grown).sum()))
    df = max(1.0, min(float(residual_df), plain.n_eff - 1))
    return Mean(value=plain.value, se=se, df=df, n=plain.n, n_eff=plain.n_eff, sd=plain.sd)
