"""Many tests at once: adjusted p values and simultaneous bands."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
import pandas as pd
from scipy import stats

from autointerp.statistics.intervals import Floats

# The claims whose p values share one error rate, and the test that each rests on.
PRIMARY = {"transcoder - sae": "p_diff", "skip-transcoder - transcoder": "p_tost"}

# Rows that differ in nothing but the layer.
FAMILY = ["contrast", "k", "training_seed", "scorer", "population", "scope"]


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
    from statsmodels.stats.multitest import multipletests

    return np.asarray(multipletests(p, method={"holm": "holm", "bh": "fdr_bh"}[method])[1], np.float64)


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


def families(comparisons: pd.DataFrame) -> pd.DataFrame:
    """Adjust the p values of a comparisons table by the families laid down in advance, and name each row's family.

    * `primary` (Holm): superiority of transcoders over SAEs and equivalence of skip transcoders to transcoders, each by
      every scorer, in the eligible population; over all layers together where several were compared.
    * `layers` (Holm): the layers of one contrast, scorer and population; with simultaneous bands `band_lo`, `band_hi`.
    * anything else is exploratory: its p values stay as they are.
    """
    out = comparisons.reset_index(drop=True)
    family = np.full(len(out), "exploratory", dtype=object)
    adjusted = {name: out[name].to_numpy(float).copy() for name in ("p_diff", "p_tost")}
    half = stats.t.ppf(0.975, out["df"].to_numpy(float)) * out["se"].to_numpy(float)
    own = out[out["over"] == "dictionaries"]
    for rows in own.groupby(FAMILY, sort=False, observed=True).indices.values():
        at = own.index.to_numpy()[rows]
        if len(np.unique(out["layer"].to_numpy()[at])) > 1:
            family[at] = "layers"
            for p in adjusted.values():
                p[at] = adjust(p[at].tolist())
            half[at] = max_t_quantile(out["df"].to_numpy(float)[at]) * out["se"].to_numpy(float)[at]
    for at, name in _primary(out):
        adjusted[name][at[0]] = at[1]
        family[at[0]] = "primary"
    difference = out["diff"].to_numpy(float)
    return out.assign(
        family=family.astype(str), p_diff_adj=adjusted["p_diff"], p_tost_adj=adjusted["p_tost"],
        band_lo=np.maximum(-1.0, difference - half), band_hi=np.minimum(1.0, difference + half),
    )  # fmt: skip


def _primary(out: pd.DataFrame) -> list[tuple[tuple[int, float], str]]:
    """Adjust the primary claims together, apart for claims about dictionaries and about architectures."""
    top = "layers" if (out["over"] == "layers").any() else "dictionaries"
    rows = out[(out["over"] == top) & out["contrast"].isin(list(PRIMARY)) & (out["population"] == "eligible")]
    found: list[tuple[tuple[int, float], str]] = []
    for _, part in rows.groupby("scope", sort=False):
        names = [PRIMARY[str(contrast)] for contrast in part["contrast"]]
        values = [float(part[name].iloc[i]) for i, name in enumerate(names)]
        places = [int(i) for i in part.index.to_numpy()]
        found += [((at, float(p)), name) for at, p, name in zip(places, adjust(values), names, strict=True)]
    return found
