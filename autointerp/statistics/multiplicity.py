"""Many tests at once: adjusted p values, the family of each row, the verdict that follows, simultaneous bands."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from autointerp.statistics.base import Population
from autointerp.statistics.intervals import Floats
from autointerp.statistics.outcomes import n_to_decide, verdict

# A verdict about two dictionaries is about their eligible latents and about all of their latents.
VERDICT_POPULATIONS: tuple[Population, ...] = ("eligible", "iti")
P_VALUES = ("p_diff", "p_tost", "p_ni")
# One-sided tests that must pass in both populations, so that the larger p value counts.
BOTH = ("p_tost", "p_ni")
# Columns in which rows of one comparison agree that differ in nothing but the layer; and in nothing but the population.
LAYERED = ["architectures", "k", "training_seed", "scorer", "population", "scope"]
SAME = ["contrast", "architectures", "a", "b", "over", "layer", "k", "training_seed", "scorer", "scope"]


def adjust(pvalues: Sequence[float], method: Literal["holm", "bh"] = "holm") -> Floats:
    """Adjust p values: `holm` bounds the chance of any false claim, `bh` the expected share of false ones.

    >>> adjust([0.01, 0.04, 0.03, 0.005]).round(3).tolist()
    [0.03, 0.06, 0.06, 0.02]
    >>> adjust([0.01, 0.04, 0.03, 0.005], "bh").round(3).tolist()
    [0.02, 0.04, 0.04, 0.02]

    Raises:
        ValueError: a p value is not in [0, 1].
    """
    p = np.asarray(pvalues, np.float64)
    if not ((p >= 0) & (p <= 1)).all():
        raise ValueError("adjust: p values must lie in [0, 1]")
    if p.size == 0:
        return p
    # statsmodels' multipletests gives the same and collects garbage at every call, which costs more than all else here.
    return stats.false_discovery_control(p) if method == "bh" else holm(p[None])[0]


def holm(p: NDArray[np.floating]) -> Floats:
    """Adjust p values by Holm's procedure, row by row: [studies, tests]."""
    p = np.asarray(p, np.float64)
    order = np.argsort(p, axis=1)
    m = p.shape[1]
    stepped = np.minimum(1.0, np.maximum.accumulate(np.take_along_axis(p, order, 1) * np.arange(m, 0, -1), axis=1))
    out = np.empty_like(p)
    np.put_along_axis(out, order, stepped, axis=1)
    return out


def max_t_quantile(df: Floats, level: float = 0.95) -> float:
    """Return c with P(every |t_i| <= c) = level for independent t variables: the half width of simultaneous bands.

    Independence holds for layers, whose dictionaries and latents differ; where estimates are correlated the band is
    wider than need be.
    """
    degrees = np.asarray(df, np.float64)
    low, high = 0.0, float(stats.t.isf((1 - level) / 2 / max(1, degrees.size), degrees.min()))
    for _ in range(60):
        middle = (low + high) / 2
        if float(np.prod(1 - 2 * stats.t.sf(middle, degrees))) < level:
            low = middle
        else:
            high = middle
    return high


