"""Two dictionaries compared: difference, intervals, tests, effect sizes, and the one word that follows from them."""

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
import pandas as pd
from scipy import stats

from autointerp.errors import TableError
from autointerp.statistics.base import POPULATIONS, Population, Verdict
from autointerp.statistics.composition import kitagawa
from autointerp.statistics.effects import between_latents, cliff, hedges_g
from autointerp.statistics.intervals import Difference, Mean, mean, unpaired
from autointerp.statistics.pairing import join_pairs
from autointerp.statistics.populations import (
    Arm,
    Bins,
    arm_of,
    frequency_bins,
    population_mean,
    population_weights,
    usable,
)

Design = Literal["auto", "unpaired", "paired"]
# Power at which the smallest detectable difference is stated.
MDE_POWER = 0.8

WORDS: dict[str, str] = {
    "better": "scores higher",
    "worse": "scores lower",
    "equivalent": "no effect beyond the margin (equivalent)",
    "better_but_negligible": "scores higher, by less than the margin",
    "worse_but_negligible": "scores lower, by less than the margin",
    "inconclusive": "undecided: the data cannot tell",
    "invalid": "INVALID: a control failed",
}


def verdict(difference: float, p_diff: float, p_tost: float, *, alpha: float = 0.05) -> Verdict:
    """Name what the two tests allow to be said; only a passed equivalence test says that there is no effect.

    >>> verdict(0.1, 1e-9, 1.0), verdict(0.0, 0.9, 0.01), verdict(0.0, 0.9, 0.3)
    ('better', 'equivalent', 'inconclusive')
    """
    differs, same = p_diff < alpha, p_tost < alpha
    if differs and same:
        return "better_but_negligible" if difference > 0 else "worse_but_negligible"
    if differs:
        return "better" if difference > 0 else "worse"
    return "equivalent" if same else "inconclusive"


def compare(
    a: pd.DataFrame,
    b: pd.DataFrame,
    *,
    design: Design = "auto",
    population: Population | Sequence[Population] = POPULATIONS,
    margin: float = 0.02,
    alpha: float = 0.05,
    level: float = 0.95,
    latents: Sequence[pd.DataFrame] = (),
    bins: Bins | None = None,
) -> pd.DataFrame:
    """Compare two dictionaries' scores, B minus A, for every scorer that both have and every population.

    The unit is the latent. Unpaired differences are Welch's; a paired design takes the latents that both have scored
    under the same index (checkpoints of one training run); it applies to the `eligible` population only.

    Args:
        a: `latent_scores` of one dictionary (control none).
        b: the same of the other.
        design: `auto` pairs dictionaries of equal architecture and site that share latents and their firing rates.
        population: one or several of `POPULATIONS`.
        margin: equivalence and non-inferiority margin, in score points.
        alpha: error rate of each one-sided equivalence test and of the two-sided test.
        level: confidence level of the wide interval; the narrow one (`ci90`) is 1 - 2 alpha.
        latents: the latents tables that firing-rate bins are pooled over, if `bins` is not given.
        bins: firing-rate bins of the standardised population; made from the scored latents if neither is given.

    Returns:
        One row per scorer and population; its p values are unadjusted (`families` adjusts).

    Raises:
        TableError: an arm is empty, or the two share no scorer.
    """
    for name, arm in (("first", a), ("second", b)):
        if arm.empty:
            raise TableError(f"compare: the {name} arm has no scored latent; was anything eligible?")
    scorers = [scorer for scorer in pd.unique(a["scorer"]) if (b["scorer"] == scorer).any()]
    if not scorers:
        raise TableError(
            f"compare: no scorer in common: {', '.join(pd.unique(a['scorer']))} "
            f"against {', '.join(pd.unique(b['scorer']))}"
        )
    wanted = (population,) if isinstance(population, str) else tuple(population)
    if bins is None and "standardised" in wanted:
        bins = frequency_bins(latents or [arm.drop_duplicates("latent").assign(eligible=True) for arm in (a, b)])
    rows = []
    for scorer in scorers:
        pair = usable(a[a["scorer"] == scorer]), usable(b[b["scorer"] == scorer])
        if pair[0].empty or pair[1].empty:
            raise TableError(f"compare: every {scorer} judgement of an arm is unanswered; nothing can be compared")
        arms = arm_of(pair[0]), arm_of(pair[1])
        joined = _pairs(*pair, design) if "eligible" in wanted else None
        front = {"a": pair[0]["dictionary"].iloc[0], "b": pair[1]["dictionary"].iloc[0], "scorer": scorer,
                 "scope": "these_dictionaries"}  # fmt: skip
        spread = _spread(*arms, level)
        shares = {**arm_shares(pair[0], "a"), **arm_shares(pair[1], "b")}
        for name in wanted:
            means = [population_mean(arm, name, bins=bins, level=level) for arm in arms]
            if joined is not None and name == "eligible":
                difference, how = _paired_difference(joined, level), _paired_parts(*pair, joined)
            else:
                difference, how = unpaired(*means), _unpaired_parts(*arms, name, bins)
            rows.append({
                **front, "population": name, **how, **_tests(difference, margin, alpha, level), **spread, **shares,
                **_sizes(means[0], means[1], difference.value, spread),
                "missing_diff_lo": bound(arms[1], arms[0], name, bins, "low"),
                "missing_diff_hi": bound(arms[1], arms[0], name, bins, "high"),
            })  # fmt: skip
    return pd.DataFrame(rows)


