"""Means of latents with design weights and their intervals; the unit is always the latent, never the judged item."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import special

from autointerp.seeds import generator

Floats = NDArray[np.float64]
# The largest standard deviation that a score in [0, 1] can have.
WORST_SD = 0.5


def t_quantile(p: float, df: float) -> float:
    """Return the quantile of Student's t; a tenth of the time that `scipy.stats.t.ppf` takes, the same function."""
    return float(special.stdtrit(df, p))


def t_below(t: float, df: float) -> float:
    """Return P(T <= t) of Student's t."""
    return float(special.stdtr(df, t))


@dataclass(frozen=True, slots=True, kw_only=True)
class Mean:
    """A mean with its standard error and degrees of freedom; `sd` is the spread of the values."""

    value: float
    se: float
    df: float
    n: int
    n_eff: float
    sd: float

    def interval(self, level: float, low: float = 0.0, high: float = 1.0) -> tuple[float, float]:
        """Return the t interval, cut to the range of the quantity."""
        half = t_quantile((1 + level) / 2, self.df) * self.se
        return max(low, self.value - half), min(high, self.value + half)


def quadratic_form(weights: Floats) -> Floats:
    """Describe v = sum w_i^2 (x_i - sum w_j x_j)^2 for independent x of variance 1 and weights that sum to 1.

    Returns:
        [3]: the variance of the weighted mean, sum w^2; the expectation of v, tr A; and tr A^2. So v sum w^2 / tr A is
        unbiased for the variance of the mean, with (tr A)^2 / tr A^2 degrees of freedom (Satterthwaite); n - 1 where
        all weights are equal.
    """
    s2, s3, s4, s5 = ((weights**power).sum() for power in (2, 3, 4, 5))
    squared = s4 + 2 * (s2 * s4 - 2 * s5) + (s2**2 - s3) ** 2 - 2 * s2 * (s2 * s3 - s4) + s3**2
    traced = (weights**2 * ((1 - weights) ** 2 + s2 - weights**2)).sum()  # s2 - 2 s3 + s2^2 without cancellation
    return np.array([s2, traced, max(squared, traced**2 / max(1, len(weights) - 1))])


def mean(
    values: Floats, weights: Floats | None = None, *, bounded: bool = True, level: float = 0.95, least: float = 0.0
) -> Mean:
    """Average values of latents under design weights (Hájek), with the linearised standard error.

    With equal weights this is the mean with sd / sqrt(n) and n - 1 degrees of freedom; unequal ones have the degrees of
    freedom of `quadratic_form`. Where the values do not vary, or there is only one, they still do not prove certainty:
    for `bounded` values (scores in [0, 1]) the standard error is then what gives the exact interval of the share of
    latents that may be elsewhere and were not drawn.

    Args:
        values: [n] scores, without NaN, n >= 1.
        weights: [n] positive weights, such as 1 / inclusion probability; equal if None.
        bounded: values lie between `least` and 1.
        level: confidence level at which the interval of constant values is exact.
        least: smallest possible value: 0 for scores, -1 for their differences.

    Raises:
        ValueError: there are no values, or some are not finite.
    """
    if len(values) == 0 or not np.isfinite(values).all():
        raise ValueError("mean needs at least one value, all of them finite")
    w = np.ones(len(values)) if weights is None else np.asarray(weights, np.float64)
    w = w / w.sum()
    value = float(w @ values)
    n, n_eff = len(values), float(1 / (w @ w))
    deviations = values - value
    sd = float(np.sqrt(max(0.0, w @ deviations**2) * n_eff / (n_eff - 1))) if n > 1 else 0.0
    if n == 1:
        return Mean(value=value, se=WORST_SD, df=1.0, n=1, n_eff=1.0, sd=0.0)
    expected, traced, squared = quadratic_form(w)
    se = float(np.sqrt(expected / traced * (w**2 @ deviations**2))) if traced > 0 else WORST_SD
    df = max(1.0, float(traced**2 / squared)) if squared > 0 else 1.0
    if se < 1e-12 and bounded:
        se = _constant_se(max(value - least, 1 - value), n_eff, df, level)
    return Mean(value=value, se=se, df=df, n=n, n_eff=n_eff, sd=sd if sd > 1e-12 else 0.0)


