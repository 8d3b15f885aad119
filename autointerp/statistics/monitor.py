"""A running interval that may be looked at any time: for display while a gate is under way, never its decision."""

import numpy as np

from autointerp.statistics.intervals import Floats


def confidence_sequence(values: Floats, *, level: float = 0.95, best_at: int = 200, burn_in: int = 50) -> Floats:
    """Return [n, 2] limits of the mean after each value; rows before the burn-in are [-inf, inf].

    Asymptotic and time-uniform: the chance that the mean is ever outside, from the burn-in on, is at most 1 - level. It
    costs more latents than the group-sequential gate to decide the same, which is why it does not decide.

    Args:
        values: [n] scores or paired differences in look order.
        level: confidence level over all times together.
        best_at: number of values at which the sequence is tightest.
        burn_in: values needed before the normal approximation is trusted.

    Source:
        Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas, Time-uniform central limit theory (2021), theorem 2.2.
    """
    alpha = 1 - level
    n = np.arange(1, len(values) + 1)
    means = np.cumsum(values) / n
    sd = np.sqrt(np.maximum(0, np.cumsum(values**2) / n - means**2) * n / np.maximum(n - 1, 1))
    # The rho^2 that makes the boundary tightest at `best_at`.
    rho_sq = (-2 * np.log(alpha) + np.log(-2 * np.log(alpha)) + 1) / best_at
    root = np.sqrt(2 * (n * rho_sq + 1) / (n**2 * rho_sq) * np.log(np.sqrt(n * rho_sq + 1) / alpha))
    half = np.where(n < burn_in, np.inf, sd * root)
    return np.stack([means - half, means + half], axis=1)