def families(comparisons: pd.DataFrame, *, alpha: float = 0.05) -> pd.DataFrame:
    """Name each row's family, adjust its p values within it, and give the verdict that the adjusted ones allow.

    Rows over eligible latents and over all latents (`iti`) carry verdicts:

    * `primary` (the headlines): every contrast and scorer, over all layers together where a contrast has several, and
      about architectures where training seeds are replicated. One family: the chance of any false `better` or `worse`
      in it is at most alpha, and so is that of any false `equivalent`.
    * `layers`: the single layers of one contrast and scorer; with simultaneous bands `band_lo`, `band_hi`.
    * `dictionaries`: pairs of single dictionaries where the headline is about their architectures.

    Differences are adjusted (Holm) over both populations. Equivalence and non-inferiority must hold in both, so that
    the larger p value of the two counts (intersection-union), adjusted over contrasts and scorers. Other rows are
    `exploratory`: their p values stay as they are, and they have no verdict.
    """
    out = comparisons.reset_index(drop=True)
    out["family"] = _named(out)
    both = out[BOTH[0]].to_frame()
    same = [name for name in SAME if name in out.columns]
    tested = out["population"].isin(VERDICT_POPULATIONS)
    comparison = out[same].astype(str).agg("|".join, axis=1) if len(out) else pd.Series([], dtype=str)
    for name in BOTH:
        worst = out[name].where(tested).groupby(comparison).transform("max")
        both[name] = worst.where(tested, out[name])
    adjusted = {"p_diff": out["p_diff"].to_numpy(float).copy(), **{n: both[n].to_numpy(float).copy() for n in BOTH}}
    needed = np.zeros(len(out))
    for at in _groups(out):
        adjusted["p_diff"][at] = adjust(out["p_diff"].to_numpy(float)[at].tolist())
        one = out.iloc[at].assign(key=comparison.iloc[at]).drop_duplicates("key")
        for name in BOTH:
            of = dict(zip(one["key"], adjust(both[name].iloc[one.index].tolist()), strict=True))
            adjusted[name][at] = comparison.iloc[at].map(of).to_numpy(float)
        needed[at] = n_to_decide(out.iloc[at], alpha / len(at), alpha / len(one))
    for name in P_VALUES:
        out[f"{name}_adj"] = adjusted[name]
    out["verdict"] = [
        "exploratory" if family == "exploratory" else verdict(float(diff), float(p), float(tost), alpha=alpha)
        for family, diff, p, tost in zip(out["family"], out["diff"], out["p_diff_adj"], out["p_tost_adj"], strict=True)
    ]
    out["n_needed"] = np.where(out["verdict"] == "inconclusive", needed, 0.0)
    return _with_bands(out)


def _named(out: pd.DataFrame) -> np.ndarray:
    """Name the family of each row."""
    tested = out["population"].isin(VERDICT_POPULATIONS).to_numpy(bool)
    if "over" not in out.columns:
        return np.where(tested, "primary", "exploratory")
    key = pd.MultiIndex.from_frame(out[LAYERED])
    layered = key.isin(key[out["over"] == "layers"]) & (out["over"] != "layers").to_numpy(bool)
    architectures = set(out.loc[out["scope"] == "architecture", "architectures"])
    superseded = out["architectures"].isin(architectures) & (out["scope"] != "architecture")
    names = np.where(superseded, "dictionaries", np.where(layered, "layers", "primary"))
    return np.where(tested, names, "exploratory")


def _groups(out: pd.DataFrame) -> list[np.ndarray]:
    """List the rows that are adjusted together."""
    keys = out["family"].astype(str)
    if "over" in out.columns:
        layers = out["family"] == "layers"
        contrast = out[["architectures", "k", "training_seed", "scorer", "scope"]].astype(str).agg("|".join, axis=1)
        keys = keys.where(~layers, "layers|" + contrast)
    known = (out["family"] != "exploratory").to_numpy(bool)
    return [np.asarray(at) for key, at in keys.groupby(keys, sort=False).indices.items() if known[at[0]]]


def _with_bands(out: pd.DataFrame) -> pd.DataFrame:
    """Add bands that hold for all layers of a contrast at once; the interval itself elsewhere."""
    df, se, difference = (out[name].to_numpy(float) for name in ("df", "se", "diff"))
    half = stats.t.ppf(0.975, df) * se
    if "over" in out.columns:
        single = np.flatnonzero((out["over"] == "dictionaries").to_numpy(bool))
        for rows in out.iloc[single].groupby(LAYERED, sort=False, observed=True).indices.values():
            at = single[rows]
            if out["layer"].iloc[at].nunique() > 1:
                half[at] = max_t_quantile(df[at]) * se[at]
    return out.assign(band_lo=np.maximum(-1.0, difference - half), band_hi=np.minimum(1.0, difference + half))
