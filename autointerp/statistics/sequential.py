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
        i < r, centre - 3 - 4 * np.log(r / np.maximum(i, 1)),
        np.where(i <= 5 * r, centre - 3 + 3 * (i - r) / (2 * r), centre + 3 + 4 * np.log(r / np.maximum(6 * r - i, 1))),
    )  # fmt: skip
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


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupDesign:
    """A group-sequential test of one-sided non-inferiority.

    `upper` and `lower` are the bounds on Z at `fractions` of the information; `inflation` is the largest sample over
    that of a fixed test of the same power; `drift` is the mean of Z at full information under the alternative.
    """

    fractions: tuple[float, ...]
    upper: tuple[float, ...]
    lower: tuple[float, ...]
    alpha: float
    power: float
    drift: float
    inflation: float


def gs_design(
    looks: int = 5, *, alpha: float = 0.05, power: float = 0.8, efficacy: Spending | None = None,
    futility: Spending | None = None, fractions: Sequence[float] | None = None,
) -> GroupDesign:  # fmt: skip
    """Design the test: efficacy by HSD(1), futility by HSD(-2) by default, equally spaced looks.

    The drift is the one at which the last futility bound meets the last efficacy bound, so that the test always ends.

    Raises:
        ValueError: fractions that do not ascend to 1.
    """
    times = [(k + 1) / looks for k in range(looks)] if fractions is None else [float(t) for t in fractions]
    if not times or abs(times[-1] - 1) > 1e-9 or any(b <= a for a, b in zip([0.0, *times], times, strict=False)):
        raise ValueError("gs_design: information fractions must ascend from above 0 to 1")
    upper = efficacy_bounds(times, efficacy or hsd(alpha, 1.0))
    spend = futility or hsd(1 - power, -2.0)
    fixed = float(special.ndtri(1 - alpha) + special.ndtri(power))
    if len(times) == 1:
        bound = (float(upper[0]),)
        return GroupDesign(
            fractions=(1.0,), upper=bound, lower=bound, alpha=alpha, power=power, drift=fixed, inflation=1.0
        )

    def gap(drift: float) -> float:
        return float(_futility(times, upper, spend, drift)[-1] - upper[-1])

    drift = float(optimize.brentq(gap, fixed * 0.8, fixed * 1.8, xtol=1e-8))
    lower = _futility(times, upper, spend, drift)
    lower[-1] = upper[-1]
    return GroupDesign(
        fractions=tuple(times), upper=tuple(map(float, upper)), lower=tuple(map(float, lower)), alpha=alpha,
        power=power, drift=drift, inflation=(drift / fixed) ** 2,
    )  # fmt: skip


def _futility(times: Sequence[float], upper: Floats, spend: Spending, drift: float) -> Floats:
    """Return lower bounds that spend the chance of a wrong stop under the drift."""
    bounds, before, spent = [], None, 0.0
    for t, top in zip(times, upper, strict=True):
        target = float(spend(np.array(t))) - spent
        alive = 1.0 if before is None else float(before.weight.sum())
        bound = _solve_above(before, max(alive - target, 1e-12), drift, t) if alive > target else FAR
        bounds.append(bound)
        spent += target
        before = _advance(before, min(bound, float(top)), float(top), drift, t)
    return np.array(bounds)


def crossing(design: GroupDesign, drift: float, *, binding: bool = True) -> tuple[Floats, Floats]:
    """Return the probability of stopping for success, and for futility, at each look when Z has this drift."""
    up, down, before = [], [], None
    for t, top, bottom in zip(design.fractions, design.upper, design.lower, strict=True):
        low = bottom if binding else -FAR
        alive = 1.0 if before is None else float(before.weight.sum())
        up.append(_above(before, top, drift, t))
        down.append(alive - _above(before, low, drift, t))
        before = _advance(before, min(low, top), top, drift, t)
    return np.array(up), np.array(down)


def expected_share(design: GroupDesign, drift: float) -> float:
    """Return the expected sample as a share of the largest one."""
    up, down = crossing(design, drift)
    return float((np.asarray(design.fractions) * (up + down)).sum() + design.fractions[-1] * (1 - (up + down).sum()))
