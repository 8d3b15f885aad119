"""Means of latents with design weights and their intervals; the unit is always the latent, never the judged item."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

Floats = NDArray[np.float64]
# The largest standard deviation that a score in [0, 1] can have.
WORST_SD = 0.5
# Degrees of freedom of one latent's judging noise, which is estimated from at least some ten items.
ITEMS_DF = 10.0


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


def quadratic_form(weights: Floats, own: Floats | None = None) -> Floats:
    """Describe v = sum c_i (x_i - sum w_j x_j)^2 for independent x of variance 1 and weights w that sum to 1.

    Args:
        weights: [n] w.
        own: [n] c, what each value adds to the variance of interest; w^2 if None, the variance of the weighted mean.

    Returns:
        [3]: sum c; the expectation of v, tr A; and tr A^2. So v sum c / tr A is unbiased for the variance of interest,
        with (tr A)^2 / tr A^2 degrees of freedom (Satterthwaite); n - 1 where all weights are equal.
    """
    c = weights**2 if own is None else own
    s2, total, first, second = weights @ weights, c.sum(), c @ weights, c @ weights**2
    traced = (c * ((1 - weights) ** 2 + s2 - weights**2)).sum()
    squared = (c**2 * (1 + 2 * (s2 - 2 * weights))).sum()
    squared += s2**2 * total**2 + 2 * total * second - 4 * s2 * total * first + 2 * first**2
    return np.array([total, traced, max(squared, traced**2 / max(1, len(weights) - 1))])


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


def finite_mean(values: Floats, weights: Floats, chance: Floats, noise: Floats, *, level: float = 0.95) -> Mean:
    """Average values over a finite population whose heaviest members are drawn almost for certain.

    As `mean`, but a latent that is sure to be drawn adds no sampling variance, only that of judging it on few items:
    var = sum w_i^2 ((1 - p_i) (x_i - mean)^2 + p_i noise_i). Weights by firing rate need this: the latents that fire
    most are drawn with probability near 1 and decide the mean.

    Args:
        values: [n] scores, without NaN.
        weights: [n] positive weights.
        chance: [n] inclusion probabilities p.
        noise: [n] variance of each value from its number of items; where NaN the full deviation counts.
        level: as in `mean`.

    Source:
        Särndal, Swensson and Wretman, Model Assisted Survey Sampling (1992), sections 5.5 to 5.7 (ratio estimator).
    """
    inner = mean(values, weights, level=level)
    if inner.n < 2 or inner.sd == 0:
        return inner
    w = weights / weights.sum()
    moved = w * (values - inner.value)
    se, df = sampling_error(w, moved, np.where(np.isnan(noise), moved**2, w**2 * noise), chance)
    return Mean(value=inner.value, se=se, df=df, n=inner.n, n_eff=inner.n_eff, sd=inner.sd) if se > 1e-12 else inner


def sampling_error(weights: Floats, moved: Floats, judging: Floats, chance: Floats) -> tuple[float, float]:
    """Return standard error and degrees of freedom of a ratio of sums over a sample from a finite population.

    Args:
        weights: [n] share of each latent in the denominator, summing to 1.
        moved: [n] linearised contribution of each latent.
        judging: [n] the part of its variance that comes from judging few items.
        chance: [n] inclusion probabilities.
    """
    expected, traced, squared = quadratic_form(weights, weights**2 * (1 - chance))
    drawn = float((1 - chance) @ moved**2) * (expected / traced if traced > 0 else 1.0)
    of_items = chance * judging
    judged = float(of_items.sum())
    spread = drawn**2 * squared / traced**2 if traced > 0 else 0.0
    spread += float((of_items**2).sum()) / ITEMS_DF
    return float(np.sqrt(drawn + judged)), max(1.0, (drawn + judged) ** 2 / spread) if spread > 0 else 1.0


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
