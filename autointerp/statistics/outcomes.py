"""The columns of a comparison, as records; and the tests of a difference with the one word that they allow."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from autointerp.statistics.base import Verdict
from autointerp.statistics.intervals import Difference, Floats, Mean

# Power at which the smallest detectable difference is stated.
MDE_POWER = 0.8

WORDS: dict[str, str] = {
    "better": "scores higher",
    "worse": "scores lower",
    "equivalent": "no effect beyond the margin (equivalent)",
    "better_but_negligible": "scores higher, by less than the margin",
    "worse_but_negligible": "scores lower, by less than the margin",
    "inconclusive": "undecided: the data cannot tell",
    "exploratory": "exploratory: not tested",
    "invalid": "INVALID: a control failed",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """Intervals and tests of a difference; `p_diff_adj` and `p_tost_adj` are not adjusted yet (`families` adjusts)."""

    diff: float
    se: float
    df: float
    ci95_lo: float
    ci95_hi: float
    ci90_lo: float
    ci90_hi: float
    p_diff: float
    p_diff_adj: float
    margin: float
    p_tost: float
    p_tost_adj: float
    p_ni: float
    p_ni_adj: float
    mde80: float
    verdict: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """Which dictionaries, scorer and population a row compares, and how."""

    a: str
    b: str
    scorer: str
    scope: str
    population: str
    design: str
    n_pairs: int = 0
    rho: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """How two arms' latents differ by one scorer, whatever the population: ranks, and spread of true scores."""

    cliff_delta: float
    cliff_lo: float
    cliff_hi: float
    tau_a: float
    tau_b: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """How many latents two means rest on, and how large their difference is in units of the latents' spread."""

    n_a: int
    n_b: int
    n_eff_a: float
    n_eff_b: float
    mean_a: float
    mean_b: float
    hedges_g: float
    g_true: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Shares:
    """Which share of each dictionary is alive and eligible, and which share of its judgements is unanswered."""

    live_a: float
    eligible_a: float
    missing_a: float
    live_b: float
    eligible_b: float
    missing_b: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Explained:
    """Parts of a difference (Kitagawa), and its bounds if unanswered judgements were all wrong or all right."""

    comp_part: float
    within_part: float
    missing_diff_lo: float
    missing_diff_hi: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Contexts:
    """How many documents a comparison rests on, as if all counted alike, and the share of the largest."""

    n_documents: int = 0
    n_eff_documents: float = 0.0
    largest_document: float = 0.0


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


def tested(difference: Difference, *, margin: float, alpha: float, level: float) -> Outcome:
    """Compute intervals and tests of a difference with a standard error."""
    low, high = difference.interval(level)
    low90, high90 = difference.interval(1 - 2 * alpha)
    p_diff, p_tost = difference.p_two_sided(), difference.p_equivalent(margin)
    z = float(stats.norm.ppf(1 - alpha / 2) + stats.norm.ppf(MDE_POWER))
    return Outcome(
        diff=difference.value,
        se=difference.se,
        df=difference.df,
        ci95_lo=low,
        ci95_hi=high,
        ci90_lo=low90,
        ci90_hi=high90,
        p_diff=p_diff,
        p_diff_adj=p_diff,
        margin=margin,
        p_tost=p_tost,
        p_tost_adj=p_tost,
        p_ni=difference.p_not_inferior(margin),
        p_ni_adj=difference.p_not_inferior(margin),
        mde80=z * difference.se,
        verdict=verdict(difference.value, p_diff, p_tost, alpha=alpha),
    )


def sizes_of(a: Mean, b: Mean, g: float, g_true: float) -> Sizes:
    """Describe two means, with the size of their difference in units of a spread."""
    return Sizes(
        n_a=a.n,
        n_b=b.n,
        n_eff_a=a.n_eff,
        n_eff_b=b.n_eff,
        mean_a=a.value,
        mean_b=b.value,
        hedges_g=g,
        g_true=g_true,
    )


def shares(a: Sequence[pd.DataFrame], b: Sequence[pd.DataFrame]) -> Shares:
    """Average over each side's dictionaries what is alive, eligible and unanswered."""
    (live_a, eligible_a, missing_a), (live_b, eligible_b, missing_b) = (
        np.mean([_arm_shares(arm) for arm in side], axis=0).tolist() for side in (a, b)
    )
    return Shares(
        live_a=live_a,
        eligible_a=eligible_a,
        missing_a=missing_a,
        live_b=live_b,
        eligible_b=eligible_b,
        missing_b=missing_b,
    )


def _arm_shares(arm: pd.DataFrame) -> tuple[float, float, float]:
    first, items = arm.iloc[0], float(arm["n_items"].sum())
    total = float(first["n_total"])
    missing = float(arm["n_unanswered"].sum()) / items if items else 0.0
    return float(first["n_alive"]) / total, float(first["n_eligible"]) / total, missing


def n_to_decide(rows: pd.DataFrame, alpha_difference: float, alpha_same: float) -> Floats:
    """Return the latents per dictionary that would decide each comparison with power .8, if its difference is true.

    Either a difference is shown (two-sided at `alpha_difference`) or equivalence (one-sided at `alpha_same`), whichever
    takes fewer; errors shrink with the root of the number of latents.

    Args:
        rows: comparisons with `diff`, `se`, `margin`, `n_a`, `n_b`.
        alpha_difference: level of the test of a difference.
        alpha_same: level of each one-sided test of equivalence.
    """
    difference, se, margin = (np.abs(rows[name].to_numpy(float)) for name in ("diff", "se", "margin"))
    reach, both = stats.norm.ppf(MDE_POWER), stats.norm.ppf((1 + MDE_POWER) / 2)
    inside = np.maximum(margin - difference, 1e-9)
    # Near a difference of 0 both one-sided tests may fail; away from it only the nearer one.
    power = np.where(difference < 0.25 * margin, both, reach)
    same = ((stats.norm.isf(alpha_same) + power) * se / inside) ** 2
    differs = ((stats.norm.isf(alpha_difference / 2) + reach) * se / np.maximum(difference, 1e-9)) ** 2
    n = np.maximum(rows["n_a"].to_numpy(float), rows["n_b"].to_numpy(float))
    return np.ceil(np.maximum(n + 1, n * np.minimum(same, differs)))
