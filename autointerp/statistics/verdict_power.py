"""Power of the verdict that a comparison prints: sampling design, every comparison of the study, Holm's correction."""

from dataclasses import dataclass
from itertools import combinations
from typing import Literal

import numpy as np
from scipy import special

from autointerp.statistics.intervals import Floats
from autointerp.statistics.multiplicity import holm

Aim = Literal["ni", "tost", "superiority"]
# Simulated studies, fewer where a study holds many comparisons.
N_STUDIES = 20_000
MOST_CELLS = 4_000_000
LARGEST_N = 10_000_000


def effective_share(proportional_share: float, rate_sd: float) -> float:
    """Return n_eff / n of an unweighted mean when latents are drawn partly in proportion to their firing rates.

    Exact for log-normal firing rates of which none is so high that its latent is drawn for certain.

    Args:
        proportional_share: share of draws made in proportion to the firing rate.
        rate_sd: standard deviation of log firing rates.

    >>> round(effective_share(0.5, 0.0), 6), round(effective_share(0.0, 2.0), 6)
    (1.0, 1.0)
    """
    if not 0 <= proportional_share < 1 or rate_sd < 0:
        raise ValueError(
            f"plan: proportional share {proportional_share:g} must lie in [0, 1) and rate sd {rate_sd:g} be at least 0"
        )
    z = special.ndtri((np.arange(20_000) + 0.5) / 20_000)
    relative = 1 - proportional_share + proportional_share * np.exp(rate_sd * z - rate_sd**2 / 2)
    return float(1 / np.mean(1 / relative))


@dataclass(frozen=True, slots=True, kw_only=True)
class Study:
    """Comparisons whose p values share one error rate: all pairs of `arms` dictionaries, by each of `scorers`.

    `spread` is the variance of one latent's difference (2 Var(S) unpaired) and `share` n_eff / n of the sampling.
    """

    kind: Aim
    margin: float
    alpha: float
    spread: float
    share: float = 1.0
    arms: int = 2
    scorers: int = 2

    @property
    def n_comparisons(self) -> int:
        """Comparisons that share the error rate."""
        return self.scorers * self.arms * (self.arms - 1) // 2

    def power(self, n: int, seed: int = 0) -> tuple[float, float]:
        """Return the chance that one comparison gets its verdict by one scorer, and by all scorers.

        Studies are simulated: dictionaries are equal (`ni`, `tost`), or the second one is better than all others by the
        margin in every scorer (`superiority`); scorers err independently. Differences are adjusted over both
        populations that carry verdicts, whose tests agree where equally many latents can be judged.

        Args:
            n: latents per dictionary, or pairs.
            seed: of the simulation.
        """
        pairs = list(combinations(range(self.arms), 2))
        m = len(pairs) * self.scorers
        studies = max(2000, min(N_STUDIES, MOST_CELLS // m))
        rng = np.random.default_rng(seed)
        n_eff = max(2.0, n * self.share)
        df = 2 * (n_eff - 1)
        means = rng.normal(0, np.sqrt(self.spread / 2 / n_eff), (studies, self.arms, self.scorers))
        if self.kind == "superiority":
            means[:, 1] += self.margin
        difference = np.stack([means[:, b] - means[:, a] for a, b in pairs], axis=1).reshape(studies, m)
        se = np.sqrt(self.spread / n_eff * rng.chisquare(df, (studies, m)) / df)
        shown = self._shown(difference, se, df)[:, : self.scorers]
        return float(shown.mean()), float(shown.all(axis=1).mean())

    def _shown(self, difference: Floats, se: Floats, df: float) -> np.ndarray:
        """Return which comparisons get their verdict, [studies, comparisons]."""
        above = special.stdtr(df, -(difference + self.margin) / se)  # small: not worse by the margin
        if self.kind == "ni":
            return holm(above) < self.alpha
        two_sided = 2 * special.stdtr(df, -np.abs(difference) / se)
        differs = holm(np.concatenate([two_sided, two_sided], axis=1))[:, : two_sided.shape[1]] < self.alpha
        if self.kind == "superiority":
            return differs & (difference > 0)
        below = special.stdtr(df, (difference - self.margin) / se)
        return (holm(np.maximum(above, below)) < self.alpha) & ~differs

    def n_for(self, power: float, start: int, seed: int = 0) -> int:
        """Return the fewest latents per dictionary whose verdict by one scorer has the power.

        Raises:
            ValueError: more than ten million would be needed.
        """
        low, high = 2, max(4, start)
        while self.power(high, seed)[0] < power:
            low, high = high, 2 * high
            if high > LARGEST_N:
                raise ValueError(f"plan: more than {LARGEST_N:,} latents would be needed at margin {self.margin:g}")
        while high - low > max(1, low // 200):
            middle = (low + high) // 2
            low, high = (low, middle) if self.power(middle, seed)[0] >= power else (middle, high)
        return high
