"""Group-sequential bounds: when a gate may stop early without raising its error rate.

With Z_k the statistic at information fraction t_k, Z_k sqrt(t_k) is Brownian motion with a drift.
Bounds are found by recursive numerical integration.

Source:
    Armitage, McPherson and Rowe (1969); Lan and DeMets (1983); Hwang, Shih and DeCani (1990); grid and algorithm as in
    Jennison and Turnbull, Group Sequential Methods (2000), chapter 19.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy import optimize, special

from autointerp.statistics.intervals import Floats

# Grid of the integration: 6 GRID_R - 1 nodes; the bounds are accurate to 5e-6.
GRID_R = 8
FAR = 12.0

Spending = Callable[[Floats], Floats]


def hsd(error: float, gamma: float) -> Spending:
    """Spend an error rate over information by Hwang, Shih and DeCani: gamma 1 early and even, negative gamma late."""
    if abs(gamma) < 1e-9:
        return lambda t: error * np.minimum(t, 1.0)
    return lambda t: error * (1 - np.exp(-gamma * np.minimum(t, 1.0))) / (1 - np.exp(-gamma))


def _density(z: Floats) -> Floats:
    return np.exp(-0.5 * z**2) / np.sqrt(2 * np.pi)


@dataclass(frozen=True, slots=True, kw_only=True)
class Density:
    """The density of Z at one look on a grid, over paths that have not stopped; `weight` includes Simpson's weights."""

    z: Floats
    weight: Floats
    t: float


def _grid(low: float, high: float, drift: float, t: float) -> tuple[Floats, Floats]:
    """Make Simpson nodes on [low, high], dense where Z has its mass."""
    centre = drift * np.sqrt(t)
    r = GRID_R
    i = np.arange(1, 6 * r)
    nodes = np.where(
        i < r,
        centre - 3 - 4 * np.log(r / np.maximum(i, 1)),
        np.where(i <= 5 * r, centre - 3 + 3 * (i - r) / (2 * r), centre + 3 + 4 * np.log(r / np.maximum(6 * r - i, 1))),
    )
    inside = nodes[(nodes > low) & (nodes < high)]
    knots = np.unique(np.r_[max(low, nodes[0]), inside, min(high, nodes[-1])])
    if len(knots) < 2:
        return np.array([low]), np.array([0.0])
    z = np.empty(2 * len(knots) - 1)
    z[0::2], z[1::2] = knots, (knots[1:] + knots[:-1]) / 2
    width = np.diff(knots)
    weight = np.zeros(len(z))
    weight[0:-1:2] += width / 6
    weight[2::2] += width / 6
    weight[1::2] += 4 * width / 6
    return z, weight


def _first(low: float, high: float, drift: float, t: float) -> Density:
    z, weight = _grid(low, high, drift, t)
    return Density(z=z, weight=weight * _density(z - drift * np.sqrt(t)), t=t)


def _next(before: Density, low: float, high: float, drift: float, t: float) -> Density:
    z, weight = _grid(low, high, drift, t)
    step = t - before.t
    moved = (z[:, None] * np.sqrt(t) - before.z[None] * np.sqrt(before.t) - drift * step) / np.sqrt(step)
    density = _density(moved) @ before.weight * np.sqrt(t / step)
    return Density(z=z, weight=weight * density, t=t)


def _above(before: Density | None, bound: float, drift: float, t: float) -> float:
    """Probability of reaching look t without stopping and lying above a bound there."""
    if before is None:
        return float(special.ndtr(drift * np.sqrt(t) - bound))
    step = t - before.t
    return float(
        special.ndtr((before.z * np.sqrt(before.t) + drift * step - bound * np.sqrt(t)) / np.sqrt(step)) @ before.weight
    )


def _advance(before: Density | None, low: float, high: float, drift: float, t: float) -> Density:
    return _first(low, high, drift, t) if before is None else _next(before, low, high, drift, t)


def efficacy_bounds(fractions: Sequence[float], spending: Spending) -> Floats:
    """Return the upper bound on Z at each look that spends the error rate by a spending function.

    Args:
        fractions: information fractions of the looks, ascending, in (0, 1].
        spending: cumulative error spent at a fraction.
    """
    bound = SpentBound()
    return np.array([bound.next(t, float(spending(np.array(t)))) for t in fractions])


class SpentBound:
    """The upper bound on Z, look after look, so that the error rate up to each look is what has been spent.

    Stopping for other reasons (futility) is ignored: it can only lower the error rate.
    """

    def __init__(self) -> None:
        self.bounds: list[float] = []
        self._before: Density | None = None
        self._spent = 0.0

    def next(self, information: float, spent: float) -> float:
        """Return the bound of one more look.

        Args:
            information: at this look, in any unit, more than at the last.
            spent: cumulative error rate; not more than at the last look puts the bound out of reach.
        """
        bound = _solve_above(self._before, spent - self._spent, 0.0, information)
        self._before = _advance(self._before, -FAR, bound, 0.0, information)
        self._spent = max(self._spent, spent)
        self.bounds.append(bound)
        return bound


@lru_cache(maxsize=64)
def passing_drift(looks: int, spending_gamma: float, alpha: float, power: float) -> float:
    """Return the mean of Z at full information with which a test of evenly spaced looks passes with this power.

    Divided by the margin, it is the square root of the information that the test needs.
    """
    times = [(k + 1) / looks for k in range(looks)]
    upper = efficacy_bounds(times, hsd(alpha, spending_gamma))

    def missing(drift: float) -> float:
        passed, before = 0.0, None
        for t, bound in zip(times, upper, strict=True):
            passed += _above(before, float(bound), drift, t)
            before = _advance(before, -FAR, float(bound), drift, t)
        return passed - power

    fixed = float(special.ndtri(1 - alpha) + special.ndtri(power))
    return float(optimize.brentq(missing, 0.9 * fixed, 1.6 * fixed, xtol=1e-6))


def _solve_above(before: Density | None, target: float, drift: float, t: float) -> float:
    if target < 1e-15:
        return FAR
    return float(optimize.brentq(lambda bound: _above(before, bound, drift, t) - target, -FAR, FAR, xtol=1e-8))
