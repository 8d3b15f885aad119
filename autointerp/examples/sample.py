"""Which latents are explained: a draw of fixed size with exactly known inclusion probabilities.

Half uniform, half proportional to the firing rate: the unweighted mean loses 20 % of its precision against a simple
random sample, the frequency-weighted one wins fourfold (statistics' design note, simulated).
"""

import numpy as np
from numpy.typing import NDArray


def inclusion(rates: NDArray[np.floating], n: int, proportional_share: float) -> NDArray[np.float64]:
    """Return each latent's probability of being drawn, in [0, 1], summing to min(n, number of latents).

    In proportion to `proportional_share * rate / sum(rates) + (1 - proportional_share) / N`; where n of these would be
    above 1 the latent is certain, and the rest share what is left.
    """
    total = len(rates)
    if n >= total:
        return np.ones(total)
    weight = np.full(total, (1 - proportional_share) / total)
    if rates.sum() > 0:
        weight += proportional_share * rates / rates.sum()
    else:
        weight[:] = 1 / total
    certain = np.zeros(total, dtype=bool)
    while True:
        left = n - certain.sum()
        chances = np.where(certain, 1.0, left * weight / weight[~certain].sum())
        if (chances[~certain] <= 1).all():
            return chances
        certain |= chances > 1


def draw(chances: NDArray[np.floating], rng: np.random.Generator) -> NDArray[np.int64]:
    """Draw sum(chances) of the indices, ascending, such that index i is drawn with probability chances[i] exactly.

    Systematic sampling over a random order: one uniform number, then every whole step along the cumulated chances.

    Source: Madow 1949; Särndal, Swensson and Wretman 1992, section 3.6.
    """
    order = rng.permutation(len(chances))
    n = round(float(chances.sum()))
    cumulated = np.cumsum(chances[order])
    cumulated *= n / cumulated[-1] if n else 1.0  # rounding errors only
    ticks = rng.random() + np.arange(n)
    return np.sort(order[np.searchsorted(cumulated, ticks, side="right").clip(max=len(order) - 1)])
