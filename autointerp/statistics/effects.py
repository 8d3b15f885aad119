"""How large a difference is, in units that do not depend on the number of latents."""

from dataclasses import dataclass

import numpy as np
from scipy import stats

from autointerp.statistics.intervals import Floats, t_quantile


@dataclass(frozen=True, slots=True, kw_only=True)
class Dominance:
    """Cliff's delta, P(B > A) - P(A > B) for one latent of each, in [-1, 1], with its interval."""

    delta: float
    low: float
    high: float


def cliff(a: Floats, b: Floats, level: float = 0.95) -> Dominance:
    """Compare two samples by ranks, ties counting half; interval by Brunner and Munzel's variance on the logit scale.

    An effect size, not a test of means: it answers which of two random latents scores higher. The logit scale keeps the
    limits inside [-1, 1]; where the samples do not overlap at all, or do not vary, the limits come from an added half.

    Source:
        Brunner and Munzel (2000); logit interval as in Newcombe (2006).
    """
    # Equal scores may differ in their last bits by the order of their sums; they must count as ties.
    a, b = np.round(a, 9), np.round(b, 9)
    n_a, n_b = len(a), len(b)
    ranks = stats.rankdata(np.concatenate([a, b]))
    placed_a = (ranks[:n_a] - stats.rankdata(a)) / n_b  # share of B below each A, ties half
    placed_b = (ranks[n_a:] - stats.rankdata(b)) / n_a
    p = float(placed_b.mean())
    variance = _variance(placed_a) / n_a + _variance(placed_b) / n_b
    if variance <= 1e-12 or not 0 < p < 1:
        p_inner = (p * n_a * n_b + 0.5) / (n_a * n_b + 1)
        n = min(n_a, n_b)
        variance, p_logit = p_inner * (1 - p_inner) / n + 1 / (4 * n * n), p_inner
        df = max(1.0, n - 1.0)
    else:
        p_logit = p
        va, vb = _variance(placed_a) / n_a, _variance(placed_b) / n_b
        df = (va + vb) ** 2 / sum(v**2 / max(n - 1, 1) for v, n in ((va, n_a), (vb, n_b)) if v > 0)
    logit = np.log(p_logit / (1 - p_logit))
    half = t_quantile((1 + level) / 2, float(df)) * np.sqrt(variance) / (p_logit * (1 - p_logit))
    low, high = 2 / (1 + np.exp(-np.clip([logit - half, logit + half], -700, 700))) - 1
    delta = 2 * p - 1
    return Dominance(delta=delta, low=float(min(low, delta)), high=float(max(high, delta)))


def _variance(values: Floats) -> float:
    return float(values.var(ddof=1)) if len(values) > 1 else 0.0


def hedges_g(difference: float, sd_a: float, sd_b: float, n_a: int, n_b: int) -> float:
    """Divide a difference by the pooled spread of latents' scores, corrected for small samples; 0 where none vary."""
    df = n_a + n_b - 2
    if df < 1:
        return 0.0
    pooled = np.sqrt(((n_a - 1) * sd_a**2 + (n_b - 1) * sd_b**2) / df)
    return float(difference / pooled * (1 - 3 / (4 * df - 1))) if pooled > 0 and df > 1 else 0.0


def between_latents(values: Floats, noise_variance: Floats) -> float:
    """Estimate tau, the spread of latents' true scores: observed variance less that of judging finitely many items."""
    known = np.isfinite(noise_variance)
    noise = float(noise_variance[known].mean()) if known.any() else 0.0
    return float(np.sqrt(max(0.0, _variance(values) - noise)))
