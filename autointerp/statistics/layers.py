"""The same contrast at several layers: its mean over these layers, and over layers like them."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from scipy import stats

from autointerp.statistics._rows import flat
from autointerp.statistics.intervals import Difference, Floats
from autointerp.statistics.outcomes import tested

GROUP = ["architectures", "k", "training_seed", "scorer", "population", "scope"]
# Columns of a pooled row that are sums over layers; other numbers are means.
SUMMED = ["n_a", "n_b", "n_pairs", "n_eff_a", "n_eff_b"]
# Columns of a row about differences that may leave [-1, 1], such as nats.
UNBOUNDED = "metric"


@dataclass(frozen=True, slots=True, kw_only=True)
class PooledLayers:
    """What a row over several layers has besides, or in place of, those of its layers."""

    design: str
    n_layers: int
    q: float
    p_heterogeneity: float
    tau_layer: float
    pi_lo: float
    pi_hi: float
    over: str = "layers"
    layer: int = -1
    site: str = ""
    a: str = ""
    b: str = ""


def layers(
    comparisons: pd.DataFrame,
    *,
    scope: Literal["fixed", "population"] = "fixed",
    alpha: float = 0.05,
    level: float = 0.95,
    group: Sequence[str] = GROUP,
) -> pd.DataFrame:
    """Pool each contrast over its layers.

    * `fixed`: the plain mean over exactly these layers; its error is that of the layers' own estimates.
    * `population`: these layers as a sample of layers: random effects with the Hartung-Knapp-Sidik-Jonkman interval,
      since a fixed-effect interval covers far too rarely when layers differ.

    Args:
        comparisons: rows of `compare` with `contrast`, `layer` and `k`.
        scope: what is generalised to.
        alpha: error rate of the tests.
        level: confidence level.
        group: columns in which the rows of one contrast agree.

    Returns:
        One row per contrast that has at least two layers: the columns of `compare` for the mean, with `over = "layers"`
        and `layer = -1`, and `n_layers`, `q` and `p_heterogeneity` (Cochran's test that layers are alike), `tau_layer`
        (spread of true differences between layers), `pi_lo`, `pi_hi` (where a further layer's difference would lie).
    """
    own = comparisons[comparisons["over"] == "dictionaries"] if "over" in comparisons else comparisons
    rows = []
    for _, part in own.groupby(list(group), sort=False, observed=True):
        if part["layer"].nunique() > 1 and not part["layer"].duplicated().any():
            rows.append(_pooled(part, scope, alpha, level))
    return pd.DataFrame(rows)


def _pooled(part: pd.DataFrame, scope: str, alpha: float, level: float) -> dict[Hashable, object]:
    difference, variance = part["diff"].to_numpy(float), part["se"].to_numpy(float) ** 2
    found = random_effects(difference, variance, level)
    n = len(part)
    if scope == "fixed":
        value, se = float(difference.mean()), float(np.sqrt(variance.sum()) / n)
        df = float(variance.sum() ** 2 / (variance**2 / part["df"].to_numpy(float)).sum())
    else:
        value, se, df = found["mean"], found["se"], n - 1.0
    floats = [name for name, kind in part.dtypes.items() if kind.kind == "f"]
    means = part[floats].mean().to_dict()
    sums = {name: part[name].sum() for name in SUMMED if name in part}
    reach = np.inf if UNBOUNDED in part else 1.0
    difference = Difference(value=value, se=se, df=df, reach=reach)
    pooled = PooledLayers(
        design=scope,
        n_layers=n,
        q=found["q"],
        p_heterogeneity=found["p"],
        tau_layer=found["tau"],
        pi_lo=found["pi_lo"],
        pi_hi=found["pi_hi"],
    )
    outcome = tested(difference, margin=float(part["margin"].iloc[0]), alpha=alpha, level=level)
    row = {**part.iloc[0].to_dict(), **means, **sums, **flat(outcome, pooled)}
    return row if part["contrast"].nunique() == 1 else {**row, "contrast": row["architectures"]}


def random_effects(effects: Floats, variances: Floats, level: float = 0.95) -> dict[str, float]:
    """Combine estimates of one effect that truly varies between layers.

    Returns:
        `mean`, `se` (HKSJ), `low`, `high`, `tau`, `q`, `p` of Cochran's test, `pi_lo` and `pi_hi` of a further layer.

    Source:
        Hartung and Knapp (2001), Sidik and Jonkman (2002); tau by Paule and Mandel (1982), as in
        `statsmodels.stats.meta_analysis.combine_effects(method_re="iterated", use_t=True)`.
    """
    from statsmodels.stats.meta_analysis import combine_effects

    found: Any = combine_effects(effects, variances, method_re="iterated", use_t=True)
    n = len(effects)
    se, value, tau = float(found.sd_eff_w_re_hksj), float(found.mean_effect_re), float(np.sqrt(max(0.0, found.tau2)))
    if se <= 0 or not np.isfinite(se):  # layers that agree to the last digit
        se = float(np.sqrt(1 / (1 / variances).sum()))
    half = float(stats.t.ppf((1 + level) / 2, n - 1)) * se
    spread = float(stats.t.ppf((1 + level) / 2, max(1, n - 2))) * float(np.hypot(tau, se))
    q = float(found.q)
    return {
        "mean": value,
        "se": se,
        "low": value - half,
        "high": value + half,
        "tau": tau,
        "q": q,
        "p": float(stats.chi2.sf(q, n - 1)),
        "pi_lo": value - spread,
        "pi_hi": value + spread,
    }