def _spread(a: Arm, b: Arm, level: float) -> dict[str, float]:
    """Fill what a comparison of two dictionaries says by one scorer whatever the population."""
    tau_a, tau_b = (between_latents(arm["score"], arm["noise_variance"]) for arm in (a, b))
    dominance = cliff(a["score"], b["score"], level)
    return {
        "cliff_delta": dominance.delta, "cliff_lo": dominance.low, "cliff_hi": dominance.high,
        "tau_a": tau_a, "tau_b": tau_b,
    }  # fmt: skip


def _sizes(a: Mean, b: Mean, difference: float, spread: Mapping[str, float]) -> dict[str, float]:
    """Fill how many latents the means rest on, and how large the difference is in units of the latents' spread."""
    tau = float(np.sqrt((spread["tau_a"] ** 2 + spread["tau_b"] ** 2) / 2))
    g = hedges_g(difference, a.sd, b.sd, a.n, b.n)
    return {
        "n_a": a.n, "n_b": b.n, "n_eff_a": a.n_eff, "n_eff_b": b.n_eff, "mean_a": a.value, "mean_b": b.value,
        "hedges_g": g, "g_true": difference / tau if tau > 0 else g,
    }  # fmt: skip


def _tests(difference: Difference, margin: float, alpha: float, level: float) -> dict[str, object]:
    """Everything that follows from a difference, its standard error and its degrees of freedom."""
    low, high = difference.interval(level)
    low90, high90 = difference.interval(1 - 2 * alpha)
    p_diff, p_tost = difference.p_two_sided(), difference.p_equivalent(margin)
    z = float(stats.norm.ppf(1 - alpha / 2) + stats.norm.ppf(MDE_POWER))
    return {
        "diff": difference.value, "se": difference.se, "df": difference.df,
        "ci95_lo": low, "ci95_hi": high, "ci90_lo": low90, "ci90_hi": high90,
        "p_diff": p_diff, "p_diff_adj": p_diff, "margin": margin, "p_tost": p_tost, "p_tost_adj": p_tost,
        "p_ni": difference.p_not_inferior(margin), "mde80": z * difference.se,
        "verdict": verdict(difference.value, p_diff, p_tost, alpha=alpha),
    }  # fmt: skip


def outcome(
    value: float, se: float, df: float, *, margin: float, alpha: float, level: float, reach: float = 1.0
) -> dict[str, object]:
    """Do the tests and intervals of a comparison on any difference with a standard error (pooled layers, seeds).

    `reach` is the largest difference that the quantity can have: 1 for scores.
    """
    return _tests(Difference(value=value, se=se, df=df, reach=reach), margin, alpha, level)


def _pairs(a: pd.DataFrame, b: pd.DataFrame, design: Design) -> pd.DataFrame | None:
    """Join the latents that both arms have scored, or None where the design is unpaired."""
    if design == "unpaired":
        return None
    both = join_pairs(a, b, force=design == "paired")
    if both is not None and both.empty:
        raise TableError("compare: a paired design needs latents that both arms have scored; they share none")
    return both


def _paired_difference(pairs: pd.DataFrame, level: float) -> Difference:
    """Average the differences of pairs under the first arm's design weights."""
    inner = mean(
        (pairs["score_b"] - pairs["score_a"]).to_numpy(float),
        1 / pairs["inclusion_probability_a"].to_numpy(float),
        level=level,
    )
    return Difference(value=inner.value, se=inner.se, df=inner.df)


def _correlation(pairs: pd.DataFrame) -> float:
    """Correlate paired scores; 0 where a side does not vary."""
    if len(pairs) < 3 or pairs["score_a"].nunique() < 2 or pairs["score_b"].nunique() < 2:
        return 0.0
    return float(np.corrcoef(pairs["score_a"], pairs["score_b"])[0, 1])


def _unpaired_parts(a: Arm, b: Arm, population: Population, bins: Bins | None) -> dict[str, object]:
    """Split the row's difference by triviality, over the latents and weights that the row's means use."""
    parts = kitagawa(a, b, population_weights(a, population, bins), population_weights(b, population, bins))
    return {
        "design": "unpaired", "n_pairs": 0, "rho": 0.0, "comp_part": parts.composition, "within_part": parts.within,
    }  # fmt: skip


def _paired_parts(a: pd.DataFrame, b: pd.DataFrame, pairs: pd.DataFrame) -> dict[str, object]:
    """Do the same over the pairs."""
    first, second = (arm_of(arm.set_index("latent").loc[pairs["latent"]].reset_index()) for arm in (a, b))
    weights = population_weights(first, "eligible")
    parts = kitagawa(first, second, weights, weights)
    return {
        "design": "paired", "n_pairs": len(pairs), "rho": _correlation(pairs), "comp_part": parts.composition,
        "within_part": parts.within,
    }  # fmt: skip


def bound(up: Arm, down: Arm, population: Population, bins: Bins | None, side: str) -> float:
    """Bound B - A by the worst that the unanswered items could have been."""
    other = "high" if side == "low" else "low"
    one = population_mean(up, population, bins=bins, column=f"score_{side}").value
    return one - population_mean(down, population, bins=bins, column=f"score_{other}").value


def arm_shares(arm: pd.DataFrame, name: str) -> dict[str, float]:
    """Say which share of a dictionary lives, was eligible, and of its judgements went unanswered."""
    first = arm.iloc[0]
    items = float(arm["n_items"].sum())
    return {
        f"live_{name}": float(first["n_alive"]) / float(first["n_total"]),
        f"eligible_{name}": float(first["n_eligible"]) / float(first["n_total"]),
        f"missing_{name}": float(arm["n_unanswered"].sum()) / items if items else 0.0,
    }
