"""Which part of a difference comes from having more trivial latents, and which from the same kind scoring otherwise."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from autointerp.statistics.intervals import Floats
from autointerp.statistics.populations import Arm, arm_of

TRIVIAL_SHARE = 0.9


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """A difference of means as composition + within; they sum to it exactly."""

    composition: float
    within: float


def is_trivial(scores: pd.DataFrame | Arm, share: float = TRIVIAL_SHARE) -> np.ndarray:
    """Say which latents peak on one token in at least this share of their activating windows; unknown counts as no."""
    shares = scores["token_share"]
    known = shares if isinstance(shares, np.ndarray) else shares.to_numpy(np.float64, na_value=np.nan)
    return np.nan_to_num(known) >= share


def split(share_a: np.ndarray, mean_a: np.ndarray, share_b: np.ndarray, mean_b: np.ndarray) -> Parts:
    """Split a difference of means by classes: Kitagawa's symmetric decomposition.

    >>> parts = split(np.array([.5, .5]), np.array([.9, .7]), np.array([.8, .2]), np.array([.9, .7]))
    >>> round(parts.composition, 12), round(parts.within, 12)
    (0.06, 0.0)

    Source:
        Kitagawa, Components of a difference between two rates (1955).
    """
    composition = float(((share_b - share_a) * (mean_a + mean_b) / 2).sum())
    return Parts(composition=composition, within=float(((mean_b - mean_a) * (share_a + share_b) / 2).sum()))


def kitagawa(a: pd.DataFrame | Arm, b: pd.DataFrame | Arm, weights_a: Floats, weights_b: Floats) -> Parts:
    """Split the weighted mean of b less that of a by triviality; the parts sum to the difference.

    Weights that sum to less than 1 leave a third class, the latents that could not be judged, which score chance.
    A class that only one dictionary has takes that dictionary's mean in the other one: its share is composition.
    """
    shares, means = [], []
    for side, weights in ((a, weights_a), (b, weights_b)):
        arm = side if isinstance(side, Arm) else arm_of(side)
        trivial, values = is_trivial(arm), arm["score"]
        inside = np.array([weights[~trivial].sum(), weights[trivial].sum()])
        totals = np.array([weights[~trivial] @ values[~trivial], weights[trivial] @ values[trivial]])
        shares.append(np.r_[inside, 1 - inside.sum()])
        means.append(np.r_[np.divide(totals, inside, out=np.full(2, np.nan), where=inside > 0), arm.chance])
    first, second = (np.where(np.isnan(own), other, own) for own, other in (means, means[::-1]))
    return split(shares[0], np.nan_to_num(first), shares[1], np.nan_to_num(second))
