"""The share of latents whose true score reaches a threshold: judging noise taken out by deconvolution."""

from dataclasses import dataclass, replace

import numpy as np
from scipy import special

from autointerp.statistics.intervals import Floats, mean, t_quantile
from autointerp.statistics.populations import Arm

# Cells of the true scores' distribution on [0, 1], polynomials of its log density, and the penalty on them: flexible
# enough for two modes. Degree, penalty and the widening of standard errors were chosen on simulated distributions,
# those of docs/rates.md among them; that page names the shapes that the interval covers worst.
N_CELLS = 100
DEGREE = 12
PENALTY = 0.005
SMOOTHING = 1.05
MOST_STEPS = 60
# Half the width over which the density at a threshold is averaged.
NEAR = 0.03
# With fewer latents than this on one side of a threshold the interval reaches as far as that on the plain scale does.
FEW = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """A share in [0, 1] with its interval."""

    value: float
    low: float
    high: float
    se: float
    df: float
    n_eff: float
    method: str

    def scaled(self, factor: float, variance: float, level: float) -> "Share":
        """Return the share of a whole of which `factor` (estimated with a variance) can reach at all."""
        if variance > 0:
            se = float(np.hypot(factor * self.se, self.value * np.sqrt(variance)))
            return _share(factor * self.value, se, self.df, self.n_eff, level, self.method)
        return replace(
            self,
            value=factor * self.value,
            low=factor * self.low,
            high=factor * self.high,
            se=factor * self.se,
        )


def share_reaching(
    arm: Arm, threshold: float, *, level: float = 0.95, documents: float = 0.0, noise: bool = True
) -> Share:
    """Estimate the share of latents whose true score is at least the threshold.

    A score from few items reaches a threshold by luck: the observed share is too large where the threshold lies above
    most latents. The distribution of true scores is fitted as a smooth density (exponential family of polynomials) so
    that, with the noise of each latent's items, it gives the observed scores; its upper part is the share. The interval
    is the delta method's on the logit scale; with few latents on one side, also as far as on the plain scale; where all
    lie on one side, the exact bound of Clopper and Pearson.

    Args:
        arm: scored latents.
        threshold: in score points.
        level: confidence level.
        documents: variance that documents shared between latents add to the mean score of these latents. They shift all
            scores alike, which moves the share by the density of scores at the threshold.
        noise: False where the scores are facts without error, such as flags.

    Source:
        Efron, Empirical Bayes deconvolution estimates (2016).
    """
    weights = 1 / arm["inclusion_probability"]
    weights = weights / weights.sum()
    n_eff = float(1 / (weights @ weights))
    reached = (arm["score"] >= threshold).astype(float)
    items = _items(arm)
    judged = np.isfinite(items) & (items > 0) & noise
    observed = float(weights @ reached)
    wider = 1 + documents / mean(arm["score"], weights, level=level).se ** 2
    if not judged.any() or float(np.ptp(arm["score"][judged])) == 0 or judged.sum() < 3:
        inner = mean(reached, weights, level=level)
        method = "exact for shares" if observed in (0.0, 1.0) else "logit over latents"
        return _share(observed, inner.se * np.sqrt(wider), inner.df, n_eff / wider, level, method)
    inside = weights[judged] / weights[judged].sum()
    found, se, density = _deconvolved(arm["score"][judged], items[judged], inside, threshold)
    known = float(weights[judged].sum())
    value = known * found + float(weights[~judged] @ reached[~judged])
    of_known = mean(judged.astype(float), weights, bounded=False).se if not judged.all() else 0.0
    parts = (SMOOTHING * known * se, found * of_known, known * density * np.sqrt(documents))
    se = float(np.hypot.reduce(parts))
    return _share(value, se, max(1.0, n_eff - 1), n_eff / wider, level, "deconvolution")


def _share(value: float, se: float, df: float, n_eff: float, level: float, method: str) -> Share:
    """Put a t interval around a share; never narrower at an edge than the exact one of that many latents."""
    tail = (1 - level) / 2
    bound = 1 - tail ** (1 / n_eff)
    inner = min(max(value, 1e-6), 1 - 1e-6)
    logit = special.logit(inner)
    half = t_quantile(1 - tail, df) * se
    of_logit = half / (inner * (1 - inner))
    low, high = (float(special.expit(np.clip(logit + sign * of_logit, -50, 50))) for sign in (-1, 1))
    if min(value, 1 - value) * n_eff < FEW:
        low, high = min(low, max(0.0, value - half)), max(high, min(1.0, value + half))
    if value * n_eff < 0.5:
        low, high = 0.0, max(high if value > 1e-6 else 0.0, bound)
    if (1 - value) * n_eff < 0.5:
        low, high = min(low if value < 1 - 1e-6 else 1.0, 1 - bound), 1.0
    return Share(value=value, low=low, high=high, se=se, df=df, n_eff=n_eff, method=method)