def _constant_se(farthest: float, n_eff: float, df: float, level: float) -> float:
    """Give constant values the standard error whose t interval is the exact bound: a share q of latents unseen."""
    q = 1 - ((1 - level) / 2) ** (1 / n_eff)
    return float(q * farthest / t_quantile((1 + level) / 2, df))


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """B minus A with standard error and Welch-Satterthwaite degrees of freedom; `reach` bounds what it can be."""

    value: float
    se: float
    df: float
    reach: float = 1.0

    def interval(self, level: float) -> tuple[float, float]:
        """Return the t interval, cut to [-reach, reach]."""
        half = t_quantile((1 + level) / 2, self.df) * self.se
        return max(-self.reach, self.value - half), min(self.reach, self.value + half)

    def p_two_sided(self) -> float:
        """Test that there is no difference."""
        return 2 * t_below(-abs(self.value) / self.se, self.df)

    def p_not_inferior(self, margin: float) -> float:
        """Test that B is worse than A by the margin or more; small means B is not worse."""
        return t_below(-(self.value + margin) / self.se, self.df)

    def p_equivalent(self, margin: float) -> float:
        """Test that they differ by the margin or more (two one-sided tests); small means equivalent."""
        return max(self.p_not_inferior(margin), t_below((self.value - margin) / self.se, self.df))


def unpaired(a: Mean, b: Mean) -> Difference:
    """Subtract independent means (Welch): variances add, degrees of freedom by Satterthwaite."""
    va, vb = a.se**2, b.se**2
    df = (va + vb) ** 2 / (va**2 / a.df + vb**2 / b.df)
    return Difference(value=b.value - a.value, se=float(np.sqrt(va + vb)), df=float(df))


def bca_limits(observed: float, draws: Floats, left_out: Floats, level: float) -> tuple[float, float]:
    """Read a BCa interval from bootstrap draws and leave-one-out values."""
    below = (np.mean(draws < observed) + np.mean(draws <= observed)) / 2
    z0 = float(special.ndtri(np.clip(below, 1 / (2 * len(draws)), 1 - 1 / (2 * len(draws)))))
    centred = left_out.mean() - left_out
    spread = float((centred**2).sum() ** 1.5)
    acceleration = float((centred**3).sum() / (6 * spread)) if spread > 0 else 0.0
    z = special.ndtri([(1 - level) / 2, (1 + level) / 2])
    corrected = special.ndtr(z0 + (z0 + z) / (1 - acceleration * (z0 + z)))
    low, high = np.quantile(draws, corrected)
    return float(low), float(high)


def weighted_mean_bca(
    values: Floats, weights: Floats, *, level: float, n_resamples: int, seed: int = 0
) -> tuple[float, float]:
    """Bootstrap a ratio of sums over latents, sum(w x) / sum(w), by BCa.

    Resampling and leave-one-out are in closed form over the pair (w x, w): no loop over latents. The draws depend on
    the seed and the number of latents alone.
    """
    n = len(values)
    w = weights / weights.sum()
    wx = w * values
    sums = np.concatenate([counts @ np.stack([wx, w], axis=1) for counts in resamples(n, n_resamples, seed)])
    left_out = (wx.sum() - wx) / (1 - w) if n > 1 else values
    return bca_limits(float(wx.sum()), (sums[:, 0] / sums[:, 1]).astype(np.float64), left_out, level)


@lru_cache(maxsize=48)
def resamples(n: int, n_resamples: int, seed: int) -> list[NDArray[np.uint8]]:
    """Draw how often each of n latents comes in each resample: [resamples, n] in pieces of at most 8 MB.

    A latent comes more than 255 times with a chance below 1e-500. Estimates and real rates of one dictionary use the
    same draws, so some tens of sizes are kept: 2 MB for a thousand latents.
    """
    rng = generator(seed, "bca", n)
    chunk = max(1, min(n_resamples, 8_000_000 // n))
    pieces = []
    for at in range(0, n_resamples, chunk):
        rows = min(chunk, n_resamples - at)
        drawn = rng.integers(n, size=(rows, n), dtype=np.int32) + np.arange(rows, dtype=np.int32)[:, None] * np.int32(n)
        pieces.append(np.bincount(drawn.ravel(), minlength=rows * n).reshape(rows, n).astype(np.uint8))
    return pieces
