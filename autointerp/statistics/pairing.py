"""Two sides of a gate or a comparison: latents that belong together, and the difference of their scores."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from autointerp.statistics.base import CHANCE
from autointerp.statistics.intervals import Difference, mean, unpaired

# Share of the smaller sample that both must have scored.
PAIRED_SHARE = 0.5
# Latents of one index keep most of their firing rate from checkpoint to checkpoint; in unrelated dictionaries the
# correlation of log rates is about 0.
LEAST_RATE_CORRELATION = 0.5
# Two checkpoints hardly ever fire on exactly as many tokens in one latent; one dictionary does in nearly all, but for
# ties that another machine's arithmetic breaks.
REPLAYED_SHARE = 0.9
REPLAY_SE = 1e-6
# What a replay repeats exactly.
REPLAYED = ("score", "recall", "specificity")


@dataclass(frozen=True, slots=True, kw_only=True)
class Contrast:
    """Candidate minus baseline: of how many latents, by which design, how their scores correlate.

    `replay` tells one dictionary scored twice with the same result, `constant` that no latent's value differs from
    another's, so that there is no spread to plan by.
    """

    difference: Difference
    n: int
    rho: float
    design: Literal["paired", "unpaired", "documents", "windows", "intervals"]
    replay: bool = False
    constant: bool = False


def same_latents(first: pd.Series, second: pd.Series) -> bool:
    """Tell from the firing rates of latents of equal index whether they are the same latents.

    A wrong yes would only cost power, since pairs that have nothing in common are still a fair sample of differences.
    """
    a, b = (np.log(np.maximum(side.to_numpy(float), 1e-12)) for side in (first, second))
    if len(a) < 3 or np.ptp(a) == 0 or np.ptp(b) == 0:
        return bool(np.array_equal(a, b))
    return float(np.corrcoef(a, b)[0, 1]) >= LEAST_RATE_CORRELATION


def join_pairs(a: pd.DataFrame, b: pd.DataFrame, *, force: bool = False) -> pd.DataFrame | None:
    """Join the scores of latents that two dictionaries of one training run both have, or None where they are strangers.

    Args:
        a: scores of one dictionary and scorer.
        b: the same of the other.
        force: join whatever they share.
    """
    if not force and not all(a[column].iloc[0] == b[column].iloc[0] for column in ("architecture", "site")):
        return None
    both = a.merge(b, on="latent", suffixes=("_a", "_b"))
    if force:
        return both
    enough = len(both) >= max(2, PAIRED_SHARE * min(len(a), len(b)))
    if enough and same_latents(both["firing_rate_token_a"], both["firing_rate_token_b"]):
        return both
    return None


def is_replay(pairs: pd.DataFrame) -> bool:
    """Return whether pairs are one dictionary scored twice with the same result, as its firing rates show.

    Equal scores alone prove nothing: a change that few latents feel leaves most scores where they were.
    """
    if any(not pairs[f"{name}_a"].equals(pairs[f"{name}_b"]) for name in REPLAYED):
        return False
    rates = pairs["firing_rate_token_a"].to_numpy(float)
    alike = rates == pairs["firing_rate_token_b"].to_numpy(float)
    return bool(np.ptp(rates) > 0 and alike.mean() >= REPLAYED_SHARE)


def difference_of(base: pd.DataFrame, candidate: pd.DataFrame, n: int | None = None) -> Contrast:
    """Subtract a baseline's scores from a candidate's, over eligible latents.

    Paired on the latent's index where both dictionaries are of one training run (equal architecture and site) and share
    their sampled latents, in the baseline's look order; otherwise Welch's difference of independent samples.

    Args:
        base: scores of one dictionary and scorer.
        candidate: the same of the candidate.
        n: so many latents of each in look order, all if None.
    """
    both = join_pairs(base, candidate)
    if both is not None:
        return _paired(both.sort_values("look_order_a").head(n) if n else both)
    sides = [side.sort_values("look_order").head(n) if n else side for side in (base, candidate)]
    means = [mean(side["score"].to_numpy(float), 1 / side["inclusion_probability"].to_numpy(float)) for side in sides]
    return Contrast(
        difference=unpaired(means[0], means[1]),
        n=min(len(side) for side in sides),
        rho=0.0,
        design="unpaired",
        constant=all(side.sd == 0 for side in means),
    )


def _paired(pairs: pd.DataFrame) -> Contrast:
    if is_replay(pairs):
        same = Difference(value=0.0, se=REPLAY_SE, df=float(len(pairs) - 1))
        return Contrast(difference=same, n=len(pairs), rho=1.0, design="paired", replay=True)
    d = (pairs["score_b"] - pairs["score_a"]).to_numpy(float)
    inner = mean(d, 1 / pairs["inclusion_probability_a"].to_numpy(float), least=-1.0)
    varies = pairs["score_a"].nunique() > 1 and pairs["score_b"].nunique() > 1
    rho = float(np.corrcoef(pairs["score_a"], pairs["score_b"])[0, 1]) if varies and len(pairs) > 2 else 0.0
    return Contrast(
        difference=Difference(value=inner.value, se=inner.se, df=inner.df),
        n=len(pairs),
        rho=rho,
        design="paired",
        constant=inner.sd == 0,
    )


def with_lost(base: pd.DataFrame, candidate: pd.DataFrame, latents: pd.DataFrame) -> pd.DataFrame:
    """Add baseline latents that are no longer eligible in the candidate, scored chance: dying must not hide a loss.

    Only where the two are checkpoints of one training run, as the firing rates of their latents tell.

    Args:
        base: baseline's scores.
        candidate: candidate's scores.
        latents: the candidate's latents table.
    """
    rates = base.merge(latents, on=["dictionary", "latent"], suffixes=("_a", "_b"))
    key = ["dictionary", "latent", "scorer", "control"]
    related = [
        name
        for name, part in rates.groupby("dictionary", sort=False, observed=True)
        if same_latents(part["firing_rate_token_a"], part["firing_rate_token_b"])
    ]
    gone = latents.loc[
        ~latents["eligible"].to_numpy(bool) & latents["dictionary"].isin(related), ["dictionary", "latent"]
    ]
    lost = base.merge(gone, on=["dictionary", "latent"])
    lost = lost[~pd.MultiIndex.from_frame(lost[key]).isin(pd.MultiIndex.from_frame(candidate[key]))]
    chance = lost.get("chance", CHANCE)
    lost = lost.assign(score=chance, score_low=chance, score_high=chance, noise_variance=0.0, n_items=0, n_unanswered=0)
    return pd.concat([candidate, lost[candidate.columns.intersection(lost.columns)]], ignore_index=True)