def _items(arm: Arm) -> Floats:
    """Return how many items of one binomial would leave as much noise in each latent's score; NaN where none do."""
    positive, negative = arm["n_positive"], arm["n_negative"]
    with np.errstate(divide="ignore", invalid="ignore"):
        items = np.where(negative > 0, 4 / (1 / positive + 1 / negative), positive.astype(float))
    score, noise = arm["score"], arm["noise_variance"]
    use = (items > 0) & np.isfinite(noise) & np.isfinite(items)
    if not use.any() or noise[use].sum() <= 0:
        return np.full(len(score), np.nan)
    # A judge whose recall and specificity differ leaves less noise than a binomial of their mean.
    expected = ((score * (1 - score) + noise)[use] / items[use]).sum()
    return items * float(expected / noise[use].sum())


@dataclass(frozen=True, slots=True, kw_only=True)
class _Fit:
    """A density of true scores and how well it gives the observed ones.

    likelihood [scores, cells] of each observed score in each cell of true scores; basis [cells, DEGREE];
    weights [scores] of the observed scores.
    """

    likelihood: Floats
    basis: Floats
    weights: Floats
    penalty: float

    def density(self, alpha: Floats) -> Floats:
        """Return the density over cells for coefficients alpha: [cells]."""
        raw = self.basis @ alpha
        g = np.exp(raw - raw.max())
        return g / g.sum()

    def loss(self, alpha: Floats) -> float:
        """Return the penalised negative log likelihood."""
        likely = float(self.weights @ np.log(self.likelihood @ self.density(alpha)))
        return float(self.penalty / 2 * (alpha @ alpha)) - likely

    def derivatives(self, alpha: Floats) -> tuple[Floats, Floats, Floats]:
        """Return each score's pull on the coefficients [scores, DEGREE], the gradient, and the Hessian."""
        g = self.density(alpha)
        posterior = self.likelihood * g
        posterior /= posterior.sum(1, keepdims=True)
        pulls = (posterior - g) @ self.basis
        centred, means = self.basis - g @ self.basis, posterior @ self.basis
        of_density = (centred * g[:, None]).T @ centred
        within = (self.basis * (self.weights @ posterior)[:, None]).T @ self.basis
        between = (means * self.weights[:, None]).T @ means
        hessian = of_density - within + between + self.penalty * np.eye(len(alpha))
        return pulls, self.penalty * alpha - self.weights @ pulls, hessian

    def minimum(self) -> Floats:
        """Return the coefficients of least loss, by Newton's method with a line search: [DEGREE]."""
        alpha = np.zeros(self.basis.shape[1])
        for _ in range(MOST_STEPS):
            _, gradient, hessian = self.derivatives(alpha)
            if np.abs(gradient).max() < 1e-8:
                break
            curvature, axes = np.linalg.eigh(hessian)
            step = axes @ (axes.T @ gradient / np.maximum(np.abs(curvature), 1e-6))
            before, size = self.loss(alpha), 1.0
            while size > 1e-6 and self.loss(alpha - size * step) > before - 1e-4 * size * float(gradient @ step):
                size /= 2
            alpha = alpha - size * step
        return alpha


def _deconvolved(score: Floats, items: Floats, weights: Floats, threshold: float) -> tuple[float, float, float]:
    """Fit the density of true scores; return the share at or above the threshold, its standard error, and the density.

    Args:
        score: [latents] observed, in [0, 1].
        items: [latents] binomial items of each.
        weights: [latents] summing to 1.
        threshold: in score points.
    """
    n_eff = float(1 / (weights @ weights))
    (score, items), place = np.unique(np.stack([score, items]), axis=1, return_inverse=True)
    squares = np.bincount(place.ravel(), weights**2)
    weights = np.bincount(place.ravel(), weights).astype(np.float64)
    edges = np.linspace(0, 1, N_CELLS + 1)
    cells = (edges[1:] + edges[:-1]) / 2
    # Polynomials on the range where true scores can lie, so that their scale is that of the data.
    spread = 3 * np.sqrt(np.maximum(score * (1 - score), 0.01) / items)
    low, high = max(0.0, float((score - spread).min())), min(1.0, float((score + spread).max()))
    inside = (cells >= low) & (cells <= high)
    cells, above = cells[inside], np.clip((edges[1:] - threshold) * N_CELLS, 0, 1)[inside]
    logs = items[:, None] * (score[:, None] * np.log(cells) + (1 - score[:, None]) * np.log1p(-cells))
    axis = 2 * (cells - low) / max(high - low, 1e-9) - 1
    fit = _Fit(
        likelihood=np.exp(logs - logs.max(axis=1, keepdims=True)),
        basis=np.stack([special.eval_legendre(power, axis) for power in range(1, DEGREE + 1)], axis=1),
        weights=weights,
        penalty=2 * PENALTY / n_eff,
    )
    alpha = fit.minimum()
    g = fit.density(alpha)
    pulls, _, curvature = fit.derivatives(alpha)
    pulls = pulls - weights @ pulls
    meat = (pulls * squares[:, None]).T @ pulls * n_eff / max(n_eff - 1, 1)
    gradient = ((fit.basis - g @ fit.basis) * (g * above)[:, None]).sum(0)
    step = np.linalg.solve(curvature + 1e-9 * np.eye(DEGREE), gradient)
    at_threshold = float(g @ (np.abs(cells - threshold) <= NEAR)) / (2 * NEAR)
    return float(g @ above), float(np.sqrt(max(0.0, step @ meat @ step))), at_threshold
